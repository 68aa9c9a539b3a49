//! S3 against a real server: versitygw, which `tests/tools/versitygw` builds once and caches.

mod lost_answers;
mod proxy;
mod server;

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::RecoverableWriter;
use crate::tests::{names, noise, path, write_large};
use server::{BUCKET, SECRET_KEY, Server};

fn options(endpoint: &str, server: &Server) -> StoreOptions {
    StoreOptions {
        endpoint: Some(endpoint.into()),
        path_style: true,
        credentials_dir: Some(server.credentials()),
        ..StoreOptions::default()
    }
}

/// An empty store on a server of its own.
pub(crate) fn on_a_server() -> Option<(Arc<dyn ObjectStore>, Server)> {
    let (store, server) = recoverable_on_a_server()?;
    Some((store, server))
}

/// The same, for results.
pub(crate) fn recoverable_on_a_server() -> Option<(Arc<dyn RecoverableWriter>, Server)> {
    let server = Server::start()?;
    let store = S3Store::open(
        &format!("{BUCKET}/some/prefix"),
        &options(server.url(), &server),
    );
    Some((Arc::new(store.unwrap()), server))
}

fn all_of(error: &StoreError) -> String {
    format!("{error} {error:?} {} {:?}", error.source, error.source)
}

/// How to ask a server of the test's own, with keys in a folder that has to stay meanwhile.
fn options_of(address: SocketAddr) -> (tempfile::TempDir, StoreOptions) {
    let keys = tempfile::tempdir().unwrap();
    fs::write(keys.path().join("accessKeyId"), "id").unwrap();
    fs::write(keys.path().join("secretAccessKey"), "key").unwrap();
    let options = StoreOptions {
        endpoint: Some(format!("http://{address}")),
        path_style: true,
        credentials_dir: Some(keys.path().to_owned()),
        ..StoreOptions::default()
    };
    (keys, options)
}

#[test]
fn a_bucket_is_named_in_the_address() {
    let options = StoreOptions {
        region: Some("eu-central-1".into()),
        ..StoreOptions::default()
    };
    for (address, location) in [
        ("bucket", "s3://bucket"),
        ("bucket/", "s3://bucket"),
        ("my-bucket.x/a/b/", "s3://my-bucket.x/a/b"),
    ] {
        assert_eq!(
            S3Store::open(address, &options).unwrap().location(),
            location
        );
    }
    for bad in [
        "",
        "/a",
        "bucket//a",
        "bucket/../a",
        "b ucket",
        "key:secret@bucket",
    ] {
        let error = S3Store::open(bad, &options).err().unwrap();
        assert_eq!(error.kind, StoreErrorKind::Unsuitable, "{bad}");
    }
}

#[test]
fn objects_are_written_with_the_encryption_that_is_asked_for() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let asked = std::thread::spawn(move || {
        let mut requests = String::new();
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().unwrap();
            let mut chunk = [0; 1 << 14];
            let read = std::io::Read::read(&mut stream, &mut chunk).unwrap();
            requests.push_str(&String::from_utf8_lossy(&chunk[..read]).to_lowercase());
            let answer =
                b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            std::io::Write::write_all(&mut stream, answer).unwrap();
        }
        requests
    });
    let (_keys, at) = options_of(address);
    let options = StoreOptions {
        encryption: Some("aws:kms".to_owned()),
        encryption_key: Some("key-1".to_owned()),
        ..at
    };
    let bucket = bucket::Bucket::open(BUCKET, &options).unwrap();
    let writes = runtime::start(async move {
        let condition = bucket::Condition::Absent;
        drop(bucket.put("object", vec![1], &condition).await);
        drop(bucket.begin_upload("large", "nonce").await);
    });
    writes.unwrap().wait().unwrap();
    let requests = asked.join().unwrap();
    for (header, value) in [
        ("x-amz-server-side-encryption", "aws:kms"),
        ("x-amz-server-side-encryption-aws-kms-key-id", "key-1"),
    ] {
        let line = format!("{header}: {value}");
        assert_eq!(requests.matches(&line).count(), 2, "{line} in {requests}");
    }
}

/// Fails if the time that a small answer may take were the limit for a large one.
#[test]
fn an_object_may_take_as_long_as_its_size_allows() {
    const PIECES: usize = 16;
    // Not every proxy says how long the answer is.
    for says_length in [true, false] {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let slow = std::thread::spawn(move || -> std::io::Result<()> {
            use std::io::{Read, Write};
            let piece = vec![7_u8; (2 << 20) / PIECES];
            let (mut stream, _) = listener.accept()?;
            let read = stream.read(&mut [0; 1 << 14])?;
            assert_ne!(read, 0, "no request came");
            let length = match says_length {
                true => format!("Content-Length: {}\r\n", piece.len() * PIECES),
                false => String::new(),
            };
            write!(
                stream,
                "HTTP/1.1 200 OK\r\n{length}Connection: close\r\n\r\n"
            )?;
            for _ in 0..PIECES {
                std::thread::sleep(Duration::from_millis(60));
                stream.write_all(&piece)?;
            }
            Ok(())
        });
        let (_keys, at) = options_of(address);
        let options = StoreOptions {
            request_timeout: Duration::from_millis(400),
            retry_timeout: Duration::from_millis(1),
            ..at
        };
        let store = S3Store::open(BUCKET, &options).unwrap();
        let read = store.get(&path("large"));
        let bytes = read.unwrap_or_else(|error| panic!("{}", all_of(&error)));
        assert_eq!(bytes.len(), 2 << 20);
        slow.join().unwrap().unwrap();
    }
}

