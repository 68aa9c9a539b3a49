//! The local folder of one attempt, and what a killed process may have left beside it.
//!
//! ```text
//! <job's folder>/<operator>-<subtask>/<epoch>-<attempt>/db       the database
//!                                                     /spill    files on their way into it
//!                                                     /chk-<n>  hard links for a checkpoint
//!                                                     /copy-<n> entries for one, for a moment
//!               /removed-<operator>-<subtask>-<epoch>-<attempt>  the whole, while it is removed
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use weir_state::{BackendRequest, ColdError};
use weir_types::{CheckpointId, ExecutionAttemptId};

use crate::error::Place;
use crate::removal::{Removals, remove};
use crate::shared::lock;

/// The folder, which goes when this is dropped.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    attempt: ExecutionAttemptId,
    /// Where it is while it is removed.
    removed: PathBuf,
    kept: Mutex<Option<Kept>>,
    removals: Arc<Removals>,
}

/// The folder of a checkpoint that stays when that is confirmed or aborted.
#[derive(Debug)]
struct Kept {
    checkpoint: CheckpointId,
    /// It is neither yet.
    wanted: bool,
}

impl Folder {
    /// Makes the folder of an attempt and removes those of earlier attempts of the subtask.
    pub(crate) fn create(
        job: &Path,
        request: &BackendRequest,
        removals: &Arc<Removals>,
    ) -> Result<Self, ColdError> {
        let attempt = request.attempt;
        let own = (attempt.epoch.0, attempt.attempt.0);
        let parent = format!("{}-{}", request.operator, attempt.subtask);
        let removed = |(epoch, attempt)| job.join(format!("removed-{parent}-{epoch}-{attempt}"));
        let path = job.join(&parent);
        let place = Place::new(&path);
        for name in names(&path).map_err(place.io("look for folders of earlier attempts"))? {
            // Also its own: a process that was killed may be back with the same numbers.
            let Some(other) = parse(&name).filter(|other| *other <= own) else {
                continue;
            };
            removals
                .put_away(&path.join(name), removed(other))
                .map_err(place.io("remove the folder of an earlier attempt"))?;
        }
        let folder = Self {
            path: path.join(format!("{}-{}", own.0, own.1)),
            attempt,
            removed: removed(own),
            kept: Mutex::default(),
            removals: Arc::clone(removals),
        };
        fs::create_dir_all(folder.spill()).map_err(place.io("make a folder"))?;
        Ok(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whose it is.
    pub(crate) fn attempt(&self) -> ExecutionAttemptId {
        self.attempt
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.path.join("db")
    }

    pub(crate) fn spill(&self) -> PathBuf {
        self.path.join("spill")
    }

    pub(crate) fn checkpoint(&self, checkpoint: CheckpointId) -> PathBuf {
        self.path.join(format!("chk-{checkpoint}"))
    }

    /// Where a file begins its life for entries of a checkpoint.
    pub(crate) fn copy(&self, checkpoint: CheckpointId) -> PathBuf {
        self.path.join(format!("copy-{checkpoint}"))
    }

    /// The folder of this checkpoint stays, whatever becomes of that, until another one is named:
    /// its links are those that the folders of later ones are made of.
    pub(crate) fn keep(&self, checkpoint: Option<CheckpointId>) {
        let kept = checkpoint.map(|checkpoint| Kept {
            checkpoint,
            wanted: true,
        });
        let before = std::mem::replace(&mut *lock(&self.kept), kept);
        if let Some(before) = before.filter(|kept| !kept.wanted)
            && checkpoint != Some(before.checkpoint)
        {
            // What stays is removed with the whole folder.
            drop(remove(&self.checkpoint(before.checkpoint)));
        }
    }

    /// The folder that is kept is one more time that of a snapshot.
    pub(crate) fn want_kept(&self) {
        if let Some(kept) = &mut *lock(&self.kept) {
            kept.wanted = true;
        }
    }

    /// Removes the folders of checkpoints that the function names.
    pub(crate) fn remove_checkpoints(&self, mut gone: impl FnMut(CheckpointId) -> bool) {
        let Ok(found) = fs::read_dir(&self.path) else {
            return;
        };
        for entry in found.flatten() {
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix("chk-"));
            let number = number.and_then(|number| number.parse().ok());
            let Some(number) = number.map(CheckpointId).filter(|number| gone(*number)) else {
                continue;
            };
            if let Some(kept) = &mut *lock(&self.kept)
                && kept.checkpoint == number
            {
                kept.wanted = false;
                continue;
            }
            // What stays is removed with the whole folder.
            drop(remove(&entry.path()));
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let removed = std::mem::take(&mut self.removed);
        // What stays is removed by the next attempt.
        drop(self.removals.put_away(&self.path, removed));
        if let Some(parent) = self.path.parent() {
            // Succeeds once no other attempt is in it.
            drop(fs::remove_dir(parent));
        }
    }
}

/// What is in a folder, if it is there. Nobody's names but ours can be read.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    let found = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        found => found?,
    };
    let names = found.map(|entry| Ok(entry?.file_name().into_string().ok()));
    names.filter_map(io::Result::transpose).collect()
}

fn parse(name: &str) -> Option<(u64, u32)> {
    let (epoch, attempt) = name.split_once('-')?;
    Some((epoch.parse().ok()?, attempt.parse().ok()?))
}
