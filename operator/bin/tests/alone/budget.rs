//! How far an operator gets: it is killed, or held up, before one of its effects. An effect is a
//! request that changes something, of the API server or of a JobManager; events are not counted.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use http::{Method, Request};
use kube::Client;
use kube::client::Body;
use tokio::sync::watch;

/// What happens at the effect after the last one that is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Killed,
    HeldUp,
}

/// An operator's effects.
#[derive(Debug)]
pub(crate) struct Budget {
    allowed: u32,
    then: Then,
    used: AtomicU32,
    /// Whether it came to the effect that is not allowed.
    reached: watch::Sender<bool>,
    released: watch::Sender<bool>,
    effects: Mutex<Vec<String>>,
}

impl Budget {
    fn new(allowed: u32, then: Then) -> Arc<Self> {
        Arc::new(Self {
            allowed,
            then,
            used: AtomicU32::new(0),
            reached: watch::Sender::new(false),
            released: watch::Sender::new(false),
            effects: Mutex::new(Vec::new()),
        })
    }

    /// It is never killed.
    pub(crate) fn unlimited() -> Arc<Self> {
        Self::new(u32::MAX, Then::Killed)
    }

    /// It is killed after so many effects.
    pub(crate) fn killed_after(effects: u32) -> Arc<Self> {
        Self::new(effects, Then::Killed)
    }

    /// After so many effects it stands still until it is released.
    pub(crate) fn held_up_after(effects: u32) -> Arc<Self> {
        Self::new(effects, Then::HeldUp)
    }

    /// How many effects there were.
    pub(crate) fn used(&self) -> u32 {
        self.used.load(Ordering::SeqCst)
    }

    pub(crate) fn effects(&self) -> Vec<String> {
        self.effects.lock().expect("no panic").clone()
    }

    /// Waits until it comes to the effect that is not allowed.
    pub(crate) async fn reached(&self) {
        let mut reached = self.reached.subscribe();
        drop(reached.wait_for(|reached| *reached).await);
    }

    /// Lets it go on, without limit.
    pub(crate) fn release(&self) {
        self.released.send_replace(true);
    }

    /// Waits for ever if the effect is not allowed.
    pub(crate) async fn spend(&self, what: String) {
        let number = self.used.fetch_add(1, Ordering::SeqCst);
        if number >= self.allowed {
            self.used.fetch_sub(1, Ordering::SeqCst);
            self.reached.send_replace(true);
            match self.then {
                Then::Killed => std::future::pending().await,
                Then::HeldUp => {
                    let mut released = self.released.subscribe();
                    drop(released.wait_for(|released| *released).await);
                }
            }
        }
        self.effects.lock().expect("no panic").push(what);
    }

    /// A client whose effects are counted here.
    pub(crate) fn client(self: &Arc<Self>, inner: &Client) -> Client {
        let (inner, budget) = (inner.clone(), Arc::clone(self));
        let service = tower::service_fn(move |request: Request<Body>| {
            let (inner, budget) = (inner.clone(), Arc::clone(&budget));
            async move {
                let path = request.uri().path();
                if request.method() != Method::GET && !path.contains("/events") {
                    let what = format!("{} {path}", request.method());
                    budget.spend(what).await;
                }
                inner.send(request).await
            }
        });
        Client::new(service, "default")
    }
}
