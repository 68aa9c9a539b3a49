//! Registers of a local store.
//!
//! Version *k* of `pointer` is the file `pointer.<k>`; the highest is the current one. Moving on
//! from version *k* links a complete file to `pointer.<k+1>`: of any number of writers only one
//! can. (Comparing first and renaming then would let two of them win.) The two newest files stay.
//!
//! A writer may stand still between its look at the highest number and its link, for longer than it
//! takes others to move on so far that `pointer.<k+1>` has been made *and removed again*. Its link
//! then succeeds although it has lost. So it looks once more afterwards. `pointer.<k+1>` is only
//! removed once `pointer.<k+3>` exists: if there is nothing that high, it won. If there is, it has
//! either lost or won and been superseded at once, and nothing here can tell which: `InDoubt`. In
//! both cases the file it made is below the highest, so nobody reads it, and the next writer
//! removes it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::LocalStore;
use crate::object_store::Version;
use crate::{ObjectPath, StoreError, StoreErrorKind};

/// How often a read starts again because versions are removed under it.
const READ_ATTEMPTS: usize = 1_000;

/// The register and the number that a file name stands for.
pub(super) fn split(name: &str) -> Option<(&str, u64)> {
    let (register, number) = name.rsplit_once('.')?;
    let canonical = number.starts_with(|c: char| ('1'..='9').contains(&c))
        && number.bytes().all(|b| b.is_ascii_digit());
    if register.is_empty() || !canonical {
        return None;
    }
    Some((register, number.parse().ok()?))
}

fn version_file(register: &Path, number: u64) -> PathBuf {
    let mut name = register.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

/// The numbers of the versions that there are.
fn numbers(register: &Path) -> io::Result<Vec<u64>> {
    let (Some(folder), Some(wanted)) = (register.parent(), register.file_name()) else {
        return Ok(Vec::new());
    };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if super::is_absent(&error) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        if let Some((register, number)) = name.to_str().and_then(split)
            && wanted == register
        {
            found.push(number);
        }
    }
    Ok(found)
}

/// The number of the current version, 0 if there is none. It looks until two looks agree: a folder
/// is not read in one piece, and versions come and go meanwhile.
fn highest(register: &Path) -> io::Result<u64> {
    let look = || Ok::<_, io::Error>(numbers(register)?.into_iter().max().unwrap_or(0));
    let mut before = look()?;
    loop {
        let now = look()?;
        if now == before {
            return Ok(now);
        }
        before = now;
    }
}

/// The current version.
pub(super) fn read(register: &Path) -> io::Result<Option<(u64, Vec<u8>)>> {
    for _ in 0..READ_ATTEMPTS {
        let number = highest(register)?;
        if number == 0 {
            return Ok(None);
        }
        match fs::read(version_file(register, number)) {
            Ok(bytes) => return Ok(Some((number, bytes))),
            // Two writers were faster.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(
        io::ErrorKind::TimedOut,
        "it moves faster than it can be read",
    ))
}

pub(super) fn swap(
    store: &LocalStore,
    path: &ObjectPath,
    expected: Option<&Version>,
    bytes: &[u8],
) -> Result<Version, StoreError> {
    let failed = |error| store.failed("swap register", path, error);
    let moved = |current: u64| {
        let expected = expected.map_or("none", |version| &version.0);
        let cause = format!("its version is {current} instead of {expected}");
        let place = store.root.display();
        StoreError::new(
            StoreErrorKind::Conflict,
            "swap register",
            path,
            place,
            cause,
        )
    };
    let register = store.file(path);
    let agrees = |current: u64| match expected {
        None => current == 0,
        Some(version) => current != 0 && version.0 == current.to_string(),
    };
    let current = highest(&register).map_err(failed)?;
    if !agrees(current) {
        return Err(moved(current));
    }
    let mut temporary = store.temporary(path)?;
    temporary.write(bytes).map_err(failed)?;
    temporary.flush().map_err(failed)?;
    // Flushing takes long enough for others to have moved on.
    let now = highest(&register).map_err(failed)?;
    if now != current {
        return Err(moved(now));
    }
    let next = current + 1;
    let file = version_file(&register, next);
    match temporary.link(&file) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(moved(next)),
        Err(error) => return Err(failed(error)),
    }
    drop(temporary);
    store.flush_folder(path, &file)?;
    let in_doubt = |cause: String| {
        let place = store.root.display();
        StoreError::new(StoreErrorKind::InDoubt, "swap register", path, place, cause)
    };
    let mut numbers = numbers(&register).map_err(|error| in_doubt(error.to_string()))?;
    if let Some(far) = numbers.iter().max().filter(|highest| **highest >= next + 2) {
        return Err(in_doubt(format!("others have moved it to version {far}")));
    }
    numbers.retain(|number| *number < current);
    for old in numbers {
        // Whoever moves it next tries again.
        if let Err(error) = fs::remove_file(version_file(&register, old))
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(register = %path, version = old, %error, "cannot remove an old version");
        }
    }
    Ok(Version(next.to_string()))
}

/// Removes all versions, the newest last: so that meanwhile no older one becomes the current one.
pub(super) fn delete(register: &Path) -> io::Result<()> {
    let mut numbers = numbers(register)?;
    numbers.sort_unstable();
    for number in numbers {
        match fs::remove_file(version_file(register, number)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
