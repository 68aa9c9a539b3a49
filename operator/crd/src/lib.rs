//! StreamJob.
