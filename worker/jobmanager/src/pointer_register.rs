//! The pointer as a register of the store: what its reads and swaps come to in the words of the
//! pure claim and writer of `weir_checkpoint`, which decide what a lost answer means. Blocks.

use std::thread;
use std::time::Duration;

use weir_checkpoint::coordinator::PointerOutcome;
use weir_checkpoint::pointer::{
    POINTER, Pointer, PointerWriter, ReadResult, SwapResult, WriterAction,
};
use weir_storage::{ObjectPath, ObjectStore, StoreErrorKind, Version};
use weir_types::causes;

/// The first and the longest pause before a store is asked again.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Obeys the writer until the outcome is certain.
pub(crate) fn outcome_of_write(
    store: &dyn ObjectStore,
    writer: &mut PointerWriter,
    pointer: Pointer,
) -> (u128, PointerOutcome) {
    let mut next = Some(writer.write(pointer));
    loop {
        next = match next {
            Some(WriterAction::Swap { expected, content }) => {
                writer.on_swap(swap(store, Some(expected), &content))
            }
            Some(WriterAction::Read { tries }) => {
                pause(tries);
                writer.on_read(read(store))
            }
            Some(WriterAction::Done { nonce, outcome }) => {
                return (nonce, outcome);
            }
            None => unreachable!("the writer has a write to end"),
        };
    }
}

pub(crate) fn pointer_path() -> ObjectPath {
    ObjectPath::new(POINTER).expect("the pointer's name is a good name")
}

/// What the pointer says.
pub(crate) fn read(store: &dyn ObjectStore) -> ReadResult {
    match store.read_register(&pointer_path()) {
        Ok(Some((bytes, Version(version)))) => match Pointer::decode(&bytes) {
            Ok(pointer) => ReadResult::Found {
                pointer: Box::new(pointer),
                version,
            },
            Err(error) => ReadResult::Failed(causes(&error)),
        },
        Ok(None) => ReadResult::Missing,
        Err(error) => {
            tracing::warn!("{}", causes(&error));
            ReadResult::Failed(causes(&error))
        }
    }
}

/// Moves the pointer, once.
pub(crate) fn swap(
    store: &dyn ObjectStore,
    expected: Option<String>,
    content: &Pointer,
) -> SwapResult {
    let expected = expected.map(Version);
    match store.swap_register(&pointer_path(), expected.as_ref(), &content.encode()) {
        Ok(Version(version)) => SwapResult::Written { version },
        Err(error) => match error.kind {
            StoreErrorKind::Conflict | StoreErrorKind::AlreadyExists => SwapResult::Conflict,
            StoreErrorKind::InDoubt | StoreErrorKind::Unavailable | StoreErrorKind::Other => {
                SwapResult::InDoubt(causes(&error))
            }
            StoreErrorKind::NotFound
            | StoreErrorKind::Truncated
            | StoreErrorKind::Denied
            | StoreErrorKind::NoSpace
            | StoreErrorKind::Unsuitable => SwapResult::Failed(causes(&error)),
        },
    }
}

/// Longer and longer before each further try.
pub(crate) fn pause(tries: u32) {
    if tries > 0 {
        let grown = PAUSE_MIN.saturating_mul(1 << tries.min(10));
        thread::sleep(grown.min(PAUSE_MAX));
    }
}
