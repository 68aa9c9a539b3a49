use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use proptest::prelude::*;
use weir_types::{Clock, EventTime, SystemClock, Watermark};

use super::*;
use crate::testing::{barrier, chunk, next, next_failure, partition, show};
use crate::{CancelToken, SendError, TrySendError};

fn gate_with_senders(
    channels: usize,
    window_bytes: usize,
) -> (InputGate, Vec<ChannelSender>, CancelToken) {
    let cancel = CancelToken::new(Signal::new());
    let context = SenderContext::new(cancel.clone(), Arc::new(SystemClock));
    let options = GateOptions {
        window_bytes,
        ..GateOptions::default()
    };
    let gate = InputGate::new(Signal::new(), channels, options);
    let senders = (0..channels)
        .map(|n| {
            let partition = partition(n as u128, 0);
            gate.inlet(n).sender(partition, context.clone())
        })
        .collect();
    (gate, senders, cancel)
}

fn watermark(time: i64) -> Element {
    Element::Watermark(Watermark(EventTime(time)))
}

fn poll(gate: &mut InputGate) -> Option<(usize, String)> {
    gate.poll()
        .unwrap()
        .map(|(channel, element)| (channel, show(&element)))
}

#[test]
fn ready_channels_take_turns_and_each_keeps_its_order() {
    let (mut gate, mut senders, _) = gate_with_senders(3, 1 << 20);
    for n in 1..=2 {
        senders[0].send(chunk(n, 1)).unwrap();
        senders[2].send(chunk(n + 10, 1)).unwrap();
    }
    senders[0].send(Element::Barrier(barrier(1))).unwrap();
    let mut order = Vec::new();
    while let Some((channel, element)) = poll(&mut gate) {
        order.push(format!("{channel}:{element}"));
    }
    assert_eq!(
        order,
        ["0:1x1", "2:11x1", "0:2x1", "2:12x1", "0:Barrier(1)"]
    );
}

#[test]
fn a_blocked_channel_is_left_alone_until_it_is_unblocked() {
    let (mut gate, mut senders, _) = gate_with_senders(70, 1 << 20);
    senders[69].send(chunk(1, 1)).unwrap();
    gate.block(69);
    assert_eq!(poll(&mut gate), None);
    senders[3].send(chunk(2, 1)).unwrap();
    assert_eq!(poll(&mut gate), Some((3, "2x1".to_owned())));
    gate.unblock(69);
    assert_eq!(poll(&mut gate), Some((69, "1x1".to_owned())));
}

#[test]
fn the_gate_is_finished_when_every_channel_has_ended() {
    let (mut gate, mut senders, _) = gate_with_senders(2, 1 << 20);
    senders[0].send(Element::EndOfInput).unwrap();
    assert_eq!(poll(&mut gate), Some((0, "EndOfInput".to_owned())));
    assert!(!gate.is_finished());
    assert!(matches!(
        senders[0].send(chunk(1, 1)),
        Err(SendError::Ended { .. })
    ));
    senders[1].send(Element::EndOfInput).unwrap();
    drop(senders);
    assert_eq!(poll(&mut gate), Some((1, "EndOfInput".to_owned())));
    assert!(gate.is_finished());
    assert_eq!(poll(&mut gate), None);
}

#[test]
fn a_producer_that_breaks_off_fails_the_gate_with_its_name_and_cause() {
    let (mut gate, mut senders, _) = gate_with_senders(2, 1 << 20);
    senders[1].send(chunk(1, 1)).unwrap();
    gate.block(1);
    senders[1].close("panicked: boom");
    let error = next_failure(&mut gate);
    assert_eq!(
        (error.channel, error.partition.as_deref()),
        (1, Some(&partition(1, 0)))
    );
    let place = format!("read channel 1 ({}): ", partition(1, 0));
    assert_eq!(
        error.to_string(),
        format!("{place}the producer stopped: panicked: boom")
    );
    assert!(error.cause.is_consequence());
}

