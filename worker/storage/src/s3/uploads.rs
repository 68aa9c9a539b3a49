//! Multipart uploads: parts that are stored, and an object that exists once they are put together.

use aws_sdk_s3::primitives::SdkBody;
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};

use super::bucket::{Bucket, NONCE, again};
use super::failure::{Class, Failure};
use super::retry::Ended;

/// An upload that is neither completed nor aborted.
pub(super) struct ListedUpload {
    pub(super) key: String,
    pub(super) id: String,
    /// In milliseconds since 1970 on the server's clock, if it says so.
    pub(super) begun_ms: Option<i64>,
}

impl Bucket {
    /// Begins a multipart upload that is told from others by its nonce. Gives its id.
    pub(super) async fn begin_upload(&self, key: &str, nonce: &str) -> Result<String, Failure> {
        let ended = self
            .patience
            .attempts(0, || async {
                let request = self
                    .client
                    .create_multipart_upload()
                    .bucket(&self.name)
                    .key(key);
                // Said beforehand, or servers keep no checksums of the parts.
                let request = request.checksum_algorithm(ChecksumAlgorithm::Crc32);
                let answer = request
                    .set_server_side_encryption(self.encryption.clone())
                    .set_ssekms_key_id(self.encryption_key.clone())
                    .metadata(NONCE, nonce)
                    .send()
                    .await
                    .map_err(Failure::of)?;
                answer
                    .upload_id
                    .ok_or_else(|| Failure::other("the server gave no upload id"))
            })
            .await;
        ended.result
    }

    pub(super) async fn upload_part(
        &self,
        key: &str,
        upload: &str,
        number: i32,
        bytes: Vec<u8>,
    ) -> Result<CompletedPart, Failure> {
        let size = bytes.len();
        let body = SdkBody::from(bytes);
        let ended = self
            .patience
            .attempts(size, || async {
                let request = self.client.upload_part().bucket(&self.name).key(key);
                let request = request.upload_id(upload).part_number(number);
                let request = request.checksum_algorithm(ChecksumAlgorithm::Crc32);
                let request = request.body(again(&body)?);
                let answer = request.send().await.map_err(Failure::of)?;
                Ok(CompletedPart::builder()
                    .part_number(number)
                    .set_e_tag(answer.e_tag)
                    .set_checksum_crc32(answer.checksum_crc32)
                    .build())
            })
            .await;
        ended.result
    }

    /// Makes the object exist, if it does not yet.
    pub(super) async fn complete_upload(
        &self,
        key: &str,
        upload: &str,
        parts: Vec<CompletedPart>,
    ) -> Ended<()> {
        let parts = CompletedMultipartUpload::builder()
            .set_parts(Some(parts))
            .build();
        self.patience
            .attempts(0, || async {
                let request = self
                    .client
                    .complete_multipart_upload()
                    .bucket(&self.name)
                    .key(key);
                let request = request.upload_id(upload).if_none_match("*");
                let request = request.multipart_upload(parts.clone());
                request.send().await.map(|_| ()).map_err(Failure::of)
            })
            .await
    }

    /// Gives an upload up. One that is gone was given up or completed before.
    pub(super) async fn abort_upload(&self, key: &str, upload: &str) -> Result<(), Failure> {
        let ended = self
            .patience
            .attempts(0, || async {
                let request = self
                    .client
                    .abort_multipart_upload()
                    .bucket(&self.name)
                    .key(key);
                let aborted = request.upload_id(upload).send().await;
                aborted.map(|_| ()).map_err(Failure::of)
            })
            .await;
        match ended.result {
            Err(failure) if matches!(failure.class, Class::UploadMissing | Class::Missing) => {
                Ok(())
            }
            result => result,
        }
    }

    /// All uploads of objects whose keys begin with a prefix.
    pub(super) async fn list_uploads(&self, prefix: &str) -> Result<Vec<ListedUpload>, Failure> {
        let mut found = Vec::new();
        let mut after = (None, None);
        loop {
            let ended = self
                .patience
                .attempts(0, || async {
                    let request = self
                        .client
                        .list_multipart_uploads()
                        .bucket(&self.name)
                        .prefix(prefix)
                        .set_key_marker(after.0.clone())
                        .set_upload_id_marker(after.1.clone());
                    request.send().await.map_err(Failure::of)
                })
                .await;
            let page = ended.result?;
            for upload in page.uploads.unwrap_or_default() {
                let begun_ms = upload.initiated.and_then(|time| time.to_millis().ok());
                if let (Some(key), Some(id)) = (upload.key, upload.upload_id) {
                    found.push(ListedUpload { key, id, begun_ms });
                }
            }
            after = (page.next_key_marker, page.next_upload_id_marker);
            if page.is_truncated != Some(true) || after.0.is_none() {
                return Ok(found);
            }
        }
    }
}
