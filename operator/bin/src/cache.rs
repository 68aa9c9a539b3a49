//! What the watches have brought: for seeing that there is nothing to do without asking the API
//! server.
//!
//! A cache may be behind, so nothing is done because of what it says, except to do nothing until
//! the next event. Of pods and kept specs it holds what the decision looks at, of all other objects
//! only their versions: an object whose version is the one that was last seen to hold what it
//! should still holds it.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use serde_json::Value;
use weir_controller::{Denied, OperationView, Trouble};
use weir_crd::StreamJobSpec;
use weir_types::Timestamp;

use crate::foreign::Others;
use crate::mounts::Mounts;
use crate::observe::PodRecord;

/// For how long it is believed that a Lease is there which was seen.
const GATE_MS: i64 = 60_000;

/// A namespace and a name.
pub(crate) type Key = (String, String);

/// An object, and the job that it belongs to.
#[derive(Clone, Debug)]
pub(crate) struct Entry<V> {
    pub(crate) job: String,
    pub(crate) value: V,
}

/// The objects of one kind.
#[derive(Debug)]
pub(crate) struct Store<V> {
    entries: RwLock<BTreeMap<Key, Entry<V>>>,
}

impl<V> Default for Store<V> {
    fn default() -> Self {
        Self {
            entries: RwLock::new(BTreeMap::new()),
        }
    }
}

impl<V: Clone> Store<V> {
    pub(crate) fn put(&self, key: Key, entry: Entry<V>) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        entries.insert(key, entry);
    }

    /// Removes an object, and gives the job that it belonged to.
    pub(crate) fn remove(&self, key: &Key) -> Option<String> {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        entries.remove(key).map(|entry| entry.job)
    }

    /// Puts all objects of a namespace (none: of all) in place of those that were known, and gives
    /// the jobs of those that are gone, as namespace and name.
    pub(crate) fn replace(
        &self,
        namespace: Option<&str>,
        new: BTreeMap<Key, Entry<V>>,
    ) -> Vec<Key> {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        let mut gone = Vec::new();
        entries.retain(|key, entry| {
            if namespace.is_some_and(|namespace| namespace != key.0) {
                return true;
            }
            if !new.contains_key(key) {
                gone.push((key.0.clone(), entry.job.clone()));
            }
            false
        });
        entries.extend(new);
        gone
    }

    pub(crate) fn get(&self, key: &Key) -> Option<V> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.get(key).map(|entry| entry.value.clone())
    }

    /// The objects of a job, by name. Their names begin with the job's.
    pub(crate) fn of_job(&self, namespace: &str, job: &str) -> Vec<(String, V)> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let prefix = format!("{job}-");
        let from = (namespace.to_owned(), prefix.clone());
        entries
            .range(from..)
            .take_while(|((space, name), _)| space == namespace && name.starts_with(&prefix))
            .filter(|(_, entry)| entry.job == job)
            .map(|((_, name), entry)| (name.clone(), entry.value.clone()))
            .collect()
    }
}

/// A spec that is kept.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) owner: String,
    pub(crate) revision: String,
    /// How new it is.
    pub(crate) number: i64,
    pub(crate) spec: StreamJobSpec,
}

/// An object, by kind, namespace and name.
pub(crate) type ObjectKey = (String, String, String);

/// An object held what this stands for when it had this version.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Settled {
    wanted: u64,
    version: String,
}

/// The objects that a deployment consists of, as they were last put right.
#[derive(Clone, Debug)]
pub(crate) struct Ensured {
    /// What they are made from.
    pub(crate) made_from: u64,
    pub(crate) objects: Vec<ObjectKey>,
    pub(crate) pods: Vec<String>,
}

/// What the watches have brought, and what this process has seen.
#[derive(Debug, Default)]
pub struct Cache {
    pub(crate) pods: Arc<Store<PodRecord>>,
    pub(crate) kept: Arc<Store<Kept>>,
    /// Versions of other objects, by kind.
    versions: Mutex<BTreeMap<String, Arc<Store<String>>>>,
    settled: Mutex<HashMap<ObjectKey, Settled>>,
    ensured: Mutex<HashMap<Key, Ensured>>,
    /// Leases that were seen to be there, and when, in milliseconds since 1970. They are not
    /// watched: their holders write them all the time.
    gates: Mutex<HashMap<Key, i64>>,
    /// Why the API server refused a job's pods, or what they need, the last time.
    refused: Mutex<HashMap<Key, Trouble>>,
    /// What JobManagers refused to do the last time, by job.
    denied: Mutex<HashMap<Key, Denied>>,
    /// How what they were asked for last has ended, if they said so at once, by job.
    answered: Mutex<HashMap<Key, OperationView>>,
    /// Since when no JobManager of a job answers.
    silent: Mutex<HashMap<Key, Timestamp>>,
    /// What nodes say of pods whose container they can't make.
    pub(crate) mounts: Mounts,
    /// Other operators that are to look after the same jobs.
    pub(crate) others: Others,
    /// How many watches there are, and how many of them have brought all that there is.
    watches: AtomicUsize,
    complete: AtomicUsize,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What was said of a job last, which may be nothing.
fn remember<V>(known: &Mutex<HashMap<Key, V>>, job: Key, said: Option<V>) {
    let mut known = locked(known);
    match said {
        Some(said) => known.insert(job, said),
        None => known.remove(&job),
    };
}

impl Cache {
    /// Another watch will bring objects.
    pub(crate) fn expect_watch(&self) {
        self.watches.fetch_add(1, Ordering::AcqRel);
    }

