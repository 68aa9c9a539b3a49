//! Snapshots of a database: links to its files, or a copy of its entries.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use rocksdb::ReadOptions;
use weir_state::{ColdError, ColdSnapshot, ColdStateId, SnapshotFile};
use weir_types::{CheckpointId, KeyGroup};

use crate::error::Place;
use crate::removal::remove;
use crate::shared::{Asked, Shared, lock};
use crate::spill::Spill;
use crate::sst::Db;

/// Copies all entries on another thread, so that writing goes on meanwhile.
pub(crate) fn copy_elsewhere(shared: &Arc<Shared>, asked: &Asked) {
    let (frozen, is_frozen) = std::sync::mpsc::sync_channel(1);
    let (copier, wanted) = (Arc::clone(shared), asked.clone());
    let copy = move || {
        let copied = copier.copy_blocks(&wanted, || {
            // The writer waits for it.
            frozen.send(()).unwrap_or_default();
        });
        copier.say_ready(&wanted, copied);
    };
    let started = thread::Builder::new().name("state-copier".to_owned());
    match started.spawn(copy) {
        // What is written from here on must not be in it. No answer: it is over already.
        Ok(_) => drop(is_frozen.recv()),
        Err(error) => {
            let error = shared.place.io("start a thread that copies state")(error);
            shared.say_ready(asked, Err(error));
        }
    }
}

impl Shared {
    /// Links the files that the database has now, for this checkpoint and for later ones.
    pub(crate) fn link_files(
        &self,
        checkpoint: CheckpointId,
    ) -> Result<Vec<SnapshotFile>, ColdError> {
        let folder = self.free_folder(checkpoint)?;
        // Before it is there: whoever aborts the checkpoint meanwhile leaves it.
        self.folder.keep(Some(checkpoint));
        link(&self.db, &folder, &self.place)
    }

    /// Links the files that were linked for an earlier checkpoint.
    pub(crate) fn link_again(
        &self,
        (earlier, files): (CheckpointId, &[SnapshotFile]),
        checkpoint: CheckpointId,
    ) -> Result<(), ColdError> {
        let from = self.folder.checkpoint(earlier);
        let into = self.free_folder(checkpoint)?;
        fs::create_dir(&into).map_err(self.place.io("make a folder for a snapshot"))?;
        for file in files {
            let linked = fs::hard_link(from.join(&file.name), into.join(&file.name));
            linked.map_err(self.place.io("link the files of a snapshot"))?;
        }
        Ok(())
    }

    /// Where the folder of a checkpoint is to be: nothing is there.
    fn free_folder(&self, checkpoint: CheckpointId) -> Result<PathBuf, ColdError> {
        let folder = self.folder.checkpoint(checkpoint);
        let removed = remove(&folder);
        removed.map_err(self.place.io("remove the files of a snapshot before"))?;
        Ok(folder)
    }

    /// Copies all entries into a file on the same disk: memory may not hold them.
    fn copy_blocks(&self, asked: &Asked, frozen: impl FnOnce()) -> Result<ColdSnapshot, ColdError> {
        let snapshot = self.db.snapshot();
        let names = lock(&self.families).clone();
        frozen();
        let mut spill = Spill::create(&self.folder.copy(asked.checkpoint), &self.place)?;
        let mut states = Vec::new();
        for (state, name) in (0..).map(ColdStateId).zip(names) {
            let Some(family) = self.db.cf_handle(&name) else {
                continue;
            };
            let mut options = ReadOptions::default();
            options.fill_cache(false);
            let mut blocks = Vec::new();
            let mut entries = snapshot.raw_iterator_cf_opt(&family, options);
            entries.seek_to_first();
            while let Some((key, value)) = entries.item() {
                let (group, text) = split_key(key)
                    .ok_or_else(|| self.place.failed("copy state", "a key has no key group"))?;
                if spill.group() != Some(group) {
                    blocks.extend(spill.end_block());
                    spill.begin_block(group);
                }
                if spill.add(text, value)? {
                    self.check_wanted(asked)?;
                }
                entries.next();
            }
            blocks.extend(spill.end_block());
            entries.status().map_err(self.place.rocksdb("copy state"))?;
            states.push((state, blocks));
        }
        self.check_wanted(asked)?;
        let file = spill.finish()?;
        Ok(ColdSnapshot::Spilled { file, states })
    }
}

/// Links the files that a database has now into a folder that is not there yet.
pub(crate) fn link(db: &Db, folder: &Path, place: &Place) -> Result<Vec<SnapshotFile>, ColdError> {
    rocksdb::checkpoint::Checkpoint::new(db)
        .and_then(|links| links.create_checkpoint(folder))
        .map_err(place.rocksdb("link the files of a snapshot"))?;
    list_files(folder).map_err(place.io("list the files of a snapshot"))
}

fn split_key(key: &[u8]) -> Option<(KeyGroup, &[u8])> {
    let (group, text) = key.split_first_chunk::<2>()?;
    Some((KeyGroup(u16::from_be_bytes(*group)), text))
}

fn list_files(folder: &Path) -> std::io::Result<Vec<SnapshotFile>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // How the database was opened; whoever opens it again says so anew.
        if name.starts_with("OPTIONS-") {
            continue;
        }
        files.push(SnapshotFile {
            bytes: entry.metadata()?.len(),
            shared: name.ends_with(".sst"),
            grows: name.starts_with("MANIFEST-"),
            name,
        });
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}
