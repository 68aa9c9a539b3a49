//! Moves the pointer, and finds out for certain how each move ended.
//!
//! A store's answer can get lost, and a write that timed out can still arrive at the store long
//! after its writer has read back and seen nothing of it. Such a write is *in doubt*. It stays so
//! until the register has provably left the state that the write expects: the writer reads, and if
//! it finds neither its write nor a foreign one, it supersedes the write by another with the same
//! content as before and a new nonce. Once that one is in, the old write can never succeed, and the
//! wanted content is written anew.
//!
//! A write that names a new snapshot is the exception: it has failed then. Nobody knows how long
//! the store was out of reach, and meanwhile a collector in another process may have taken the
//! snapshot's objects for garbage. Whoever wanted it knows its age, and may ask again.
//!
//! ```text
//!            swap wanted ──written──────────────────────────► Written
//!             ▲      ├────refused───────────────────────────► Failed
//!             │      └────in doubt, conflict──► read ──own──► Written
//!  superseded │                                  │ └─foreign► Fenced
//!             └────────── swap current content ◄─┘ unchanged
//!                                  └─superseded, a snapshot─► Failed
//! ```
//!
//! Pure: whoever owns it carries the actions out, one at a time, and says how they went. It waits
//! as it likes before a repeated read; there is no other time in here.

use weir_types::KeyHasher;

use super::Pointer;
use crate::coordinator::PointerOutcome;

/// Numbers that no other write has, as far as chance goes: the seed is the caller's randomness.
#[derive(Clone, Debug)]
pub struct Nonces {
    seed: u64,
    count: u64,
}

impl Nonces {
    /// Nonces that differ from those of any other seed.
    pub fn new(seed: u64) -> Self {
        Self { seed, count: 0 }
    }

    /// The next one.
    pub fn draw(&mut self) -> u128 {
        self.count += 1;
        let half = |salt: u64| {
            let mut hasher = KeyHasher::new();
            hasher.write_u64(self.seed);
            hasher.write_u64(self.count);
            hasher.write_u64(salt);
            u128::from(hasher.finish())
        };
        half(1) << 64 | half(2)
    }
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriterAction {
    /// Move the register from this version to this content; answer with
    /// [`PointerWriter::on_swap`].
    Swap {
        /// The version that it must have.
        expected: String,
        /// The new content.
        content: Box<Pointer>,
    },
    /// Read the register; answer with [`PointerWriter::on_read`].
    Read {
        /// How many reads of this write came before: wait the longer, the more.
        tries: u32,
    },
    /// The write has ended.
    Done {
        /// The nonce of what was to be written.
        nonce: u128,
        /// How, for certain.
        outcome: PointerOutcome,
    },
}

/// How a swap went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SwapResult {
    /// The register has the new content.
    Written {
        /// Its version.
        version: String,
    },
    /// The register had another version.
    Conflict,
    /// The store refused it, and nothing will come of it.
    Failed(String),
    /// Nobody knows.
    InDoubt(String),
}

/// How a read went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadResult {
    /// The register's content and version.
    Found {
        /// The content.
        pointer: Box<Pointer>,
        /// The version.
        version: String,
    },
    /// There is no register.
    Missing,
    /// No answer.
    Failed(String),
}

/// A write under way.
#[derive(Debug)]
struct Flight {
    wanted: Pointer,
    /// Writes that would bring the current content back, any of which may still arrive.
    superseding: Vec<Pointer>,
    /// The wanted content is under way (else: one of the superseding writes).
    direct: bool,
    reads: u32,
}

/// The writer of one leader.
#[derive(Debug)]
pub struct PointerWriter {
    /// What the register holds if nothing of a flight has arrived.
    current: Pointer,
    version: String,
    nonces: Nonces,
    flight: Option<Flight>,
    fenced: Option<Box<Pointer>>,
}

impl PointerWriter {
    /// A writer for the leader whose claim wrote this content and gave it this version.
    pub fn new(current: Pointer, version: String, nonces: Nonces) -> Self {
        Self {
            current,
            version,
            nonces,
            flight: None,
            fenced: None,
        }
    }

    /// What the register holds, as far as is certain.
    pub fn current(&self) -> &Pointer {
        &self.current
    }

    /// Whether a write has not come to its end.
    pub fn is_writing(&self) -> bool {
        self.flight.is_some()
    }

