//! Two diamonds whose arms cross between two processes in both directions, with barriers aligned
//! at their joins and windows that hold less than a row: whatever can wait for something else
//! does.

use super::*;
use crate::{Broadcast, Control, ResultPartition};

const ROUNDS: u64 = 30;
const CHUNKS_PER_ROUND: u64 = 4;
/// 2 KiB a row, in windows of 1 KiB.
const ROWS: usize = 256;

/// Emits chunks, and a barrier after each round.
fn run_source(mut output: ResultPartition) {
    for round in 0..ROUNDS {
        for _ in 0..CHUNKS_PER_ROUND {
            let rows = crate::testing::Numbers(vec![round; ROWS]);
            output.emit(Box::new(rows)).unwrap();
        }
        output.broadcast(Control::Barrier(barrier(round))).unwrap();
    }
    output.broadcast(Control::EndOfInput).unwrap();
}

/// Passes on what it gets.
fn run_arm(mut gate: InputGate, mut output: ResultPartition) {
    while !gate.is_finished() {
        match next(&mut gate).unwrap().1 {
            Element::Chunk(chunk) => output.emit(chunk).unwrap(),
            other => output.broadcast(other.control().unwrap()).unwrap(),
        }
    }
}

/// Aligns, and checks that each barrier stands exactly between its rounds.
fn run_join(mut gate: InputGate) {
    let (mut chunks, mut waiting, mut round) = (0, 0, 0);
    while !gate.is_finished() {
        let (channel, element) = next(&mut gate).unwrap();
        match element {
            Element::Chunk(_) => {
                assert_eq!(show(&element), format!("{round}x{ROWS}"));
                chunks += 1;
            }
            Element::Barrier(_) => {
                gate.block(channel);
                waiting += 1;
                if waiting == gate.channels() {
                    assert_eq!(chunks, gate.channels() as u64 * CHUNKS_PER_ROUND);
                    (chunks, waiting, round) = (0, 0, round + 1);
                    gate.unblock_all();
                }
            }
            _ => {}
        }
    }
    assert_eq!(round, ROUNDS);
}

/// A channel from one exchange to another, or within one.
fn wire(
    from: &Exchange,
    to: &Exchange,
    id: PartitionId,
    gate: &InputGate,
    n: usize,
) -> ChannelSender {
    let same = from.local_addr() == to.local_addr();
    let place = if same {
        Location::Local
    } else {
        location(from)
    };
    to.connect(request(id, place), gate.inlet(n));
    from.register(id, codec(), context()).unwrap()
}

fn output(senders: Vec<ChannelSender>) -> ResultPartition {
    ResultPartition::new(Box::new(Broadcast), senders)
}

/// Source and join in `near`; one arm in each process.
fn spawn_diamond(near: &Exchange, far: &Exchange, vertex: u128) -> Vec<thread::JoinHandle<()>> {
    let options = GateOptions {
        window_bytes: 1,
        ..GateOptions::default()
    };
    let gate = |channels| InputGate::new(Signal::new(), channels, options);
    let (arms, join) = ([gate(1), gate(1)], gate(2));
    let places = [near, far];
    let mut to_arms = Vec::new();
    let mut from_arms = Vec::new();
    for (n, (place, arm)) in (0_u32..).zip(places.into_iter().zip(&arms)) {
        to_arms.push(wire(near, place, partition(vertex, n), arm, 0));
        let id = partition(vertex + 1 + u128::from(n), 0);
        from_arms.push(wire(place, near, id, &join, n as usize));
    }
    let mut threads = vec![thread::spawn(|| run_source(output(to_arms)))];
    for (arm, sender) in arms.into_iter().zip(from_arms) {
        threads.push(thread::spawn(|| run_arm(arm, output(vec![sender]))));
    }
    threads.push(thread::spawn(|| run_join(join)));
    threads
}

#[test]
fn aligned_diamonds_in_both_directions_at_minimum_memory_come_to_their_end() {
    let two = two();
    let mut threads = spawn_diamond(&two.a, &two.b, 10);
    threads.extend(spawn_diamond(&two.b, &two.a, 20));
    for thread in threads {
        thread.join().unwrap();
    }
}
