//! What a failed request means: may it be repeated, may it have been done, what should a person
//! check.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use crate::StoreErrorKind;

/// What sort of failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// It may go away by itself.
    Passing,
    /// A condition did not hold.
    Precondition,
    /// The object is not there.
    Missing,
    /// The multipart upload is not there: it was completed or aborted.
    UploadMissing,
    /// Anything that repeating does not help against.
    Final(StoreErrorKind),
}

/// A request failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{text}")]
pub(super) struct Failure {
    pub(super) class: Class,
    /// For people: what the server said, and what to check.
    pub(super) text: String,
    /// The request may have been carried out.
    pub(super) maybe_done: bool,
}

impl Failure {
    pub(super) fn other(text: impl Into<String>) -> Self {
        Self {
            class: Class::Final(StoreErrorKind::Other),
            text: text.into(),
            maybe_done: false,
        }
    }

    /// No answer came, or not all of it.
    pub(super) fn lost(text: impl Into<String>) -> Self {
        Self {
            class: Class::Passing,
            text: text.into(),
            maybe_done: true,
        }
    }

    /// What a failure of the SDK means. Nothing of its own text is taken over except the server's
    /// message: in detail it shows requests, with their signatures.
    pub(super) fn of<E>(error: SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        match &error {
            SdkError::ServiceError(answer) => {
                let status = answer.raw().status().as_u16();
                let code = answer.err().code().unwrap_or_default();
                Self::of_answer(status, code, answer.err().message().unwrap_or_default())
            }
            SdkError::ResponseError(answer) => {
                // For example a proxy's page instead of S3's XML, or a connection that was cut.
                let status = answer.raw().status().as_u16();
                Self::of_answer(status, "", &chain(&error))
            }
            SdkError::TimeoutError(_) => Self::lost("no answer in time"),
            SdkError::ConstructionFailure(_) => match credentials(&error) {
                Some(denied) => denied,
                None => Self::other(chain(&error)),
            },
            _ => match credentials(&error) {
                Some(denied) => denied,
                None => Self::lost(chain(&error)),
            },
        }
    }

    fn of_answer(status: u16, code: &str, message: &str) -> Self {
        use StoreErrorKind::{Denied, NoSpace, Other, Unsuitable};
        let (class, check) = match (status, code) {
            (412, _) => (Class::Precondition, ""),
            // Another conditional write is under way; whoever is told so has done nothing.
            (409, "BucketAlreadyExists" | "BucketNotEmpty") => (Class::Final(Other), ""),
            (409, _) => (Class::Passing, ""),
            (404, "NoSuchBucket") => (
                Class::Final(Denied),
                "check the bucket's name, `s3.endpoint` and `s3.region`; if it was deleted, what \
                 was in it is gone",
            ),
            (404, "NoSuchUpload") => (Class::UploadMissing, ""),
            (404, _) => (Class::Missing, ""),
            (416, _) => (Class::Final(StoreErrorKind::Truncated), ""),
            (_, "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired") => (
                Class::Final(Denied),
                "the credentials have expired: check what renews them",
            ),
            (_, "RequestTimeTooSkewed") => (Class::Final(Denied), "check this machine's clock"),
            (_, "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidToken") | (401, _) => (
                Class::Final(Denied),
                "check the credentials, and that they belong to this endpoint",
            ),
            (_, "QuotaExceeded" | "XMinioStorageFull" | "InsufficientCapacity") | (507, _) => {
                (Class::Final(NoSpace), "")
            }
            (403, _) => (
                Class::Final(Denied),
                "check that the account may list the bucket, and read, write and delete in it",
            ),
            (501, _) | (_, "NotImplemented") => (
                Class::Final(Unsuitable),
                "the server does not have all that is needed: conditional writes and multipart \
                 uploads",
            ),
            (301 | 307 | 308, _)
            | (_, "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException") => (
                Class::Final(Unsuitable),
                "check `s3.region` and `s3.endpoint`",
            ),
            (408 | 429 | 500.., _) | (_, "RequestTimeout" | "SlowDown") => (Class::Passing, ""),
            // The head of an answer came, and then the connection broke.
            (200..=299, _) => (Class::Passing, ""),
            _ => (Class::Final(Other), ""),
        };
        let mut text = format!("the server answered {status}");
        for part in [code, message] {
            if !part.is_empty() {
                text.push(' ');
                text.push_str(part);
            }
        }
        if !check.is_empty() {
            text.push_str("; ");
            text.push_str(check);
        }
        // A server that says 500 may have written before; one that says "slow down" or 409 has not.
        let maybe_done =
            class == Class::Passing && !(300..500).contains(&status) && code != "SlowDown";
        Self {
            class,
            text,
            maybe_done,
        }
    }

