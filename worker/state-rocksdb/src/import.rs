//! A database out of the entries of snapshots, which may be more than memory holds: they come some
//! key groups at a time, in order, and so go straight into sorted files.

use std::fs;
use std::path::{Path, PathBuf};

use weir_state::{ChangeSorter, ColdError, GroupBlock, NextGroups, SnapshotFile, StateMeta};

use crate::error::Place;
use crate::expiry::Expiry;
use crate::options::Setup;
use crate::restore::open_database;
use crate::snapshot::link;
use crate::sst::{SortedFiles, each_change};

/// Makes a database in a folder, and gives another folder in it with links to its files: what a
/// checkpoint of it would be.
pub(crate) fn import(
    mut setup: Setup,
    folder: &Path,
    states: &[StateMeta],
    next: NextGroups<'_>,
) -> Result<(PathBuf, Vec<SnapshotFile>), ColdError> {
    let place = Place::new(folder);
    let options = &mut setup.options;
    options.set_db_log_dir(folder);
    // It must hold what comes now, and nothing else.
    options.set_error_if_exists(true);
    // Nothing is merged with a filter here. It is dropped after the database.
    let expiry = Expiry::default();
    let db = open_database(&folder.join("db"), (options, &expiry), states, &place)?;
    let spills = (0..states.len()).map(|nth| folder.join(format!("spill-{nth}")));
    let spills: Vec<PathBuf> = spills.collect();
    let mut numbers = vec![0; states.len()];
    // A key group comes with all its states, so each state has files that are being written.
    let mut files = Vec::with_capacity(states.len());
    for (spill, number) in spills.iter().zip(&mut numbers) {
        fs::create_dir(spill).map_err(place.io("make a folder"))?;
        files.push(SortedFiles::new(spill, &place, setup.compress, number));
    }
    let mut sorter = ChangeSorter::default();
    while let Some(groups) = next()? {
        for state in groups {
            let Some(nth) = states.iter().position(|meta| *meta == state.meta) else {
                let cause = format!("`{}` is none of the states", state.meta.name);
                return Err(place.failed("take in state", cause));
            };
            for GroupBlock { group, bytes } in &state.blocks {
                each_change(&mut sorter, *group, bytes, |key, value| match value {
                    Some(_) => files[nth].add(key, value),
                    // There is nothing before it that was to be removed.
                    None => Ok(()),
                })?;
            }
        }
    }
    for (meta, files) in states.iter().zip(files) {
        let Some(family) = db.cf_handle(&meta.name) else {
            return Err(place.failed("take in state", format!("`{}` is gone", meta.name)));
        };
        files.ingest(&db, &family)?;
    }
    let linked = folder.join("files");
    let files = link(&db, &linked, &place)?;
    Ok((linked, files))
}