#[test]
fn a_store_may_be_used_from_a_thread_of_another_runtime() {
    let Some((store, _server)) = on_a_server() else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime
        .block_on(async { store.create(&path("object"), b"1") })
        .unwrap();
}

#[test]
fn wrong_credentials_and_a_wrong_bucket_are_denied_and_no_secret_is_shown() {
    let Some(server) = Server::start() else {
        return;
    };
    let options = options(server.url(), &server);
    let elsewhere = S3Store::open("no-such-bucket", &options).unwrap();
    for error in [
        elsewhere.get(&path("object")).unwrap_err(),
        elsewhere.create(&path("object"), b"1").unwrap_err(),
        elsewhere.list(&path("")).unwrap_err(),
    ] {
        assert_eq!(error.kind, StoreErrorKind::Denied, "{error:?}");
        assert!(
            all_of(&error).contains("check the bucket's name"),
            "{}",
            all_of(&error)
        );
    }
    let store = S3Store::open(BUCKET, &options).unwrap();
    store.create(&path("object"), b"1").unwrap();
    fs::write(server.credentials().join("secretAccessKey"), "hunter2").unwrap();
    for error in [
        store.get(&path("object")).unwrap_err(),
        store.create(&path("other"), b"1").unwrap_err(),
        store
            .swap_register(&path("register"), None, b"1")
            .unwrap_err(),
        write_large(&store, "large", &[&noise(9_000_000, 1)]).unwrap_err(),
    ] {
        let text = all_of(&error);
        assert_eq!(error.kind, StoreErrorKind::Denied, "{text}");
        assert!(text.contains("check the credentials"), "{text}");
        assert!(
            !text.contains("hunter2") && !text.contains(SECRET_KEY),
            "{text}"
        );
    }
    fs::remove_file(server.credentials().join("secretAccessKey")).unwrap();
    let error = store.get(&path("object")).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Denied);
    assert!(
        all_of(&error).contains("secretAccessKey"),
        "{}",
        all_of(&error)
    );
    fs::write(server.credentials().join("secretAccessKey"), SECRET_KEY).unwrap();
    assert_eq!(
        store.get(&path("object")).unwrap(),
        b"1",
        "renewed credentials are used"
    );
    assert!(!format!("{options:?} {:?}", options.to_config()).contains(SECRET_KEY));
}

#[test]
fn a_server_that_is_gone_is_unavailable_for_reads_and_in_doubt_for_writes() {
    let Some(mut server) = Server::start() else {
        return;
    };
    let options = StoreOptions {
        retry_timeout: Duration::from_millis(300),
        ..options(server.url(), &server)
    };
    let store = S3Store::open(BUCKET, &options).unwrap();
    let version = store.swap_register(&path("register"), None, b"1").unwrap();
    server.stop();
    let read = store.get(&path("object")).unwrap_err();
    assert_eq!(read.kind, StoreErrorKind::Unavailable, "{}", all_of(&read));
    assert!(
        all_of(&read).contains("attempts"),
        "it was not repeated: {}",
        all_of(&read)
    );
    assert_eq!(
        store.list(&path("")).unwrap_err().kind,
        StoreErrorKind::Unavailable
    );
    for write in [
        store.create(&path("object"), b"1").unwrap_err(),
        store
            .swap_register(&path("register"), Some(&version), b"2")
            .unwrap_err(),
    ] {
        assert_eq!(write.kind, StoreErrorKind::InDoubt, "{}", all_of(&write));
    }
}

#[test]
fn a_listing_has_more_than_one_page() {
    let Some((store, server)) = on_a_server() else {
        return;
    };
    let folder = server.folder().join(BUCKET).join("some/prefix/many");
    fs::create_dir_all(&folder).unwrap();
    for number in 0..2_100 {
        fs::write(folder.join(format!("{number:04}")), "1").unwrap();
    }
    let names = names(&*store, "many");
    assert_eq!(names.len(), 2_100);
    assert_eq!(names[2_099], "many/2099");
}

#[test]
fn an_abandoned_upload_is_aborted() {
    let Some((store, server)) = on_a_server() else {
        return;
    };
    let mut writer = store.create_large(&path("large")).unwrap();
    writer.write(&noise(30_000_000, 1)).unwrap();
    assert!(
        server.has_uploads(),
        "nothing was uploaded, so this tests nothing"
    );
    drop(writer);
    assert!(
        server.wait_for(|server| !server.has_uploads()),
        "its parts stay for ever"
    );
}

#[test]
fn what_a_killed_writer_has_uploaded_is_found_and_abandoned() {
    let Some((store, server)) = on_a_server() else {
        return;
    };
    let mut killed = store.create_large(&path("chk-1-7/large")).unwrap();
    killed.write(&noise(30_000_000, 1)).unwrap();
    // A process that is killed runs no destructors.
    std::mem::forget(killed);
    assert!(
        server.wait_for(|server| server.parts() == 3),
        "{} parts were stored",
        server.parts()
    );
    assert_eq!(names(&*store, ""), [""; 0]);
    assert_eq!(store.list_unfinished(&path("chk-1-8")).unwrap(), []);
    let left = store.list_unfinished(&path("")).unwrap();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(left[0].path, path("chk-1-7/large"));
    assert!(server.has_uploads(), "to look for it removes nothing");
    for _ in 0..2 {
        store.abandon(&left[0]).unwrap();
        assert!(!server.has_uploads(), "its parts stay for ever");
    }
    assert_eq!(store.list_unfinished(&path("")).unwrap(), []);
}
