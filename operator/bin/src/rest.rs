//! Speaks HTTP to a JobManager: a few short questions over one connection. No thread waits for the
//! answers, so one that hangs costs a socket until the question is given up.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use weir_rest::dto::ErrorBody;

/// How long a connection may take. A pod that has just gone leaves an address at which nobody says
/// no: whoever waited there would hold an upgrade up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// The longest answer that is read.
const ANSWER_BYTES_MAX: usize = 8 << 20;

/// A question was not answered as it should be.
#[derive(Debug, thiserror::Error)]
pub enum RestError {
    /// Nobody answered.
    #[error("ask the JobManager at {address}: {cause}")]
    Unreachable {
        /// Where it was looked for.
        address: String,
        /// What went wrong.
        cause: String,
    },
    /// The JobManager said no.
    #[error("the JobManager refused: {why}")]
    Refused {
        /// As an HTTP status.
        status: StatusCode,
        /// In its words.
        why: String,
    },
    /// What came back is no answer of a JobManager.
    #[error("{address} answered with something that is no answer of a JobManager: {cause}")]
    Garbled {
        /// Who answered.
        address: String,
        /// Why it could not be read.
        cause: String,
    },
}

/// A connection to a JobManager. It is closed when this is dropped.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    address: String,
    driver: AbortHandle,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Connection {
    /// Connects to `HOST:PORT`.
    pub(crate) async fn open(address: &str) -> Result<Self, RestError> {
        let unreachable = |cause: &dyn std::fmt::Display| unreachable(address, cause);
        let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
        let stream = stream.map_err(|_| unreachable(&"no connection in time"))?;
        let stream = stream.map_err(|error| unreachable(&error))?;
        let shaken = http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = shaken.map_err(|error| unreachable(&error))?;
        let driver = tokio::spawn(async move {
            // Whoever waits for an answer hears of it too.
            drop(connection.await);
        });
        Ok(Self {
            sender,
            address: address.to_owned(),
            driver: driver.abort_handle(),
        })
    }

    /// Asks.
    pub(crate) async fn get<T: DeserializeOwned>(&mut self, path: &str) -> Result<T, RestError> {
        self.send("GET", path, Bytes::new()).await
    }

    /// Asks for what there may not be: none, if the JobManager refuses with `absent`.
    pub(crate) async fn find<T: DeserializeOwned>(
        &mut self,
        path: &str,
        absent: StatusCode,
    ) -> Result<Option<T>, RestError> {
        match self.get(path).await {
            Ok(found) => Ok(Some(found)),
            Err(RestError::Refused { status, .. }) if status == absent => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Asks for something to be done.
    pub(crate) async fn post<T: DeserializeOwned>(
        &mut self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, RestError> {
        let body = serde_json::to_vec(body).map_err(|error| self.garbled(&error))?;
        self.send("POST", path, body.into()).await
    }

    /// Asks for something to be let go of.
    pub(crate) async fn delete<T: DeserializeOwned>(&mut self, path: &str) -> Result<T, RestError> {
        self.send("DELETE", path, Bytes::new()).await
    }

    async fn send<T: DeserializeOwned>(
        &mut self,
        method: &str,
        path: &str,
        body: Bytes,
    ) -> Result<T, RestError> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, &self.address)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body));
        let request = request.map_err(|error| self.garbled(&error))?;
        // The connection may still be busy with the end of the answer before.
        let ready = self.sender.ready().await;
        ready.map_err(|error| unreachable(&self.address, &error))?;
        let answer = self.sender.send_request(request).await;
        let answer = answer.map_err(|error| unreachable(&self.address, &error))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX);
        let body = body.collect().await;
        let body = body.map_err(|error| self.garbled(&error))?.to_bytes();
        if status.is_success() {
            // Some answers say no more than that it was taken on.
            let body = if body.is_empty() { "null".into() } else { body };
            return serde_json::from_slice(&body).map_err(|error| self.garbled(&error));
        }
        match serde_json::from_slice::<ErrorBody>(&body) {
            Ok(error) => Err(RestError::Refused {
                status,
                why: error.errors.join("; "),
            }),
            Err(_) => Err(self.garbled(&format!("status {status}"))),
        }
    }

    fn garbled(&self, cause: &dyn std::fmt::Display) -> RestError {
        RestError::Garbled {
            address: self.address.clone(),
            cause: cause.to_string(),
        }
    }
}

fn unreachable(address: &str, cause: &dyn std::fmt::Display) -> RestError {
    RestError::Unreachable {
        address: address.to_owned(),
        cause: cause.to_string(),
    }
}