    /// One of the watches has brought all that there is.
    pub(crate) fn watch_is_complete(&self) {
        self.complete.fetch_add(1, Ordering::AcqRel);
    }

    /// Whether everything that there is has been seen. Never without watches.
    pub(crate) fn is_complete(&self) -> bool {
        let watches = self.watches.load(Ordering::Acquire);
        watches > 0 && self.complete.load(Ordering::Acquire) >= watches
    }

    /// The versions of the objects of a kind.
    pub(crate) fn versions(&self, kind: &str) -> Arc<Store<String>> {
        Arc::clone(locked(&self.versions).entry(kind.to_owned()).or_default())
    }

    fn version(&self, (kind, namespace, name): &ObjectKey) -> Option<String> {
        let store = locked(&self.versions).get(kind).map(Arc::clone)?;
        store.get(&(namespace.clone(), name.clone()))
    }

    /// An object of this version has been seen to hold what is wanted.
    pub(crate) fn settle(&self, key: ObjectKey, wanted: u64, version: String) {
        locked(&self.settled).insert(key, Settled { wanted, version });
    }

    /// Whether an object still is as it was when it held what is wanted, as far as is known.
    pub(crate) fn holds(&self, key: &ObjectKey, wanted: Option<u64>) -> bool {
        let settled = locked(&self.settled).get(key).cloned();
        let Some(settled) = settled.filter(|known| wanted.is_none_or(|hash| hash == known.wanted))
        else {
            return false;
        };
        self.is_complete() && self.version(key) == Some(settled.version)
    }

    /// Whether an object may be there: it has been seen, or made here, or not everything has been
    /// seen yet.
    pub(crate) fn may_be_there(&self, key: &ObjectKey) -> bool {
        !self.is_complete()
            || locked(&self.settled).contains_key(key)
            || self.version(key).is_some()
    }

    /// An object has been deleted.
    pub(crate) fn unsettle(&self, key: &ObjectKey) {
        locked(&self.settled).remove(key);
    }

    /// A job's deployment has been put right.
    pub(crate) fn ensure(&self, job: Key, ensured: Ensured) {
        locked(&self.ensured).insert(job, ensured);
    }

    /// Whether a deployment that is made from this is as it should be.
    pub(crate) fn is_ensured(&self, job: &Key, made_from: u64, pods: &[&str]) -> bool {
        let Some(ensured) = locked(&self.ensured).get(job).cloned() else {
            return false;
        };
        ensured.made_from == made_from
            && ensured.pods.iter().all(|pod| pods.contains(&pod.as_str()))
            && ensured.objects.iter().all(|key| self.holds(key, None))
    }

    /// A Lease is there.
    pub(crate) fn gate_is_open(&self, lease: Key, now_ms: i64) {
        locked(&self.gates).insert(lease, now_ms);
    }

    /// Whether a Lease was there once.
    pub(crate) fn knows_gate(&self, lease: &Key) -> bool {
        locked(&self.gates).contains_key(lease)
    }

    /// A Lease has been deleted.
    pub(crate) fn gate_is_gone(&self, lease: &Key) {
        locked(&self.gates).remove(lease);
    }

    /// Whether a Lease was there a short while ago.
    pub(crate) fn was_gate_open(&self, lease: &Key, now_ms: i64) -> bool {
        let seen = locked(&self.gates).get(lease).copied();
        seen.is_some_and(|seen| now_ms - seen < GATE_MS)
    }

    /// A job's pods, or what they need, have been refused, or not.
    pub(crate) fn refuse(&self, job: Key, why: Option<Trouble>) {
        remember(&self.refused, job, why);
    }

    /// Why a job's pods were refused the last time, if they were.
    pub(crate) fn refused(&self, job: &Key) -> Option<Trouble> {
        locked(&self.refused).get(job).cloned()
    }

    /// A job's JobManager has refused to do something for an operation, or has not.
    pub(crate) fn deny(&self, job: Key, denied: Option<Denied>) {
        remember(&self.denied, job, denied);
    }

