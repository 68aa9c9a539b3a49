//! An object store that misbehaves: an HTTP proxy that answers some requests with an error, is slow
//! with others, and passes some on but drops their answers, so that the client cannot know whether
//! they were carried out.
//!
//! One request per connection, so that there is no doubt where an answer ends.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::Random;

/// How often, in a thousand requests, what goes wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HttpFaults {
    /// Answered with 500 or 503, half of them after they were carried out.
    pub errors: u32,
    /// Carried out up to a second late.
    pub slow: u32,
    /// Carried out, but the connection ends without an answer.
    pub lost: u32,
    /// No connection lives, whatever the rest says.
    pub outage: bool,
}

/// A listening address in front of a server. Ends when it is dropped.
pub struct HttpProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    server: SocketAddr,
    faults: Mutex<HttpFaults>,
    random: Mutex<Random>,
    injected: AtomicU64,
    over: AtomicBool,
}

impl HttpProxy {
    /// Listens on the loopback interface.
    pub fn start(server: SocketAddr, random: Random) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            server,
            faults: Mutex::default(),
            random: Mutex::new(random),
            injected: AtomicU64::new(0),
            over: AtomicBool::new(false),
        });
        let acceptor = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if acceptor.over.load(Ordering::Acquire) {
                    return;
                }
                let shared = Arc::clone(&acceptor);
                thread::spawn(move || serve(client, &shared));
            }
        });
        Self { address, shared }
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What goes wrong from now on.
    pub fn set(&self, faults: HttpFaults) {
        *self
            .shared
            .faults
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = faults;
    }

    /// How many requests something went wrong with.
    pub fn injected(&self) -> u64 {
        self.shared.injected.load(Ordering::Relaxed)
    }
}

impl Drop for HttpProxy {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Release);
        // The acceptor waits for a connection.
        drop(TcpStream::connect(self.address));
    }
}

/// What becomes of one request.
#[derive(Clone, Copy)]
struct Fate {
    delay: Duration,
    carried_out: bool,
    answer: Answer,
}

#[derive(Clone, Copy)]
enum Answer {
    TheServers,
    Error(&'static str),
    None,
}

impl Shared {
    fn fate(&self) -> Fate {
        let faults = *self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        let mut fate = Fate {
            delay: Duration::ZERO,
            carried_out: true,
            answer: Answer::TheServers,
        };
        if faults.outage {
            (fate.carried_out, fate.answer) = (false, Answer::None);
        } else if random.per_mille(faults.lost) {
            fate.answer = Answer::None;
        } else if random.per_mille(faults.errors) {
            fate.carried_out = random.per_mille(500);
            let errors = ["500 Internal Server Error", "503 Slow Down"];
            fate.answer = Answer::Error(errors[random.below(2)]);
        } else if random.per_mille(faults.slow) {
            fate.delay = random.millis(50, 1_000);
        } else {
            return fate;
        }
        self.injected.fetch_add(1, Ordering::Relaxed);
        fate
    }
}

/// Errors end the connection: that is what a client has to live with.
fn serve(client: TcpStream, shared: &Shared) -> Option<()> {
    let request = Request::read(&client)?;
    let fate = shared.fate();
    thread::sleep(fate.delay);
    let mut answer = Vec::new();
    if fate.carried_out {
        let mut server = TcpStream::connect(shared.server).ok()?;
        // In one piece: a server that answers after the first one may reset the connection.
        server.write_all(&request.bytes).ok()?;
        server.read_to_end(&mut answer).ok()?;
    }
    if let Answer::Error(status) = fate.answer {
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        answer = head.into_bytes();
    }
    match fate.answer {
        Answer::None => None,
        Answer::TheServers | Answer::Error(_) => (&client).write_all(&answer).ok(),
    }
}

/// A request as it goes to the server, which is to close the connection after it.
struct Request {
    bytes: Vec<u8>,
}

impl Request {
    fn read(mut client: &TcpStream) -> Option<Self> {
        let mut bytes = Vec::new();
        let mut buffer = vec![0; 64 * 1024];
        let end = loop {
            if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                break at;
            }
            let length = client.read(&mut buffer).ok().filter(|length| *length > 0)?;
            bytes.extend_from_slice(&buffer[..length]);
        };
        let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
        let mut body = bytes.split_off(end + 4);
        let field = |name: &str| {
            let lines = head.lines().filter_map(|line| line.split_once(':'));
            let mut values = lines.filter(|(key, _)| key.eq_ignore_ascii_case(name));
            values.next().map(|(_, value)| value.trim().to_owned())
        };
        if field("expect").is_some() {
            client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").ok()?;
        }
        let length: usize = field("content-length")
            .and_then(|text| text.parse().ok())
            .unwrap_or(0);
        let chunked = field("transfer-encoding").is_some();
        while body.len() < length || (chunked && !body.ends_with(b"0\r\n\r\n")) {
            let length = client.read(&mut buffer).ok().filter(|length| *length > 0)?;
            body.extend_from_slice(&buffer[..length]);
        }
        // The body follows in any case, so nobody waits for leave to send it.
        let kept = head.lines().filter(|line| {
            let name = line.split(':').next().unwrap_or_default();
            !name.eq_ignore_ascii_case("connection") && !name.eq_ignore_ascii_case("expect")
        });
        let mut text: String = kept.flat_map(|line| [line, "\r\n"]).collect();
        text.push_str("Connection: close\r\n\r\n");
        let mut bytes = text.into_bytes();
        bytes.append(&mut body);
        Some(Self { bytes })
    }
}
