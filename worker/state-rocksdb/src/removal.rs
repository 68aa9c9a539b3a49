//! Removes folders on a thread of its own. The system takes some ten milliseconds for a large file,
//! and whoever starts a subtask again waits until its former attempt has ended. Nor is it done at
//! once: the next attempt makes files durable, for which the system waits for whatever else is
//! going on in the file system.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::shared::lock;

/// So many folders may wait: beyond that whoever comes removes his own.
const WAITING_MAX: usize = 64;

/// For so long nothing is removed: as long as a subtask may need to be back.
const PAUSE: Duration = Duration::from_secs(3);

/// The folders of a slot that are to be removed. They are when this has been dropped.
#[derive(Debug, Default)]
pub(crate) struct Removals(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    hurries: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    folders: VecDeque<PathBuf>,
    /// Somebody waits for the end.
    hurry: bool,
    /// The thread is at work, and takes what comes.
    served: bool,
    /// The last one that was started.
    thread: Option<JoinHandle<()>>,
}

impl Removals {
    /// Takes a folder out of the way at once, to this place, where it is removed by and by.
    pub(crate) fn put_away(&self, folder: &Path, place: PathBuf) -> io::Result<()> {
        if lock(&self.0.waiting).folders.len() >= WAITING_MAX {
            return remove(folder);
        }
        match fs::rename(folder, &place) {
            Ok(()) => {
                self.remove_soon(place);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            // Something is in that place.
            Err(_) => remove(folder),
        }
    }

    /// Removes a folder that is in nobody's way.
    pub(crate) fn remove_soon(&self, folder: PathBuf) {
        let mut waiting = lock(&self.0.waiting);
        waiting.folders.push_back(folder);
        if waiting.served {
            return;
        }
        let shared = Arc::clone(&self.0);
        let thread = thread::Builder::new().name("state-removal".to_owned());
        let work = move || {
            shared.pause();
            shared.remove_all();
        };
        match thread.spawn(work) {
            Ok(started) => {
                waiting.served = true;
                waiting.thread = Some(started);
            }
            Err(_) => {
                drop(waiting);
                self.0.remove_all();
            }
        }
    }
}

impl Drop for Removals {
    fn drop(&mut self) {
        let mut waiting = lock(&self.0.waiting);
        waiting.hurry = true;
        self.0.hurries.notify_all();
        let thread = waiting.thread.take();
        drop(waiting);
        if let Some(thread) = thread {
            // What stays goes with the folder of the process.
            drop(thread.join());
        }
    }
}

impl Shared {
    fn pause(&self) {
        let waiting = lock(&self.waiting);
        let in_time = |waiting: &mut Waiting| !waiting.hurry;
        let paused = self.hurries.wait_timeout_while(waiting, PAUSE, in_time);
        drop(paused.unwrap_or_else(PoisonError::into_inner));
    }

    fn remove_all(&self) {
        loop {
            let mut waiting = lock(&self.waiting);
            let Some(folder) = waiting.folders.pop_front() else {
                waiting.served = false;
                return;
            };
            drop(waiting);
            // What stays goes with the folder of the process.
            drop(remove(&folder));
        }
    }
}

/// Removes a folder, if it is there.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(folder: &Path) {
        fs::create_dir_all(folder.join("db")).unwrap();
        fs::write(folder.join("db/000007.sst"), "x").unwrap();
    }

    #[test]
    fn a_folder_is_out_of_the_way_at_once_and_gone_in_the_end() {
        let base = tempfile::tempdir().unwrap();
        let removals = Removals::default();
        for n in 0..10 {
            let folder = base.path().join("1-0");
            filled(&folder);
            let place = base.path().join(format!("removed-{n}"));
            removals.put_away(&folder, place).unwrap();
            assert!(!folder.exists());
        }
        drop(removals);
        assert_eq!(fs::read_dir(base.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_whose_place_is_taken_is_removed_at_once_and_none_is_none() {
        let base = tempfile::tempdir().unwrap();
        let (folder, place) = (base.path().join("1-0"), base.path().join("removed"));
        filled(&folder);
        filled(&place);
        let removals = Removals::default();
        removals.put_away(&folder, place.clone()).unwrap();
        assert!(!folder.exists() && place.exists());
        removals
            .put_away(&folder, base.path().join("other"))
            .unwrap();
    }

    #[test]
    fn when_many_wait_whoever_comes_removes_his_own() {
        let base = tempfile::tempdir().unwrap();
        let removals = Removals::default();
        let mut waiting = lock(&removals.0.waiting);
        waiting.served = true;
        waiting.folders = (0..WAITING_MAX).map(|_| PathBuf::new()).collect();
        drop(waiting);
        let (folder, place) = (base.path().join("1-0"), base.path().join("removed"));
        filled(&folder);
        removals.put_away(&folder, place.clone()).unwrap();
        assert!(!folder.exists() && !place.exists());
    }
}