#[test]
fn a_full_channel_makes_its_producer_wait_and_counts_the_time() {
    let (mut gate, mut senders, _) = gate_with_senders(1, 4 << 10);
    let mut sender = senders.remove(0);
    let context = sender.context().clone();
    let producer = thread::spawn(move || {
        for n in 0..100 {
            sender.send(chunk(n, 100)).unwrap();
        }
        sender.send(Element::EndOfInput).unwrap();
    });
    thread::sleep(Duration::from_millis(150));
    assert!(
        gate.bytes_buffered() <= (4 << 10) + 864,
        "{} bytes",
        gate.bytes_buffered()
    );
    assert!(context.blocked_ns().load(Ordering::SeqCst) > 50_000_000);
    for n in 0..100 {
        assert_eq!(show(&next(&mut gate).unwrap().1), format!("{n}x100"));
    }
    producer.join().unwrap();
}

#[test]
fn what_an_alignment_holds_back_is_what_lies_in_blocked_channels() {
    let (mut gate, mut senders, _) = gate_with_senders(2, 1 << 18);
    for sender in &mut senders {
        sender.send(Element::Barrier(barrier(1))).unwrap();
        sender.send(chunk(1, 100)).unwrap();
    }
    assert_eq!(gate.bytes_blocked(), 0);
    gate.block(1);
    let one = gate.bytes_blocked();
    assert!(one >= 800);
    gate.block(0);
    assert_eq!(gate.bytes_blocked(), 2 * one);
    assert_eq!(poll(&mut gate), None);
    gate.unblock_all();
    assert_eq!(gate.bytes_blocked(), 0);
}

#[test]
fn a_row_larger_than_the_window_gets_through() {
    let (mut gate, mut senders, _) = gate_with_senders(1, 1);
    senders[0].send(chunk(1, 100_000)).unwrap();
    assert!(matches!(
        senders[0].try_send(chunk(2, 1)),
        Err(TrySendError::Full(_))
    ));
    senders[0].send(Element::Barrier(barrier(1))).unwrap();
    assert_eq!(poll(&mut gate), Some((0, "1x100000".to_owned())));
    senders[0].try_send(chunk(2, 1)).unwrap();
    assert_eq!(poll(&mut gate), Some((0, "Barrier(1)".to_owned())));
}

#[test]
fn a_producer_without_room_is_notified_when_there_is() {
    let (mut gate, mut senders, cancel) = gate_with_senders(1, 1 << 10);
    assert!(senders[0].has_room());
    senders[0].send(chunk(1, 1_000)).unwrap();
    assert!(!senders[0].has_room());
    assert!(!cancel.signal().wait(Some(Duration::from_millis(1))) || !senders[0].has_room());
    poll(&mut gate).unwrap();
    assert!(cancel.signal().wait(Some(Duration::from_secs(5))));
    assert!(senders[0].has_room());
}

#[test]
fn cancelling_wakes_a_producer_that_waits_for_room() {
    let (_gate, mut senders, cancel) = gate_with_senders(1, 1 << 10);
    let mut sender = senders.remove(0);
    let producer = thread::spawn(move || {
        sender.send(chunk(1, 1_000)).unwrap();
        let error = sender.send(chunk(2, 1)).unwrap_err();
        (error, SystemClock.now())
    });
    thread::sleep(Duration::from_millis(30));
    let cancelled = SystemClock.now();
    cancel.cancel();
    let (error, woken) = producer.join().unwrap();
    assert!(matches!(error, SendError::Cancelled { .. }));
    assert!(
        woken.since(cancelled) < Duration::from_millis(80),
        "{:?}",
        woken.since(cancelled)
    );
}

#[test]
fn closing_the_gate_wakes_its_producers_with_an_error() {
    let (gate, mut senders, _) = gate_with_senders(1, 1 << 10);
    let mut sender = senders.remove(0);
    let producer = thread::spawn(move || {
        sender.send(chunk(1, 1_000)).unwrap();
        sender.send(chunk(2, 1)).unwrap_err()
    });
    thread::sleep(Duration::from_millis(30));
    drop(gate);
    let error = producer.join().unwrap();
    assert!(
        error
            .to_string()
            .ends_with("the consumer stopped: its input gate was closed")
    );
}

