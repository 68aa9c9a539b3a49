//! Two exchanges over 127.0.0.1, or one and a peer made by hand.

use std::thread;

use tokio::runtime::Runtime;
use weir_types::{Clock, Epoch, JobId, SystemClock, Watermark};

use super::*;
use crate::testing::{
    EPOCH, PATIENCE, attempt, barrier, chunk, codec, context, next, next_failure, partition,
    read_to_end, show,
};
use crate::{Element, GateOptions, InputGate, SendError, Signal};

mod diamond;
mod faults;
mod hostile;

const A: TaskManagerId = TaskManagerId(0xA);
const B: TaskManagerId = TaskManagerId(0xB);

fn identity(taskmanager: TaskManagerId) -> ExchangeIdentity {
    ExchangeIdentity::new(JobId(1), EPOCH, taskmanager, "words-1")
}

fn options() -> ExchangeOptions {
    ExchangeOptions {
        partition_timeout: Duration::from_millis(300),
        ..ExchangeOptions::default()
    }
}

/// Two processes, as it were.
struct Two {
    a: Exchange,
    b: Exchange,
    runtime: Runtime,
}

fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().unwrap()
}

fn two() -> Two {
    let runtime = runtime();
    let bind = |id| {
        runtime
            .block_on(Exchange::bind("127.0.0.1:0", identity(id), options()))
            .unwrap()
    };
    Two {
        a: bind(A),
        b: bind(B),
        runtime,
    }
}

fn location(exchange: &Exchange) -> Location {
    Location::Remote {
        taskmanager: exchange.inner.peers.identity().taskmanager,
        address: exchange.local_addr().unwrap().to_string(),
    }
}

fn request(partition: PartitionId, location: Location) -> ConnectRequest {
    ConnectRequest {
        consumer: attempt(99, 0),
        partition,
        codec: codec(),
        location,
    }
}

fn gate(window_bytes: usize) -> InputGate {
    InputGate::new(
        Signal::new(),
        1,
        GateOptions {
            window_bytes,
            ..GateOptions::default()
        },
    )
}

/// A gate in `to` with one channel that reads what `from` offers.
fn connected(to: &Exchange, from: Location, partition: PartitionId, window: usize) -> InputGate {
    let gate = gate(window);
    to.connect(request(partition, from), gate.inlet(0));
    gate
}

/// A channel from `from` to `to` over TCP.
fn channel(
    from: &Exchange,
    to: &Exchange,
    id: PartitionId,
    window: usize,
) -> (ChannelSender, InputGate) {
    let sender = from.register(id, codec(), context()).unwrap();
    (sender, connected(to, location(from), id, window))
}

fn live_connections(exchange: &Exchange) -> usize {
    exchange.inner.peers.live_connections()
}

fn send_numbers(sender: &mut ChannelSender, numbers: std::ops::Range<u64>, rows: usize) {
    for number in numbers {
        sender.send(chunk(number, rows)).unwrap();
    }
}

#[test]
fn elements_cross_a_connection_in_their_order() {
    let two = two();
    let (mut sender, mut gate) = channel(&two.a, &two.b, partition(1, 0), 1 << 18);
    let elements = [
        chunk(1, 3),
        Element::Watermark(Watermark(weir_types::EventTime(5))),
        Element::Barrier(barrier(1)),
        chunk(2, 2),
        Element::Idle,
        chunk(3, 1),
        Element::Active,
        Element::EndOfData,
        Element::Barrier(barrier(2)),
        Element::EndOfInput,
    ];
    for element in elements {
        sender.send(element).unwrap();
    }
    assert_eq!(
        read_to_end(&mut gate),
        [
            "1x3",
            "Watermark(5)",
            "Barrier(1)",
            "2x2",
            "Idle",
            "3x1",
            "Active",
            "EndOfData",
            "Barrier(2)",
            "EndOfInput"
        ]
    );
}

#[test]
fn a_consumer_in_the_same_process_gets_the_chunk_itself() {
    let runtime = runtime();
    let exchange = Exchange::in_process(identity(A), options(), runtime.handle().clone());
    let mut gate = connected(&exchange, Location::Local, partition(1, 0), 1 << 18);
    let mut sender = exchange
        .register(partition(1, 0), codec(), context())
        .unwrap();
    let sent = Box::new(crate::testing::Numbers(vec![1, 2, 3]));
    let address = sent.0.as_ptr();
    sender.send(Element::Chunk(sent)).unwrap();
    let (_, Element::Chunk(received)) = next(&mut gate).unwrap() else {
        panic!("a chunk")
    };
    assert_eq!(crate::testing::numbers_of(&*received).0.as_ptr(), address);
}

#[test]
fn what_is_sent_before_the_consumer_comes_waits_for_it() {
    let two = two();
    for (n, location) in [(0, Location::Local), (1, location(&two.a))] {
        let id = partition(1, n);
        let mut sender = two.a.register(id, codec(), context()).unwrap();
        let to = if location == Location::Local {
            &two.a
        } else {
            &two.b
        };
        sender.send(Element::Barrier(barrier(1))).unwrap();
        assert!(!sender.has_room());
        let producer = thread::spawn(move || {
            send_numbers(&mut sender, 0..3, 1);
            sender.send(Element::EndOfInput).unwrap();
        });
        thread::sleep(Duration::from_millis(20));
        let mut gate = connected(to, location, id, 1 << 18);
        assert_eq!(
            read_to_end(&mut gate),
            ["Barrier(1)", "0x1", "1x1", "2x1", "EndOfInput"]
        );
        producer.join().unwrap();
    }
}

