//! The threads on which all requests of the process run, and how other threads wait for them.

use std::future::Future;
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, sync_channel};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

/// Requests wait for the network; encryption and checksums are what keeps these busy.
const THREADS: usize = 2;

/// The runtime of the process, or why there is none.
pub(super) fn handle() -> Result<&'static Handle, String> {
    static RUNTIME: OnceLock<Result<Runtime, String>> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("s3")
            .enable_all()
            .build()
            .map_err(|error| format!("cannot start the threads for requests: {error}"))
    });
    match runtime {
        Ok(runtime) => Ok(runtime.handle()),
        Err(error) => Err(error.clone()),
    }
}

/// A request under way.
pub(super) struct Pending<T> {
    answer: Receiver<T>,
    task: JoinHandle<()>,
}

impl<T> Pending<T> {
    /// Waits for its end.
    pub(super) fn wait(self) -> Result<T, String> {
        // The sender goes without a value only if the request's code panicked.
        let answer = self.answer.recv();
        answer.map_err(|_| "its request ended without an answer".to_owned())
    }

    /// Waits for its end on a thread of requests; the answer is of no interest.
    pub(super) async fn ended(self) {
        // It fails if the request's code panicked, which has ended it as well.
        drop(self.task.await);
    }
}

/// Starts a request. The caller may be a thread of another runtime: so this does not enter one.
pub(super) fn start<T: Send + 'static>(
    request: impl Future<Output = T> + Send + 'static,
) -> Result<Pending<T>, String> {
    let (sender, answer) = sync_channel(1);
    let task = handle()?.spawn(async move {
        // Nobody waits any more if this fails.
        drop(sender.send(request.await));
    });
    Ok(Pending { answer, task })
}
