//! Flink's window semantics told as slowly as possible: every window that could matter is looked
//! at for every record, and every pane for every watermark.

use std::collections::BTreeMap;

use super::{Fired, Record};

#[derive(Default)]
pub(super) struct Pane {
    values: Vec<i64>,
    /// There is a timer at the window's end.
    armed: bool,
}

pub(super) struct Windows {
    size: i64,
    slide: i64,
    offset: i64,
    lateness: i64,
    watermark: i64,
    /// By window start and key.
    pub(super) panes: BTreeMap<(i64, u8), Pane>,
    pub(super) fired: Vec<Fired>,
    pub(super) late: Vec<Record>,
}

impl Windows {
    pub(super) fn new(size: i64, slide: i64, offset: i64, lateness: i64) -> Self {
        let (panes, fired, late) = Default::default();
        Self {
            size,
            slide,
            offset,
            lateness,
            watermark: i64::MIN,
            panes,
            fired,
            late,
        }
    }

    fn last(&self, start: i64) -> i64 {
        start + self.size - 1
    }

    pub(super) fn record(&mut self, key: u8, time: i64, value: i64) {
        let starts = (-300..300).map(|n| n * self.slide + self.offset);
        let covering = starts.filter(|start| *start <= time && time < start + self.size);
        let mut taken = false;
        for start in covering.collect::<Vec<_>>() {
            let last = self.last(start);
            if last + self.lateness <= self.watermark {
                continue;
            }
            taken = true;
            let pane = self.panes.entry((start, key)).or_default();
            pane.values.push(value);
            if last <= self.watermark {
                self.fired
                    .push((key, start, start + self.size, pane.values.clone()));
            } else {
                pane.armed = true;
            }
        }
        if !taken && time + self.lateness <= self.watermark {
            self.late.push((key, value));
        }
    }

    pub(super) fn watermark(&mut self, watermark: i64) {
        self.watermark = watermark;
        let (size, lateness) = (self.size, self.lateness);
        for ((start, key), pane) in &mut self.panes {
            if pane.armed && start + size - 1 <= watermark {
                pane.armed = false;
                self.fired
                    .push((*key, *start, start + size, pane.values.clone()));
            }
        }
        self.panes
            .retain(|(start, _), _| start + size - 1 + lateness > watermark);
    }

    /// Everything but the watermark comes back.
    pub(super) fn restore(&mut self) {
        self.watermark = i64::MIN;
    }
}
