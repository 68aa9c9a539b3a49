//! How a store is reached: what of it can be configured, and nothing that is secret.
//!
//! The names are Flink's where Flink has them. Credentials never pass through here: they come from
//! the environment, as every AWS client finds them, or from files that a secret is mounted as.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use weir_types::{Clock, SystemClock};

/// What all of these options begin with.
const PREFIX: &str = "s3.";

/// A configuration of a store that cannot be used.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("read option `{key}`: {cause}")]
pub struct OptionError {
    /// The option.
    pub key: String,
    /// What is wrong with it, and what to write instead.
    pub cause: String,
}

/// How a store is reached. Folders need none of it.
#[derive(Clone)]
pub struct StoreOptions {
    /// `s3.endpoint`: the server's URL, for those that are not Amazon's.
    pub endpoint: Option<String>,
    /// `s3.region`: else it comes from the environment; with an endpoint, `us-east-1`.
    pub region: Option<String>,
    /// `s3.path-style-access`: the bucket is a part of the URL's path, not of the host's name.
    pub path_style: bool,
    /// `s3.credentials-dir`: a folder with the files of [`CredentialFiles`]; they are read again
    /// when they change. Without it, the places are asked where AWS clients look: the
    /// environment, the shared credentials file, a web identity token, the container's and the
    /// machine's agent.
    pub credentials_dir: Option<PathBuf>,
    /// The names of the files in it.
    pub credential_files: CredentialFiles,
    /// `s3.server-side-encryption`: `AES256` or `aws:kms`. Without it, what the bucket says.
    pub encryption: Option<String>,
    /// `s3.server-side-encryption.key-id`: the key for `aws:kms`. Without it, the account's own.
    pub encryption_key: Option<String>,
    /// `s3.connection.timeout`: for a connection to be made.
    pub connect_timeout: Duration,
    /// `s3.request.timeout`: for one attempt of one request, and a second more for each MiB that it
    /// moves.
    pub request_timeout: Duration,
    /// `s3.retry.timeout`: for all attempts together. An attempt that has begun is not cut off.
    pub retry_timeout: Duration,
    /// What the pauses between attempts are measured by.
    pub clock: Arc<dyn Clock>,
    /// What the pauses are drawn from, so that clients that fail together do not return together.
    pub seed: u64,
}

/// The names of the files that hold credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialFiles {
    /// `s3.credentials.access-key-file`.
    pub access_key: String,
    /// `s3.credentials.secret-key-file`.
    pub secret_key: String,
    /// `s3.credentials.session-token-file`: it need not exist.
    pub session_token: String,
}

impl Default for CredentialFiles {
    fn default() -> Self {
        Self {
            access_key: "accessKeyId".into(),
            secret_key: "secretAccessKey".into(),
            session_token: "sessionToken".into(),
        }
    }
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            endpoint: None,
            region: None,
            path_style: false,
            credentials_dir: None,
            credential_files: CredentialFiles::default(),
            encryption: None,
            encryption_key: None,
            connect_timeout: Duration::from_secs(3),
            request_timeout: Duration::from_secs(4),
            retry_timeout: Duration::from_secs(10),
            clock: Arc::new(SystemClock),
            seed: u64::from(std::process::id()),
        }
    }
}

/// One option: its name, how it is read, and how it is written if it is not the default.
struct Field {
    key: &'static str,
    read: fn(&mut StoreOptions, &str) -> Result<(), String>,
    write: fn(&StoreOptions) -> String,
}

