//! Files of keyed state: which key groups of them belong to a subtask, and reading some of these.

use std::ops::Range;

use weir_checkpoint::handle::{KeyedHandle, Stored};
use weir_checkpoint::keyed_file::{Contents, KeyedFileError, ReadRange, Reader};
use weir_state::KeyedSnapshot;
use weir_types::KeyGroupRange;

use super::{FetchError, ReadError, Reading, RestoreError};

/// A file whose index was read.
pub(super) struct KeyedFile<'a> {
    pub(super) handle: &'a KeyedHandle,
    /// Its key groups that belong to this subtask.
    pub(super) wanted: KeyGroupRange,
    pub(super) contents: Contents,
}

impl KeyedFile<'_> {
    /// How much there is to read.
    pub(super) fn bytes(&self) -> u64 {
        let groups = self.wanted.iter();
        let bytes = groups.map(|group| self.contents.bytes_of(group));
        bytes.fold(0, u64::saturating_add)
    }
}

impl Reading<'_> {
    /// All that this subtask gets of some files, in memory.
    pub(super) fn entries(
        &self,
        handles: &[&KeyedHandle],
    ) -> Result<Vec<KeyedSnapshot>, RestoreError> {
        let read = |handle: &&KeyedHandle| {
            let (wanted, size) = (self.wanted(handle)?, handle.stored.size());
            self.parts(handle, |read| Reader::open(read, size)?.read_groups(wanted))
        };
        let entries = handles
            .iter()
            .map(|handle| read(handle).map_err(|source| self.error(&handle.stored, source)));
        entries.collect()
    }

    /// Reads the index of a file whose key groups are wanted some at a time.
    pub(super) fn open<'a>(&self, handle: &'a KeyedHandle) -> Result<KeyedFile<'a>, RestoreError> {
        let open = || -> Result<_, ReadError> {
            let wanted = self.wanted(handle)?;
            let size = handle.stored.size();
            let contents = self.parts(handle, |read| Contents::read(read, size))?;
            Ok(KeyedFile {
                handle,
                wanted,
                contents,
            })
        };
        open().map_err(|source| self.error(&handle.stored, source))
    }

    /// Reads some key groups of a file. Only they are read; the file has checksums of its own for
    /// each of them.
    pub(super) fn groups(
        &self,
        file: &KeyedFile<'_>,
        wanted: KeyGroupRange,
    ) -> Result<KeyedSnapshot, RestoreError> {
        let read = self.parts(file.handle, |read| file.contents.read_groups(read, wanted));
        read.map_err(|source| self.error(&file.handle.stored, source))
    }

    fn wanted(&self, handle: &KeyedHandle) -> Result<KeyGroupRange, ReadError> {
        let own = self.context.key_groups;
        let wanted = KeyGroupRange {
            start: own.start.max(handle.range.start),
            end: own.end.min(handle.range.end),
        };
        if wanted.start > wanted.end || handle.max_parallelism != self.context.max_parallelism {
            return Err(ReadError::KeyGroups {
                found: handle.range,
                max_parallelism: handle.max_parallelism,
            });
        }
        Ok(wanted)
    }

    /// What the function makes of parts of a file.
    fn parts<T>(
        &self,
        handle: &KeyedHandle,
        make: impl Fn(&mut ReadRange<'_, FetchError>) -> Result<T, KeyedFileError<FetchError>>,
    ) -> Result<T, ReadError> {
        match &handle.stored {
            Stored::Inline(bytes) => {
                let mut read = |range: Range<u64>| {
                    let (start, end) = (usize::try_from(range.start), usize::try_from(range.end));
                    let part = start.ok().zip(end.ok());
                    let part = part.and_then(|(start, end)| bytes.get(start..end));
                    part.map(<[u8]>::to_vec)
                        .ok_or(FetchError::Range(bytes.len()))
                };
                let read: &mut ReadRange<'_, FetchError> = &mut read;
                make(read).map_err(ReadError::Keyed)
            }
            Stored::Object(object) => self.objects.parts(object, make),
            Stored::Files(_) => Err(ReadError::Files),
        }
    }
}
