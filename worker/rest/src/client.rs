//! The client of the command line: blocking, one request at a time.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use weir_types::JobId;

use crate::dto;

/// A request failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody answered.
    #[error(
        "ask the JobManager at {address}: {cause}; is one running there? choose another with --rest HOST:PORT"
    )]
    Unreachable {
        /// Where it was looked for.
        address: String,
        /// What went wrong.
        cause: String,
    },
    /// The JobManager said no.
    #[error("{0}")]
    Refused(String),
    /// What came back is no answer of a JobManager.
    #[error("{address} answered with something that is no answer of a JobManager: {cause}")]
    Garbled {
        /// Who answered.
        address: String,
        /// Why it could not be read.
        cause: String,
    },
}

/// The longest answer that is read.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// Asks one JobManager.
pub struct RestClient {
    agent: ureq::Agent,
    address: String,
}

impl RestClient {
    /// A client for `HOST:PORT`.
    pub fn new(address: impl Into<String>) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(10)))
            .http_status_as_error(false)
            .proxy(None)
            .build();
        Self {
            agent: config.into(),
            address: address.into(),
        }
    }

    /// All jobs.
    pub fn jobs(&self) -> Result<dto::Jobs, ClientError> {
        self.get("/jobs")
    }

    /// One job.
    pub fn job(&self, id: JobId) -> Result<dto::Job, ClientError> {
        self.get(&format!("/jobs/{id}"))
    }

    /// What went wrong in a job.
    pub fn exceptions(&self, id: JobId) -> Result<dto::Exceptions, ClientError> {
        self.get(&format!("/jobs/{id}/exceptions"))
    }

    /// Counts.
    pub fn overview(&self) -> Result<dto::Overview, ClientError> {
        self.get("/overview")
    }

    /// Ends the job at once. The answer means that the request was taken.
    pub fn cancel(&self, id: JobId) -> Result<(), ClientError> {
        let url = format!("http://{}/jobs/{id}/cancel", self.address);
        let answer = self
            .agent
            .post(url)
            .send_empty()
            .map_err(|error| self.unreachable(&error))?;
        self.accepted(answer).map(|_| ())
    }

    /// Asks for a savepoint. The answer means that the request was taken.
    pub fn savepoint(
        &self,
        id: JobId,
        request: &dto::SavepointRequest,
    ) -> Result<dto::OperationAccepted, ClientError> {
        self.post(&format!("/jobs/{id}/savepoints"), request)
    }

    /// Asks for the job's end with a savepoint. The answer means that the request was taken.
    pub fn stop(
        &self,
        id: JobId,
        request: &dto::StopRequest,
    ) -> Result<dto::OperationAccepted, ClientError> {
        self.post(&format!("/jobs/{id}/stop"), request)
    }

    /// Asks for a checkpoint now. The answer means that the request was taken.
    pub fn checkpoint(
        &self,
        id: JobId,
        request: &dto::CheckpointRequest,
    ) -> Result<dto::OperationAccepted, ClientError> {
        self.post(&format!("/jobs/{id}/checkpoints"), request)
    }

    /// How what was asked for is doing. Waits for its end, but not longer than `at_most` (and not
    /// longer than the JobManager likes).
    pub fn operation(
        &self,
        id: JobId,
        operation: &str,
        at_most: Duration,
    ) -> Result<dto::Operation, ClientError> {
        let wait = at_most.as_millis();
        self.get(&format!("/jobs/{id}/savepoints/{operation}?wait-ms={wait}"))
    }

    /// Has the job let go of the savepoint of an operation, and delete it. The answer means that
    /// the request was taken.
    pub fn forget_savepoint(&self, id: JobId, operation: &str) -> Result<(), ClientError> {
        let address = &self.address;
        let url = format!("http://{address}/jobs/{id}/savepoints/{operation}");
        let answer = self.agent.delete(url).call();
        let answer = answer.map_err(|error| self.unreachable(&error))?;
        self.accepted(answer).map(|_| ())
    }

    /// The job's checkpoints and savepoints.
    pub fn checkpoints(&self, id: JobId) -> Result<dto::Checkpoints, ClientError> {
        self.get(&format!("/jobs/{id}/checkpoints"))
    }

    /// One of them, by subtask.
    pub fn checkpoint_details(
        &self,
        id: JobId,
        number: u64,
    ) -> Result<dto::CheckpointDetails, ClientError> {
        self.get(&format!("/jobs/{id}/checkpoints/{number}"))
    }

    fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let url = format!("http://{}{path}", self.address);
        let answer = self
            .agent
            .post(url)
            .send_json(body)
            .map_err(|error| self.unreachable(&error))?;
        let text = self.accepted(answer)?;
        serde_json::from_str(&text).map_err(|error| self.garbled(&error))
    }

    fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let url = format!("http://{}{path}", self.address);
        let answer = self
            .agent
            .get(url)
            .call()
            .map_err(|error| self.unreachable(&error))?;
        let text = self.accepted(answer)?;
        serde_json::from_str(&text).map_err(|error| self.garbled(&error))
    }

    fn accepted(
        &self,
        mut answer: ureq::http::Response<ureq::Body>,
    ) -> Result<String, ClientError> {
        let status = answer.status();
        let body = answer
            .body_mut()
            .with_config()
            .limit(ANSWER_BYTES_MAX)
            .read_to_string();
        let body = body.map_err(|error| self.garbled(&error))?;
        if status.is_success() {
            return Ok(body);
        }
        match serde_json::from_str::<dto::ErrorBody>(&body) {
            Ok(error) => Err(ClientError::Refused(error.errors.join("; "))),
            Err(_) => Err(self.garbled(&format!("status {status}"))),
        }
    }

    fn unreachable(&self, cause: &dyn std::fmt::Display) -> ClientError {
        ClientError::Unreachable {
            address: self.address.clone(),
            cause: cause.to_string(),
        }
    }

    fn garbled(&self, cause: &dyn std::fmt::Display) -> ClientError {
        ClientError::Garbled {
            address: self.address.clone(),
            cause: cause.to_string(),
        }
    }
}
