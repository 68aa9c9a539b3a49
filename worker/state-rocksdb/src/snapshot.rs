//! Snapshots of a database: links to its files, or a copy of its entries.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use rocksdb::ReadOptions;
use weir_state::{ColdError, ColdSnapshot, ColdStateId, GroupBlock, SnapshotFile, append_entry};
use weir_types::{CheckpointId, KeyGroup};

use crate::writer::{Shared, lock};

/// Copies all entries on another thread, so that writing goes on meanwhile.
pub(crate) fn copy_elsewhere(shared: &Arc<Shared>, checkpoint: CheckpointId) {
    let (frozen, is_frozen) = std::sync::mpsc::sync_channel(1);
    let copier = Arc::clone(shared);
    let copy = move || {
        let blocks = copier.copy_blocks(|| {
            // The writer waits for it.
            frozen.send(()).unwrap_or_default();
        });
        copier.say_ready(checkpoint, blocks.map(ColdSnapshot::Blocks));
    };
    let started = thread::Builder::new().name("state-copier".to_owned());
    match started.spawn(copy) {
        // What is written from here on must not be in it. No answer: it is over already.
        Ok(_) => drop(is_frozen.recv()),
        Err(error) => {
            let error = shared.place.io("start a thread that copies state")(error);
            shared.say_ready(checkpoint, Err(error));
        }
    }
}

impl Shared {
    pub(crate) fn link_files(&self, checkpoint: CheckpointId) -> Result<ColdSnapshot, ColdError> {
        let folder = self.folder.checkpoint(checkpoint);
        if folder.exists() {
            let removed = fs::remove_dir_all(&folder);
            removed.map_err(self.place.io("remove the files of a snapshot before"))?;
        }
        rocksdb::checkpoint::Checkpoint::new(&self.db)
            .and_then(|links| links.create_checkpoint(&folder))
            .map_err(self.place.rocksdb("link the files of a snapshot"))?;
        let files = list_files(&folder).map_err(self.place.io("list the files of a snapshot"))?;
        Ok(ColdSnapshot::Files { folder, files })
    }

    fn copy_blocks(
        &self,
        frozen: impl FnOnce(),
    ) -> Result<Vec<(ColdStateId, Vec<GroupBlock>)>, ColdError> {
        let snapshot = self.db.snapshot();
        let names = lock(&self.families).clone();
        frozen();
        let mut states = Vec::new();
        for (state, name) in (0..).map(ColdStateId).zip(names) {
            let Some(family) = self.db.cf_handle(&name) else {
                continue;
            };
            let mut options = ReadOptions::default();
            options.fill_cache(false);
            let mut blocks = Vec::<GroupBlock>::new();
            let mut entries = snapshot.raw_iterator_cf_opt(&family, options);
            entries.seek_to_first();
            while let Some((key, value)) = entries.item() {
                let (group, text) = split_key(key)
                    .ok_or_else(|| self.place.failed("copy state", "a key has no key group"))?;
                if blocks.last().is_none_or(|last| last.group != group) {
                    if self.closing.load(Ordering::Relaxed) {
                        return Err(self.place.failed("copy state", "the subtask ended"));
                    }
                    let bytes = Vec::new();
                    blocks.push(GroupBlock { group, bytes });
                }
                if let Some(last) = blocks.last_mut() {
                    append_entry(text, value, &mut last.bytes);
                }
                entries.next();
            }
            entries.status().map_err(self.place.rocksdb("copy state"))?;
            states.push((state, blocks));
        }
        Ok(states)
    }
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
            name,
        });
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}
