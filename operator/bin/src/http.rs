//! Health, readiness and metrics over HTTP. Three fixed answers to GET need no web framework.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use weir_types::{Clock, Timestamp};

use crate::metrics::Metrics;

/// The longest request that is read, and how long it may take to come.
const REQUEST_BYTES_MAX: usize = 8 << 10;
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// How many requests are answered at once.
const CONNECTIONS_MAX: usize = 64;

/// Answers on `address`.
pub(crate) async fn serve(
    address: SocketAddr,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("listen on {address}"))?;
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    tokio::spawn(async move {
        loop {
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
                return;
            };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let (metrics, clock) = (Arc::clone(&metrics), Arc::clone(&clock));
                    tokio::spawn(async move {
                        let answer = answer(stream, &metrics, clock.as_ref());
                        drop(timeout(REQUEST_TIMEOUT, answer).await);
                        drop(permit);
                    });
                }
                Err(error) => tracing::debug!(%error, "take a connection"),
            }
        }
    });
    Ok(())
}

async fn answer(
    mut stream: TcpStream,
    metrics: &Metrics,
    clock: &dyn Clock,
) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut chunk = [0; 1024];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = stream.read(&mut chunk).await?;
        if read == 0 || request.len() > REQUEST_BYTES_MAX {
            return Ok(());
        }
        request.extend_from_slice(&chunk[..read]);
    }
    let response = response(&request, metrics, clock.now());
    stream.write_all(response.as_bytes()).await?;
    stream.shutdown().await
}

fn response(request: &[u8], metrics: &Metrics, now: Timestamp) -> String {
    let line = request
        .split(|byte| *byte == b'\r')
        .next()
        .unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let mut words = line.split(' ');
    let (method, path) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    let path = path.split('?').next().unwrap_or_default();
    let (status, kind, body) = match (method, path) {
        ("GET", "/healthz") => verdict(metrics.health.is_live(now)),
        ("GET", "/readyz") => verdict(metrics.health.is_ready(now)),
        ("GET", "/metrics") => (
            "200 OK",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            metrics.text(),
        ),
        ("GET", _) => ("404 Not Found", "text/plain", "no such page\n".to_owned()),
        _ => (
            "405 Method Not Allowed",
            "text/plain",
            "only GET\n".to_owned(),
        ),
    };
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn verdict(well: Result<(), String>) -> (&'static str, &'static str, String) {
    match well {
        Ok(()) => ("200 OK", "text/plain", "ok\n".to_owned()),
        Err(cause) => (
            "503 Service Unavailable",
            "text/plain",
            format!("{cause}\n"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_three_pages_are_answered() {
        let metrics = Metrics::new();
        let ask = |request: &str| response(request.as_bytes(), &metrics, Timestamp(0));
        let silent = ask("GET /readyz HTTP/1.1\r\n\r\n");
        assert!(silent.starts_with("HTTP/1.1 503"), "{silent}");
        metrics.health.heard(Timestamp(0));
        assert!(ask("GET /healthz HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 200"));
        assert!(ask("GET /readyz?verbose HTTP/1.1\r\n\r\n").ends_with("ok\n"));
        assert!(ask("GET /metrics HTTP/1.1\r\n\r\n").contains("weir_operator_acting"));
        assert!(ask("GET /x HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404"));
        assert!(ask("POST /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405"));
        assert!(ask("\u{0}\r\n\r\n").starts_with("HTTP/1.1 405"));
    }
}
