//! Sorted files that RocksDB takes in as they are.

mod block;
mod filter;
mod table;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rocksdb::{BoundColumnFamily, DBWithThreadMode, IngestExternalFileOptions, MultiThreaded};
use weir_state::{ChangeSorter, ColdError, group_prefix};
use weir_types::KeyGroup;

use self::table::Table;
use crate::error::Place;

pub(crate) type Db = DBWithThreadMode<MultiThreaded>;

/// A file of this size is finished, and another one begun.
const FILE_BYTES: u64 = 32 << 20;

/// One file, in the order of its keys.
pub(crate) struct SortedFile<'a> {
    table: Table,
    place: &'a Place,
}

impl<'a> SortedFile<'a> {
    pub(crate) fn create(path: &Path, place: &'a Place, compress: bool) -> Result<Self, ColdError> {
        let table = Table::create(path, compress);
        let table = table.map_err(place.io("make a sorted file"))?;
        Ok(Self { table, place })
    }

    /// Adds an entry; None: it is removed. Its key is larger than those before.
    #[inline]
    pub(crate) fn add(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), ColdError> {
        let added = self.table.add(key, value);
        added.map_err(self.place.io("write a sorted file"))
    }

    /// How many bytes the file has in the end.
    pub(crate) fn finish(self) -> Result<u64, ColdError> {
        let finished = self.table.finish();
        finished.map_err(self.place.io("finish a sorted file"))
    }
}

/// Writes the entries of one column family, in the order of their keys, and puts them into it.
pub(crate) struct SortedFiles<'a> {
    folder: &'a Path,
    place: &'a Place,
    compress: bool,
    /// Numbers the files; the caller's, so that no name comes twice.
    next: &'a mut u64,
    file: Option<SortedFile<'a>>,
    paths: Vec<PathBuf>,
}

impl<'a> SortedFiles<'a> {
    pub(crate) fn new(
        folder: &'a Path,
        place: &'a Place,
        compress: bool,
        next: &'a mut u64,
    ) -> Self {
        Self {
            folder,
            place,
            compress,
            next,
            file: None,
            paths: Vec::new(),
        }
    }

    /// Adds an entry; None: it is removed. Its key is larger than those before.
    #[inline]
    pub(crate) fn add(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), ColdError> {
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let path = self.folder.join(format!("{}.sst", self.next));
                *self.next += 1;
                let file = SortedFile::create(&path, self.place, self.compress)?;
                self.paths.push(path);
                none.insert(file)
            }
        };
        file.add(key, value)?;
        if file.table.len() >= FILE_BYTES {
            self.finish_file()?;
        }
        Ok(())
    }

    fn finish_file(&mut self) -> Result<(), ColdError> {
        match self.file.take() {
            Some(file) => file.finish().map(drop),
            None => Ok(()),
        }
    }

    /// Puts the files into the column family, by moving them.
    pub(crate) fn ingest(
        mut self,
        db: &Db,
        family: &Arc<BoundColumnFamily<'_>>,
    ) -> Result<(), ColdError> {
        self.finish_file()?;
        take_in(db, family, self.paths, self.place)
    }
}

/// Gives the last change of each key of a key group, in order and under the keys that files have.
pub(crate) fn each_change(
    sorter: &mut ChangeSorter,
    group: KeyGroup,
    block: &[u8],
    mut give: impl FnMut(&[u8], Option<&[u8]>) -> Result<(), ColdError>,
) -> Result<(), ColdError> {
    let prefix = group_prefix(group);
    let mut key = prefix.to_vec();
    sorter.each(block, |text, value| {
        key.truncate(prefix.len());
        key.extend_from_slice(text);
        give(&key, value)
    })
}

/// Puts whole files into a column family, by moving them. Of two with the same key the later one
/// counts.
pub(crate) fn take_in(
    db: &Db,
    family: &Arc<BoundColumnFamily<'_>>,
    paths: Vec<PathBuf>,
    place: &Place,
) -> Result<(), ColdError> {
    if paths.is_empty() {
        return Ok(());
    }
    let mut ingest = IngestExternalFileOptions::default();
    ingest.set_move_files(true);
    db.ingest_external_file_cf_opts(family, &ingest, paths)
        .map_err(place.rocksdb("take in a sorted file"))
}

#[cfg(test)]
mod tests;
