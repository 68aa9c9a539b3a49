//! What lies at a location: the folders of several jobs, one job's folder, or one snapshot's.
//!
//! A job's folder is known by its pointer and by nothing else. One that holds objects and no
//! pointer is not an empty one: its job is in trouble, or it is no job's.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use weir_checkpoint::collector::METADATA;
use weir_checkpoint::pointer::{DecodePointerError, POINTER, Pointer};
use weir_cli::{Failure, StoreRequest};
use weir_storage::{ObjectPath, ObjectStore, StoreError, StoreErrorKind, StoreOptions};

/// Where is looked.
pub(super) struct Place {
    /// The folder.
    pub(super) store: Arc<dyn ObjectStore>,
    /// How other stores are reached: a job may need a snapshot that lies in one.
    pub(super) options: StoreOptions,
    /// The jobs that are meant; none: all.
    pub(super) jobs: Vec<String>,
}

/// What is there.
pub(super) enum Found {
    /// By name.
    Folders(Vec<Folder>),
    /// The place itself is the folder of a checkpoint or savepoint.
    Snapshot(Box<Folder>),
}

/// A folder of a job, or what lies where one could be.
pub(super) struct Folder {
    /// Its name.
    pub(super) name: String,
    /// It.
    pub(super) store: Arc<dyn ObjectStore>,
    /// What it seems to be.
    pub(super) contents: Contents,
}

/// What a folder seems to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Contents {
    /// It has neither a pointer nor metadata.
    Unknown,
    /// A checkpoint's or savepoint's.
    Snapshot,
    /// A job's.
    Job,
}

/// A folder whose pointer cannot be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadPointerError {
    /// The store failed.
    #[error("read the job's pointer")]
    Store(#[source] StoreError),
    /// It is damaged.
    #[error("read the job's pointer in {folder}: restore it from a backup of the store")]
    Damaged {
        /// Where.
        folder: String,
        /// How.
        #[source]
        source: DecodePointerError,
    },
    /// There is none.
    #[error(
        "{folder} holds objects and no pointer, so what of them is needed is not known: bring the \
         pointer back, or start a job with `--restore` and the folder of a savepoint"
    )]
    Missing {
        /// Where.
        folder: String,
    },
    /// There is none, and need not be.
    #[error(
        "{folder} is the folder of one checkpoint or savepoint, not of a job: look into it with \
         `weir checkpoints inspect`"
    )]
    Snapshot {
        /// Where.
        folder: String,
    },
}

impl Place {
    pub(super) fn open(request: &StoreRequest) -> Result<Self, Failure> {
        let options = StoreOptions::from_config(&request.options).map_err(Failure::usage)?;
        let store = weir_storage::open(folder_of(&request.location), &options);
        Ok(Self {
            store: store.map_err(Failure::failed)?,
            options,
            jobs: request.jobs.clone(),
        })
    }

    /// The folders of jobs, where nothing else will do.
    pub(super) fn folders(&self) -> Result<Vec<Folder>, Failure> {
        match self.look()? {
            Found::Folders(folders) => Ok(folders),
            Found::Snapshot(folder) => Err(Failure::usage(anyhow!(
                "{} is the folder of one checkpoint or savepoint: name that of its job",
                folder.store.location()
            ))),
        }
    }

    pub(super) fn look(&self) -> Result<Found, Failure> {
        let here = |contents| Folder {
            name: last_part(&self.store.location()).to_owned(),
            store: Arc::clone(&self.store),
            contents,
        };
        let found = match contents(self.store.as_ref())? {
            Contents::Job => Found::Folders(vec![here(Contents::Job)]),
            Contents::Snapshot => Found::Snapshot(Box::new(here(Contents::Snapshot))),
            Contents::Unknown if !self.jobs.is_empty() => {
                let named = self.jobs.iter().map(|name| self.named(name));
                return Ok(Found::Folders(named.collect::<Result<_, _>>()?));
            }
            Contents::Unknown => {
                let folders = self.all()?;
                let lost = folders.values().all(|found| *found != Contents::Job)
                    && folders.keys().any(|name| is_part_of_job(name));
                Found::Folders(if lost {
                    vec![here(Contents::Unknown)]
                } else {
                    let each = folders.into_iter();
                    let each = each.map(|(name, contents)| self.folder(&name, contents));
                    each.collect::<Result<_, _>>()?
                })
            }
        };
        self.check_named(&found)?;
        Ok(found)
    }

    /// The folders here, and what they seem to be.
    fn all(&self) -> Result<BTreeMap<String, Contents>, Failure> {
        let listing = self.store.list(&ObjectPath::default());
        let mut folders = BTreeMap::new();
        for object in listing.map_err(Failure::failed)? {
            let Some((folder, rest)) = object.path.as_str().split_once('/') else {
                continue;
            };
            let contents = match rest {
                POINTER => Contents::Job,
                METADATA => Contents::Snapshot,
                _ => Contents::Unknown,
            };
            let known = folders.entry(folder.to_owned()).or_insert(contents);
            *known = contents.max(*known);
        }
        Ok(folders)
    }

