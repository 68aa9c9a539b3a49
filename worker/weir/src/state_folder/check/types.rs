//! Whether the program reads the types of a snapshot's state.
//!
//! The program's functions are opened for that, in this process and without any state's entries. So
//! it is done once as long as the types stay the same, however often the check is repeated, and on
//! a thread of its own: a function that takes long to open, or for ever, holds no upgrade up. What
//! it would have said is found out when the subtasks restore their state.

use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use weir_checkpoint::handle::ObjectRef;
use weir_checkpoint::metadata::CheckpointMetadata;
use weir_storage::{ObjectPath, ObjectStore};
use weir_task::{FormerTypes, Program, check_state_types, former_types};
use weir_types::{Clock, SystemClock, causes};

/// How long functions may take to open.
const OPEN_MAX: Duration = Duration::from_secs(20);

/// The types that were compared last, and why they can't be read, if they can't.
struct Compared {
    types: Vec<FormerTypes>,
    found: Result<(), String>,
}

/// What was found out so far.
#[derive(Default)]
pub(in crate::state_folder) struct Types(Option<Compared>);

impl Types {
    /// `store`: what the names of the snapshot's objects are relative to.
    pub(in crate::state_folder) fn check(
        &mut self,
        program: &Arc<Program>,
        metadata: &CheckpointMetadata,
        store: Option<&dyn ObjectStore>,
    ) -> Result<(), String> {
        let types = former_types(metadata, |object| {
            store.and_then(|store| get(store, object))
        });
        if let Some(known) = self.0.as_ref().filter(|known| known.types == types) {
            return known.found.clone();
        }
        let (own, former, snapshot) = (Arc::clone(program), types.clone(), metadata.id);
        let found = within(OPEN_MAX, move || {
            let clock: Arc<dyn Clock> = Arc::new(SystemClock);
            let found = check_state_types(&own, (snapshot, &former), &clock);
            found.map_err(|error| causes(&error))
        });
        self.0 = Some(Compared {
            types,
            found: found.clone(),
        });
        found
    }
}

/// An object, if it can be had: if not, that is found out when it is restored.
fn get(store: &dyn ObjectStore, object: &ObjectRef) -> Option<Vec<u8>> {
    let path = ObjectPath::new(object.path.as_str()).ok()?;
    let bytes = store.get(&path);
    let error = match bytes {
        Ok(bytes) => return Some(bytes),
        Err(error) => causes(&error),
    };
    let path = &object.path;
    tracing::warn!("types in {path} are not compared before the job starts: {error}");
    None
}

/// What the comparison says, if it says anything in this time.
fn within(
    limit: Duration,
    compare: impl FnOnce() -> Result<(), String> + Send + 'static,
) -> Result<(), String> {
    let (say, heard) = mpsc::sync_channel(1);
    // Nobody may be waiting any more when it has found something.
    let work = move || drop(say.send(compare()));
    let thread = thread::Builder::new().name("state-types".to_owned());
    let cause = match thread.spawn(work) {
        Err(error) => error.to_string(),
        Ok(_) => match heard.recv_timeout(limit) {
            Ok(found) => return found,
            Err(_) => format!("the program's functions did not open within {limit:?}"),
        },
    };
    tracing::warn!("the types of the job's state are not compared before it starts: {cause}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_that_take_too_long_to_open_or_panic_hold_nothing_up() {
        let refused = || Err("another type".to_owned());
        let limit = Duration::from_secs(20);
        assert_eq!(within(limit, refused), refused());
        let (let_go, held) = mpsc::sync_channel::<()>(1);
        let slow = move || {
            let _held = held.recv();
            Err("too late".to_owned())
        };
        assert_eq!(within(Duration::from_millis(50), slow), Ok(()));
        drop(let_go);
        assert_eq!(within(limit, || panic!("as it is made")), Ok(()));
    }
}
