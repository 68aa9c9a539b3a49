use weir_types::{EventTime, Watermark};

use super::*;
use crate::testing::{Numbers, barrier, context, partition, show};
use crate::{Broadcast, Forward, GateOptions, Global, InputGate, Signal};

/// A result partition, and for each of its channels the gate that reads it.
fn output(router: impl Router + 'static, channels: usize) -> (ResultPartition, Vec<InputGate>) {
    let context = context();
    let mut gates = Vec::new();
    let mut senders = Vec::new();
    for n in 0..channels {
        let gate = InputGate::new(Signal::new(), 1, GateOptions::default());
        let partition = partition(1, u32::try_from(n).unwrap());
        senders.push(gate.inlet(0).sender(partition, context.clone()));
        gates.push(gate);
    }
    (ResultPartition::new(Box::new(router), senders), gates)
}

fn emit(output: &mut ResultPartition, numbers: std::ops::Range<u64>) {
    for number in numbers {
        output.emit(Box::new(Numbers(vec![number]))).unwrap();
    }
}

fn received(gates: &mut [InputGate]) -> Vec<String> {
    let all = |gate: &mut InputGate| {
        let mut all = Vec::new();
        while let Some((_, element)) = gate.poll().unwrap() {
            all.push(show(&element));
        }
        all.join(" ")
    };
    gates.iter_mut().map(all).collect()
}

#[test]
fn each_router_chooses_its_channels() {
    let (mut forward, mut gates) = output(Forward, 1);
    emit(&mut forward, 0..2);
    assert_eq!(received(&mut gates), ["0x1 1x1"]);

    let (mut global, mut gates) = output(Global, 2);
    emit(&mut global, 0..2);
    assert_eq!(received(&mut gates), ["0x1 1x1", ""]);

    let (mut broadcast, mut gates) = output(Broadcast, 2);
    emit(&mut broadcast, 0..2);
    assert_eq!(received(&mut gates), ["0x1 1x1", "0x1 1x1"]);
}

#[test]
fn an_empty_chunk_is_not_sent() {
    let (mut output, mut gates) = output(Forward, 1);
    output.emit(Box::new(Numbers(Vec::new()))).unwrap();
    assert_eq!(received(&mut gates), [""]);
}

/// Keeps all rows back until it is flushed.
struct Keeping(Vec<Box<dyn Chunk>>);

impl Router for Keeping {
    fn route(
        &mut self,
        chunk: Box<dyn Chunk>,
        _: &mut dyn ChannelOutputs,
    ) -> Result<(), SendError> {
        self.0.push(chunk);
        Ok(())
    }

    fn flush(&mut self, out: &mut dyn ChannelOutputs) -> Result<(), SendError> {
        let last = out.channels() - 1;
        self.0.drain(..).try_for_each(|chunk| out.send(last, chunk))
    }
}

#[test]
fn a_control_goes_to_all_channels_after_the_rows_that_the_router_kept_back() {
    let (mut output, mut gates) = output(Keeping(Vec::new()), 2);
    emit(&mut output, 0..2);
    output.broadcast(Control::Barrier(barrier(1))).unwrap();
    emit(&mut output, 2..3);
    output
        .broadcast(Control::Watermark(Watermark(EventTime(9))))
        .unwrap();
    output.broadcast(Control::EndOfInput).unwrap();
    assert_eq!(
        received(&mut gates),
        [
            "Barrier(1) Watermark(9) EndOfInput",
            "0x1 1x1 Barrier(1) 2x1 Watermark(9) EndOfInput",
        ]
    );
}

#[test]
fn a_partition_has_room_when_all_its_channels_have() {
    let (mut output, mut gates) = output(Global, 2);
    assert!(output.has_room());
    output.emit(Box::new(Numbers(vec![0; 100_000]))).unwrap();
    assert!(!output.has_room());
    received(&mut gates);
    assert!(output.has_room());
}

#[test]
fn closing_fails_every_consumer_that_has_not_had_its_end() {
    let (mut output, mut gates) = output(Forward, 2);
    output.close("disk full");
    for gate in &mut gates {
        let error = gate.poll().unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("the producer stopped: disk full"),
            "{error}"
        );
    }
}
