//! Counters that an operator feeds beside the runtime's own, and what its state says of itself.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{OnceLock, Weak};

use weir_state::{ColdStats, ColdTier};

/// Shared between an operator's thread and whoever reports.
#[derive(Debug, Default)]
pub struct OperatorMetrics {
    late_records: AtomicU64,
    skipped_records: AtomicU64,
    /// What its keyed state lies on, for as long as that is there.
    tier: OnceLock<Weak<dyn ColdTier>>,
}

impl OperatorMetrics {
    /// Records that came behind the watermark and were dropped.
    pub fn late_records(&self) -> u64 {
        self.late_records.load(Ordering::Relaxed)
    }

    /// Counts dropped late records.
    pub fn add_late_records(&self, count: u64) {
        self.late_records.fetch_add(count, Ordering::Relaxed);
    }

    /// Bad records that a source was told to skip.
    pub fn skipped_records(&self) -> u64 {
        self.skipped_records.load(Ordering::Relaxed)
    }

    /// Figures of what keyed state lies on, if there is a tier below memory.
    pub fn tier(&self) -> Option<ColdStats> {
        Some(self.tier.get()?.upgrade()?.stats())
    }

    /// The operator's keyed state lies on this.
    pub fn set_tier(&self, tier: Weak<dyn ColdTier>) {
        // An operator is opened once.
        drop(self.tier.set(tier));
    }

    /// Counts skipped bad records.
    pub fn add_skipped_records(&self, count: u64) {
        self.skipped_records.fetch_add(count, Ordering::Relaxed);
    }
}