    /// What a job's JobManager refused to do the last time, if it did.
    pub(crate) fn denied(&self, job: &Key) -> Option<Denied> {
        locked(&self.denied).get(job).cloned()
    }

    /// A job's JobManager has said at once how what it was asked for has ended, or has not.
    pub(crate) fn answer(&self, job: Key, answered: Option<OperationView>) {
        remember(&self.answered, job, answered);
    }

    /// What a job's JobManager said last, if it said how something has ended.
    pub(crate) fn answered(&self, job: &Key) -> Option<OperationView> {
        locked(&self.answered).get(job).cloned()
    }

    /// A job's JobManager has answered now, or not. Says for how long none has.
    pub(crate) fn silent_for(&self, job: Key, answers: bool, now: Timestamp) -> Duration {
        let mut silent = locked(&self.silent);
        if answers {
            silent.remove(&job);
            return Duration::ZERO;
        }
        now.since(*silent.entry(job).or_insert(now))
    }

    /// A job is gone, and what belongs to it goes too.
    pub(crate) fn forget(&self, job: &Key) {
        locked(&self.refused).remove(job);
        locked(&self.denied).remove(job);
        locked(&self.answered).remove(job);
        locked(&self.silent).remove(job);
        self.mounts.forget(job);
        let own = |lease: &Key| lease.0 == job.0 && lease.1.starts_with(&format!("{}-", job.1));
        locked(&self.gates).retain(|lease, _| !own(lease));
        let Some(ensured) = locked(&self.ensured).remove(job) else {
            return;
        };
        let mut settled = locked(&self.settled);
        for object in &ensured.objects {
            settled.remove(object);
        }
    }
}

/// A number that stands for an object's content.
pub(crate) fn hash(object: &Value) -> u64 {
    hash_of(&object.to_string())
}

pub(crate) fn hash_of(what: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        ("ns".to_owned(), name.to_owned())
    }

    fn entry(job: &str) -> Entry<u8> {
        Entry {
            job: job.to_owned(),
            value: 0,
        }
    }

    #[test]
    fn a_jobs_objects_are_told_from_those_of_a_job_whose_name_begins_alike() {
        let store = Store::default();
        store.put(key("a-j1-0"), entry("a"));
        store.put(key("a-b-j1-0"), entry("a-b"));
        store.put(key("ab-j1-0"), entry("ab"));
        let names = |job| {
            let found = store.of_job("ns", job).into_iter();
            found.map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(names("a"), ["a-j1-0"]);
        assert_eq!(names("a-b"), ["a-b-j1-0"]);
        assert_eq!(names("b"), Vec::<String>::new());
    }

    #[test]
    fn a_watch_that_begins_anew_tells_which_jobs_have_lost_something() {
        let store = Store::default();
        store.put(key("a-1"), entry("a"));
        store.put(key("b-1"), entry("b"));
        store.put(("other".to_owned(), "c-1".to_owned()), entry("c"));
        let new = BTreeMap::from([(key("b-1"), entry("b"))]);
        assert_eq!(store.replace(Some("ns"), new), [key("a")]);
        assert_eq!(store.get(&key("a-1")), None);
        assert_eq!(
            store.get(&("other".to_owned(), "c-1".to_owned())),
            Some(0),
            "what another watch has brought stays"
        );
    }

    #[test]
    fn silence_is_counted_from_its_first_moment_and_ends_with_an_answer() {
        let (cache, start) = (Cache::default(), Timestamp::default());
        let silent = |answers, ms| {
            let now = start + Duration::from_millis(ms);
            cache.silent_for(key("a"), answers, now).as_millis()
        };
        assert_eq!(silent(true, 0), 0);
        assert_eq!(silent(false, 100), 0);
        assert_eq!(silent(false, 700), 600);
        assert_eq!(silent(true, 800), 0);
        assert_eq!(silent(false, 900), 0);
    }

    #[test]
    fn an_object_holds_what_is_wanted_until_its_version_changes() {
        let cache = Cache::default();
        let object = ("Role".to_owned(), "ns".to_owned(), "a".to_owned());
        cache.settle(object.clone(), 7, "1".to_owned());
        let versions = cache.versions("Role");
        let has_version = |version: &str| {
            let job = "a".to_owned();
            let value = version.to_owned();
            versions.put(key("a"), Entry { job, value });
        };
        has_version("1");
        assert!(!cache.holds(&object, Some(7)), "no watch has told of it");
        cache.expect_watch();
        assert!(!cache.is_complete());
        cache.watch_is_complete();
        assert!(cache.holds(&object, Some(7)));
        assert!(!cache.holds(&object, Some(8)), "something else is wanted");
        has_version("2");
        assert!(!cache.holds(&object, Some(7)), "somebody has changed it");
        versions.remove(&key("a"));
        assert!(!cache.holds(&object, None), "it is gone");
    }
}
