//! Ends that are missing, stale, cancelled or gone.

use std::any::Any;

use super::*;
use crate::testing::{Numbers, numbers_of};
use crate::{CancelToken, Chunk, EdgeId, SenderContext};

#[test]
fn a_partition_that_nobody_registers_is_reported_missing() {
    let two = two();
    for (to, location) in [(&two.a, Location::Local), (&two.b, location(&two.a))] {
        let mut gate = connected(to, location, partition(1, 0), 1 << 18);
        let error = next_failure(&mut gate);
        assert_eq!(error.partition.as_deref(), Some(&partition(1, 0)));
        let waited = Duration::from_millis(300);
        assert_eq!(error.cause, ChannelError::PartitionNotFound { waited });
    }
}

#[test]
fn a_partition_is_consumed_once() {
    let two = two();
    for location in [Location::Local, location(&two.a)] {
        let to = if location == Location::Local {
            &two.a
        } else {
            &two.b
        };
        let _first = connected(to, location.clone(), partition(1, 0), 1 << 18);
        thread::sleep(Duration::from_millis(30));
        let mut second = connected(to, location, partition(1, 0), 1 << 18);
        assert_eq!(
            next_failure(&mut second).cause,
            ChannelError::AlreadyConsumed
        );
        thread::sleep(Duration::from_millis(350));
    }
}

#[test]
fn ids_of_another_epoch_are_refused() {
    let two = two();
    let mut stale = partition(1, 0);
    stale.producer.epoch = Epoch(6);
    let error = two.a.register(stale, codec(), context()).err().unwrap();
    assert!(
        error.to_string().ends_with("the current epoch is 7"),
        "{error}"
    );
    let mut gate = connected(&two.b, location(&two.a), stale, 1 << 18);
    assert_eq!(
        next_failure(&mut gate).cause,
        ChannelError::Stale { theirs: 6, ours: 7 }
    );
}

#[test]
fn a_barrier_of_another_epoch_fails_the_channel() {
    let two = two();
    let (mut sender, mut gate) = channel(&two.a, &two.b, partition(1, 0), 1 << 18);
    let stale = weir_types::CheckpointBarrier {
        epoch: Epoch(6),
        ..barrier(1)
    };
    sender.send(Element::Barrier(stale)).unwrap();
    assert_eq!(
        next_failure(&mut gate).cause,
        ChannelError::Stale { theirs: 6, ours: 7 }
    );
}

#[test]
fn an_earlier_attempt_of_the_producer_is_not_found() {
    let two = two();
    let _sender = two.a.register(partition(1, 0), codec(), context()).unwrap();
    let mut later = partition(1, 0);
    later.producer.attempt = weir_types::AttemptNumber(1);
    let mut gate = connected(&two.b, location(&two.a), later, 1 << 18);
    let error = next_failure(&mut gate);
    assert!(
        matches!(error.cause, ChannelError::PartitionNotFound { .. }),
        "{error}"
    );
}

#[test]
fn cancelling_wakes_a_producer_that_waits_for_credit_or_for_its_consumer() {
    let two = two();
    for with_consumer in [true, false] {
        let cancel = CancelToken::new(Signal::new());
        let context = SenderContext::new(cancel.clone(), Arc::new(SystemClock));
        let id = PartitionId {
            edge: EdgeId(u32::from(with_consumer)),
            ..partition(1, 0)
        };
        let mut sender = two.a.register(id, codec(), context).unwrap();
        let _gate = with_consumer.then(|| connected(&two.b, location(&two.a), id, 1 << 10));
        let producer = thread::spawn(move || {
            let error = loop {
                if let Err(error) = sender.send(chunk(1, 1_000)) {
                    break error;
                }
            };
            (error, SystemClock.now())
        });
        thread::sleep(Duration::from_millis(100));
        let cancelled = SystemClock.now();
        cancel.cancel();
        let (error, woken) = producer.join().unwrap();
        assert!(matches!(error, SendError::Cancelled { .. }), "{error}");
        assert!(
            woken.since(cancelled) < Duration::from_millis(80),
            "{:?}",
            woken.since(cancelled)
        );
    }
}