const FIELDS: &[Field] = &[
    Field {
        key: "s3.endpoint",
        read: |options, text| {
            if !text.starts_with("http://") && !text.starts_with("https://") {
                return Err(format!("`{text}` is no URL: write `https://host:port`"));
            }
            if text.contains('@') {
                return Err("a URL with a user in it would show a secret: leave it out".into());
            }
            options.endpoint = Some(text.into());
            Ok(())
        },
        write: |options| options.endpoint.clone().unwrap_or_default(),
    },
    Field {
        key: "s3.region",
        read: |options, text| {
            options.region = Some(text.into());
            Ok(())
        },
        write: |options| options.region.clone().unwrap_or_default(),
    },
    Field {
        key: "s3.path-style-access",
        read: |options, text| {
            let read = text.parse();
            options.path_style = read.map_err(|_| format!("`{text}` is not `true` or `false`"))?;
            Ok(())
        },
        write: |options| options.path_style.to_string(),
    },
    Field {
        key: "s3.credentials-dir",
        read: |options, text| {
            options.credentials_dir = Some(text.into());
            Ok(())
        },
        write: |options| {
            let dir = options.credentials_dir.as_deref();
            dir.map_or(String::new(), |dir| dir.display().to_string())
        },
    },
    Field {
        key: "s3.credentials.access-key-file",
        read: |options, text| file_name(&mut options.credential_files.access_key, text),
        write: |options| options.credential_files.access_key.clone(),
    },
    Field {
        key: "s3.credentials.secret-key-file",
        read: |options, text| file_name(&mut options.credential_files.secret_key, text),
        write: |options| options.credential_files.secret_key.clone(),
    },
    Field {
        key: "s3.credentials.session-token-file",
        read: |options, text| file_name(&mut options.credential_files.session_token, text),
        write: |options| options.credential_files.session_token.clone(),
    },
    Field {
        key: "s3.server-side-encryption",
        read: |options, text| {
            if !matches!(text, "AES256" | "aws:kms") {
                return Err(format!("`{text}` is not `AES256` or `aws:kms`"));
            }
            options.encryption = Some(text.into());
            Ok(())
        },
        write: |options| options.encryption.clone().unwrap_or_default(),
    },
    Field {
        key: "s3.server-side-encryption.key-id",
        read: |options, text| {
            options.encryption_key = Some(text.into());
            Ok(())
        },
        write: |options| options.encryption_key.clone().unwrap_or_default(),
    },
    Field {
        key: "s3.connection.timeout",
        read: |options, text| duration(&mut options.connect_timeout, text),
        write: |options| format!("{} ms", options.connect_timeout.as_millis()),
    },
    Field {
        key: "s3.request.timeout",
        read: |options, text| duration(&mut options.request_timeout, text),
        write: |options| format!("{} ms", options.request_timeout.as_millis()),
    },
    Field {
        key: "s3.retry.timeout",
        read: |options, text| duration(&mut options.retry_timeout, text),
        write: |options| format!("{} ms", options.retry_timeout.as_millis()),
    },
];

/// Names that are in use for the same thing.
const SYNONYMS: &[(&str, &str)] = &[("s3.path.style.access", "s3.path-style-access")];

/// Where other systems take secrets from.
const SECRETS: &[&str] = &[
    "s3.access-key",
    "s3.access.key",
    "s3.secret-key",
    "s3.secret.key",
    "s3.session-token",
    "s3.session.token",
];

impl StoreOptions {
    /// Reads the options from a configuration; its other entries are left alone.
    pub fn from_config(config: &BTreeMap<String, String>) -> Result<Self, OptionError> {
        let mut options = Self::default();
        for (key, text) in config.iter().filter(|(key, _)| key.starts_with(PREFIX)) {
            let refuse = |cause: String| OptionError {
                key: key.clone(),
                cause,
            };
            if SECRETS.contains(&key.as_str()) {
                return Err(refuse(
                    "secrets do not belong into a configuration: mount them as files and name \
                     their folder in `s3.credentials-dir`"
                        .into(),
                ));
            }
            let synonym = SYNONYMS.iter().find(|(synonym, _)| synonym == key);
            let name = synonym.map_or(key.as_str(), |(_, name)| name);
            let field = FIELDS
                .iter()
                .find(|field| field.key == name)
                .ok_or_else(|| {
                    let known: Vec<_> = FIELDS.iter().map(|field| field.key).collect();
                    refuse(format!(
                        "there is no such option, there are {}",
                        known.join(", ")
                    ))
                })?;
            (field.read)(&mut options, text.trim()).map_err(refuse)?;
        }
        Ok(options)
    }

