//! Gets objects of a checkpoint: from local copies where there are any, else from the store.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use weir_checkpoint::handle::ObjectRef;
use weir_checkpoint::keyed_file::{KeyedFileError, ReadRange};
use weir_storage::{ObjectPath, ObjectStore, StoreError, read_range};
use weir_types::{CheckpointId, Hash128, causes, hash128};

use super::transfers::{TRANSFERS, side_by_side};
use super::{FetchError, ReadError};
use crate::copies::LocalCopies;

/// A file is read in pieces of this size where it is only looked at.
const PIECE_BYTES: usize = 1 << 20;

/// An object elsewhere is fetched in pieces of this size where it becomes a file: several are
/// fetched at a time, and all of them are in memory.
const FETCHED_BYTES: u64 = 8 << 20;

/// Where the bytes of a restore came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sources {
    /// From local copies.
    pub(crate) local_bytes: u64,
    /// From the store.
    pub(crate) store_bytes: u64,
}

/// The objects of one checkpoint.
pub(super) struct Objects<'a> {
    store: &'a dyn ObjectStore,
    checkpoint: CheckpointId,
    copies: Option<&'a LocalCopies>,
    local_bytes: AtomicU64,
    store_bytes: AtomicU64,
    unproven: Mutex<Vec<ObjectRef>>,
}

impl<'a> Objects<'a> {
    pub(super) fn new(
        store: &'a dyn ObjectStore,
        checkpoint: CheckpointId,
        copies: Option<&'a LocalCopies>,
    ) -> Self {
        Self {
            store,
            checkpoint,
            copies,
            local_bytes: AtomicU64::new(0),
            store_bytes: AtomicU64::new(0),
            unproven: Mutex::default(),
        }
    }

    pub(super) fn location(&self) -> String {
        self.store.location()
    }

    /// How much came from where, and the objects whose copies were used as they are: a database
    /// finds out for itself whether they are whole, block by block.
    pub(super) fn end(self) -> (Sources, Vec<ObjectRef>) {
        let sources = Sources {
            local_bytes: self.local_bytes.into_inner(),
            store_bytes: self.store_bytes.into_inner(),
        };
        let unproven = self.unproven.into_inner();
        (sources, unproven.unwrap_or_else(PoisonError::into_inner))
    }

    /// A whole object.
    pub(super) fn whole(&self, object: &ObjectRef) -> Result<Vec<u8>, ReadError> {
        let with_copy = self.with_copy(object, |copy| {
            let bytes = fs::read(copy).map_err(local(copy))?;
            check(object, bytes.len() as u64, hash128(&bytes))?;
            Ok(bytes)
        });
        if let Some(bytes) = with_copy {
            add(&self.local_bytes, object.size);
            return Ok(bytes);
        }
        let path = ObjectPath::new(object.path.as_str()).map_err(ReadError::Path)?;
        let bytes = self.store.get(&path).map_err(ReadError::Store)?;
        check(object, bytes.len() as u64, hash128(&bytes))?;
        add(&self.store_bytes, object.size);
        Ok(bytes)
    }