#[test]
fn a_producer_that_fails_tells_its_consumer_why() {
    let two = two();
    let (mut sender, mut gate) = channel(&two.a, &two.b, partition(1, 0), 1 << 18);
    sender.send(chunk(1, 1)).unwrap();
    sender.close("user function panicked");
    let error = next_failure(&mut gate);
    let cause = "user function panicked".to_owned();
    assert_eq!(error.cause, ChannelError::ProducerGone { cause });
}

#[test]
fn a_consumer_that_goes_away_fails_its_producer() {
    let two = two();
    let (mut sender, gate) = channel(&two.a, &two.b, partition(1, 0), 1 << 10);
    sender.send(chunk(1, 1)).unwrap();
    let producer = thread::spawn(move || {
        loop {
            if let Err(error) = sender.send(chunk(1, 1_000)) {
                return error;
            }
        }
    });
    thread::sleep(Duration::from_millis(50));
    drop(gate);
    let SendError::Channel { cause, .. } = producer.join().unwrap() else {
        panic!("a fault")
    };
    assert!(
        matches!(cause, ChannelError::ConsumerGone { .. }),
        "{cause}"
    );
    assert_eq!(live_connections(&two.a), 1);
}

#[test]
fn the_end_of_a_process_fails_both_ends_of_every_channel_and_names_the_peer() {
    let two = two();
    let (mut to_b, mut in_b) = channel(&two.a, &two.b, partition(1, 0), 1 << 10);
    let (mut to_a, mut in_a) = channel(&two.b, &two.a, partition(2, 0), 1 << 10);
    to_b.send(chunk(1, 1)).unwrap();
    to_a.send(chunk(1, 1)).unwrap();
    next(&mut in_b).unwrap();
    next(&mut in_a).unwrap();
    drop(two.b);
    let error = next_failure(&mut in_a);
    let text = error.to_string();
    assert!(
        matches!(error.cause, ChannelError::ConnectionLost { .. }),
        "{text}"
    );
    assert!(
        text.contains(&format!("TaskManager {B} at 127.0.0.1:")),
        "{text}"
    );
    let error = loop {
        if let Err(error) = to_b.send(chunk(2, 1)) {
            break error.to_string();
        }
    };
    assert!(
        error.contains("lost the data connection to TaskManager"),
        "{error}"
    );
    assert!(
        next_failure(&mut in_b)
            .to_string()
            .contains("dropped its exchange")
    );
}

#[test]
fn a_producer_that_ended_may_leave_before_its_consumer_has_read_it() {
    let two = two();
    let (mut sender, mut gate) = channel(&two.a, &two.b, partition(1, 0), 1 << 18);
    send_numbers(&mut sender, 0..10, 10);
    sender.send(Element::EndOfInput).unwrap();
    two.runtime.block_on(two.a.shut_down(PATIENCE));
    drop(two.a);
    thread::sleep(Duration::from_millis(50));
    assert_eq!(read_to_end(&mut gate).len(), 11);
}

/// Two processes that send chunks of at most so many bytes.
fn two_with_limit(chunk_bytes_max: usize) -> Two {
    let runtime = runtime();
    let options = ExchangeOptions {
        chunk_bytes_max,
        ..options()
    };
    let bind = |id| {
        runtime
            .block_on(Exchange::bind("127.0.0.1:0", identity(id), options))
            .unwrap()
    };
    Two {
        a: bind(A),
        b: bind(B),
        runtime,
    }
}

/// The numbers from 0 on, in one chunk.
fn count_to(end: u64) -> Element {
    Element::Chunk(Box::new(Numbers((0..end).collect())))
}

/// What comes until the end, and the numbers in it.
fn read_numbers(gate: &mut InputGate) -> (Vec<String>, Vec<u64>) {
    let (mut elements, mut numbers) = (Vec::new(), Vec::new());
    while !gate.is_finished() {
        let (_, element) = next(gate).unwrap();
        elements.push(format!("{element:?}"));
        if let Element::Chunk(chunk) = element {
            numbers.extend_from_slice(&numbers_of(&*chunk).0);
        }
    }
    (elements, numbers)
}