    /// The options that are not the default, as [`StoreOptions::from_config`] reads them.
    pub fn to_config(&self) -> BTreeMap<String, String> {
        let default = Self::default();
        FIELDS
            .iter()
            .map(|field| (field.key, (field.write)(self), (field.write)(&default)))
            .filter(|(_, value, default)| value != default)
            .map(|(key, value, _)| (key.to_owned(), value))
            .collect()
    }
}

impl std::fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("StoreOptions")
            .field(&self.to_config())
            .finish()
    }
}

fn file_name(place: &mut String, text: &str) -> Result<(), String> {
    if text.is_empty() || text.contains('/') || text == ".." {
        return Err(format!(
            "`{text}` is not the name of a file in `s3.credentials-dir`"
        ));
    }
    text.clone_into(place);
    Ok(())
}

/// Reads a duration as Flink writes it: a number and `ms`, `s`, `min` or `h`.
fn duration(place: &mut Duration, text: &str) -> Result<(), String> {
    let refuse =
        || format!("`{text}` is no duration above zero: write for example `500 ms`, `10 s`");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| refuse())?;
    let unit_ms: u64 = match unit.trim() {
        "ms" => 1,
        "s" => 1_000,
        "min" | "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(refuse()),
    };
    let ms = number
        .checked_mul(unit_ms)
        .filter(|ms| *ms > 0)
        .ok_or_else(refuse)?;
    *place = Duration::from_millis(ms);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<StoreOptions, OptionError> {
        let config = pairs.iter().map(|(k, v)| ((*k).into(), (*v).into()));
        StoreOptions::from_config(&config.collect())
    }

    #[test]
    fn options_survive_being_written_and_read() {
        let all = [
            ("s3.endpoint", "http://127.0.0.1:7070"),
            ("s3.region", "eu-west-1"),
            ("s3.path-style-access", "true"),
            ("s3.credentials-dir", "/run/secrets/s3"),
            ("s3.credentials.access-key-file", "id"),
            ("s3.credentials.secret-key-file", "key"),
            ("s3.credentials.session-token-file", "token"),
            ("s3.server-side-encryption", "aws:kms"),
            ("s3.server-side-encryption.key-id", "key-1"),
            ("s3.connection.timeout", "250ms"),
            ("s3.request.timeout", "2 s"),
            ("s3.retry.timeout", "1 min"),
        ];
        assert_eq!(all.len(), FIELDS.len(), "an option without a test");
        let once = read(&all).unwrap().to_config();
        assert_eq!(
            once.len(),
            FIELDS.len(),
            "an option was not taken over: {once:?}"
        );
        let twice = StoreOptions::from_config(&once).unwrap().to_config();
        assert_eq!(once, twice);
        assert_eq!(once["s3.retry.timeout"], "60000 ms");
    }

    #[test]
    fn defaults_are_not_written() {
        assert_eq!(StoreOptions::default().to_config(), BTreeMap::new());
    }

    #[test]
    fn entries_of_others_are_left_alone_but_unknown_ones_of_ours_are_refused() {
        assert!(read(&[("state.backend", "heap")]).is_ok());
        assert_eq!(
            read(&[("s3.end-point", "x")]).unwrap_err().key,
            "s3.end-point"
        );
    }

    #[test]
    fn flinks_other_name_is_understood() {
        assert!(
            read(&[("s3.path.style.access", "true")])
                .unwrap()
                .path_style
        );
    }

    #[test]
    fn values_that_make_no_sense_are_refused() {
        for (key, bad) in [
            ("s3.endpoint", "localhost:9000"),
            ("s3.endpoint", "http://me:password@localhost"),
            ("s3.path-style-access", "yes"),
            ("s3.server-side-encryption", "KMS"),
            ("s3.request.timeout", "0 s"),
            ("s3.request.timeout", "10"),
            ("s3.request.timeout", "99999999999999999 h"),
            ("s3.credentials.access-key-file", "../id"),
        ] {
            assert_eq!(read(&[(key, bad)]).unwrap_err().key, key, "{bad}");
        }
    }

    #[test]
    fn a_secret_in_the_configuration_is_refused_and_not_repeated() {
        for key in SECRETS {
            let error = read(&[(key, "hunter2")]).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
        let error = read(&[("s3.endpoint", "http://me:hunter2@localhost")]).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}
