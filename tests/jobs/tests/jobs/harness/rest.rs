//! Asks a JobManager's REST, by hand: a client that only HTTP/1.1 is known to.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// Where a JobManager answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rest {
    pub(crate) address: SocketAddr,
}

impl Rest {
    pub(crate) fn at(address: &str) -> Self {
        Self {
            address: address.parse().expect("an address"),
        }
    }

    /// The body of an answer that must be a success.
    #[track_caller]
    pub(crate) fn text(self, path: &str) -> String {
        let (status, _, body) = request(self.address, "GET", path);
        assert_eq!(status, 200, "GET {path}: {body}");
        body
    }

    #[track_caller]
    pub(crate) fn json(self, path: &str) -> Value {
        serde_json::from_str(&self.text(path)).expect("JSON")
    }

    /// The one job there is.
    #[track_caller]
    pub(crate) fn job(self) -> Value {
        let jobs = self.json("/jobs");
        let id = jobs["jobs"][0]["id"].as_str().expect("a job");
        self.json(&format!("/jobs/{id}"))
    }

    /// Where the TaskManagers take data from each other.
    pub(crate) fn data_addresses(self) -> Vec<SocketAddr> {
        let answer = self.json("/taskmanagers");
        let all = answer["taskmanagers"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let addresses = all
            .iter()
            .filter_map(|one| one["data-address"].as_str()?.parse().ok());
        addresses.collect()
    }
}

/// Status, head and body of an answer.
#[track_caller]
pub(crate) fn request(address: SocketAddr, method: &str, path: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).expect("REST is open");
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("a time-out");
    let head = format!("{method} {path} HTTP/1.1\r\nhost: weir\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("head and body");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    (
        status.expect("a status"),
        head.to_lowercase(),
        body.to_owned(),
    )
}
