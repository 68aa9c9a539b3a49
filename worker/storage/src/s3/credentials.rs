//! Credentials from mounted files, as Kubernetes mounts a secret.
//!
//! They are read again when the files change: whoever renews the secret restarts nothing. The three
//! files are swapped one by one, or all at once behind a link; either way they are read until they
//! were the same before and after, so that a key never meets another one's secret.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, ProvideCredentials, future};

use crate::CredentialFiles;

/// How often the files are read when they change meanwhile.
const ATTEMPTS: usize = 5;

pub(super) struct MountedCredentials {
    dir: PathBuf,
    files: CredentialFiles,
    cached: Mutex<Option<(Stamp, Credentials)>>,
}

/// What tells one state of the files from another: inode, modification time, size of each.
type Stamp = [Option<(u64, i64, i64, u64)>; 3];

impl MountedCredentials {
    pub(super) fn new(dir: PathBuf, files: CredentialFiles) -> Self {
        Self {
            dir,
            files,
            cached: Mutex::new(None),
        }
    }

    fn stamp(&self) -> Stamp {
        let names = [
            &self.files.access_key,
            &self.files.secret_key,
            &self.files.session_token,
        ];
        names.map(|name| {
            let found = fs::metadata(self.dir.join(name)).ok()?;
            Some((found.ino(), found.mtime(), found.mtime_nsec(), found.size()))
        })
    }

    fn load(&self) -> provider::Result {
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..ATTEMPTS {
            let stamp = self.stamp();
            if let Some((known, credentials)) = &*cached
                && *known == stamp
            {
                return Ok(credentials.clone());
            }
            let read = self.read();
            if stamp == self.stamp() {
                let credentials = read?;
                *cached = Some((stamp, credentials.clone()));
                return Ok(credentials);
            }
        }
        Err(CredentialsError::provider_error(format!(
            "the files in `{}` change faster than they can be read",
            self.dir.display()
        )))
    }

    fn read(&self) -> provider::Result {
        let needed = |name: &str| {
            let text = read(&self.dir.join(name))
                .and_then(|text| text.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound)));
            match text {
                Ok(text) if !text.is_empty() => Ok(text),
                Ok(_) => Err(self.unusable(name, "it is empty")),
                Err(error) => Err(self.unusable(name, &error.to_string())),
            }
        };
        let access_key = needed(&self.files.access_key)?;
        let secret_key = needed(&self.files.secret_key)?;
        let token = read(&self.dir.join(&self.files.session_token))
            .map_err(|error| self.unusable(&self.files.session_token, &error.to_string()))?;
        let token = token.filter(|token| !token.is_empty());
        Ok(Credentials::new(
            access_key,
            secret_key,
            token,
            None,
            "mounted files",
        ))
    }

    fn unusable(&self, name: &str, cause: &str) -> CredentialsError {
        let file = self.dir.join(name);
        CredentialsError::invalid_configuration(format!("read `{}`: {cause}", file.display()))
    }
}

/// A file's text without the white space around it, if there is the file.
fn read(file: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(file) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl ProvideCredentials for MountedCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(self.load())
    }
}

/// Shows where they are, never what they are.
impl fmt::Debug for MountedCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MountedCredentials")
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mounted() -> (MountedCredentials, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("accessKeyId"), "KEY1\n").unwrap();
        fs::write(dir.path().join("secretAccessKey"), "hunter2\n").unwrap();
        (
            MountedCredentials::new(dir.path().into(), CredentialFiles::default()),
            dir,
        )
    }

    #[test]
    fn files_are_read_again_when_they_change() {
        let (mounted, dir) = mounted();
        let first = mounted.load().unwrap();
        assert_eq!(
            (first.access_key_id(), first.secret_access_key()),
            ("KEY1", "hunter2")
        );
        assert_eq!(first.session_token(), None);
        // As Kubernetes does: a new file takes the old one's name.
        for (name, text) in [("accessKeyId", "KEY2"), ("sessionToken", "TOKEN")] {
            fs::write(dir.path().join("new"), text).unwrap();
            fs::rename(dir.path().join("new"), dir.path().join(name)).unwrap();
        }
        let second = mounted.load().unwrap();
        assert_eq!(
            (second.access_key_id(), second.session_token()),
            ("KEY2", Some("TOKEN"))
        );
        fs::remove_file(dir.path().join("sessionToken")).unwrap();
        assert_eq!(mounted.load().unwrap().session_token(), None);
    }

    #[test]
    fn a_missing_or_empty_file_is_named() {
        let (mounted, dir) = mounted();
        fs::write(dir.path().join("accessKeyId"), "\n").unwrap();
        let error = mounted.load().unwrap_err();
        assert!(format!("{error:?}").contains("accessKeyId"), "{error:?}");
        fs::remove_file(dir.path().join("secretAccessKey")).unwrap();
        fs::write(dir.path().join("accessKeyId"), "KEY").unwrap();
        let error = mounted.load().unwrap_err();
        assert!(
            format!("{error:?}").contains("secretAccessKey"),
            "{error:?}"
        );
    }

    #[test]
    fn what_is_printed_holds_no_secret() {
        let (mounted, dir) = mounted();
        mounted.load().unwrap();
        assert!(!format!("{mounted:?}").contains("hunter2"));
        fs::remove_file(dir.path().join("accessKeyId")).unwrap();
        let error = mounted.load().unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}
