//! Counters that an operator feeds beside the runtime's own.

use std::sync::atomic::{AtomicU64, Ordering};

/// Shared between an operator's thread and whoever reports.
#[derive(Debug, Default)]
pub struct OperatorMetrics {
    late_records: AtomicU64,
    skipped_records: AtomicU64,
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

    /// Counts skipped bad records.
    pub fn add_skipped_records(&self, count: u64) {
        self.skipped_records.fetch_add(count, Ordering::Relaxed);
    }
}
