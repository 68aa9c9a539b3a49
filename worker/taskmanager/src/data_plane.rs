//! The runtime that moves records between sockets and queues, apart from the control plane's.

use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle, Runtime};
use weir_network::{Exchange, ExchangeIdentity, ExchangeOptions};

/// Where the exchanges of this process live, one after the other.
pub(crate) enum DataPlane {
    /// All TaskManagers of the job are in this process.
    InProcess,
    /// Others connect to it.
    Listening {
        runtime: Option<Runtime>,
        address: SocketAddr,
    },
}

/// The door of an exchange that is not there yet: its address can be told before the job is known.
pub(crate) enum Door {
    InProcess,
    Listening {
        listener: TcpListener,
        address: SocketAddr,
    },
}

impl Door {
    /// Where others will reach the exchange.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::InProcess => None,
            Self::Listening { address, .. } => Some(*address),
        }
    }
}

impl DataPlane {
    pub(crate) fn new(bind: Option<SocketAddr>, threads: usize) -> std::io::Result<Self> {
        let Some(address) = bind else {
            return Ok(Self::InProcess);
        };
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads.max(1))
            .thread_name("weir-network")
            .enable_all()
            .build()?;
        Ok(Self::Listening {
            runtime: Some(runtime),
            address,
        })
    }

    fn runtime(&self) -> Option<(&Handle, SocketAddr)> {
        match self {
            Self::InProcess => None,
            Self::Listening { runtime, address } => {
                runtime.as_ref().map(|runtime| (runtime.handle(), *address))
            }
        }
    }

    /// Opens the port.
    pub(crate) async fn open(&self) -> std::io::Result<Door> {
        let Some((runtime, address)) = self.runtime() else {
            return Ok(Door::InProcess);
        };
        // A socket belongs to the runtime that it was made on.
        let bound = runtime.spawn(async move {
            let listener = TcpListener::bind(address).await?;
            let address = listener.local_addr()?;
            Ok(Door::Listening { listener, address })
        });
        bound.await.map_err(std::io::Error::other)?
    }

    /// The exchange behind a door.
    pub(crate) async fn exchange(
        &self,
        door: Door,
        identity: ExchangeIdentity,
        options: ExchangeOptions,
    ) -> std::io::Result<Exchange> {
        match (door, self.runtime()) {
            (Door::Listening { listener, .. }, Some((runtime, _))) => {
                let listen =
                    runtime.spawn(async move { Exchange::listen(listener, identity, options) });
                listen.await.map_err(std::io::Error::other)?
            }
            _ => Ok(Exchange::in_process(identity, options, Handle::current())),
        }
    }
}

impl Drop for DataPlane {
    fn drop(&mut self) {
        // Waiting for its threads would block the control plane's.
        if let Self::Listening { runtime, .. } = self
            && let Some(runtime) = runtime.take()
        {
            runtime.shutdown_background();
        }
    }
}