    /// What the function makes of parts of a file of keyed state. Only they are read; the file has
    /// checksums of its own for each of them.
    pub(super) fn parts<T>(
        &self,
        object: &ObjectRef,
        make: impl Fn(&mut ReadRange<'_, FetchError>) -> Result<T, KeyedFileError<FetchError>>,
    ) -> Result<T, ReadError> {
        let read_bytes = AtomicU64::new(0);
        let with_copy = self.with_copy(object, |copy| {
            let mut file = File::open(copy).map_err(local(copy))?;
            let mut read = |range: Range<u64>| {
                add(&read_bytes, range.end - range.start);
                read_range(&mut file, &range).map_err(FetchError::Local)
            };
            let read: &mut ReadRange<'_, FetchError> = &mut read;
            make(read).map_err(ReadError::Keyed)
        });
        if let Some(made) = with_copy {
            add(&self.local_bytes, read_bytes.into_inner());
            return Ok(made);
        }
        let path = ObjectPath::new(object.path.as_str()).map_err(ReadError::Path)?;
        let mut read = |range: Range<u64>| {
            add(&self.store_bytes, range.end - range.start);
            Ok(fetch_range(self.store, &path, range)?)
        };
        let read: &mut ReadRange<'_, FetchError> = &mut read;
        make(read).map_err(ReadError::Keyed)
    }

    /// Makes an object a file. `shared`: the file will never be changed, so that it may be a link.
    pub(super) fn file(
        &self,
        object: &ObjectRef,
        target: &Path,
        shared: bool,
    ) -> Result<(), ReadError> {
        if shared {
            let linked = self.with_copy(object, |copy| {
                let found = fs::metadata(copy).map_err(local(copy))?.len();
                let want = object.size;
                if found != want {
                    return Err(ReadError::Size { found, want });
                }
                fs::hard_link(copy, target).map_err(local(copy))
            });
            if linked.is_some() {
                add(&self.local_bytes, object.size);
                let unproven = self.unproven.lock();
                let mut unproven = unproven.unwrap_or_else(PoisonError::into_inner);
                unproven.push(object.clone());
                return Ok(());
            }
            self.fetch_shared(object, target)?;
        } else {
            write(target, &self.whole(object)?)?;
        }
        if let Some(copies) = self.copies {
            copies.keep_link(self.checkpoint, object, target);
        }
        Ok(())
    }

    /// Every byte is looked at, also where the file could be linked: what is damaged is told before
    /// anything is processed.
    fn fetch_shared(&self, object: &ObjectRef, target: &Path) -> Result<(), ReadError> {
        let path = ObjectPath::new(object.path.as_str()).map_err(ReadError::Path)?;
        if let Some(source) = self.store.local_file(&path) {
            let Ok((size, checksum)) = look_at(&source) else {
                // The store says best what is wrong with it.
                return write(target, &self.whole(object)?);
            };
            check(object, size, checksum)?;
            add(&self.store_bytes, size);
            // Not on the same disk: copied.
            if fs::hard_link(&source, target).is_ok() {
                return Ok(());
            }
            return fs::copy(&source, target).map(drop).map_err(local(target));
        }
        self.fetch_pieces(object, &path, target)
    }

    /// Copies an object into a file without ever having all of it in memory.
    fn fetch_pieces(
        &self,
        object: &ObjectRef,
        path: &ObjectPath,
        target: &Path,
    ) -> Result<(), ReadError> {
        let mut file = File::create(target).map_err(local(target))?;
        let (mut at, mut hash) = (0, Hash128::new());
        while at < object.size {
            let end = object.size.min(at + FETCHED_BYTES);
            let piece = self.store.get_range(path, at..end);
            let piece = piece.map_err(ReadError::Store)?;
            hash.write(&piece);
            file.write_all(&piece).map_err(local(target))?;
            at = end;
        }
        check(object, at, hash.finish())?;
        add(&self.store_bytes, at);
        Ok(())
    }

    /// What the function makes of the local copy, if there is one and nothing is odd about it.
    fn with_copy<T>(
        &self,
        object: &ObjectRef,
        read: impl FnOnce(&Path) -> Result<T, ReadError>,
    ) -> Option<T> {
        let copies = self.copies?;
        let copy = copies.find(object)?;
        match read(&copy) {
            Ok(read) => Some(read),
            Err(error) => {
                copies.distrust(object, &causes(&error));
                None
            }
        }
    }
}

/// A part of an object elsewhere, which may be most of what a subtask has: several pieces at a
/// time.
fn fetch_range(
    store: &dyn ObjectStore,
    path: &ObjectPath,
    range: Range<u64>,
) -> Result<Vec<u8>, StoreError> {
    if range.end - range.start <= FETCHED_BYTES {
        return store.get_range(path, range);
    }
    let mut bytes = Vec::with_capacity(usize::try_from(range.end - range.start).unwrap_or(0));
    let end_of = |at: u64| range.end.min(at + FETCHED_BYTES);
    let begins = std::iter::successors(Some(range.start), |at| Some(end_of(*at)));
    let pieces: Vec<_> = begins.take_while(|at| *at < range.end).collect();
    // What is fetched and not in its place yet is bounded.
    for pieces in pieces.chunks(TRANSFERS) {
        let fetch = |at: &u64| store.get_range(path, *at..end_of(*at));
        for piece in side_by_side(pieces, fetch)? {
            bytes.extend_from_slice(&piece);
        }
    }
    Ok(bytes)
}

/// Size and checksum of a file.
fn look_at(path: &Path) -> io::Result<(u64, u128)> {
    let mut file = File::open(path)?;
    let mut piece = vec![0; PIECE_BYTES];
    let (mut size, mut hash) = (0, Hash128::new());
    loop {
        match file.read(&mut piece)? {
            0 => return Ok((size, hash.finish())),
            read => {
                size += read as u64;
                hash.write(&piece[..read]);
            }
        }
    }
}

fn check(object: &ObjectRef, found: u64, checksum: u128) -> Result<(), ReadError> {
    let want = object.size;
    if found != want {
        return Err(ReadError::Size { found, want });
    }
    let (found, want) = (checksum, object.checksum);
    if found != want {
        return Err(ReadError::Checksum { found, want });
    }
    Ok(())
}

pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), ReadError> {
    fs::write(path, bytes).map_err(local(path))
}