#[test]
fn a_chunk_over_the_limit_arrives_as_several_in_its_place() {
    let two = two_with_limit(1_000);
    let (mut sender, mut gate) = channel(&two.a, &two.b, partition(1, 0), 1 << 18);
    sender.send(Element::Barrier(barrier(1))).unwrap();
    sender.send(count_to(300)).unwrap();
    sender.send(Element::Barrier(barrier(2))).unwrap();
    sender.send(count_to(125)).unwrap();
    sender.send(Element::EndOfInput).unwrap();
    let (elements, numbers) = read_numbers(&mut gate);
    assert_eq!(
        elements,
        [
            "Barrier(1)",
            "Chunk(75 rows)",
            "Chunk(75 rows)",
            "Chunk(75 rows)",
            "Chunk(75 rows)",
            "Barrier(2)",
            "Chunk(125 rows)",
            "EndOfInput"
        ]
    );
    assert_eq!(numbers, (0..300).chain(0..125).collect::<Vec<u64>>());
}

#[test]
fn parts_that_are_larger_than_the_window_wait_for_credit_and_are_accepted() {
    let two = two_with_limit(2_000);
    let id = partition(1, 0);
    let mut sender = two.a.register(id, codec(), context()).unwrap();
    let options = GateOptions {
        window_bytes: 1 << 10,
        chunk_bytes_max: 2_000,
    };
    let mut gate = InputGate::new(Signal::new(), 1, options);
    two.b.connect(request(id, location(&two.a)), gate.inlet(0));
    let producer = thread::spawn(move || {
        sender.send(count_to(2_000)).unwrap();
        sender.send(Element::EndOfInput).unwrap();
    });
    let (elements, numbers) = read_numbers(&mut gate);
    producer.join().unwrap();
    assert_eq!(elements[..8], ["Chunk(250 rows)"; 8]);
    assert_eq!(elements[8..], ["EndOfInput"]);
    assert_eq!(numbers, (0..2_000).collect::<Vec<u64>>());
}

#[test]
fn a_row_over_the_limit_is_an_error_that_names_limit_and_type() {
    let two = two_with_limit(7);
    let (mut sender, _gate) = channel(&two.a, &two.b, partition(1, 0), 1 << 18);
    for rows in [1, 3] {
        let error = sender.send(chunk(1, rows)).unwrap_err().to_string();
        let wanted = "a chunk of `u64` takes 8 bytes encoded, over the limit of 7 bytes \
                      (`chunk_bytes_max`)";
        assert!(error.ends_with(wanted), "{error}");
    }
}

/// Numbers that are only handled together.
struct Together(Numbers);

impl Chunk for Together {
    fn rows(&self) -> usize {
        self.0.rows()
    }

    fn bytes(&self) -> usize {
        self.0.bytes()
    }

    fn clone_chunk(&self) -> Box<dyn Chunk> {
        Box::new(Self(self.0.clone()))
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        Box::new(self.0)
    }

    fn as_any(&self) -> &dyn Any {
        &self.0
    }
}

#[test]
fn a_chunk_that_cannot_be_split_is_an_error_when_it_is_over_the_limit() {
    let two = two_with_limit(1_000);
    let (mut sender, _gate) = channel(&two.a, &two.b, partition(1, 0), 1 << 18);
    let together = |rows| Element::Chunk(Box::new(Together(Numbers(vec![1; rows]))));
    sender.send(together(125)).unwrap();
    let error = sender.send(together(126)).unwrap_err().to_string();
    let wanted = "a chunk of `u64` takes 1008 bytes encoded, over the limit of 1000 bytes \
                  (`chunk_bytes_max`)";
    assert!(error.ends_with(wanted), "{error}");
}

#[test]
fn a_released_producer_is_offered_no_more() {
    let two = two();
    let mut sender = two.a.register(partition(1, 0), codec(), context()).unwrap();
    sender.send(Element::EndOfInput).unwrap();
    two.a.release(&attempt(1, 0));
    let mut gate = connected(&two.b, location(&two.a), partition(1, 0), 1 << 18);
    let error = next_failure(&mut gate);
    assert!(
        matches!(error.cause, ChannelError::PartitionNotFound { .. }),
        "{error}"
    );
}
