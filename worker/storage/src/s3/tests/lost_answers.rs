//! Answers that get lost after the server has done what was asked.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::proxy::{Loss, Proxy};
use super::server::{BUCKET, Server};
use super::*;
use crate::CommitRecoverable;

/// A store behind a proxy that loses the first `count` answers to requests which match.
fn losing(
    server: &Server,
    count: usize,
    matches: impl Fn(&str) -> bool + Send + Sync + 'static,
) -> (S3Store, Proxy) {
    let seen = AtomicUsize::new(0);
    let proxy = Proxy::start(server.url(), move |line| {
        if matches(line) && seen.fetch_add(1, Ordering::SeqCst) < count {
            Loss::Answer
        } else {
            Loss::None
        }
    });
    let options = StoreOptions {
        retry_timeout: Duration::from_secs(3),
        ..options(proxy.url(), server)
    };
    (S3Store::open(BUCKET, &options).unwrap(), proxy)
}

#[test]
fn a_created_object_whose_answer_was_lost_is_recognised_as_own() {
    let Some(server) = Server::start() else {
        return;
    };
    let (store, proxy) = losing(&server, 2, |line| line.starts_with("PUT"));
    store.create(&path("object"), b"mine").unwrap();
    assert_eq!(proxy.lost(), 2);
    let error = store.create(&path("object"), b"another's").unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::AlreadyExists);
}

#[test]
fn a_register_whose_answer_was_lost_is_recognised_as_own() {
    let Some(server) = Server::start() else {
        return;
    };
    let (store, proxy) = losing(&server, 1, |line| line.starts_with("PUT"));
    let first = store
        .swap_register(&path("register"), None, b"first")
        .unwrap();
    assert_eq!(proxy.lost(), 1);
    let read = store.read_register(&path("register")).unwrap();
    assert_eq!(read, Some((b"first".to_vec(), first.clone())));
    let (store, proxy) = losing(&server, 1, |line| line.starts_with("PUT"));
    let second = store
        .swap_register(&path("register"), Some(&first), b"second")
        .unwrap();
    assert_eq!(proxy.lost(), 1);
    let read = store.read_register(&path("register")).unwrap();
    assert_eq!(read, Some((b"second".to_vec(), second)));
}

#[test]
fn a_lost_race_is_a_conflict_although_answers_were_lost() {
    let Some(server) = Server::start() else {
        return;
    };
    let (store, _) = losing(&server, 0, |_| false);
    let first = store
        .swap_register(&path("register"), None, b"first")
        .unwrap();
    store
        .swap_register(&path("register"), Some(&first), b"theirs")
        .unwrap();
    let (store, proxy) = losing(&server, 1, |line| line.starts_with("PUT"));
    let error = store
        .swap_register(&path("register"), Some(&first), b"mine")
        .unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Conflict, "{}", all_of(&error));
    assert_eq!(proxy.lost(), 1);
}

#[test]
fn a_completed_upload_whose_answer_was_lost_is_recognised_as_own() {
    let Some(server) = Server::start() else {
        return;
    };
    let complete = |line: &str| line.starts_with("POST") && line.contains("uploadId");
    let (store, proxy) = losing(&server, 1, complete);
    let bytes = noise(20_000_000, 6);
    assert_eq!(write_large(&store, "large", &[&bytes]).unwrap(), 20_000_000);
    assert_eq!(proxy.lost(), 1);
    assert!(
        store.get(&path("large")).unwrap() == bytes,
        "the content is another"
    );
}

#[test]
fn a_lost_part_is_sent_again() {
    let Some(server) = Server::start() else {
        return;
    };
    let (store, proxy) = losing(&server, 2, |line| line.contains("partNumber"));
    let bytes = noise(20_000_000, 7);
    write_large(&store, "large", &[&bytes]).unwrap();
    assert_eq!(proxy.lost(), 2);
    assert!(
        store.get(&path("large")).unwrap() == bytes,
        "the content is another"
    );
}

#[test]
fn a_write_that_is_never_answered_is_resolved_by_reading_back() {
    let Some(server) = Server::start() else {
        return;
    };
    let (store, _) = losing(&server, usize::MAX, |line| line.starts_with("PUT"));
    store.create(&path("object"), b"mine").unwrap();
    let version = store
        .swap_register(&path("register"), None, b"mine")
        .unwrap();
    assert_eq!(
        store.read_register(&path("register")).unwrap(),
        Some((b"mine".to_vec(), version))
    );
}

