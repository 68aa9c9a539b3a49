use std::io::{Read, Write};
use std::net::TcpListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use super::*;

fn shell(script: &str) -> Process {
    Process::start(command(Path::new("/bin/sh"), ["-c", script]))
}

#[test]
fn lines_come_one_by_one_and_the_end_has_them_all() {
    let mut process = shell("echo one; echo two; echo; echo three; echo aside >&2; exit 3");
    assert_eq!(process.line(), "one");
    assert_eq!(process.line_until("ee"), "three");
    let ended = process.wait();
    assert_eq!(ended.stdout, "one\ntwo\n\nthree\n");
    ended.expect(3, &["aside"]);
}

#[test]
fn a_line_that_never_comes_fails_the_test_with_what_was_said() {
    let mut process = shell("echo no luck >&2");
    let failed = catch_unwind(AssertUnwindSafe(|| process.line())).expect_err("no line comes");
    let text = failed.downcast_ref::<String>().expect("a text");
    assert!(text.contains("no luck"), "{text}");
}

#[test]
fn noise_is_refused_where_it_is_not_what_the_test_is_about() {
    let ended = shell("echo 'panicked at src/main.rs' >&2").wait();
    ended.expect(0, &["panicked at src"]);
    catch_unwind(|| ended.expect(0, &[])).expect_err("it is noise");
}

#[test]
fn a_process_that_was_stopped_does_nothing_until_it_goes_on() {
    let mut process = shell("trap 'echo again' CONT; echo up; while :; do sleep 0.01; done");
    assert_eq!(process.line(), "up");
    process.stop();
    assert!(!process.has_ended());
    assert_eq!(process.stdout(), "up\n");
    process.cont();
    assert_eq!(process.line(), "again");
}

#[test]
fn a_killed_process_is_gone_at_once_and_has_no_code() {
    let mut process =
        shell("trap 'echo late' TERM INT EXIT; echo up; while :; do sleep 0.01; done");
    process.line();
    process.stop();
    process.kill_nine();
    assert!(process.has_ended());
    let ended = process.wait();
    assert_eq!((ended.code, ended.stdout.as_str()), (None, "up\n"));
}

#[test]
fn what_does_not_come_fails_at_its_deadline() {
    let late = || until_within(Duration::from_millis(30), "rain", || false);
    let failed = catch_unwind(late).expect_err("it never comes");
    let text = failed.downcast_ref::<String>().expect("a text");
    assert_eq!(text, "rain did not come within 30ms");
    until_within(Duration::ZERO, "sun", || true);
}

#[test]
fn rest_is_asked_at_the_address_that_a_process_tells() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a question");
        let mut question = vec![0; 4096];
        let length = stream.read(&mut question).expect("a question");
        let answer = "HTTP/1.1 200 OK\r\nX: y\r\n\r\n{\"a\": 1}";
        stream.write_all(answer.as_bytes()).expect("answered");
        String::from_utf8_lossy(&question[..length]).into_owned()
    });
    let mut process = shell(&format!(
        "echo 'job j runs; REST at http://{address} now' >&2; sleep 100"
    ));
    assert_eq!(process.rest().json("/jobs")["a"], 1);
    let question = server.join().expect("answered");
    assert!(question.starts_with("GET /jobs HTTP/1.1\r\n"), "{question}");
}

fn folder_of(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).expect("written");
    }
    folder
}

#[test]
fn rows_that_are_lost_doubled_or_wrong_are_found_in_whatever_file_they_are() {
    let found = |files: &[(&str, &str)]| Multiset::of_folder(folder_of(files).path());
    let expected = found(&[("part-1", "a,1\na,2\nb,1\nb,1\n")]);
    let exact = found(&[
        ("part-2", "b,1\na,2\n"),
        ("part-3", "a,1\nb,1\n"),
        (".part-4", "x"),
    ]);
    assert_eq!(expected.difference(&exact), None);
    let lost = found(&[("part-1", "a,1\nb,1\nb,1\n")]);
    let text = "of 4 rows 1 are lost, `a,2` (1); 0 came too often or are wrong";
    assert_eq!(expected.difference(&lost).as_deref(), Some(text));
    assert_eq!(lost.surplus_over(&expected), None);
    let doubled = found(&[("part-1", "a,1\na,2\nb,1\nb,1\n"), ("part-2", "b,1\n")]);
    let text = "of 4 rows 0 are lost; 1 came too often or are wrong, `b,1` (1)";
    assert_eq!(expected.difference(&doubled).as_deref(), Some(text));
    assert!(doubled.surplus_over(&expected).is_some());
}

