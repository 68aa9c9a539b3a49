//! What the processes of a party have said, for whoever wants to know why a test failed.

use std::path::PathBuf;
use std::{fs, thread};

use super::Party;

/// How much of a log is shown when a test has failed.
const LOG_BYTES: usize = 3_000;

impl Party {
    fn logs(&self) -> Vec<(String, String)> {
        let name = |what: &str, at: usize| format!("{what} {at}");
        let managers = self.seats.iter().enumerate().filter_map(|(at, seat)| {
            let process = &seat.manager.as_ref()?.process;
            Some((name("jobmanager", at), process.stderr()))
        });
        let workers = self.taskmanagers.iter().enumerate();
        let workers =
            workers.filter_map(|(at, it)| Some((name("taskmanager", at), it.as_ref()?.stderr())));
        let gone = self
            .gone
            .iter()
            .map(|(name, it)| (format!("{name}, killed"), it.stderr()));
        gone.chain(managers).chain(workers).collect()
    }
}

impl Drop for Party {
    fn drop(&mut self) {
        if !thread::panicking() {
            return;
        }
        let keep = std::env::var_os("WEIR_TEST_KEEP").map(PathBuf::from);
        for (at, (name, log)) in self.logs().into_iter().enumerate() {
            let start = log.len().saturating_sub(LOG_BYTES);
            let start = (start..=log.len())
                .find(|at| log.is_char_boundary(*at))
                .unwrap_or(0);
            eprintln!("--- {name} ---\n{}", &log[start..]);
            if let Some(keep) = &keep {
                drop(fs::create_dir_all(keep));
                drop(fs::write(keep.join(format!("{at:02} {name}.log")), log));
            }
        }
    }
}
