//! An exchange within one process that brings its own runtime: for tests of crates that know no
//! tokio.

use tokio::runtime::{Builder, Runtime};

use crate::{Exchange, ExchangeIdentity, ExchangeOptions};

/// A runtime and the exchanges on it, which work as long as this lives.
pub struct Standalone(Runtime);

impl Standalone {
    /// Starts a runtime with one thread.
    pub fn start() -> std::io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        Ok(Self(builder.worker_threads(1).enable_all().build()?))
    }

    /// An exchange without a port.
    pub fn exchange(&self, identity: ExchangeIdentity) -> Exchange {
        Exchange::in_process(
            identity,
            ExchangeOptions::default(),
            self.0.handle().clone(),
        )
    }
}
