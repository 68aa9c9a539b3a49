//! How far an operator gets: it is killed, or held up, before one of its effects. An effect is a
//! request that changes something, of the API server or of a JobManager; events are not counted.

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

/// Which effect is not allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Limit {
    /// The one after so many.
    After(usize),
    /// This one, once it has come so many times.
    Before(String, usize),
}

/// An operator's effects.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: Limit,
    then: Then,
    /// Whether it came to the effect that is not allowed.
    reached: watch::Sender<bool>,
    released: watch::Sender<bool>,
    effects: Mutex<Vec<String>>,
}

impl Budget {
    fn new(limit: Limit, then: Then) -> Arc<Self> {
        Arc::new(Self {
            limit,
            then,
            reached: watch::Sender::new(false),
            released: watch::Sender::new(false),
            effects: Mutex::new(Vec::new()),
        })
    }

    /// It is never killed.
    pub(crate) fn unlimited() -> Arc<Self> {
        Self::new(Limit::After(usize::MAX), Then::Killed)
    }

    /// It is killed after so many effects.
    pub(crate) fn killed_after(effects: usize) -> Arc<Self> {
        Self::new(Limit::After(effects), Then::Killed)
    }

    /// It is killed before an effect, once it has had that so many times.
    pub(crate) fn killed_before(effect: &str, times: usize) -> Arc<Self> {
        Self::new(Limit::Before(effect.to_owned(), times), Then::Killed)
    }

    /// After so many effects it stands still until it is released.
    pub(crate) fn held_up_after(effects: usize) -> Arc<Self> {
        Self::new(Limit::After(effects), Then::HeldUp)
    }

    /// What ends it.
    pub(crate) fn limit(&self) -> String {
        format!("{:?} {:?}", self.then, self.limit)
    }

    /// How many effects there were.
    pub(crate) fn used(&self) -> usize {
        self.effects.lock().expect("no panic").len()
    }

    pub(crate) fn effects(&self) -> Vec<String> {
        self.effects.lock().expect("no panic").clone()
    }

    /// Counts an effect, if it is allowed.
    fn take(&self, what: &str) -> bool {
        let mut effects = self.effects.lock().expect("no panic");
        let allowed = match &self.limit {
            Limit::After(allowed) => effects.len() < *allowed,
            Limit::Before(effect, times) => {
                effect != what || effects.iter().filter(|had| *had == what).count() < *times
            }
        };
        if allowed {
            effects.push(what.to_owned());
        }
        allowed
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
        if self.take(&what) {
            return;
        }
        self.reached.send_replace(true);
        match self.then {
            Then::Killed => std::future::pending().await,
            Then::HeldUp => {
                let mut released = self.released.subscribe();
                drop(released.wait_for(|released| *released).await);
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
                    let what = format!("{} {}", request.method(), without_namespace(path));
                    budget.spend(what).await;
                }
                inner.send(request).await
            }
        });
        Client::new(service, "default")
    }
}

/// Each world has a namespace of its own.
fn without_namespace(path: &str) -> String {
    let mut parts: Vec<_> = path.split('/').collect();
    if let Some(place) = parts.iter().position(|part| *part == "namespaces")
        && let Some(namespace) = parts.get_mut(place + 1)
    {
        *namespace = "_";
    }
    parts.join("/")
}