    fn folder(&self, name: &str, contents: Contents) -> Result<Folder, Failure> {
        let path = ObjectPath::new(name)
            .with_context(|| format!("look for job `{name}`"))
            .map_err(Failure::usage)?;
        Ok(Folder {
            name: name.to_owned(),
            store: self.store.within(&path),
            contents,
        })
    }

    fn named(&self, name: &str) -> Result<Folder, Failure> {
        let mut folder = self.folder(name, Contents::Unknown)?;
        folder.contents = contents(folder.store.as_ref())?;
        let listing = match folder.contents {
            Contents::Unknown => folder.store.list(&ObjectPath::default()),
            Contents::Snapshot | Contents::Job => return Ok(folder),
        };
        if listing.map_err(Failure::failed)?.is_empty() {
            let names: Vec<_> = self.all()?.into_keys().collect();
            let there = match names.as_slice() {
                [] => "it is empty".to_owned(),
                names => format!("it holds {}", names.join(", ")),
            };
            let place = self.store.location();
            return Err(Failure::usage(anyhow!(
                "there is no job `{name}` in {place}: {there}"
            )));
        }
        Ok(folder)
    }

    /// Where the place is one folder, no other than its own name can be meant.
    fn check_named(&self, found: &Found) -> Result<(), Failure> {
        let name = match found {
            Found::Folders(folders) => match folders.as_slice() {
                [folder] => &folder.name,
                _ => return Ok(()),
            },
            Found::Snapshot(folder) => &folder.name,
        };
        match self.jobs.iter().find(|job| *job != name) {
            None => Ok(()),
            Some(job) => Err(Failure::usage(anyhow!(
                "{} is the folder of `{name}`: to look for job `{job}`, name the folder above",
                self.store.location()
            ))),
        }
    }
}

impl Folder {
    pub(super) fn pointer(&self) -> Result<Pointer, ReadPointerError> {
        let folder = || self.store.location();
        let path = object(POINTER);
        let found = self
            .store
            .read_register(&path)
            .map_err(ReadPointerError::Store)?;
        match found {
            Some((bytes, _)) => {
                Pointer::decode(&bytes).map_err(|source| ReadPointerError::Damaged {
                    folder: folder(),
                    source,
                })
            }
            None if self.contents == Contents::Snapshot => {
                Err(ReadPointerError::Snapshot { folder: folder() })
            }
            None => Err(ReadPointerError::Missing { folder: folder() }),
        }
    }
}

/// The folder that a person means, who may have named the metadata in it.
pub(super) fn folder_of(location: &str) -> &str {
    let trimmed = location.trim_end_matches('/');
    let folder = match trimmed.strip_suffix(METADATA) {
        Some(folder) if folder.ends_with('/') => folder.trim_end_matches('/'),
        _ => trimmed,
    };
    if folder.is_empty() { location } else { folder }
}

/// The name of a folder in the one that holds it.
pub(super) fn last_part(location: &str) -> &str {
    location.rsplit('/').next().unwrap_or(location)
}

/// The path of one of the fixed names.
pub(super) fn object(name: &str) -> ObjectPath {
    ObjectPath::new(name).expect("the fixed names are paths")
}

fn contents(store: &dyn ObjectStore) -> Result<Contents, Failure> {
    let pointer = store.read_register(&object(POINTER));
    if pointer.map_err(Failure::failed)?.is_some() {
        return Ok(Contents::Job);
    }
    match store.get(&object(METADATA)) {
        Ok(_) => Ok(Contents::Snapshot),
        Err(error) if error.kind == StoreErrorKind::NotFound => Ok(Contents::Unknown),
        Err(error) => Err(Failure::failed(error)),
    }
}

/// Whether a folder is one that only a job's folder holds.
fn is_part_of_job(name: &str) -> bool {
    let checkpoint = name.strip_prefix("chk-").and_then(|id| id.split_once('-'));
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    name == "shared" || checkpoint.is_some_and(|(epoch, id)| number(epoch) && number(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_meant_also_when_the_metadata_in_it_is_named() {
        for (named, folder) in [
            ("/s/savepoint-1-2/_metadata", "/s/savepoint-1-2"),
            ("/s/savepoint-1-2//", "/s/savepoint-1-2"),
            ("s3://b/x/", "s3://b/x"),
            ("my_metadata", "my_metadata"),
            ("/", "/"),
        ] {
            assert_eq!(folder_of(named), folder, "{named}");
        }
    }

    #[test]
    fn folders_that_only_a_job_holds_are_known_by_their_names() {
        for name in ["chk-1-2", "shared"] {
            assert!(is_part_of_job(name), "{name}");
        }
        for name in ["chk-1", "chk-a-1", "chk-1-", "savepoint-1-2", "shared-1"] {
            assert!(!is_part_of_job(name), "{name}");
        }
    }
}
