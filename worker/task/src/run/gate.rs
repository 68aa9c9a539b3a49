//! The loop of a subtask whose chain begins with inputs.

use weir_checkpoint::align::{AlignAction, Aligner};
use weir_network::{Element, InputGate};
use weir_stream::Control;
use weir_stream::watermark_valve::{CombinedWatermark, ValveOutput, WatermarkValve};
use weir_types::CheckpointId;

use super::{Phase, TaskError, TaskLoop};
use crate::mailbox::Mail;
use crate::setup::{ChannelPlace, GateIntake};
use crate::snapshot::{Aligned, Input};

/// The inputs of a subtask and what is known of them.
struct Inputs {
    gate: InputGate,
    places: Vec<ChannelPlace>,
    valves: Vec<WatermarkValve>,
    watermark: CombinedWatermark,
    /// By channel: its data has ended.
    ended: Vec<bool>,
    /// By input: how many of its channels have not ended.
    open: Vec<usize>,
    /// None: the job has no checkpoints.
    aligner: Option<Aligner>,
}

impl Inputs {
    fn new(intake: GateIntake) -> Self {
        let GateIntake {
            gate,
            places,
            valves,
            align,
        } = intake;
        let mut open = vec![0usize; valves.len()];
        for place in &places {
            open[place.input] += 1;
        }
        Self {
            aligner: align.map(|mode| Aligner::new(places.len(), mode)),
            ended: vec![false; places.len()],
            watermark: CombinedWatermark::new(valves.len()),
            open,
            gate,
            places,
            valves,
        }
    }

    fn input(&self) -> Input {
        let aligns = self.aligner.as_ref().is_some_and(Aligner::is_aligning);
        if aligns { Input::Blocked } else { Input::Busy }
    }
}

impl TaskLoop {
    pub(super) fn run_gate(&mut self, intake: GateIntake) -> Result<(), TaskError> {
        let mut inputs = Inputs::new(intake);
        loop {
            self.check_cancelled()?;
            while let Some(mail) = self.mailbox.take() {
                match mail {
                    Mail::Commit(commit) => {
                        if self.commit(commit)? {
                            self.leave();
                            return self.drain(&mut inputs.gate);
                        }
                    }
                    Mail::Abort(id) => self.abort_alignment(&mut inputs, id)?,
                    // For sources only.
                    Mail::Split(..) | Mail::Trigger(..) => {}
                }
            }
            self.fire_timers()?;
            self.copy(inputs.input());
            let Some((channel, element)) = inputs.gate.poll()? else {
                self.idle(None)?;
                continue;
            };
            self.unflushed = true;
            if self.take(&mut inputs, channel, element)? {
                return Ok(());
            }
        }
    }

    /// Takes an element. True if the subtask has ended by it.
    fn take(
        &mut self,
        inputs: &mut Inputs,
        channel: usize,
        element: Element,
    ) -> Result<bool, TaskError> {
        let ChannelPlace { input, index } = inputs.places[channel];
        let said = match element {
            Element::Chunk(_) if self.phase == Phase::Ended => {
                let text = "records came after the end of all data".to_owned();
                return Err(TaskError::Protocol(text));
            }
            Element::Chunk(chunk) => {
                self.chain.metrics.records_in.add(chunk.rows() as u64);
                self.chain.metrics.bytes_in.add(chunk.bytes() as u64);
                self.chain.process(input, chunk)?;
                self.flush_if_due()?;
                return Ok(false);
            }
            Element::Watermark(watermark) => inputs.valves[input].watermark(index, watermark),
            Element::Idle => inputs.valves[input].activity(index, false),
            Element::Active => inputs.valves[input].activity(index, true),
            Element::EndOfData => return self.end_channel(inputs, channel),
            // With checkpoints, it follows the last one: all that matters has been said before.
            Element::EndOfInput if inputs.aligner.is_some() => return Ok(false),
            Element::EndOfInput => return self.end_channel(inputs, channel),
            Element::Barrier(barrier) => {
                let now = self.clock.now();
                let Some(aligner) = &mut inputs.aligner else {
                    let text = format!("barrier {} came, but checkpoints are off", barrier.id);
                    return Err(TaskError::Protocol(text));
                };
                let actions = aligner.on_barrier(now, channel, barrier);
                self.align(inputs, actions)?;
                return Ok(false);
            }
        };
        if self.phase != Phase::Ended {
            self.pass_on(&mut inputs.watermark, input, said)?;
        }
        Ok(false)
    }

    /// A channel's data has ended. True if the subtask has ended by it.
    fn end_channel(&mut self, inputs: &mut Inputs, channel: usize) -> Result<bool, TaskError> {
        if std::mem::replace(&mut inputs.ended[channel], true) {
            return Ok(false);
        }
        let mut gone = false;
        if self.phase != Phase::Ended {
            let input = inputs.places[channel].input;
            inputs.open[input] -= 1;
            if inputs.open[input] == 0 {
                self.chain.end_head_input(input)?;
            }
            if inputs.open.iter().all(|open| *open == 0) {
                gone = self.end_of_data()?;
            }
        }
        // Now: the end belongs to what the snapshot holds.
        let now = self.clock.now();
        if let Some(aligner) = &mut inputs.aligner {
            let actions = aligner.on_end(now, channel);
            self.align(inputs, actions)?;
        }
        Ok(gone)
    }

    fn abort_alignment(&mut self, inputs: &mut Inputs, id: CheckpointId) -> Result<(), TaskError> {
        self.abort(id);
        if let Some(aligner) = &mut inputs.aligner {
            let actions = aligner.on_abort(id);
            self.align(inputs, actions)?;
        }
        Ok(())
    }

    fn align(&mut self, inputs: &mut Inputs, actions: Vec<AlignAction>) -> Result<(), TaskError> {
        for action in actions {
            match action {
                AlignAction::Block(channel) => inputs.gate.block(channel),
                AlignAction::UnblockAll => inputs.gate.unblock_all(),
                AlignAction::Snapshot {
                    barrier, duration, ..
                } => {
                    let aligned = Aligned {
                        barrier,
                        alignment: duration,
                        bytes_blocked: inputs.gate.bytes_blocked(),
                    };
                    self.snapshot(aligned, None)?;
                }
                AlignAction::GiveUp(id) => {
                    if let Some(snapshots) = &mut self.snapshots {
                        let reason = "a newer checkpoint's barrier has overtaken it".to_owned();
                        snapshots.decline(&mut self.chain, id, reason);
                    }
                }
            }
        }
        Ok(())
    }

    /// What one input's valve says goes into the minimum over all inputs, and from there into the
    /// chain.
    fn pass_on(
        &mut self,
        inputs: &mut CombinedWatermark,
        input: usize,
        said: ValveOutput,
    ) -> Result<(), TaskError> {
        for control in said.controls() {
            let said = match control {
                Control::Watermark(watermark) => inputs.watermark(input, watermark),
                Control::Idle => inputs.activity(input, false),
                Control::Active => inputs.activity(input, true),
            };
            for control in said.controls() {
                self.chain.control(control)?;
            }
        }
        Ok(())
    }

    /// The last checkpoint is complete. Producers learn of it by themselves: until then they must
    /// find somebody who takes what they send.
    fn drain(&mut self, gate: &mut InputGate) -> Result<(), TaskError> {
        while !gate.is_finished() {
            self.check_cancelled()?;
            gate.unblock_all();
            match gate.poll() {
                Ok(Some(_)) => {}
                Ok(None) => self.wait(None),
                // A producer that has broken off has no reason to wait for.
                Err(_) => return Ok(()),
            }
        }
        Ok(())
    }
}
