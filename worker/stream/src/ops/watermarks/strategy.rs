//! How a program says where event times and watermarks come from.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use weir_types::{EventTime, Watermark};

/// Turns the event times that a chunk's rows came with (none, or one for each) into those they
/// shall have. One call per chunk, so that the user's function is inlined in its loop.
type Assigner<T> = dyn Fn(&[T], Vec<EventTime>) -> Vec<EventTime> + Send + Sync;

type MakeGenerator<T> = dyn Fn() -> Box<dyn WatermarkGenerator<T>> + Send + Sync;

/// Where event times and watermarks come from (Flink's `WatermarkStrategy`).
pub struct WatermarkStrategy<T> {
    pub(super) assigner: Option<Arc<Assigner<T>>>,
    pub(super) generator: GeneratorKind<T>,
    pub(super) idleness: Option<Duration>,
}

pub(super) enum GeneratorKind<T> {
    None,
    Bounded(Duration),
    Custom(Arc<MakeGenerator<T>>),
}

impl<T: 'static> WatermarkStrategy<T> {
    /// No watermarks: for event times alone, and for processing time.
    pub fn no_watermarks() -> Self {
        Self {
            assigner: None,
            generator: GeneratorKind::None,
            idleness: None,
        }
    }

    /// Event times never go back within one subtask of the source.
    pub fn monotonous_timestamps() -> Self {
        Self::bounded_out_of_orderness(Duration::ZERO)
    }

    /// A record comes at most this much behind the latest one: the watermark is one millisecond
    /// less than the latest event time minus `bound`.
    pub fn bounded_out_of_orderness(bound: Duration) -> Self {
        Self {
            generator: GeneratorKind::Bounded(bound),
            ..Self::no_watermarks()
        }
    }

    /// Watermarks from a generator of the program's own. `make` is called once per subtask.
    pub fn custom<G: WatermarkGenerator<T> + 'static>(
        make: impl Fn() -> G + Send + Sync + 'static,
    ) -> Self {
        let make: Arc<MakeGenerator<T>> = Arc::new(move || Box::new(make()));
        Self {
            generator: GeneratorKind::Custom(make),
            ..Self::no_watermarks()
        }
    }

    /// Takes a record's event time from the record. The function also gets the event time that
    /// the record came with, if any.
    #[must_use]
    pub fn with_timestamp_assigner(
        mut self,
        assign: impl Fn(&T, Option<EventTime>) -> EventTime + Send + Sync + 'static,
    ) -> Self {
        self.assigner = Some(Arc::new(move |rows, mut times| {
            if times.is_empty() {
                return rows.iter().map(|row| assign(row, None)).collect();
            }
            for (row, time) in rows.iter().zip(&mut times) {
                *time = assign(row, Some(*time));
            }
            times
        }));
        self
    }

    /// A subtask that sees no record for this long does not hold the others' watermark back
    /// until it sees one again. Time in which it waits for room downstream does not count.
    #[must_use]
    pub fn with_idleness(mut self, timeout: Duration) -> Self {
        self.idleness = Some(timeout);
        self
    }
}

impl<T> Clone for WatermarkStrategy<T> {
    fn clone(&self) -> Self {
        let generator = match &self.generator {
            GeneratorKind::None => GeneratorKind::None,
            GeneratorKind::Bounded(bound) => GeneratorKind::Bounded(*bound),
            GeneratorKind::Custom(make) => GeneratorKind::Custom(Arc::clone(make)),
        };
        Self {
            assigner: self.assigner.clone(),
            generator,
            idleness: self.idleness,
        }
    }
}

impl<T> fmt::Debug for WatermarkStrategy<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let generator = match &self.generator {
            GeneratorKind::None => "none".to_owned(),
            GeneratorKind::Bounded(bound) => format!("bounded by {bound:?}"),
            GeneratorKind::Custom(_) => "custom".to_owned(),
        };
        f.debug_struct("WatermarkStrategy")
            .field("generator", &generator)
            .field("assigner", &self.assigner.is_some())
            .field("idleness", &self.idleness)
            .finish()
    }
}

/// Makes watermarks from the records that pass (Flink's `WatermarkGenerator`). One per subtask;
/// it starts anew after a restore.
pub trait WatermarkGenerator<T>: Send {
    /// A record has passed.
    fn on_event(&mut self, event: &T, timestamp: EventTime, out: &mut WatermarkOutput);

    /// Called at the end of each chunk and every 200 ms.
    fn on_periodic(&mut self, out: &mut WatermarkOutput);
}

/// Takes a generator's watermarks. The highest one goes out behind the chunk.
#[derive(Debug, Default)]
pub struct WatermarkOutput {
    latest: Option<Watermark>,
}

impl WatermarkOutput {
    /// Says that no record at or before this time is still to come.
    pub fn emit(&mut self, watermark: EventTime) {
        self.latest = self.latest.max(Some(Watermark(watermark)));
    }

    pub(super) fn latest(self) -> Option<Watermark> {
        self.latest
    }
}
