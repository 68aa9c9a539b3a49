//! What could not be done, and whether it helps to try again.

use hyper::StatusCode;
use weir_controller::Trouble;

use crate::manager::ManagerError;
use crate::rest::RestError;

/// Something could not be done.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The API server said no, or did not answer.
    #[error("{action}")]
    Api {
        /// What was to be done.
        action: String,
        #[source]
        source: Box<kube::Error>,
    },
    /// An object is not what the API takes.
    #[error("{action}")]
    Object {
        /// What was to be done.
        action: String,
        #[source]
        source: serde_json::Error,
    },
    /// The JobManager said no, or did not answer.
    #[error("ask the JobManager")]
    Manager(#[from] ManagerError),
    /// This process may not act any more.
    #[error("this operator does not lead any more")]
    NotActing,
}

impl ApplyError {
    /// Whether somebody else has written meanwhile.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self, Self::Api { source, .. }
            if matches!(source.as_ref(), kube::Error::Api(status) if status.code == 409))
    }
}

/// Why an object was refused, if it was. Any other error stays one.
pub(super) fn refused(done: Result<(), ApplyError>) -> Result<Option<Trouble>, ApplyError> {
    let Err(error) = done else {
        return Ok(None);
    };
    error
        .refusal()
        .map_or(Err(error), |trouble| Ok(Some(trouble)))
}

impl ApplyError {
    /// Why an object was refused, in words of Kubernetes: it may not be there (403), or what the
    /// spec adds to it is not what the API takes (422, or 400 for what can't even be read). To try
    /// again helps only if a person does something.
    pub(super) fn refusal(&self) -> Option<Trouble> {
        match self {
            Self::Api { .. } => {
                let said = self
                    .said()
                    .filter(|(code, _)| matches!(code, 400 | 403 | 422));
                said.map(|(_, trouble)| trouble)
            }
            Self::Object { action, source } => Some(Trouble {
                reason: "Invalid".to_owned(),
                message: format!("{action}: {source}"),
            }),
            Self::Manager(_) | Self::NotActing => None,
        }
    }

    /// What the API server said, whatever it is: also that a webhook of the cluster does not
    /// answer. None: it did not say anything, or this process must not act.
    pub(super) fn answer(&self) -> Option<Trouble> {
        let said = self.said().map(|(_, trouble)| trouble);
        said.or_else(|| self.refusal())
    }

    /// The API server's answer, with its code.
    fn said(&self) -> Option<(u16, Trouble)> {
        let Self::Api { source, .. } = self else {
            return None;
        };
        let kube::Error::Api(status) = source.as_ref() else {
            return None;
        };
        let trouble = Trouble {
            reason: status.reason.clone(),
            message: status.message.clone(),
        };
        Some((status.code, trouble))
    }

    /// Why the JobManager refuses to do something. That it knows no such job is no refusal: another
    /// one may be about to lead.
    pub(super) fn denial(&self) -> Option<String> {
        match self {
            Self::Manager(ManagerError::Rest(RestError::Refused { status, why }))
                if status.is_client_error() && *status != StatusCode::NOT_FOUND =>
            {
                Some(why.clone())
            }
            _ => None,
        }
    }
}

pub(super) fn failed(action: impl Into<String>) -> impl FnOnce(kube::Error) -> ApplyError {
    let action = action.into();
    move |source| ApplyError::Api {
        action,
        source: Box::new(source),
    }
}