    /// What kind of failure it is for the caller of a read, or of a write that was not done.
    pub(super) fn kind(&self) -> StoreErrorKind {
        match self.class {
            Class::Passing => StoreErrorKind::Unavailable,
            Class::Precondition => StoreErrorKind::Conflict,
            Class::Missing => StoreErrorKind::NotFound,
            Class::UploadMissing => StoreErrorKind::Other,
            Class::Final(kind) => kind,
        }
    }
}

/// A failure to find credentials, if it is one. An agent that does not answer may do so later.
fn credentials(error: &(dyn Error + 'static)) -> Option<Failure> {
    let mut cause = Some(error);
    while let Some(this) = cause {
        if let Some(found) = this.downcast_ref::<CredentialsError>() {
            let passing = matches!(
                found,
                CredentialsError::ProviderTimedOut(_) | CredentialsError::ProviderError(_)
            );
            return Some(Failure {
                class: if passing {
                    Class::Passing
                } else {
                    Class::Final(StoreErrorKind::Denied)
                },
                text: format!(
                    "{}; set `s3.credentials-dir`, or the environment as for other AWS clients",
                    chain(found)
                ),
                maybe_done: false,
            });
        }
        cause = this.source();
    }
    None
}

/// An error and its causes, each once.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut cause = Some(error);
    while let Some(this) = cause {
        let text = this.to_string();
        if !texts.iter().any(|before| before.contains(&text)) {
            texts.push(text);
        }
        cause = this.source();
    }
    texts.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_mean_what_they_mean_to_s3() {
        use StoreErrorKind::{Denied, NoSpace, Other, Unsuitable};
        for (status, code, class, maybe_done) in [
            (412, "PreconditionFailed", Class::Precondition, false),
            (409, "ConditionalRequestConflict", Class::Passing, false),
            (404, "NoSuchKey", Class::Missing, false),
            (404, "", Class::Missing, false),
            (404, "NoSuchUpload", Class::UploadMissing, false),
            (404, "NoSuchBucket", Class::Final(Denied), false),
            (403, "AccessDenied", Class::Final(Denied), false),
            (403, "", Class::Final(Denied), false),
            (400, "ExpiredToken", Class::Final(Denied), false),
            (403, "RequestTimeTooSkewed", Class::Final(Denied), false),
            (403, "QuotaExceeded", Class::Final(NoSpace), false),
            (507, "", Class::Final(NoSpace), false),
            (501, "NotImplemented", Class::Final(Unsuitable), false),
            (301, "PermanentRedirect", Class::Final(Unsuitable), false),
            (400, "InvalidRequest", Class::Final(Other), false),
            (400, "RequestTimeout", Class::Passing, false),
            (429, "", Class::Passing, false),
            (500, "InternalError", Class::Passing, true),
            (502, "", Class::Passing, true),
            (503, "SlowDown", Class::Passing, false),
            (503, "", Class::Passing, true),
            (200, "", Class::Passing, true),
        ] {
            let failure = Failure::of_answer(status, code, "");
            assert_eq!(
                (failure.class, failure.maybe_done),
                (class, maybe_done),
                "{status} {code}"
            );
        }
    }
}