fn local(path: &Path) -> impl FnOnce(io::Error) -> ReadError {
    let path = path.to_owned();
    |source| ReadError::Local { path, source }
}

fn add(sum: &AtomicU64, bytes: u64) {
    sum.fetch_add(bytes, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use weir_storage::MemoryStore;

    use super::*;

    #[test]
    fn a_large_part_of_an_object_comes_together_from_pieces() {
        let store = MemoryStore::new();
        let path = ObjectPath::new("keyed").unwrap();
        let size = 5 * FETCHED_BYTES + 3;
        let content: Vec<u8> = (0..=250)
            .cycle()
            .take(usize::try_from(size).unwrap())
            .collect();
        store.create(&path, &content).unwrap();
        for range in [
            0..size,
            1..FETCHED_BYTES + 1,
            7..FETCHED_BYTES + 8,
            5..5,
            size - 1..size,
        ] {
            let part = fetch_range(&store, &path, range.clone()).unwrap();
            let want = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
            assert!(part == content[want], "{range:?}");
        }
        assert!(fetch_range(&store, &path, 0..size + 1).is_err());
    }

    #[test]
    fn an_object_that_becomes_a_file_is_looked_at_piece_by_piece() {
        let store = MemoryStore::new();
        let path = ObjectPath::new("000012.sst").unwrap();
        let size = 2 * FETCHED_BYTES + 3;
        let mut content = vec![7; usize::try_from(size).unwrap()];
        store.create(&path, &content).unwrap();
        let object = |content: &[u8]| ObjectRef {
            path: path.as_str().to_owned(),
            size: content.len() as u64,
            checksum: hash128(content),
        };
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("000012.sst");
        let fetch = |object: &ObjectRef| {
            let objects = Objects::new(&store, CheckpointId(1), None);
            let fetched = objects.file(object, &target, true);
            fetched.map(|()| objects.end().0.store_bytes)
        };
        assert_eq!(fetch(&object(&content)).unwrap(), size);
        assert!(fs::read(&target).unwrap() == content);
        content[9_000_000] ^= 1;
        let damaged = fetch(&object(&content)).unwrap_err();
        assert!(matches!(damaged, ReadError::Checksum { .. }), "{damaged}");
        content.push(7);
        let cut = fetch(&object(&content)).unwrap_err();
        assert!(cut.is_damage(), "{cut}");
    }
}
