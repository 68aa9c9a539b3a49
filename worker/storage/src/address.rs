//! Addresses of stores: from a text to the store that it names.

use std::sync::Arc;

use crate::{LocalStore, ObjectStore, RecoverableWriter, StoreError, StoreErrorKind, StoreOptions};

/// Opens the store at an address: a folder (`/dir`, `dir`, `file:///dir`) or `s3://bucket/prefix`.
/// Nothing is read or written yet; [`crate::probe`] does that.
pub fn open(address: &str, options: &StoreOptions) -> Result<Arc<dyn ObjectStore>, StoreError> {
    let refuse = |cause: String| {
        Err(StoreError::new(
            StoreErrorKind::Unsuitable,
            "open",
            "",
            address,
            cause,
        ))
    };
    if address.is_empty() {
        return refuse("it is empty: write a folder or `s3://bucket/prefix`".into());
    }
    if let Some(rest) = address.strip_prefix("s3://") {
        return Ok(open_s3(rest, options)?);
    }
    if let Some(rest) = address.strip_prefix("file:") {
        // `file:/dir` and `file:///dir` are the same folder; `file://host/dir` is on another host.
        let path = rest.strip_prefix("//").unwrap_or(rest);
        if !path.starts_with('/') {
            return refuse("it has no absolute path: write `file:///dir`".into());
        }
        return Ok(Arc::new(LocalStore::open(path)?));
    }
    match address.split_once("://") {
        Some(("s3a" | "s3p" | "s3n", rest)) => refuse(format!("write `s3://{rest}`")),
        Some((scheme, _)) => refuse(format!(
            "`{scheme}` is no kind of store that there is: write a folder or `s3://bucket/prefix`"
        )),
        None => Ok(Arc::new(LocalStore::open(address)?)),
    }
}

/// Opens a store that keeps results out of sight until they are committed: `s3://bucket/prefix`.
pub fn open_recoverable(
    address: &str,
    options: &StoreOptions,
) -> Result<Arc<dyn RecoverableWriter>, StoreError> {
    match address.strip_prefix("s3://") {
        Some(rest) => open_s3(rest, options),
        None => Err(StoreError::new(
            StoreErrorKind::Unsuitable,
            "open",
            "",
            address,
            "only buckets keep results out of sight: write `s3://bucket/prefix`",
        )),
    }
}

#[cfg(feature = "s3")]
fn open_s3(rest: &str, options: &StoreOptions) -> Result<Arc<dyn RecoverableWriter>, StoreError> {
    Ok(Arc::new(crate::S3Store::open(rest, options)?))
}

#[cfg(not(feature = "s3"))]
fn open_s3(rest: &str, _options: &StoreOptions) -> Result<Arc<dyn RecoverableWriter>, StoreError> {
    let cause = "this program was built without the feature `s3`";
    let place = format!("s3://{rest}");
    Err(StoreError::new(
        StoreErrorKind::Unsuitable,
        "open",
        "",
        place,
        cause,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(address: &str) -> Result<String, StoreError> {
        open(address, &StoreOptions::default()).map(|store| store.location())
    }

    #[test]
    fn folders_are_named_in_three_ways() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x").display().to_string();
        for address in [
            path.clone(),
            format!("file://{path}"),
            format!("file:{path}"),
        ] {
            assert_eq!(location(&address).unwrap(), path);
        }
        let here = std::env::current_dir().unwrap();
        assert_eq!(location("x").unwrap(), here.join("x").display().to_string());
    }

    #[test]
    fn what_names_no_store_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let file = file.path().display().to_string();
        for bad in ["", "file://host/x", "hdfs://x/y", "s3a://bucket/x", &file] {
            let error = location(bad).unwrap_err();
            assert_eq!(error.kind, StoreErrorKind::Unsuitable, "{bad}");
        }
    }
}
