//! The places that part files go to, as an outsider sees them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use weir_storage::{MemoryStore, ObjectPath, RecoverableWriter, S3Store, StoreOptions};
use weir_testkit::S3Server;

use super::*;

/// A place for results.
pub(super) enum Place {
    Folder(TempDir),
    Store {
        store: Arc<dyn RecoverableWriter>,
        kind: Kind,
    },
}

#[derive(Clone)]
pub(super) enum Kind {
    Memory,
    /// The server, how it is reached, and its credentials.
    S3(Arc<(S3Server, StoreOptions, TempDir)>),
}

fn bucket(server: &Arc<(S3Server, StoreOptions, TempDir)>) -> Place {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let address = format!("{}/some/prefix-{number}", S3Server::BUCKET);
    let store = S3Store::open(&address, &server.1).expect("opens");
    Place::Store {
        store: Arc::new(store),
        kind: Kind::S3(Arc::clone(server)),
    }
}

impl Place {
    #[expect(
        clippy::unnecessary_wraps,
        reason = "there may be no place of another kind"
    )]
    pub(super) fn in_a_folder() -> Option<Self> {
        Some(Self::Folder(folder()))
    }

    #[expect(
        clippy::unnecessary_wraps,
        reason = "there may be no place of another kind"
    )]
    pub(super) fn in_memory() -> Option<Self> {
        Some(Self::Store {
            store: Arc::new(MemoryStore::new()),
            kind: Kind::Memory,
        })
    }

    pub(super) fn in_a_bucket() -> Option<Self> {
        let server = S3Server::start()?;
        let credentials = folder();
        fs::write(credentials.path().join("accessKeyId"), S3Server::ACCESS_KEY).expect("writes");
        let secret = credentials.path().join("secretAccessKey");
        fs::write(secret, S3Server::SECRET_KEY).expect("writes");
        let options = StoreOptions {
            endpoint: Some(format!("http://{}", server.address())),
            path_style: true,
            credentials_dir: Some(credentials.path().into()),
            ..StoreOptions::default()
        };
        Some(bucket(&Arc::new((server, options, credentials))))
    }

    /// An empty place of the same kind.
    pub(super) fn another(&self) -> Self {
        match self {
            Self::Folder(_) => Self::in_a_folder().expect("there always is one"),
            Self::Store {
                kind: Kind::Memory, ..
            } => Self::in_memory().expect("there always is one"),
            Self::Store {
                kind: Kind::S3(server),
                ..
            } => bucket(server),
        }
    }

    /// A sink that writes there.
    pub(super) fn sink(&self) -> FileSink<Pair> {
        match self {
            Self::Folder(folder) => FileSink::csv(folder.path()),
            Self::Store { store, .. } => {
                let mut sink = FileSink::csv("elsewhere");
                sink.options.store = Some(Arc::clone(store));
                sink
            }
        }
    }

    /// The words that can be seen, sorted.
    pub(super) fn words(&self) -> Vec<String> {
        let mut words: Vec<String> = self
            .visible()
            .iter()
            .flat_map(|text| text.lines())
            .map(|line| line.trim_end_matches(",1").to_owned())
            .collect();
        words.sort();
        words
    }

    fn visible(&self) -> Vec<String> {
        match self {
            Self::Folder(folder) => {
                let all = contents(folder.path()).into_iter();
                let seen = all.filter(|(name, _)| !name.starts_with('.'));
                seen.map(|(_, text)| text).collect()
            }
            Self::Store { store, .. } => {
                let all = store
                    .list(&ObjectPath::default())
                    .expect("lists")
                    .into_iter();
                let read = |path: &ObjectPath| String::from_utf8(store.get(path).expect("reads"));
                all.map(|info| read(&info.path).expect("is text")).collect()
            }
        }
    }

    /// How many files, or uploads, nobody sees.
    pub(super) fn hidden(&self) -> usize {
        match self {
            Self::Folder(folder) => {
                let names = names(folder.path()).into_iter();
                names.filter(|name| name.starts_with('.')).count()
            }
            Self::Store { store, .. } => {
                let begun = store.list_uncommitted(&ObjectPath::default());
                begun.expect("lists").len()
            }
        }
    }

    /// Something else writes a file.
    pub(super) fn put(&self, name: &str, text: &str) {
        match self {
            Self::Folder(folder) => fs::write(folder.path().join(name), text).expect("writes"),
            Self::Store { store, .. } => {
                let path = ObjectPath::new(name).expect("a name");
                store.create(&path, text.as_bytes()).expect("writes");
            }
        }
    }

    /// Something else removes a file.
    pub(super) fn remove(&self, name: &str) {
        match self {
            Self::Folder(folder) => fs::remove_file(folder.path().join(name)).expect("removes"),
            Self::Store { store, .. } => {
                let path = ObjectPath::new(name).expect("a name");
                store.delete(&path).expect("removes");
            }
        }
    }
}
