//! The REST of all fake JobManagers, on one port: which of them is asked is told by the address,
//! as each pod has its own on the loopback interface.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// A request to a JobManager.
pub(crate) struct Asked {
    pub(crate) pod: String,
    pub(crate) method: Method,
    /// Without its query.
    pub(crate) path: String,
    /// Whether whoever asks waits until something is over.
    pub(crate) waits: bool,
    pub(crate) body: Value,
}

/// What a JobManager answers.
pub(crate) enum Answer {
    Json(Value),
    Refused(u16, String),
    /// Nothing, for ever.
    Nothing,
}

/// Whoever speaks for JobManagers.
pub(crate) trait Managers: Send + Sync {
    fn answer(&self, asked: &Asked) -> Answer;

    /// Asked for each request that changes something, before it is answered. Whoever may not
    /// change anything any more waits for ever.
    fn may_change(&self, asked: &Asked) -> Permission;
}

/// Whether a request may be acted on: a future, as it may have to wait.
pub(crate) type Permission = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// Who speaks for an address, and the pod that has it.
type Registry = HashMap<IpAddr, (Arc<dyn Managers>, String)>;

static REGISTRY: OnceLock<Mutex<Registry>> = OnceLock::new();
static PORT: OnceLock<u16> = OnceLock::new();

fn registry() -> MutexGuard<'static, Registry> {
    let registry = REGISTRY.get_or_init(Mutex::default);
    registry.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A pod has this address now.
pub(crate) fn register(address: IpAddr, managers: Arc<dyn Managers>, pod: &str) {
    registry().insert(address, (managers, pod.to_owned()));
}

/// Nobody has this address any more.
pub(crate) fn unregister(address: IpAddr) {
    registry().remove(&address);
}

/// The port of all JobManagers.
pub(crate) fn port() -> u16 {
    *PORT.get_or_init(|| {
        let listener = std::net::TcpListener::bind("0.0.0.0:0").expect("a port");
        listener.set_nonblocking(true).expect("a socket");
        let port = listener.local_addr().expect("an address").port();
        // It outlives the runtime of any test.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                serve(TcpListener::from_std(listener).expect("a listener")).await;
            });
        });
        port
    })
}

async fn serve(listener: TcpListener) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let Ok(own) = stream.local_addr() else {
            continue;
        };
        tokio::spawn(async move {
            let service = service_fn(move |request| respond(own, request));
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            drop(connection.await);
        });
    }
}

async fn respond(
    own: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let found = registry().get(&own.ip()).cloned();
    let Some((managers, pod)) = found else {
        return Ok(response(503, &json!({ "errors": ["nobody is there"] })));
    };
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes());
    let body = serde_json::from_slice(&body.unwrap_or_default()).unwrap_or(Value::Null);
    let asked = Asked {
        pod,
        method: head.method,
        path: head.uri.path().to_owned(),
        waits: head.uri.query().is_some_and(|query| query != "wait-ms=0"),
        body,
    };
    if asked.method != Method::GET {
        managers.may_change(&asked).await;
    }
    Ok(match managers.answer(&asked) {
        Answer::Json(value) => response(200, &value),
        Answer::Refused(status, text) => response(status, &json!({ "errors": [text] })),
        Answer::Nothing => std::future::pending().await,
    })
}

fn response(status: u16, body: &Value) -> Response<Full<Bytes>> {
    Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body.to_string())))
        .expect("a response")
}