#[test]
fn watermarks_do_not_pile_up_while_nobody_reads() {
    let (mut gate, mut senders, _) = gate_with_senders(1, 1 << 10);
    for time in 0..10_000 {
        senders[0].send(watermark(time)).unwrap();
        senders[0].send(Element::Idle).unwrap();
        senders[0].send(Element::Active).unwrap();
    }
    let mut received = Vec::new();
    while let Some((_, element)) = poll(&mut gate) {
        received.push(element);
    }
    assert_eq!(received, ["Active", "Watermark(9999)", "Active"]);
}

#[derive(Clone, Debug)]
enum Step {
    Send { channel: usize, rows: usize },
    Barrier { channel: usize },
    Poll,
    Block { channel: usize },
    Unblock { channel: usize },
}

const CHANNELS: usize = 66;
const WINDOW: usize = 2 << 10;

fn step() -> impl Strategy<Value = Step> {
    // Few channels, on both sides of a word's border.
    let channel = prop_oneof![0..2_usize, 63..CHANNELS];
    prop_oneof![
        4 => (channel.clone(), 1..200_usize).prop_map(|(channel, rows)| Step::Send { channel, rows }),
        1 => channel.clone().prop_map(|channel| Step::Barrier { channel }),
        4 => Just(Step::Poll),
        1 => channel.clone().prop_map(|channel| Step::Block { channel }),
        1 => channel.prop_map(|channel| Step::Unblock { channel }),
    ]
}

/// What a gate should do, written as slowly and plainly as possible.
struct Model {
    queues: Vec<VecDeque<(String, usize)>>,
    blocked: Vec<bool>,
    cursor: usize,
}

impl Model {
    fn bytes(&self, channel: usize) -> usize {
        self.queues[channel].iter().map(|(_, cost)| cost).sum()
    }

    fn poll(&mut self) -> Option<(usize, String)> {
        let turn = (0..CHANNELS).map(|n| (self.cursor + n) % CHANNELS);
        let channel = { turn }.find(|n| !self.blocked[*n] && !self.queues[*n].is_empty())?;
        self.cursor = (channel + 1) % CHANNELS;
        self.queues[channel]
            .pop_front()
            .map(|(element, _)| (channel, element))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_gate_behaves_like_its_model(steps in prop::collection::vec(step(), 1..200)) {
        let (mut gate, mut senders, _) = gate_with_senders(CHANNELS, WINDOW);
        let queues = vec![VecDeque::new(); CHANNELS];
        let mut model = Model { queues, blocked: vec![false; CHANNELS], cursor: 0 };
        for (n, step) in steps.into_iter().enumerate() {
            match step {
                Step::Send { channel, rows } => {
                    let room = model.bytes(channel) < WINDOW;
                    let sent = senders[channel].try_send(chunk(n as u64, rows));
                    prop_assert_eq!(sent.is_ok(), room);
                    if room {
                        model.queues[channel].push_back((format!("{n}x{rows}"), rows * 8 + 64));
                    }
                }
                Step::Barrier { channel } => {
                    senders[channel].send(Element::Barrier(barrier(n as u64))).unwrap();
                    model.queues[channel].push_back((format!("Barrier({n})"), 0));
                }
                Step::Poll => prop_assert_eq!(poll(&mut gate), model.poll()),
                Step::Block { channel } => {
                    gate.block(channel);
                    model.blocked[channel] = true;
                }
                Step::Unblock { channel } => {
                    gate.unblock(channel);
                    model.blocked[channel] = false;
                }
            }
            let bytes: usize = (0..CHANNELS).map(|channel| model.bytes(channel)).sum();
            prop_assert_eq!(gate.bytes_buffered(), bytes);
            prop_assert_eq!(gate.fill().bytes(), bytes);
        }
        gate.unblock_all();
        model.blocked.fill(false);
        loop {
            let found = poll(&mut gate);
            prop_assert_eq!(&found, &model.poll());
            if found.is_none() {
                break;
            }
        }
    }
}
