//! A proxy between a store and its server that loses answers, as networks do.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// What becomes of a request, by its first line and its number among those that match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// It is answered.
    None,
    /// It is carried out, and its answer thrown away.
    Answer,
    /// It is answered by 503 and not carried out.
    Refused,
    /// It is answered as if its upload were gone, and not carried out.
    NoSuchUpload,
}

type Plan = dyn Fn(&str) -> Loss + Send + Sync;

pub(crate) struct Proxy {
    url: String,
    lost: Arc<AtomicUsize>,
}

impl Proxy {
    /// A proxy to a server (`http://host:port`), until the process ends.
    pub(crate) fn start(server: &str, plan: impl Fn(&str) -> Loss + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let target = server.trim_start_matches("http://").to_owned();
        let lost = Arc::new(AtomicUsize::new(0));
        let (plan, count): (Arc<Plan>, _) = (Arc::new(plan), Arc::clone(&lost));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (plan, count, target) = (Arc::clone(&plan), Arc::clone(&count), target.clone());
                thread::spawn(move || {
                    // A connection that breaks is what this is for.
                    drop(serve(client, &target, &*plan, &count));
                });
            }
        });
        Self { url, lost }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// How many requests went wrong.
    pub(crate) fn lost(&self) -> usize {
        self.lost.load(Ordering::SeqCst)
    }
}

/// One connection, one request after the other.
fn serve(
    mut client: TcpStream,
    target: &str,
    plan: &Plan,
    lost: &AtomicUsize,
) -> std::io::Result<()> {
    while let Some((head, body)) = message(&mut client)? {
        let line = head.lines().next().unwrap_or_default();
        let loss = plan(line);
        if loss != Loss::None {
            lost.fetch_add(1, Ordering::SeqCst);
        }
        if loss == Loss::Refused {
            client.write_all(b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\n\r\n")?;
            continue;
        }
        let mut server = TcpStream::connect(target)?;
        if loss == Loss::NoSuchUpload {
            let body = "<Error><Code>NoSuchUpload</Code><Message>gone</Message></Error>";
            write!(
                client,
                "HTTP/1.1 404 Not Found\r\nContent-Type: application/xml\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )?;
            continue;
        }
        // One request per connection to the server: its answer ends with the connection.
        let (first, rest) = head.split_once("\r\n").unwrap_or((&head, ""));
        write!(server, "{first}\r\nConnection: close\r\n{rest}")?;
        server.write_all(&body)?;
        let mut answer = Vec::new();
        server.read_to_end(&mut answer)?;
        if loss == Loss::Answer {
            return client.shutdown(Shutdown::Both);
        }
        client.write_all(&answer)?;
        // The answer says `Connection: close`.
        return client.shutdown(Shutdown::Both);
    }
    Ok(())
}

/// The head and the body of a request.
fn message(stream: &mut TcpStream) -> std::io::Result<Option<(String, Vec<u8>)>> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte)? == 0 {
            return Ok(None);
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let header = |name: &str| {
        head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name)
                .then(|| value.trim().to_owned())
        })
    };
    let length = header("content-length").map_or(0, |length| length.parse().unwrap());
    if header("expect").is_some() {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    // It came already: the server must not ask for it.
    let head = head
        .split_inclusive("\r\n")
        .filter(|line| !line.to_ascii_lowercase().starts_with("expect:"))
        .collect();
    Ok(Some((head, body)))
}
