//! Requests to one bucket, repeated as patience allows. Everything above this speaks of objects and
//! [`Failure`]s, not of the SDK.

use std::sync::Arc;

use aws_config::{BehaviorVersion, Region};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{IdentityCache, StalledStreamProtectionConfig};
use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use aws_sdk_s3::types::ServerSideEncryption;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;

use super::credentials::MountedCredentials;
use super::failure::{Class, Failure};
use super::retry::{Ended, Patience};
use super::runtime;
use crate::StoreOptions;

/// Where the nonce of an upload is kept with the object.
pub(super) const NONCE: &str = "weir-nonce";
/// What an answer is taken to have that does not say how many bytes it has: its time is limited by
/// that.
const BYTES_UNSAID: usize = 256 << 20;
/// For servers that are not Amazon's, and do not care.
const REGION_OF_OTHERS: &str = "us-east-1";

/// A bucket and the way to it.
pub(super) struct Bucket {
    pub(super) name: String,
    pub(super) patience: Patience,
    pub(super) client: Client,
    /// How the server encrypts what is written; none: as the bucket says.
    pub(super) encryption: Option<ServerSideEncryption>,
    pub(super) encryption_key: Option<String>,
}

/// When a write may be done.
#[derive(Clone, Debug)]
pub(super) enum Condition {
    /// There is no such object.
    Absent,
    /// The object is in this state.
    Tag(String),
}

/// A part of an object, and the object's whole size.
pub(super) struct Piece {
    pub(super) bytes: Vec<u8>,
    pub(super) tag: Option<String>,
}

/// An object as a listing shows it.
pub(super) struct Listed {
    pub(super) key: String,
    pub(super) size: u64,
    pub(super) modified_ms: i64,
}

/// What is known of an object without its content.
pub(super) struct Head {
    pub(super) size: u64,
    pub(super) nonce: Option<String>,
}

