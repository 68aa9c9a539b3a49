//! A network between two processes that can be cut: a TCP proxy that passes bytes on, keeps them
//! back in one direction or both, or resets every connection.
//!
//! Bytes that are kept back are not lost: as on a real network they come, late, when the cut is
//! over, unless an end has given up meanwhile. A thread per direction of each connection, which
//! looks every few milliseconds whether the traffic has changed.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use socket2::SockRef;

/// What becomes of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// They are passed on.
    Pass,
    /// None passes, and nobody is told.
    Cut,
    /// Only what the server says passes.
    CutToServer,
    /// Only what the client says passes.
    CutToClient,
}

impl Traffic {
    fn passes(self, direction: Direction) -> bool {
        match self {
            Self::Pass => true,
            Self::Cut => false,
            Self::CutToServer => direction == Direction::ToClient,
            Self::CutToClient => direction == Direction::ToServer,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    ToServer,
    ToClient,
}

/// How often a thread that waits looks around.
const LOOK: Duration = Duration::from_millis(10);

/// A listening address in front of another one. Ends when it is dropped, with all connections.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    target: Mutex<Option<SocketAddr>>,
    traffic: Mutex<Traffic>,
    /// Grows with each reset: connections of an older generation end.
    generation: AtomicU64,
    over: AtomicBool,
}

impl Shared {
    fn traffic(&self) -> Traffic {
        *self.traffic.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn target(&self) -> Option<SocketAddr> {
        *self.target.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lives(&self, generation: u64) -> bool {
        !self.over.load(Ordering::Acquire) && self.generation.load(Ordering::Acquire) == generation
    }
}

impl Proxy {
    /// Listens on the loopback interface. Without a target connections are closed at once.
    pub fn start(target: Option<SocketAddr>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        listener.set_nonblocking(true).expect("a socket");
        let shared = Arc::new(Shared {
            target: Mutex::new(target),
            traffic: Mutex::new(Traffic::Pass),
            generation: AtomicU64::new(0),
            over: AtomicBool::new(false),
        });
        let acceptor = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, &acceptor));
        Self { address, shared }
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where new connections lead from now on.
    pub fn set_target(&self, target: Option<SocketAddr>) {
        *self
            .shared
            .target
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = target;
    }

    /// What becomes of bytes from now on, on old connections too.
    pub fn set_traffic(&self, traffic: Traffic) {
        *self
            .shared
            .traffic
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = traffic;
    }

    /// Resets all connections there are; new ones are welcome.
    pub fn reset(&self) {
        self.shared.generation.fetch_add(1, Ordering::AcqRel);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Release);
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while !shared.over.load(Ordering::Acquire) {
        match listener.accept() {
            Ok((client, _)) => {
                let shared = Arc::clone(shared);
                thread::spawn(move || connect(client, &shared));
            }
            Err(_) => thread::sleep(LOOK),
        }
    }
}

/// A connection is made only once bytes pass to the server.
fn connect(client: TcpStream, shared: &Arc<Shared>) {
    let generation = shared.generation.load(Ordering::Acquire);
    client.set_nonblocking(false).expect("a socket");
    while !shared.traffic().passes(Direction::ToServer) {
        if !shared.lives(generation) {
            return;
        }
        thread::sleep(LOOK);
    }
    let Some(server) = shared.target().and_then(|to| TcpStream::connect(to).ok()) else {
        return;
    };
    for stream in [&client, &server] {
        stream.set_read_timeout(Some(LOOK)).expect("a socket");
        stream.set_write_timeout(Some(LOOK)).expect("a socket");
        stream.set_nodelay(true).expect("a socket");
    }
    let ends = Arc::new((client, server));
    let back = (Arc::clone(&ends), Arc::clone(shared));
    thread::spawn(move || {
        pump(
            &back.0.1,
            &back.0.0,
            &back.1,
            generation,
            Direction::ToClient,
        );
    });
    pump(&ends.0, &ends.1, shared, generation, Direction::ToServer);
}

/// Passes bytes on until an end is gone. What is closed on one side is then closed on the other.
fn pump(
    mut from: &TcpStream,
    to: &TcpStream,
    shared: &Shared,
    generation: u64,
    direction: Direction,
) {
    let mut buffer = vec![0; 64 * 1024];
    let lives = || shared.lives(generation);
    while lives() {
        if !shared.traffic().passes(direction) {
            thread::sleep(LOOK);
            continue;
        }
        let length = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if waits(&error) => continue,
            Err(_) => break,
        };
        // A cut that comes now holds these bytes back too.
        while lives() && !shared.traffic().passes(direction) {
            thread::sleep(LOOK);
        }
        if !write_all(to, &buffer[..length], &lives) {
            break;
        }
    }
    if lives() {
        // Both directions: a process that is gone neither speaks nor listens.
        drop(to.shutdown(std::net::Shutdown::Both));
        drop(from.shutdown(std::net::Shutdown::Both));
    } else {
        // Closing then sends a reset.
        for stream in [from, to] {
            drop(SockRef::from(stream).set_linger(Some(Duration::ZERO)));
        }
    }
}

fn write_all(mut to: &TcpStream, mut bytes: &[u8], lives: &dyn Fn() -> bool) -> bool {
    while !bytes.is_empty() {
        match to.write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if waits(&error) && lives() => {}
            Err(_) => return false,
        }
    }
    true
}

fn waits(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}
