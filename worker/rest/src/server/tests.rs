use std::io::{Read, Write};
use std::net::TcpStream;

use tokio::sync::Notify;
use tokio::task::spawn_blocking;

use weir_types::SystemClock;

use super::*;

/// Somebody who takes time to answer.
#[derive(Default)]
struct Slow {
    asked: Notify,
    go_on: Notify,
}

/// A server whose `/slow` waits until it may go on.
async fn served(slow: &Arc<Slow>) -> RestServer {
    let any = "127.0.0.1:0".parse().expect("an address");
    let listener = RestListener::bind(any).await.expect("a port");
    let slow = Arc::clone(slow);
    let handler = get(|| async move {
        slow.asked.notify_one();
        slow.go_on.notified().await;
        "at last"
    });
    let app = Router::new().route("/slow", handler);
    RestServer::serve(listener, app, Arc::new(SystemClock), Arc::default())
}

fn on_two_threads(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(test);
}

#[test]
fn whoever_has_asked_is_answered_before_the_server_is_gone() {
    on_two_threads(async {
        let slow = Arc::new(Slow::default());
        let server = served(&slow).await;
        let address = server.address();
        let client = spawn_blocking(move || {
            let mut stream = TcpStream::connect(address).expect("REST is open");
            // The connection is to be kept open, as that of most clients.
            let question = b"GET /slow HTTP/1.1\r\nhost: weir\r\n\r\n";
            stream.write_all(question).expect("sent");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("an answer");
            answer
        });
        slow.asked.notified().await;
        let closing = tokio::spawn(server.shutdown(Duration::from_secs(60)));
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!closing.is_finished(), "somebody waits for an answer");
        slow.go_on.notify_one();
        closing.await.expect("it closes");
        let answer = client.await.expect("a client");
        assert!(answer.ends_with("at last"), "{answer}");
        assert!(TcpStream::connect(address).is_err(), "nobody listens");
    });
}

#[test]
fn a_client_that_never_asks_does_not_hold_up_the_end() {
    on_two_threads(async {
        let server = served(&Arc::default()).await;
        let silent = TcpStream::connect(server.address()).expect("REST is open");
        let closing = server.shutdown(Duration::from_millis(100));
        let closed = tokio::time::timeout(Duration::from_secs(60), closing).await;
        closed.expect("it gives up on the client");
        drop(silent);
    });
}
