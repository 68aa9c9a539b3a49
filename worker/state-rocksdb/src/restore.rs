//! A database out of the files of checkpoints: those of the same key groups are linked and opened
//! as they are; of others, the one that brings the most key groups is opened and cut to those
//! wanted, and the rest is read in order and written as sorted files. Files that another database
//! wrote are never put into this one: they may hold key groups that they must not bring, and
//! numbers of changes that mean nothing here.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use rocksdb::{ColumnFamilyDescriptor, Options, ReadOptions, WriteOptions};
use weir_state::{BackendRequest, ColdError, FileSnapshot, StateMeta, group_prefix};
use weir_types::{KeyGroup, KeyGroupRange};

use crate::beside::{self, is_beside};
use crate::error::Place;
use crate::expiry::Expiry;
use crate::folder::Folder;
use crate::options::Setup;
use crate::sst::{Db, SortedFiles, take_in};

/// RocksDB's own column family, which stays empty.
const UNUSED: &str = "default";

/// Opens a database and says which states are in it.
pub(crate) fn open(
    folder: &Folder,
    setup: &Setup,
    expiry: &Expiry,
    request: &BackendRequest,
) -> Result<(Db, Vec<StateMeta>), ColdError> {
    let place = Place::new(folder.path());
    let wanted = request.key_groups;
    let mut sources: Vec<&FileSnapshot> = request.files.iter().collect();
    sources.retain(|source| common(source.range, wanted) > 0);
    sources.sort_by_key(|source| std::cmp::Reverse(common(source.range, wanted)));
    check(request, &place)?;
    let metas = union(&sources, &place)?;
    let path = folder.database();
    let options = &setup.options;
    let Some((base, others)) = sources.split_first() else {
        let db = open_database(&path, (options, expiry), &metas, &place)?;
        return Ok((db, metas));
    };
    link(base, &path).map_err(place.io("link the files of a checkpoint"))?;
    let db = open_database(&path, (options, expiry), &metas, &place)?;
    let mut next_file = 0;
    for source in others {
        copy(&db, setup, (folder, &mut next_file), (source, wanted))?;
    }
    for source in &sources {
        take_in_beside(&db, folder, source)?;
    }
    clip(&db, &metas, wanted).map_err(place.rocksdb("cut a database"))?;
    Ok((db, metas))
}

/// Puts the changes beside a snapshot's files into the database: they are newer than those.
fn take_in_beside(db: &Db, folder: &Folder, source: &FileSnapshot) -> Result<(), ColdError> {
    let place = Place::new(folder.path());
    let spill = folder.spill();
    for meta in &source.states {
        let Some(family) = db.cf_handle(&meta.name) else {
            return Err(place.failed("take in changes", format!("`{}` is gone", meta.name)));
        };
        // They are moved from there, and the source keeps its own.
        let linked = beside::find(source, &meta.name).into_iter().map(|beside| {
            let link = spill.join(beside.file_name().unwrap_or_default());
            link_or_copy(&beside, &link).map(|()| link)
        });
        let linked = linked.collect::<io::Result<_>>();
        let linked = linked.map_err(place.io("link changes"))?;
        take_in(db, &family, linked, &place)?;
    }
    Ok(())
}

/// Files must be whole, and hold no key group twice. Whether all are there is for whoever knows
/// what is restored beside them.
fn check(request: &BackendRequest, place: &Place) -> Result<(), ColdError> {
    let files = &request.files;
    if files.is_empty() {
        return Ok(());
    }
    let refuse = |cause: String| Err(place.failed("restore files", cause));
    for source in files {
        if source.spilled.is_some() {
            return refuse("entries were given where files of a database are wanted".to_owned());
        }
        if source.max_parallelism != request.max_parallelism {
            return refuse(format!(
                "the job has {} key groups and checkpoint {} has {}",
                request.max_parallelism, source.checkpoint, source.max_parallelism
            ));
        }
        for file in &source.files {
            let path = source.folder.join(&file.name);
            let bytes = fs::metadata(&path).map(|found| found.len());
            let bytes = bytes.map_err(place.io("look for a file of a checkpoint"))?;
            if bytes != file.bytes {
                let path = path.display();
                return refuse(format!(
                    "{path} has {bytes} bytes instead of {}",
                    file.bytes
                ));
            }
        }
    }
    let twice = |group: &KeyGroup| {
        let sources = files.iter().filter(|source| source.range.contains(*group));
        sources.count() > 1
    };
    match request.key_groups.iter().find(twice) {
        Some(group) => refuse(format!("key group {group} is in more than one checkpoint")),
        None => Ok(()),
    }
}

fn common(a: KeyGroupRange, b: KeyGroupRange) -> usize {
    a.iter().filter(|group| b.contains(*group)).count()
}