#[test]
fn an_unseen_write_of_a_register_stays_in_doubt() {
    let Some(server) = Server::start() else {
        return;
    };
    let open = |plan: fn(&str) -> Loss| {
        let proxy = Proxy::start(server.url(), plan);
        let options = StoreOptions {
            retry_timeout: Duration::from_millis(500),
            ..options(proxy.url(), &server)
        };
        S3Store::open(BUCKET, &options).unwrap()
    };
    // The server is not even asked, but the client cannot know that.
    let refusing = |line: &str| match line.starts_with("PUT") {
        true => Loss::Refused,
        false => Loss::None,
    };
    let store = open(refusing);
    let error = store
        .swap_register(&path("register"), None, b"mine")
        .unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::InDoubt, "{}", all_of(&error));
    let error = store.create(&path("object"), b"mine").unwrap_err();
    assert_eq!(
        error.kind,
        StoreErrorKind::Unavailable,
        "{}",
        all_of(&error)
    );
    // Neither are readers answered: then a creation is in doubt, too.
    let store = open(|_| Loss::Refused);
    let error = store.create(&path("object"), b"mine").unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::InDoubt, "{}", all_of(&error));
    let error = store.get(&path("object")).unwrap_err();
    assert_eq!(
        error.kind,
        StoreErrorKind::Unavailable,
        "{}",
        all_of(&error)
    );
}

#[test]
fn a_passing_refusal_is_not_seen() {
    let Some(server) = Server::start() else {
        return;
    };
    let count = AtomicUsize::new(0);
    // Two of three requests are refused, whatever they are.
    let proxy = Proxy::start(server.url(), move |_| {
        match count.fetch_add(1, Ordering::SeqCst) % 3 {
            2 => Loss::None,
            _ => Loss::Refused,
        }
    });
    let store = S3Store::open(BUCKET, &options(proxy.url(), &server)).unwrap();
    store.create(&path("object"), b"1").unwrap();
    assert_eq!(store.get(&path("object")).unwrap(), b"1");
    assert_eq!(names(&store, ""), ["object"]);
    store.delete(&path("object")).unwrap();
    assert!(proxy.lost() >= 8);
}

/// A stream that was closed, and is to be committed.
fn prepared(server: &Server, name: &str) -> CommitRecoverable {
    let store = S3Store::open(BUCKET, &options(server.url(), server)).unwrap();
    let mut stream = RecoverableWriter::open(&store, &path(name)).unwrap();
    stream.write(b"mine").unwrap();
    stream.close_for_commit().unwrap()
}

fn completes(line: &str) -> bool {
    line.starts_with("POST") && line.contains("uploadId")
}

#[test]
fn a_commit_whose_answer_was_lost_is_a_commit() {
    let Some(server) = Server::start() else {
        return;
    };
    let prepared = prepared(&server, "object");
    // The first attempt is carried out, the next ones find its result.
    let (store, proxy) = losing(&server, 1, completes);
    store.commit(&prepared).unwrap();
    assert_eq!(proxy.lost(), 1);
    // So does another process, whose every answer is lost: it looks.
    let (store, _) = losing(&server, usize::MAX, completes);
    store.commit(&prepared).unwrap();
    assert_eq!(store.get(&path("object")).unwrap(), b"mine");
}

#[test]
fn a_commit_that_is_never_carried_out_can_be_tried_again() {
    let Some(server) = Server::start() else {
        return;
    };
    let prepared = prepared(&server, "object");
    let refuse = |plan: fn(&str) -> Loss| {
        let proxy = Proxy::start(server.url(), plan);
        let options = StoreOptions {
            retry_timeout: Duration::from_millis(300),
            ..options(proxy.url(), &server)
        };
        let store = S3Store::open(BUCKET, &options).unwrap();
        let error = store.commit(&prepared).unwrap_err();
        assert_eq!(
            error.kind,
            StoreErrorKind::Unavailable,
            "{}",
            all_of(&error)
        );
    };
    refuse(|line| {
        if completes(line) {
            Loss::Refused
        } else {
            Loss::None
        }
    });
    refuse(|_| Loss::Refused);
    let (store, _) = losing(&server, 0, |_| false);
    store.commit(&prepared).unwrap();
    assert_eq!(store.get(&path("object")).unwrap(), b"mine");
}

/// Servers may look at the upload before they look at the condition: it is gone once it is
/// completed.
#[test]
fn a_commit_whose_upload_is_gone_looks_for_its_object() {
    let Some(server) = Server::start() else {
        return;
    };
    let prepared = prepared(&server, "object");
    let proxy = Proxy::start(server.url(), |line| match completes(line) {
        true => Loss::NoSuchUpload,
        false => Loss::None,
    });
    let store = S3Store::open(BUCKET, &options(proxy.url(), &server)).unwrap();
    let error = store.commit(&prepared).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::NotFound, "{}", all_of(&error));
    let direct = S3Store::open(BUCKET, &options(server.url(), &server)).unwrap();
    direct.commit(&prepared).unwrap();
    store.commit(&prepared).unwrap();
    assert_eq!(proxy.lost(), 2);
}
