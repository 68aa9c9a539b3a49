//! Sorted files that RocksDB takes in as they are.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rocksdb::{BoundColumnFamily, DBWithThreadMode, IngestExternalFileOptions, MultiThreaded};
use rocksdb::{Options, SstFileWriter};
use weir_state::ColdError;

use crate::error::Place;

pub(crate) type Db = DBWithThreadMode<MultiThreaded>;

/// A file of this size is finished, and another one begun.
const FILE_BYTES: u64 = 32 << 20;

/// Writes the entries of one column family, in the order of their keys, and puts them into it.
pub(crate) struct SortedFiles<'a> {
    folder: &'a Path,
    place: &'a Place,
    options: &'a Options,
    /// Numbers the files; the caller's, so that no name comes twice.
    next: &'a mut u64,
    writer: Option<(SstFileWriter<'a>, u64)>,
    paths: Vec<PathBuf>,
}

impl<'a> SortedFiles<'a> {
    pub(crate) fn new(
        folder: &'a Path,
        place: &'a Place,
        options: &'a Options,
        next: &'a mut u64,
    ) -> Self {
        Self {
            folder,
            place,
            options,
            next,
            writer: None,
            paths: Vec::new(),
        }
    }

    /// Adds an entry; None: it is removed. Its key is larger than those before.
    pub(crate) fn add(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), ColdError> {
        let failed = self.place.rocksdb("write a sorted file");
        if self.writer.is_none() {
            let path = self.folder.join(format!("{}.sst", self.next));
            *self.next += 1;
            let writer = SstFileWriter::create(self.options);
            writer.open(&path).map_err(&failed)?;
            self.paths.push(path);
            self.writer = Some((writer, 0));
        }
        let Some((writer, bytes)) = &mut self.writer else {
            return Ok(());
        };
        match value {
            Some(value) => writer.put(key, value),
            None => writer.delete(key),
        }
        .map_err(&failed)?;
        *bytes += (key.len() + value.map_or(0, <[u8]>::len)) as u64;
        if *bytes >= FILE_BYTES {
            self.finish_file()?;
        }
        Ok(())
    }

    fn finish_file(&mut self) -> Result<(), ColdError> {
        match self.writer.take() {
            Some((mut writer, _)) => writer
                .finish()
                .map_err(self.place.rocksdb("finish a sorted file")),
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
        if self.paths.is_empty() {
            return Ok(());
        }
        let mut ingest = IngestExternalFileOptions::default();
        ingest.set_move_files(true);
        db.ingest_external_file_cf_opts(family, &ingest, self.paths)
            .map_err(self.place.rocksdb("take in a sorted file"))
    }
}