impl Bucket {
    /// Prepares a client. Credentials are looked for by the first request.
    pub(super) fn open(name: &str, options: &StoreOptions) -> Result<Arc<Self>, String> {
        let http = Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .build_https();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http)
            // Attempts are repeated here, where it is known what an unanswered one may have done.
            .retry_config(RetryConfig::disabled())
            // An attempt has a time limit as a whole.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(options.connect_timeout)
                    .build(),
            );
        match (&options.region, &options.endpoint) {
            (Some(region), _) => loader = loader.region(Region::new(region.clone())),
            (None, Some(_)) => loader = loader.region(Region::from_static(REGION_OF_OTHERS)),
            (None, None) => {}
        }
        if let Some(endpoint) = &options.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        if let Some(dir) = &options.credentials_dir {
            let files = options.credential_files.clone();
            loader = loader
                .credentials_provider(MountedCredentials::new(dir.clone(), files))
                // They are remembered by the provider, which sees when they change.
                .identity_cache(IdentityCache::no_cache());
        }
        let loaded = runtime::start(async move { loader.load().await })?.wait()?;
        if loaded.region().is_none() {
            return Err("there is no region: set `s3.region`, or AWS_REGION".into());
        }
        let config = aws_sdk_s3::config::Builder::from(&loaded)
            .force_path_style(options.path_style)
            .build();
        Ok(Arc::new(Self {
            name: name.into(),
            patience: Patience::new(options),
            client: Client::from_conf(config),
            encryption: options
                .encryption
                .as_deref()
                .map(ServerSideEncryption::from),
            encryption_key: options.encryption_key.clone(),
        }))
    }

    /// Reads an object, or a range of it as HTTP writes that. How long the content may take is
    /// known when the answer's head has come, so each attempt limits its own time.
    pub(super) async fn get(
        &self,
        key: &str,
        range: Option<String>,
        bytes_expected: usize,
    ) -> Result<Piece, Failure> {
        let ended = self
            .patience
            .attempts_with_own_limit(|| async {
                let begun = self.patience.now();
                let request = self.client.get_object().bucket(&self.name).key(key);
                let request = Box::pin(request.set_range(range.clone()).send());
                let limit = self.patience.of_bytes(bytes_expected);
                let answer = tokio::time::timeout(limit, request)
                    .await
                    .map_err(|_| Failure::lost("no answer in time"))?
                    .map_err(Failure::of)?;
                let length = answer
                    .content_length
                    .and_then(|length| usize::try_from(length).ok());
                let unsaid = match bytes_expected {
                    0 => BYTES_UNSAID,
                    expected => expected,
                };
                let limit = self.patience.left_of_bytes(length.unwrap_or(unsaid), begun);
                let tag = answer.e_tag;
                // Its end comes from the headers, its checksum is verified by the SDK.
                let body = tokio::time::timeout(limit, answer.body.collect())
                    .await
                    .map_err(|_| Failure::lost("the content did not come in time"))?
                    .map_err(|error| Failure::lost(format!("the content broke off: {error}")))?;
                let bytes = body.to_vec();
                if length.is_some_and(|length| length != bytes.len()) {
                    return Err(Failure::lost("the content broke off"));
                }
                Ok(Piece { bytes, tag })
            })
            .await;
        ended.result
    }

    pub(super) async fn head(&self, key: &str) -> Result<Head, Failure> {
        let ended = self
            .patience
            .attempts(0, || async {
                let request = self.client.head_object().bucket(&self.name).key(key);
                let answer = request.send().await.map_err(Failure::of)?;
                let nonce = answer
                    .metadata()
                    .and_then(|metadata| metadata.get(NONCE))
                    .cloned();
                let size = answer
                    .content_length
                    .and_then(|size| u64::try_from(size).ok());
                Ok(Head {
                    size: size.unwrap_or(0),
                    nonce,
                })
            })
            .await;
        ended.result
    }

    /// Writes an object under a condition. Gives its tag.
    pub(super) async fn put(
        &self,
        key: &str,
        bytes: Vec<u8>,
        condition: &Condition,
    ) -> Ended<String> {
        let size = bytes.len();
        let body = SdkBody::from(bytes);
        self.patience
            .attempts(size, || async {
                let request = self.client.put_object().bucket(&self.name).key(key);
                let request = match condition {
                    Condition::Absent => request.if_none_match("*"),
                    Condition::Tag(tag) => request.if_match(tag),
                };
                let request = request
                    .set_server_side_encryption(self.encryption.clone())
                    .set_ssekms_key_id(self.encryption_key.clone());
                let request = request.body(again(&body)?);
                let answer = request.send().await.map_err(Failure::of)?;
                answer
                    .e_tag
                    .ok_or_else(|| Failure::other("the server gave no ETag"))
            })
            .await
    }

    /// All objects whose keys begin with a prefix.
    pub(super) async fn list(&self, prefix: &str) -> Result<Vec<Listed>, Failure> {
        let mut found = Vec::new();
        let mut token = None;
        loop {
            let ended = self
                .patience
                .attempts(0, || async {
                    let request = self
                        .client
                        .list_objects_v2()
                        .bucket(&self.name)
                        .prefix(prefix);
                    let request = request.set_continuation_token(token.clone());
                    request.send().await.map_err(Failure::of)
                })
                .await;
            let page = ended.result?;
            for object in page.contents.unwrap_or_default() {
                let modified = object.last_modified.and_then(|time| time.to_millis().ok());
                found.push(Listed {
                    key: object.key.unwrap_or_default(),
                    size: object
                        .size
                        .and_then(|size| u64::try_from(size).ok())
                        .unwrap_or(0),
                    modified_ms: modified.unwrap_or(0),
                });
            }
            token = page.next_continuation_token;
            if token.is_none() {
                return Ok(found);
            }
        }
    }

    pub(super) async fn delete(&self, key: &str) -> Result<(), Failure> {
        let ended = self
            .patience
            .attempts(0, || async {
                let request = self.client.delete_object().bucket(&self.name).key(key);
                request.send().await.map(|_| ()).map_err(Failure::of)
            })
            .await;
        match ended.result {
            Err(failure) if failure.class == Class::Missing => Ok(()),
            result => result,
        }
    }
}

/// The same body for another attempt, without a copy of its bytes.
pub(super) fn again(body: &SdkBody) -> Result<ByteStream, Failure> {
    let copy = body
        .try_clone()
        .ok_or_else(|| Failure::other("the body cannot be sent again"))?;
    Ok(ByteStream::new(copy))
}
