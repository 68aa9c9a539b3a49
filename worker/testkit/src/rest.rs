//! Asks a JobManager's REST, by hand: a client that only HTTP/1.1 is known to.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// Where a JobManager answers.
#[derive(Clone, Copy, Debug)]
pub struct Rest {
    /// Its address.
    pub address: SocketAddr,
}

impl Rest {
    /// The body of an answer that must be a success.
    #[track_caller]
    pub fn text(self, path: &str) -> String {
        let (status, _, body) = request(self.address, "GET", path);
        assert_eq!(status, 200, "GET {path}: {body}");
        body
    }

    /// The answer, which must be JSON and a success.
    #[track_caller]
    pub fn json(self, path: &str) -> Value {
        serde_json::from_str(&self.text(path)).expect("JSON")
    }

    /// The answer, if it is JSON and comes within a second: of a process that may have been
    /// killed, stands still, or does not lead.
    pub fn ask(self, path: &str) -> Option<Value> {
        const PATIENCE: Duration = Duration::from_secs(1);
        let mut stream = TcpStream::connect_timeout(&self.address, PATIENCE).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.write_all(head("GET", path).as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let ok = head.split(' ').nth(1) == Some("200");
        ok.then(|| serde_json::from_str(body).ok())?
    }

    /// The one job there is.
    #[track_caller]
    pub fn job(self) -> Value {
        let jobs = self.json("/jobs");
        let id = jobs["jobs"][0]["id"].as_str().expect("a job");
        self.json(&format!("/jobs/{id}"))
    }

    /// Where the TaskManagers take data from each other.
    #[track_caller]
    pub fn data_addresses(self) -> Vec<SocketAddr> {
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
pub fn request(address: SocketAddr, method: &str, path: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).expect("REST is open");
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("a time-out");
    stream
        .write_all(head(method, path).as_bytes())
        .expect("sent");
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

fn head(method: &str, path: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nhost: weir\r\nconnection: close\r\n\r\n")
}
