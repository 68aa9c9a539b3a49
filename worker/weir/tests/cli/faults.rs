//! What goes wrong between processes: each gives a clear error, and nothing hangs.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::process::Command;

use weir_testkit::{Process, command, root, until};

use crate::harness::{Words, jobmanager, weir};

#[test]
fn a_jobmanager_that_nobody_answers_is_given_up() {
    let args = [
        "taskmanager",
        "--jobmanager",
        "127.0.0.1:9",
        "--reconnect-timeout",
        "500ms",
    ];
    Process::start(weir(args)).wait().expect(
        1,
        &[
            "error: the JobManager was out of reach",
            "--jobmanager",
            "127.0.0.1:9",
            "Connection refused",
        ],
    );
}

#[test]
fn a_taskmanager_that_never_comes_is_waited_for_and_given_up() {
    let words = Words::new(1);
    let manifest = fs::read_to_string(root().join("examples/wordcount.yaml")).expect("an example");
    let config = "parallelism: 2\n    config: {slot.request.timeout: 3s}";
    let path = words.path("job.yaml");
    fs::write(&path, manifest.replace("parallelism: 2", config)).expect("written");
    let mut args = words.args("jobmanager");
    args[1] = path.display().to_string();
    let manager = jobmanager(&args);
    let wanted = format!("weir taskmanager --jobmanager {}", manager.rpc);
    let ended = manager.process.wait();
    ended.expect(
        1,
        &[
            "waiting for 2 slots",
            "error: job wordcount failed: no slots within 3",
            &wanted,
        ],
    );
}

#[test]
fn of_two_taskmanagers_with_one_id_the_second_is_refused() {
    let words = Words::new(1);
    let manager = jobmanager(&words.args("jobmanager"));
    let id = "00000000000000000000000000000007";
    let mut first = Process::start(manager.taskmanager_command(&["--id", id]));
    first.until_stderr("works for job `wordcount`");
    let second = Process::start(manager.taskmanager_command(&["--id", id])).wait();
    second.expect(1, &["error: the JobManager refused this TaskManager", id]);
}

#[test]
fn another_executable_is_refused() {
    let words = Words::new(1);
    let manager = jobmanager(&words.args("jobmanager"));
    let other = words.path("weir");
    // Another process writes it: a file that this one has open for writing while another test
    // forks cannot be executed. The loader does not mind what comes behind the end.
    let script = r#"cp "$1" "$2" && printf '\0' >>"$2""#;
    let copied = Command::new("sh")
        .args(["-c", script, "sh", env!("CARGO_BIN_EXE_weir")])
        .arg(&other)
        .status();
    assert!(copied.expect("sh runs").success());
    let args = ["taskmanager", "--jobmanager", &manager.rpc.to_string()];
    let ended = Process::start(command(&other, args)).wait();
    ended.expect(
        1,
        &[
            "error: program `wordcount` is not the same",
            "the executable differs",
        ],
    );
}

#[test]
fn garbage_on_every_port_harms_nobody() {
    let words = Words::new(1_000);
    let manager = jobmanager(&words.args("jobmanager"));
    let first = Process::start(manager.taskmanager_command(&[]));
    let mut addresses = vec![manager.rpc, manager.rest.address];
    until("a TaskManager", || {
        !manager.rest.data_addresses().is_empty()
    });
    addresses.extend(manager.rest.data_addresses());
    for address in addresses {
        for garbage in [
            &b"GET / HTTP/1.1\r\n\r\n"[..],
            &[0xff; 4096],
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nxx",
        ] {
            let mut stream = TcpStream::connect(address).expect("the port is open");
            // The other side may hang up before it has read everything.
            drop(stream.write_all(garbage));
        }
    }
    let second = Process::start(manager.taskmanager_command(&[]));
    manager.process.wait().expect(0, &["finished"]);
    for worker in [first, second] {
        worker.wait().expect(0, &[]);
    }
    assert_eq!(words.counted(), words.expected());
}