#[test]
fn a_producer_that_ended_before_its_consumer_came_is_still_read() {
    let two = two();
    let mut sender = two.a.register(partition(1, 0), codec(), context()).unwrap();
    sender.send(Element::EndOfInput).unwrap();
    drop(sender);
    let mut gate = connected(&two.b, location(&two.a), partition(1, 0), 1 << 18);
    assert_eq!(read_to_end(&mut gate), ["EndOfInput"]);
}

#[test]
fn a_consumer_may_come_before_its_producer() {
    let two = two();
    let mut gate = connected(&two.b, location(&two.a), partition(1, 0), 1 << 18);
    thread::sleep(Duration::from_millis(50));
    let mut sender = two.a.register(partition(1, 0), codec(), context()).unwrap();
    send_numbers(&mut sender, 0..2, 1);
    sender.send(Element::EndOfInput).unwrap();
    assert_eq!(read_to_end(&mut gate), ["0x1", "1x1", "EndOfInput"]);
}

#[test]
fn a_row_larger_than_the_window_crosses_in_fragments() {
    let two = two();
    let (mut sender, mut gate) = channel(&two.a, &two.b, partition(1, 0), 1 << 10);
    let producer = thread::spawn(move || {
        for n in 0..20 {
            sender.send(chunk(n, 3_000)).unwrap();
            sender.send(Element::Barrier(barrier(n))).unwrap();
        }
        sender.send(Element::EndOfInput).unwrap();
    });
    let before = SystemClock.now();
    let all = read_to_end(&mut gate);
    // About 500 waits for credit: none may be left to a time-out.
    assert!(SystemClock.now().since(before) < Duration::from_secs(5));
    assert_eq!(all.len(), 41);
    assert_eq!(all[38..], ["19x3000", "Barrier(19)", "EndOfInput"]);
    producer.join().unwrap();
}

#[test]
fn a_slow_channel_holds_up_no_other_on_its_connection() {
    let two = two();
    let (mut slow, mut slow_gate) = channel(&two.a, &two.b, partition(1, 0), 4 << 10);
    let (mut quick, mut quick_gate) = channel(&two.a, &two.b, partition(1, 1), 4 << 10);
    let blocked = slow.context().blocked_ns();
    let slow = thread::spawn(move || {
        send_numbers(&mut slow, 0..100, 100);
        slow.send(Element::EndOfInput).unwrap();
    });
    let quick = thread::spawn(move || {
        send_numbers(&mut quick, 0..2_000, 100);
        quick.send(Element::EndOfInput).unwrap();
    });
    assert_eq!(read_to_end(&mut quick_gate).len(), 2_001);
    assert!(!slow.is_finished());
    // The queue takes a window and the fragment that goes over it.
    assert!(
        slow_gate.bytes_buffered() <= 2 * (4 << 10),
        "{}",
        slow_gate.bytes_buffered()
    );
    assert_eq!(read_to_end(&mut slow_gate).len(), 101);
    assert!(blocked.load(std::sync::atomic::Ordering::SeqCst) > 0);
    slow.join().unwrap();
    quick.join().unwrap();
    assert_eq!((live_connections(&two.a), live_connections(&two.b)), (1, 1));
}

#[test]
fn channels_of_both_directions_share_the_connection_there_is() {
    let two = two();
    let (mut to_b, mut in_b) = channel(&two.a, &two.b, partition(1, 0), 1 << 18);
    to_b.send(Element::EndOfInput).unwrap();
    read_to_end(&mut in_b);
    let (mut to_a, mut in_a) = channel(&two.b, &two.a, partition(2, 0), 1 << 18);
    to_a.send(Element::EndOfInput).unwrap();
    read_to_end(&mut in_a);
    assert_eq!((live_connections(&two.a), live_connections(&two.b)), (1, 1));
}

#[test]
fn many_channels_that_start_together_share_a_connection_or_two() {
    let two = two();
    let mut ends = Vec::new();
    for n in 0..40 {
        ends.push(channel(&two.a, &two.b, partition(1, n), 1 << 18));
        ends.push(channel(&two.b, &two.a, partition(2, n), 1 << 18));
    }
    for (sender, _) in &mut ends {
        sender.send(chunk(1, 1_000)).unwrap();
        sender.send(Element::EndOfInput).unwrap();
    }
    for (_, gate) in &mut ends {
        assert_eq!(read_to_end(gate), ["1x1000", "EndOfInput"]);
    }
    assert!(live_connections(&two.a) <= 2);
}

#[test]
fn shutting_down_sends_what_was_handed_over_first() {
    let two = two();
    let (mut sender, mut gate) = channel(&two.a, &two.b, partition(1, 0), 1 << 20);
    send_numbers(&mut sender, 0..50, 1_000);
    sender.send(Element::EndOfInput).unwrap();
    two.runtime.block_on(two.a.shut_down(PATIENCE));
    assert_eq!(read_to_end(&mut gate).len(), 51);
    assert!(two.a.register(partition(1, 1), codec(), context()).is_err());
}
