//! Files of keyed state: which key groups of them belong to a subtask, and reading some of these.

use std::ops::Range;

use weir_checkpoint::handle::{KeyedHandle, Stored};
use weir_checkpoint::keyed_file::{Contents, KeyedFileError, ReadRange, Reader};
use weir_state::KeyedSnapshot;
use weir_types::KeyGroupRange;

use super::objects::Objects;
use super::transfers::side_by_side;
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
        let objects = self.objects;
        let (own, max_parallelism) = (self.context.key_groups, self.context.max_parallelism);
        let read = |handle: &KeyedHandle| {
            let wanted = wanted(handle, own, max_parallelism)?;
            let size = handle.stored.size();
            parts(objects, handle, |read| {
                Reader::open(read, size)?.read_groups(wanted)
            })
        };
        let entries = side_by_side(handles, |handle| {
            read(handle).map_err(|source| Box::new((*handle, source)))
        });
        entries.map_err(|failed| {
            let (handle, source) = *failed;
            self.error(&handle.stored, source)
        })
    }

    /// Reads the index of a file whose key groups are wanted some at a time.
    pub(super) fn open<'a>(&self, handle: &'a KeyedHandle) -> Result<KeyedFile<'a>, RestoreError> {
        let open = || -> Result<_, ReadError> {
            let context = self.context;
            let wanted = wanted(handle, context.key_groups, context.max_parallelism)?;
            let size = handle.stored.size();
            let contents = parts(self.objects, handle, |read| Contents::read(read, size))?;
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
        let read = parts(self.objects, file.handle, |read| {
            file.contents.read_groups(read, wanted)
        });
        read.map_err(|source| self.error(&file.handle.stored, source))
    }
}

/// The key groups of a file that belong to a subtask.
fn wanted(
    handle: &KeyedHandle,
    own: KeyGroupRange,
    max_parallelism: u32,
) -> Result<KeyGroupRange, ReadError> {
    let wanted = KeyGroupRange {
        start: own.start.max(handle.range.start),
        end: own.end.min(handle.range.end),
    };
    if wanted.start > wanted.end || handle.max_parallelism != max_parallelism {
        return Err(ReadError::KeyGroups {
            found: handle.range,
            max_parallelism: handle.max_parallelism,
        });
    }
    Ok(wanted)
}

/// What the function makes of parts of a file.
fn parts<T>(
    objects: &Objects<'_>,
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
        Stored::Object(object) => objects.parts(object, make),
        Stored::Files(_) => Err(ReadError::Files),
    }
}
