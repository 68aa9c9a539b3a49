//! The stand itself: its nodes and servers, which tests share, and take for themselves when they
//! hurt them.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::cluster::{kubeconfig, root};
use crate::pods::{Pod, pods};
use crate::{secs, until_within};

static STAND: RwLock<()> = RwLock::new(());

/// The stand. It is had for as long as the guard lives.
pub struct Stand;

/// The stand, shared with tests that leave its servers alone.
pub struct Shared(#[expect(dead_code, reason = "held, not read")] RwLockReadGuard<'static, ()>);

/// The stand, for one test alone.
pub struct Alone(#[expect(dead_code, reason = "held, not read")] RwLockWriteGuard<'static, ()>);

impl Stand {
    /// For a test that hurts only what is its own.
    pub fn shared() -> Shared {
        Shared(STAND.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// For a test that hurts what all use. No other one of this process runs meanwhile.
    pub fn alone() -> Alone {
        Alone(STAND.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// The folder of a bucket's objects on this machine.
    pub fn bucket(name: &str) -> PathBuf {
        let config = kubeconfig();
        let run = config.parent().expect("the file lies in a folder");
        run.join("s3").join(name)
    }

    /// The operator's pods that are not being deleted.
    pub fn operators() -> Vec<Pod> {
        let labels = "app.kubernetes.io/instance=weir,app.kubernetes.io/component=operator";
        let mut found = pods("default", labels);
        found.retain(|pod| !pod.is_deleting);
        found
    }

    /// The operator that acts: the Lease bears its pod's name.
    #[track_caller]
    pub fn acting() -> Pod {
        let mut found = None;
        until_within(secs(30), "an operator that acts", || {
            let holder = Self::holder();
            let mut operators = Self::operators().into_iter();
            found = operators.find(|pod| holder.starts_with(&format!("{}_", pod.name)));
            found.is_some()
        });
        found.expect("it was found")
    }

    /// Who holds the operators' Lease.
    pub fn holder() -> String {
        Self::term().0
    }

    /// Who holds the operators' Lease, and since when.
    pub fn term() -> (String, String) {
        let path = "/apis/coordination.k8s.io/v1/namespaces/default/leases/weir-operator";
        let lease = crate::cluster::get(path).unwrap_or_default();
        let text = |path: &str| {
            let found = lease.pointer(path).and_then(serde_json::Value::as_str);
            found.unwrap_or_default().to_owned()
        };
        (text("/spec/holderIdentity"), text("/spec/acquireTime"))
    }
}

impl Alone {
    /// `tests/k8s/stand` with these arguments; what it prints.
    #[track_caller]
    pub fn run(&self, args: &[&str]) -> String {
        let script = root().join("tests/k8s/stand");
        let ran = Command::new(script).args(args).output();
        let ran = ran.expect("the script starts");
        let said = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "stand {}: {said}", args.join(" "));
        String::from_utf8_lossy(&ran.stdout).into_owned()
    }
}

impl Drop for Alone {
    /// Whatever a test has left stopped is started again.
    fn drop(&mut self) {
        let script = root().join("tests/k8s/stand");
        let parts = ["s3", "etcd", "apiserver", "controllers", "scheduler"];
        for part in parts {
            drop(Command::new(&script).args(["start", part]).status());
        }
    }
}
