//! The first message in each direction of a data connection.
//!
//! ```text
//! caller                                  called
//!   │── hello (version, job, epoch, …) ────▶│  compares with its own
//!   │◀─ hello, or refused (the reason) ─────│
//! ```
//!
//! Both compare: a TaskManager exchanges data only with the same protocol, of the same job, epoch
//! and program. What does not begin with the magic number is no data connection at all and is
//! closed without an answer. The version comes first, so that the rest may change with it.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use weir_types::{Epoch, JobId, TaskManagerId};

/// The version of the data connection's protocol.
pub const PROTOCOL_VERSION: u32 = 1;

const MAGIC: [u8; 8] = *b"WEIRDATA";
const HELLO: u8 = 1;
const REFUSED: u8 = 2;
/// The longest body that is read from a stranger.
const BODY_MAX: usize = 2 << 10;
const TEXT_MAX: usize = 1 << 10;

/// Who a process is to others. Equal but for `taskmanager` in all processes of a job's run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExchangeIdentity {
    /// The protocol it speaks.
    pub protocol_version: u32,
    /// The job.
    pub job: JobId,
    /// The job's current epoch.
    pub epoch: Epoch,
    /// This life of this process.
    pub taskmanager: TaskManagerId,
    /// Of graph, arguments and executable: equal programs have equal ones. At most 1,024 bytes.
    pub fingerprint: String,
}

impl ExchangeIdentity {
    /// The identity of a process that speaks [`PROTOCOL_VERSION`].
    pub fn new(
        job: JobId,
        epoch: Epoch,
        taskmanager: TaskManagerId,
        fingerprint: impl Into<String>,
    ) -> Self {
        let fingerprint = fingerprint.into();
        Self {
            protocol_version: PROTOCOL_VERSION,
            job,
            epoch,
            taskmanager,
            fingerprint,
        }
    }

    /// Why a peer is not one to exchange data with.
    fn compare(&self, peer: &Self) -> Result<(), String> {
        let differ = |what, theirs: String, ours: String| {
            Err(format!("its {what} is {theirs}, ours is {ours}"))
        };
        if peer.job != self.job {
            return differ("job", peer.job.to_string(), self.job.to_string());
        }
        if peer.epoch != self.epoch {
            return differ("epoch", peer.epoch.to_string(), self.epoch.to_string());
        }
        if peer.fingerprint != self.fingerprint {
            let quoted = |text: &str| format!("`{text}`");
            return differ(
                "program fingerprint",
                quoted(&peer.fingerprint),
                quoted(&self.fingerprint),
            );
        }
        if peer.taskmanager == self.taskmanager {
            return Err(format!(
                "it has our own TaskManager id {}",
                self.taskmanager
            ));
        }
        Ok(())
    }

    fn encode(&self) -> Vec<u8> {
        let mut body = self.protocol_version.to_le_bytes().to_vec();
        body.extend_from_slice(&self.job.0.to_le_bytes());
        body.extend_from_slice(&self.epoch.0.to_le_bytes());
        body.extend_from_slice(&self.taskmanager.0.to_le_bytes());
        body.extend_from_slice(cut(&self.fingerprint).as_bytes());
        body
    }

    /// Compares the version before it looks at the rest.
    fn decode(&self, body: &[u8]) -> Result<Self, String> {
        let malformed = || "its hello is malformed".to_owned();
        let (version, rest) = body.split_first_chunk().ok_or_else(malformed)?;
        let version = u32::from_le_bytes(*version);
        if version != self.protocol_version {
            let ours = self.protocol_version;
            return Err(format!("its protocol version is {version}, ours is {ours}"));
        }
        let (job, rest) = rest.split_first_chunk().ok_or_else(malformed)?;
        let (epoch, rest) = rest.split_first_chunk().ok_or_else(malformed)?;
        let (taskmanager, rest) = rest.split_first_chunk().ok_or_else(malformed)?;
        Ok(Self {
            protocol_version: version,
            job: JobId(u128::from_le_bytes(*job)),
            epoch: Epoch(u64::from_le_bytes(*epoch)),
            taskmanager: TaskManagerId(u128::from_le_bytes(*taskmanager)),
            fingerprint: std::str::from_utf8(rest)
                .map_err(|_| malformed())?
                .to_owned(),
        })
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    #[error("{action} handshake: {cause}")]
    Io {
        action: &'static str,
        cause: std::io::Error,
    },
    #[error("it speaks no Weir data protocol")]
    NotWeir,
    /// We do not want the peer.
    #[error("{0}")]
    Mismatch(String),
    /// The peer does not want us.
    #[error("{0}")]
    Refused(String),
}

/// The side that dialled. `expected` is who should answer.
pub(crate) async fn greet<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    own: &ExchangeIdentity,
    expected: TaskManagerId,
) -> Result<(), HandshakeError> {
    write(stream, HELLO, &own.encode()).await?;
    match read(stream).await? {
        (HELLO, body) => {
            let peer = own.decode(&body).map_err(HandshakeError::Mismatch)?;
            own.compare(&peer).map_err(HandshakeError::Mismatch)?;
            if peer.taskmanager != expected {
                return Err(HandshakeError::Mismatch(format!(
                    "TaskManager {} answered at the address of {expected}",
                    peer.taskmanager
                )));
            }
            Ok(())
        }
        (_, reason) => Err(HandshakeError::Refused(
            String::from_utf8_lossy(&reason).into_owned(),
        )),
    }
}

/// The side that was called. Returns who called.
pub(crate) async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    own: &ExchangeIdentity,
) -> Result<TaskManagerId, HandshakeError> {
    let (kind, body) = read(stream).await?;
    if kind != HELLO {
        return Err(HandshakeError::NotWeir);
    }
    let checked = own
        .decode(&body)
        .and_then(|peer| own.compare(&peer).map(|()| peer));
    match checked {
        Ok(peer) => {
            write(stream, HELLO, &own.encode()).await?;
            Ok(peer.taskmanager)
        }
        Err(reason) => {
            // Told from the caller's point of view.
            let reason = reason
                .replacen("its ", "your ", 1)
                .replacen("it has", "you have", 1);
            write(stream, REFUSED, cut(&reason).as_bytes()).await?;
            Err(HandshakeError::Mismatch(reason))
        }
    }
}

async fn write<S: AsyncWrite + Unpin>(
    stream: &mut S,
    kind: u8,
    body: &[u8],
) -> Result<(), HandshakeError> {
    let mut message = MAGIC.to_vec();
    message.push(kind);
    let length = u16::try_from(body.len()).expect("bodies are cut to less");
    message.extend_from_slice(&length.to_le_bytes());
    message.extend_from_slice(body);
    let failed = |cause| HandshakeError::Io {
        action: "write",
        cause,
    };
    stream.write_all(&message).await.map_err(failed)
}

async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> Result<(u8, Vec<u8>), HandshakeError> {
    let failed = |cause| HandshakeError::Io {
        action: "read",
        cause,
    };
    let mut magic = [0; MAGIC.len()];
    stream.read_exact(&mut magic).await.map_err(failed)?;
    if magic != MAGIC {
        return Err(HandshakeError::NotWeir);
    }
    let mut head = [0; 3];
    stream.read_exact(&mut head).await.map_err(failed)?;
    let [kind, l0, l1] = head;
    let length = usize::from(u16::from_le_bytes([l0, l1]));
    if length > BODY_MAX || !matches!(kind, HELLO | REFUSED) {
        return Err(HandshakeError::NotWeir);
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.map_err(failed)?;
    Ok((kind, body))
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(TEXT_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