#[test]
fn a_row_that_is_cut_off_fails_the_test() {
    let folder = folder_of(&[("part-1", "a,1\na,")]);
    catch_unwind(|| Multiset::of_folder(folder.path())).expect_err("the last row is not whole");
}

/// A server that sends back what it gets, and tells of the connections that ended.
fn echo() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let (mut from, mut to) = (&stream, &stream);
                std::io::copy(&mut from, &mut to)
            });
        }
    });
    address
}

fn client(address: std::net::SocketAddr) -> std::net::TcpStream {
    let client = std::net::TcpStream::connect(address).expect("a connection");
    let patience = Some(Duration::from_millis(300));
    client.set_read_timeout(patience).expect("a time-out");
    client
}

fn answer(mut client: &std::net::TcpStream, question: &[u8]) -> std::io::Result<Vec<u8>> {
    client.write_all(question)?;
    let mut answer = vec![0; question.len()];
    client.read_exact(&mut answer)?;
    Ok(answer)
}

#[test]
fn a_cut_holds_bytes_back_and_a_reset_ends_connections() {
    let proxy = Proxy::start(Some(echo()));
    let stream = client(proxy.address());
    assert_eq!(answer(&stream, b"one").expect("it passes"), b"one");
    for kind in [Traffic::Cut, Traffic::CutToServer, Traffic::CutToClient] {
        proxy.set_traffic(kind);
        answer(&stream, b"two").expect_err("it is held back");
        proxy.set_traffic(Traffic::Pass);
        let mut late = [0; 3];
        (&stream).read_exact(&mut late).expect("it comes late");
        assert_eq!(&late, b"two");
    }
    proxy.reset();
    until("the reset", || answer(&stream, b"x").is_err());
    assert_eq!(
        answer(&client(proxy.address()), b"new").expect("it is welcome"),
        b"new"
    );
    proxy.set_target(None);
    answer(&client(proxy.address()), b"x").expect_err("there is nobody");
}

/// An HTTP server that counts requests by their bodies' lengths.
fn counting() -> (
    std::net::SocketAddr,
    std::sync::Arc<std::sync::atomic::AtomicUsize>,
) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let count = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = std::sync::Arc::clone(&count);
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).unwrap_or(0);
            if length > 0 {
                counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            }
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"));
        }
    });
    (address, count)
}

#[test]
fn a_lost_answer_is_one_to_a_request_that_was_carried_out() {
    let (server, count) = counting();
    let proxy = HttpProxy::start(server, Random::new(1));
    let ask = || {
        let mut stream = client(proxy.address());
        stream
            .write_all(b"PUT / HTTP/1.1\r\ncontent-length: 4\r\n\r\nbody")
            .expect("sent");
        let mut answer = String::new();
        stream
            .read_to_string(&mut answer)
            .map(|_| answer)
            .unwrap_or_default()
    };
    let carried_out = || count.load(std::sync::atomic::Ordering::SeqCst);
    assert!(ask().ends_with("ok"));
    assert_eq!((carried_out(), proxy.injected()), (1, 0));
    let all = |faults| proxy.set(faults);
    all(HttpFaults {
        lost: 1_000,
        ..HttpFaults::default()
    });
    assert_eq!(ask(), "");
    assert_eq!((carried_out(), proxy.injected()), (2, 1));
    all(HttpFaults {
        outage: true,
        ..HttpFaults::default()
    });
    assert_eq!(ask(), "");
    assert_eq!((carried_out(), proxy.injected()), (2, 2));
    all(HttpFaults {
        errors: 1_000,
        ..HttpFaults::default()
    });
    let answers: Vec<String> = (0..20).map(|_| ask()).collect();
    assert!(
        answers.iter().all(|answer| answer.contains("HTTP/1.1 50")),
        "{answers:?}"
    );
    let times = carried_out() - 2;
    assert!(
        0 < times && times < 20,
        "some of 20 were carried out: {times}"
    );
}

#[test]
fn a_seed_gives_the_same_numbers_again() {
    let draw = |seed| {
        let mut random = Random::new(seed);
        (0..5).map(|_| random.below(1_000)).collect::<Vec<_>>()
    };
    assert_eq!(draw(7), draw(7));
    assert_ne!(draw(7), draw(8));
}