    /// Begins to write. The one before must have ended.
    pub fn write(&mut self, wanted: Pointer) -> WriterAction {
        assert!(
            self.flight.is_none(),
            "at most one write of the pointer is under way"
        );
        if let Some(other) = &self.fenced {
            return WriterAction::Done {
                nonce: wanted.nonce,
                outcome: PointerOutcome::Fenced(other.clone()),
            };
        }
        self.flight = Some(Flight {
            wanted,
            superseding: Vec::new(),
            direct: true,
            reads: 0,
        });
        self.swap_wanted()
    }

    /// The swap that was asked for has ended. `None`: nothing was asked for.
    pub fn on_swap(&mut self, result: SwapResult) -> Option<WriterAction> {
        let flight = self.flight.as_mut()?;
        let action = match result {
            SwapResult::Written { version } if flight.direct => self.written(version)?,
            SwapResult::Written { version } => {
                let landed = flight.superseding.pop()?;
                self.superseded(landed, version)?
            }
            // That the wanted content is refused here says all: any earlier try is superseded.
            SwapResult::Failed(reason) if flight.direct => {
                self.done(PointerOutcome::Failed(reason))?
            }
            SwapResult::Conflict | SwapResult::InDoubt(_) | SwapResult::Failed(_) => self.read()?,
        };
        Some(action)
    }

    /// The read that was asked for has ended. `None`: nothing was asked for.
    pub fn on_read(&mut self, result: ReadResult) -> Option<WriterAction> {
        let flight = self.flight.as_mut()?;
        let (found, version) = match result {
            ReadResult::Found { pointer, version } => (pointer, version),
            // No write expects that, so none can succeed any more.
            ReadResult::Missing => {
                let text = "the pointer is gone from the store: somebody has deleted it";
                return self.done(PointerOutcome::Failed(text.to_owned()));
            }
            ReadResult::Failed(_) => return self.read(),
        };
        if found.nonce == flight.wanted.nonce {
            return self.written(version);
        }
        if found.nonce == self.current.nonce {
            return self.supersede(version);
        }
        let mut superseding = flight.superseding.iter();
        if let Some(place) = superseding.position(|content| content.nonce == found.nonce) {
            let landed = flight.superseding.swap_remove(place);
            return self.superseded(landed, version);
        }
        self.fenced = Some(found.clone());
        self.done(PointerOutcome::Fenced(found))
    }

    fn swap_wanted(&mut self) -> WriterAction {
        let flight = self.flight.as_mut().expect("callers have just found it");
        flight.direct = true;
        WriterAction::Swap {
            expected: self.version.clone(),
            content: Box::new(flight.wanted.clone()),
        }
    }

    fn read(&mut self) -> Option<WriterAction> {
        let flight = self.flight.as_mut()?;
        flight.reads += 1;
        Some(WriterAction::Read {
            tries: flight.reads - 1,
        })
    }

    /// Nothing has arrived so far: sees to it that nothing of what is under way ever does.
    fn supersede(&mut self, version: String) -> Option<WriterAction> {
        let flight = self.flight.as_mut()?;
        let mut content = self.current.clone();
        content.nonce = self.nonces.draw();
        flight.superseding.push(content.clone());
        flight.direct = false;
        self.version = version;
        Some(WriterAction::Swap {
            expected: self.version.clone(),
            content: Box::new(content),
        })
    }

    /// The register has left the version that all earlier writes expect.
    fn superseded(&mut self, landed: Pointer, version: String) -> Option<WriterAction> {
        self.current = landed;
        self.version = version;
        let flight = self.flight.as_mut()?;
        flight.superseding.clear();
        if flight.wanted.latest == self.current.latest {
            return Some(self.swap_wanted());
        }
        let text = "the store did not answer, and did not take it until it was called off";
        self.done(PointerOutcome::Failed(text.to_owned()))
    }

    fn written(&mut self, version: String) -> Option<WriterAction> {
        self.current = self.flight.as_ref()?.wanted.clone();
        self.version = version;
        self.done(PointerOutcome::Written)
    }

    fn done(&mut self, outcome: PointerOutcome) -> Option<WriterAction> {
        let flight = self.flight.take()?;
        Some(WriterAction::Done {
            nonce: flight.wanted.nonce,
            outcome,
        })
    }
}

#[cfg(test)]
mod tests;
