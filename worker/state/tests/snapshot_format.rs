//! The bytes of snapshots, which later versions must still read.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde::{Deserialize, Serialize};
use weir_state::{KeyedBackend, KeyedSnapshot, SnapshotKind, StateDescriptor, Timer, TtlConfig};
use weir_types::{CheckpointId, EventTime, KeyGroupRange, Watermark};

const ALL: KeyGroupRange = KeyGroupRange { start: 0, end: 0 };

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Window {
    start: i64,
    end: i64,
}

/// Every kind of state with one entry for the key "to", and the removal of "be" from one.
fn write() -> (KeyedSnapshot, KeyedSnapshot) {
    let mut keyed = KeyedBackend::<String>::new(1, ALL);
    keyed.set_now_ms(1000);
    keyed.set_key("be".to_owned()).unwrap();
    let value = keyed.value_state::<u64>("value").unwrap();
    value.set(&mut keyed, 1).unwrap();
    keyed
        .snapshot_begin(CheckpointId(1), SnapshotKind::Full)
        .unwrap();
    let full = keyed.snapshot_finish().unwrap();
    keyed.confirm(CheckpointId(1));
    value.clear(&mut keyed).unwrap();
    keyed.set_key("to".to_owned()).unwrap();
    value.set(&mut keyed, 300).unwrap();
    let window = Window {
        start: 0,
        end: 60_000,
    };
    let sums = keyed
        .namespaced_reducing_state::<u32, Window>("sum", |sum, n| *sum += n)
        .unwrap();
    sums.at(window.clone()).add(&mut keyed, 7).unwrap();
    let list = keyed.list_state::<String>("list").unwrap();
    list.add_all(&mut keyed, ["a".to_owned(), "bc".to_owned()])
        .unwrap();
    let map = keyed.map_state::<u8, bool>("map").unwrap();
    map.put(&mut keyed, 9, true).unwrap();
    let ttl = TtlConfig::new(std::time::Duration::from_secs(1));
    let timed = keyed
        .value_state::<u8>(StateDescriptor::new("timed").with_ttl(ttl))
        .unwrap();
    timed.set(&mut keyed, 5).unwrap();
    let timers = keyed.timer_service::<Window>("t").unwrap();
    timers
        .register_event_time_timer(&mut keyed, &window, EventTime(59_999))
        .unwrap();
    keyed
        .snapshot_begin(CheckpointId(2), SnapshotKind::Incremental)
        .unwrap();
    (full, keyed.snapshot_finish().unwrap())
}

fn lines(snapshot: &KeyedSnapshot) -> Vec<String> {
    let line = |state: &weir_state::StateSnapshot| {
        let bytes: Vec<u8> = state
            .blocks
            .iter()
            .flat_map(|block| block.bytes.clone())
            .collect();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        format!(
            "{} | {} | {} | {hex}",
            state.meta.name, state.meta, state.complete
        )
    };
    snapshot.states.iter().map(line).collect()
}

/// Never edit an expected line: snapshots like this one exist. A new version gets lines of its own,
/// and the old ones are read.
#[test]
fn the_bytes_of_a_version_stay_what_they_are() {
    let (full, delta) = write();
    assert_eq!(
        lines(&full),
        ["value | Value state of `u64` keyed by `String` (format 1) | true | 01030262650101"]
    );
    let want = [
        "_timer_state/event_t | Timers state of `()` keyed by `String` and `Window` (format 2) \
         | true | 010f800000000000ea5f02746f00c0a90700",
        "_timer_state/processing_t | Timers state of `()` keyed by `String` and `Window` \
         (format 2) | true | ",
        "list | List state of `String` keyed by `String` (format 1) | true \
         | 010302746f06020161026263",
        "map | Map state of `(u8, bool)` keyed by `String` (format 1) | true \
         | 010402746f090101",
        "sum | Reducing state of `u32` keyed by `String` and `Window` (format 1) | true \
         | 010702746f00c0a9070107",
        "timed | Value state of `u8` keyed by `String` with a time to live (format 1) | true \
         | 010302746f03d00f05",
        "value | Value state of `u64` keyed by `String` (format 1) | false \
         | 0003026265010302746f02ac02",
    ];
    assert_eq!(lines(&delta), want);
}

/// What version 1 wrote in place of the lines of version 2.
#[test]
fn the_bytes_of_timers_of_version_1_are_read() {
    let written = "_timer_state/event_t | Timers state of `()` keyed by `String` and `Window` \
         (format 1) | true | 010a02746f00c0a907bea90700";
    let (_, mut snapshot) = write();
    snapshot.base = None;
    let state = &mut snapshot.states[0];
    state.meta.format_version = 1;
    let hex = written.rsplit(' ').next().unwrap().as_bytes();
    let digit = |byte: u8| u8::try_from(char::from(byte).to_digit(16).unwrap()).unwrap();
    let bytes = hex.chunks(2).map(|two| 16 * digit(two[0]) + digit(two[1]));
    state.blocks[0].bytes = bytes.collect();
    assert_eq!(lines(&snapshot)[0], written);

    let mut keyed = KeyedBackend::<String>::restored(1, ALL, [snapshot]).unwrap();
    let timers = keyed.timer_service::<Window>("t").unwrap();
    let watermark = Watermark(EventTime(i64::MAX));
    let timer = timers.pop_event_time_timer(&mut keyed, watermark).unwrap();
    let namespace = Window {
        start: 0,
        end: 60_000,
    };
    let time = 59_999;
    assert_eq!(timer, Some(Timer { namespace, time }));
    assert_eq!(keyed.current_key().unwrap(), "to");
}

#[test]
fn the_same_state_gives_the_same_snapshot() {
    assert_eq!(write(), write());
}
