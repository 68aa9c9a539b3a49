//! JobManager: Dispatcher, JobMaster, scheduler, slot pool.
