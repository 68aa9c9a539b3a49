//! Progress for logs and pipes: a line per vertex, in `key=value` form.

use std::time::Duration;

use weir_rpc::JobDetails;

use crate::progress::model::Row;
use crate::progress::recovery::Recovery;

/// The lines of one look at the job, without the last line break.
pub(super) fn of(job: &JobDetails, rows: &[Row], recovery: &Recovery, age: Duration) -> String {
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
    let recovery = recovery.fields().map(|fields| format!("{at} {fields}"));
    let lines = rows.iter().map(line).chain(recovery);
    lines.collect::<Vec<_>>().join("\n")
}
