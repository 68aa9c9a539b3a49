//! Progress for logs and pipes: a line per vertex, in `key=value` form.

use std::time::Duration;

use weir_rpc::JobDetails;

use crate::progress::model::Row;

/// The lines of one look at the job, without the last line break.
pub(super) fn of(job: &JobDetails, rows: &[Row], age: Duration) -> String {
    let at = format!("progress t={:.1}s", age.as_secs_f64());
    if let Some(waiting_for) = &job.overview.waiting_for {
        return format!("{at} {waiting_for}");
    }
    let line = |row: &Row| {
        format!(
            "{at} operators=\"{}\" state={} in={} out={} rate={} watermark={} busy={} \
             backpressured={}",
            row.name,
            row.state,
            row.records_in,
            row.records_out,
            row.rate.replace(' ', ""),
            row.watermark,
            row.busy,
            row.backpressured
        )
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}
