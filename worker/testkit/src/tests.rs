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
