use std::io::Write;
use std::net::TcpListener;
use std::time::Duration;

use weir_stream::source::Poll;

use super::reader::PAUSE;
use super::*;
use crate::testing::{TestReader, context, enumerator, root_cause, turns_of_a_called_reader};

fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("has an address").to_string();
    (listener, address)
}

/// Serves these parts and closes; reads all of it.
fn received(
    parts: Vec<Vec<u8>>,
    change: fn(SocketSource<String>) -> SocketSource<String>,
) -> Result<(Vec<String>, u64), weir_stream::OperatorError> {
    let (listener, address) = listen();
    let server = std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().expect("accepts");
        for part in parts {
            // The reader may be gone by then: it has failed.
            if connection.write_all(&part).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    });
    let source = change(SocketSource::lines(address));
    let mut reader = TestReader::open(&source, context(0, 1));
    let result = reader.run(&mut *enumerator(&source, 1));
    let skipped = reader.context.metrics.skipped_records();
    server.join().expect("serves");
    result.map(|()| (reader.rows(), skipped))
}

#[test]
fn lines_cut_anywhere_by_the_network_come_out_whole() {
    let parts = vec![
        b"on".to_vec(),
        b"e\r\ntwo\n\xc3".to_vec(),
        b"\xa9\n\nlast".to_vec(),
    ];
    let (rows, _) = received(parts, |source| source).expect("reads");
    assert_eq!(rows, ["one", "two", "é", "", "last"]);
}

#[test]
fn a_bad_line_fails_with_its_place_or_is_counted() {
    let parts = || vec![b"ab\nx\xff\nlonger than ten\nok\n".to_vec()];
    let error = received(parts(), |source| source).expect_err("is no UTF-8");
    let cause = root_cause(&error);
    assert!(
        cause.ends_with(", line 2, byte offset 3: invalid UTF-8"),
        "{cause}"
    );
    let skip =
        |source: SocketSource<String>| source.bad_records(BadRecords::Skip).max_line_bytes(10);
    let (rows, skipped) = received(parts(), skip).expect("reads");
    assert_eq!((rows, skipped), (vec!["ab".to_owned(), "ok".to_owned()], 2));
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let (listener, address) = listen();
    drop(listener);
    let source = SocketSource::lines(address.clone());
    let mut reader = TestReader::open(&source, context(0, 1));
    let error = reader
        .run(&mut *enumerator(&source, 1))
        .expect_err("nobody listens");
    let error = std::error::Error::source(&error)
        .expect("has a cause")
        .to_string();
    assert_eq!(error, format!("connect to {address}"));
}

#[test]
fn a_quiet_server_makes_the_reader_wait_and_not_block() {
    let (listener, address) = listen();
    let source = SocketSource::lines(address);
    let mut reader = TestReader::open(&source, context(0, 1));
    let mut splits = enumerator(&source, 1);
    assert_eq!(
        reader.turn(&mut *splits).expect("connects"),
        Poll::NeedSplit
    );
    let _connection = listener.accept().expect("accepts");
    for _ in 0..3 {
        assert_eq!(reader.turn(&mut *splits).expect("waits"), Poll::Wait(PAUSE));
    }
}

#[test]
fn a_reader_that_is_called_ends_its_turn_after_a_line_and_loses_none() {
    let (listener, address) = listen();
    let server = std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().expect("accepts");
        connection.write_all(b"a\nb\nc\nd").expect("is read");
    });
    let (turns, rows) = turns_of_a_called_reader(&SocketSource::lines(address));
    server.join().expect("serves");
    assert_eq!(turns, [1; 4]);
    assert_eq!(rows, ["a", "b", "c", "d"]);
}
