//! What comes in through the ports and is not meant for them, and processes that do not belong
//! together: none of it touches a running job.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread::{scope, sleep};
use std::time::Duration;

use weir_rpc::{
    JobMasterClient, JobMasterClientOptions, JobMasterGateway, LocalTaskExecutor, PROTOCOL_VERSION,
    RegisterError, Registration, VERSION,
};
use weir_testkit::{JobManager, Process, command, until};
use weir_types::TaskManagerId;

use crate::harness::{Folder, Random, book, expected_counts, test_programs, weir_binary};

/// Bytes of several kinds that a port may be sent.
fn garbage() -> Vec<Vec<u8>> {
    let mut random = Random(3);
    let noise: Vec<u8> = (0..65_536)
        .map(|_| random.below(256).to_le_bytes()[0])
        .collect();
    // A preface of HTTP/2, then a frame that says it has 16 MB, of which few come.
    let preface =
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\x00\x00\x00\x00\x00\x01abc".to_vec();
    // The same, with a call of a method that does not exist, its header block broken off.
    let call = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00\
        \x00\x00\x08\x01\x04\x00\x00\x00\x01\x83\x86\x44\x83aaa"
        .to_vec();
    let long_head = [b"GET /".to_vec(), vec![b'a'; 1 << 20]].concat();
    vec![
        Vec::new(),
        b"\n".to_vec(),
        b"GET / HTTP/1.1\r\nhost: weir\r\n\r\n".to_vec(),
        b"POST /jobs HTTP/1.1\r\nhost: weir\r\ncontent-length: 99999999999\r\n\r\n{".to_vec(),
        preface,
        call,
        long_head,
        vec![0; 65_536],
        vec![0xff; 65_536],
        noise,
    ]
}

/// Sends everything to a port, reads what comes back, and holds some connections open without a
/// word.
fn attack(address: SocketAddr) -> Vec<TcpStream> {
    let connect = || {
        let stream = TcpStream::connect(address).expect("the port is open");
        let time_out = Some(Duration::from_millis(200));
        stream
            .set_read_timeout(time_out)
            .and_then(|()| stream.set_write_timeout(time_out))
            .expect("time-outs");
        stream
    };
    for bytes in garbage() {
        let mut stream = connect();
        // The other side may hang up before it has read everything, and may say why or not.
        drop(stream.write_all(&bytes));
        drop(stream.read(&mut [0; 1024]));
    }
    for _ in 0..100 {
        drop(connect());
    }
    (0..50).map(|_| connect()).collect()
}

#[test]
fn garbage_on_every_port_does_not_touch_the_job_that_runs() {
    let folder = Folder::new();
    let text: String = book()
        .text
        .lines()
        .take(12_000)
        .map(|line| format!("{line}\n"))
        .collect();
    folder.write("in.txt", &text);
    let mut args = folder.job("wordcount", "in.txt");
    args.extend(["--arg", "rate=2000"].map(str::to_owned));
    let manager = JobManager::start(weir_binary(), &args);
    let workers = [manager.taskmanager(1), manager.taskmanager(1)];
    let rest = manager.rest;
    until("records", || {
        rest.job()["vertices"][1]["metrics"]["read-records"].as_u64() > Some(0)
    });
    let mut ports = rest.data_addresses();
    assert_eq!(ports.len(), 2);
    ports.extend([manager.rpc, rest.address]);
    let held: Vec<TcpStream> = scope(|threads| {
        let attacks: Vec<_> = ports
            .iter()
            .map(|port| threads.spawn(|| attack(*port)))
            .collect();
        attacks
            .into_iter()
            .flat_map(|attack| attack.join().expect("an attack"))
            .collect()
    });
    let job = rest.job();
    assert_eq!(
        job["state"], "RUNNING",
        "the attack is over before the job: {job}"
    );

    let (ended, most_mb) = manager.process.wait_and_measure();
    ended.expect(0, &["job wordcount finished: 12,000 records"]);
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    assert!(most_mb < 200, "the JobManager used {most_mb} MiB");
    for worker in workers {
        let (ended, most_mb) = worker.wait_and_measure();
        ended.expect(0, &["the job has ended: finished"]);
        assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
        assert!(most_mb < 300, "a TaskManager used {most_mb} MiB");
    }
    drop(held);
    assert!(
        folder.counted() == expected_counts(&text),
        "the counts are not those of the text"
    );
}

/// How a JobManager answers a TaskManager of this protocol and version.
fn register(rpc: SocketAddr, protocol: u32, version: &str) -> RegisterError {
    let client = JobMasterClient::new(rpc.to_string(), JobMasterClientOptions::default());
    let registration = Registration {
        protocol,
        version: version.to_owned(),
        id: TaskManagerId(1),
        name: "stranger".to_owned(),
        deployment: 1,
        slots: 2,
        data_address: None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(async {
        let (executor, _inbox) = LocalTaskExecutor::new();
        let answer = client.register(registration, Arc::new(executor)).await;
        answer.expect_err("a stranger is not taken in")
    })
}

#[test]
fn a_taskmanager_of_another_version_is_refused_and_the_job_goes_on_without_it() {
    let folder = Folder::new();
    folder.write("in.txt", "a b a");
    let manager = JobManager::start(weir_binary(), &folder.job("wordcount", "in.txt"));
    for (protocol, version) in [
        (PROTOCOL_VERSION + 1, VERSION),
        (PROTOCOL_VERSION, "99.0.0"),
    ] {
        let refused = register(manager.rpc, protocol, version).to_string();
        let theirs = format!("TaskManager {version} protocol {protocol}");
        let ours = format!("JobManager {VERSION} protocol {PROTOCOL_VERSION}");
        for part in ["version mismatch", &theirs, &ours, "run the same version"] {
            assert!(refused.contains(part), "`{part}` is missing in {refused}");
        }
    }
    let worker = manager.taskmanager(2);
    manager.process.wait().expect(0, &["finished"]);
    worker.wait().expect(0, &[]);
    assert_eq!(folder.counted(), expected_counts("a b a"));
}

#[test]
fn a_taskmanager_without_the_jobs_program_is_refused_and_names_those_it_has() {
    let folder = Folder::new();
    folder.write("in.txt", "a");
    let manager = JobManager::start(weir_binary(), &folder.job("wordcount", "in.txt"));
    let rpc = manager.rpc.to_string();
    let stranger = ["taskmanager", "--jobmanager", &rpc, "--slots", "2"];
    let ended = Process::start(command(test_programs(), stranger)).wait();
    ended.expect(
        1,
        &[
            "error: ",
            "unknown program `wordcount`",
            "panics, panics-in-build",
        ],
    );
    let worker = manager.taskmanager(2);
    manager.process.wait().expect(0, &["finished"]);
    worker.wait().expect(0, &[]);
}

#[test]
fn what_answers_at_the_wrong_port_is_no_jobmanager() {
    let folder = Folder::new();
    folder.write("in.txt", "a");
    let manager = JobManager::start(weir_binary(), &folder.job("wordcount", "in.txt"));
    let rest = manager.rest.address.to_string();
    let args = [
        "taskmanager",
        "--jobmanager",
        &rest,
        "--reconnect-timeout",
        "1s",
    ];
    let ended = Process::start(command(weir_binary(), args)).wait();
    ended.expect(
        1,
        &["error: the JobManager was out of reach for 1 s", &rest],
    );
    sleep(Duration::from_millis(100));
    assert_eq!(manager.rest.json("/overview")["taskmanagers"], 0);
}
