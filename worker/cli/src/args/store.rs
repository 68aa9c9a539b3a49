//! Stores of checkpoints: how they are reached, and what is asked of them.

use std::collections::BTreeMap;

use clap::Args;
use weir_crd::ManifestDuration;

use super::Format;
use super::parse::location;
use crate::StoreRequest;

/// How a store is reached; folders need none of it.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "S3 options")]
pub(crate) struct StoreArgs {
    /// The server, if it is not Amazon's: http://HOST:PORT or https://HOST
    #[arg(long, value_name = "URL")]
    pub(crate) s3_endpoint: Option<String>,

    /// The region [default: that of the environment; with --s3-endpoint us-east-1]
    #[arg(long, value_name = "REGION")]
    pub(crate) s3_region: Option<String>,

    /// Name the bucket in the path of the URL, as most servers other than Amazon's want it
    #[arg(long)]
    pub(crate) s3_path_style: bool,

    /// A folder with the files accessKeyId and secretAccessKey [default: the environment, then the
    /// places where AWS clients look]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) s3_credentials_dir: Option<String>,

    /// How the server encrypts what it stores: AES256 or aws:kms [default: as the bucket says]
    #[arg(long = "s3-sse", value_name = "KIND")]
    pub(crate) s3_encryption: Option<String>,

    /// The key for aws:kms [default: the account's own]
    #[arg(long = "s3-sse-key-id", value_name = "KEY", requires = "s3_encryption")]
    pub(crate) s3_encryption_key: Option<String>,
}

impl StoreArgs {
    /// The same as configuration, under the names that it has there.
    pub(crate) fn options(&self) -> BTreeMap<String, String> {
        let texts = [
            ("s3.endpoint", self.s3_endpoint.clone()),
            ("s3.region", self.s3_region.clone()),
            (
                "s3.path-style-access",
                self.s3_path_style.then(|| "true".to_owned()),
            ),
            ("s3.credentials-dir", self.s3_credentials_dir.clone()),
            ("s3.server-side-encryption", self.s3_encryption.clone()),
            (
                "s3.server-side-encryption.key-id",
                self.s3_encryption_key.clone(),
            ),
        ];
        let said = texts
            .into_iter()
            .filter_map(|(key, text)| Some((key.to_owned(), text?)));
        said.collect()
    }
}

/// A place in a store.
#[derive(Args, Debug)]
pub(crate) struct PlaceArgs {
    /// What --checkpoint-dir was, or one job's folder in it
    #[arg(value_name = "FOLDER|URI", value_parser = location)]
    pub(crate) location: String,

    /// A job in it [default: all]; may be given several times
    #[arg(long = "job", value_name = "NAME")]
    pub(crate) jobs: Vec<String>,

    /// How to write it
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,

    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

impl PlaceArgs {
    pub(crate) fn request(&self) -> StoreRequest {
        StoreRequest {
            location: self.location.clone(),
            options: self.store.options(),
            jobs: self.jobs.clone(),
        }
    }
}

#[derive(Args, Debug)]
pub(crate) struct FsckArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
}

#[derive(Args, Debug)]
pub(crate) struct GcArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,

    /// Delete it, instead of only telling
    #[arg(long)]
    pub(crate) delete: bool,

    /// What is younger than this stays
    #[arg(long, value_name = "TIME", default_value = "1h")]
    pub(crate) grace: ManifestDuration,
}
