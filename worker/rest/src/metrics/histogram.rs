//! Histograms of what was counted elsewhere: the library's own cannot be set.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use weir_rpc::Durations;

use super::Labels;

/// One family of durations, by labels.
#[derive(Debug)]
pub(super) struct DurationHistogram(Arc<Family>);

#[derive(Debug)]
struct Family {
    name: &'static str,
    help: &'static str,
    all: Mutex<Vec<(Labels, Durations)>>,
}

impl DurationHistogram {
    pub(super) fn new(name: &'static str, help: &'static str) -> Self {
        Self(Arc::new(Family {
            name,
            help,
            all: Mutex::default(),
        }))
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(Arc::clone(&self.0)));
    }

    pub(super) fn add(&self, labels: Labels, durations: Durations) {
        let mut all = self.0.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.push((labels, durations));
    }
}

impl Collector for Family {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if all.is_empty() {
            return Ok(());
        }
        let (name, help) = (self.name, self.help);
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (labels, durations) in all.iter() {
            let bounds = durations.buckets();
            let buckets: Vec<(f64, u64)> = bounds
                .map(|(bound, count)| (bound.map_or(f64::INFINITY, |b| b.as_secs_f64()), count))
                .collect();
            let (sum, count) = (durations.sum().as_secs_f64(), durations.count());
            family
                .encode_family(labels)?
                .encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
        }
        Ok(())
    }
}