fn union(sources: &[&FileSnapshot], place: &Place) -> Result<Vec<StateMeta>, ColdError> {
    let mut metas = BTreeMap::<&str, &StateMeta>::new();
    for meta in sources.iter().flat_map(|source| &source.states) {
        let known = metas.entry(&meta.name).or_insert(meta);
        if *known != meta {
            let cause = format!(
                "state `{}` was written in two encodings; restore from a savepoint instead",
                meta.name
            );
            return Err(place.failed("restore files", cause));
        }
    }
    Ok(metas.into_values().cloned().collect())
}

/// Opens a database; states that are not wanted any more go.
pub(crate) fn open_database(
    path: &Path,
    (options, expiry): (&Options, &Expiry),
    metas: &[StateMeta],
    place: &Place,
) -> Result<Db, ColdError> {
    let failed = place.rocksdb("open a database");
    let existing = if path.join("CURRENT").exists() {
        Db::list_cf(options, path).map_err(&failed)?
    } else {
        vec![UNUSED.to_owned()]
    };
    let families = existing.iter();
    let families =
        families.map(|name| ColumnFamilyDescriptor::new(name, expiry.options(name, options)));
    let db = Db::open_cf_descriptors(options, path, families).map_err(&failed)?;
    for name in &existing {
        if name != UNUSED && metas.iter().all(|meta| meta.name != *name) {
            db.drop_cf(name).map_err(&failed)?;
        }
    }
    for meta in metas {
        if db.cf_handle(&meta.name).is_none() {
            let options = expiry.options(&meta.name, options);
            db.create_cf(&meta.name, &options).map_err(&failed)?;
        }
    }
    Ok(db)
}

/// Links what never changes and copies the rest.
fn link(source: &FileSnapshot, into: &Path) -> io::Result<()> {
    fs::create_dir_all(into)?;
    let files = source.files.iter();
    for file in files.filter(|file| !is_beside(file)) {
        let (from, to) = (source.folder.join(&file.name), into.join(&file.name));
        match file.shared {
            true => link_or_copy(&from, &to)?,
            false => fs::copy(&from, &to).map(drop)?,
        }
    }
    Ok(())
}

/// A file that nobody changes is copied if it is not on the same disk.
fn link_or_copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::hard_link(from, to).or_else(|_| fs::copy(from, to).map(drop))
}

/// Removes the key groups that are not wanted. Which ones are there is asked of the database: its
/// files may hold more than those that count.
fn clip(db: &Db, metas: &[StateMeta], wanted: KeyGroupRange) -> Result<(), rocksdb::Error> {
    let mut unlogged = WriteOptions::default();
    unlogged.disable_wal(true);
    let (from, behind) = (bound(wanted.start), bound(wanted.end + 1));
    for meta in metas {
        let Some(family) = db.cf_handle(&meta.name) else {
            continue;
        };
        let mut entries = db.raw_iterator_cf(&family);
        entries.seek_to_first();
        let before = entries.key().is_some_and(|key| key < &from[..]);
        entries.seek_to_last();
        let after = entries.key().is_some_and(|key| key >= &behind[..]);
        entries.status()?;
        drop(entries);
        if before {
            db.delete_range_cf_opt(&family, &[][..], &from[..], &unlogged)?;
        }
        if after {
            // No key group has the largest number.
            db.delete_range_cf_opt(&family, &behind[..], &[u8::MAX; 2][..], &unlogged)?;
        }
        if before || after {
            db.flush_cf(&family)?;
        }
    }
    Ok(())
}

fn bound(group: u16) -> [u8; 2] {
    group_prefix(KeyGroup(group))
}

/// Copies the wanted key groups of one checkpoint into the database.
fn copy(
    db: &Db,
    Setup { options, compress }: &Setup,
    (folder, next_file): (&Folder, &mut u64),
    (source, wanted): (&FileSnapshot, KeyGroupRange),
) -> Result<(), ColdError> {
    let place = Place::new(&source.folder);
    let failed = place.rocksdb("read the files of a checkpoint");
    let names = Db::list_cf(options, &source.folder).map_err(&failed)?;
    let from = Db::open_cf_for_read_only(options, &source.folder, &names, false);
    let from = from.map_err(&failed)?;
    let own = Place::new(folder.path());
    let spill = folder.spill();
    for meta in &source.states {
        let (Some(old), Some(new)) = (from.cf_handle(&meta.name), db.cf_handle(&meta.name)) else {
            continue;
        };
        let start = source.range.start.max(wanted.start);
        let end = source.range.end.min(wanted.end);
        let mut range = ReadOptions::default();
        range.set_iterate_upper_bound(bound(end + 1));
        range.fill_cache(false);
        let mut files = SortedFiles::new(&spill, &own, *compress, next_file);
        let mut entries = from.raw_iterator_cf_opt(&old, range);
        entries.seek(bound(start));
        while let Some((key, value)) = entries.item() {
            files.add(key, Some(value))?;
            entries.next();
        }
        entries.status().map_err(&failed)?;
        files.ingest(db, &new)?;
    }
    Ok(())
}
