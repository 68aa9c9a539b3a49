//! Peers that are strangers, strange, or out to break something.

use std::net::SocketAddr;

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::connection::{Connection, Limits, Peer};
use super::frame::{Frame, Open, encode};
use super::reader::read_frames;
use super::*;

/// A whole open frame.
const OPEN_BYTES: usize = 89;

fn bound(runtime: &Runtime, options: ExchangeOptions) -> (Exchange, SocketAddr) {
    let exchange = runtime
        .block_on(Exchange::bind("127.0.0.1:0", identity(A), options))
        .unwrap();
    let address = exchange.local_addr().unwrap();
    (exchange, address)
}

fn remote(address: SocketAddr) -> Location {
    Location::Remote {
        taskmanager: A,
        address: address.to_string(),
    }
}

/// A connection that has said hello and from here on is driven by hand.
async fn by_hand(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    handshake::greet(&mut stream, &identity(B), A)
        .await
        .unwrap();
    stream
}

/// The same, once the exchange uses the connection for its own requests.
fn accepted_by_hand(runtime: &Runtime, exchange: &Exchange) -> TcpStream {
    let stream = runtime.block_on(by_hand(exchange.local_addr().unwrap()));
    let slot = exchange.inner.peers.slot(B);
    while !slot
        .try_lock()
        .is_ok_and(|slot| slot.as_ref().is_some_and(|used| used.is_alive()))
    {
        thread::sleep(Duration::from_millis(1));
    }
    stream
}

/// Reads until the other side closes.
async fn read_rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    let read = stream.read_to_end(&mut rest);
    drop(
        tokio::time::timeout(PATIENCE, read)
            .await
            .expect("the other side closes"),
    );
    rest
}

/// An honest channel still works.
fn assert_serves(exchange: &Exchange, runtime: &Runtime) {
    let other = identity(TaskManagerId(0xC));
    let other = runtime
        .block_on(Exchange::bind("127.0.0.1:0", other, options()))
        .unwrap();
    let (mut sender, mut gate) = channel(exchange, &other, partition(77, 0), 1 << 18);
    sender.send(chunk(1, 1)).unwrap();
    sender.send(Element::EndOfInput).unwrap();
    assert_eq!(read_to_end(&mut gate), ["1x1", "EndOfInput"]);
}

#[test]
fn a_peer_of_another_job_epoch_program_version_or_life_is_told_why_it_is_refused() {
    let runtime = runtime();
    let (_exchange, address) = bound(&runtime, options());
    let job = |id| format!("{id:032x}");
    let b = || identity(B);
    let cases = [
        (
            ExchangeIdentity {
                job: JobId(2),
                ..b()
            },
            format!("your job is {}, ours is {}", job(2), job(1)),
        ),
        (
            ExchangeIdentity {
                epoch: Epoch(8),
                ..b()
            },
            "your epoch is 8, ours is 7".to_owned(),
        ),
        (
            ExchangeIdentity {
                fingerprint: "words-2".to_owned(),
                ..b()
            },
            "your program fingerprint is `words-2`, ours is `words-1`".to_owned(),
        ),
        (
            ExchangeIdentity {
                protocol_version: 2,
                ..b()
            },
            "your protocol version is 2, ours is 1".to_owned(),
        ),
        (identity(A), format!("you have our own TaskManager id {A}")),
    ];
    for (identity, reason) in cases {
        let caller = Exchange::in_process(identity, options(), runtime.handle().clone());
        let mut id = partition(1, 0);
        id.producer.epoch = caller.inner.peers.identity().epoch;
        let mut gate = connected(&caller, remote(address), id, 1 << 18);
        let error = next_failure(&mut gate);
        let peer = format!("TaskManager {A} at {address}");
        assert_eq!(error.cause, ChannelError::Refused { peer, reason });
    }
}

#[test]
fn another_process_at_the_producers_address_is_not_taken_for_it() {
    let runtime = runtime();
    let (_exchange, address) = bound(&runtime, options());
    let caller = Exchange::in_process(identity(B), options(), runtime.handle().clone());
    let gone = TaskManagerId(0xDEAD);
    let location = Location::Remote {
        taskmanager: gone,
        address: address.to_string(),
    };
    let mut gate = connected(&caller, location, partition(1, 0), 1 << 18);
    let error = next_failure(&mut gate).to_string();
    assert!(
        error.ends_with(&format!(
            "TaskManager {A} answered at the address of {gone}"
        )),
        "{error}"
    );
}

#[test]
fn an_address_where_nobody_listens_is_named() {
    let runtime = runtime();
    let caller = Exchange::in_process(identity(B), options(), runtime.handle().clone());
    let mut gate = connected(
        &caller,
        remote(([127, 0, 0, 1], 1).into()),
        partition(1, 0),
        1 << 18,
    );
    let error = next_failure(&mut gate);
    assert!(matches!(error.cause, ChannelError::Connect { .. }));
    assert!(
        error
            .to_string()
            .contains("at 127.0.0.1:1: Connection refused"),
        "{error}"
    );
}

#[test]
fn garbage_is_closed_without_an_answer_and_harms_nobody() {
    let runtime = runtime();
    let (exchange, address) = bound(&runtime, options());
    let garbage: [&[u8]; 3] = [
        b"GET / HTTP/1.1\r\nHost: weir\r\n\r\n",
        b"WEIRDATA\x01\xff\xff",
        b"WEIRDATA\x07\x00\x00",
    ];
    for bytes in garbage {
        runtime.block_on(async {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(bytes).await.unwrap();
            assert!(read_rest(&mut stream).await.is_empty());
        });
    }
    assert_eq!(live_connections(&exchange), 0);
    assert_serves(&exchange, &runtime);
}

#[test]
fn a_caller_that_says_nothing_is_closed_after_a_while() {
    let runtime = runtime();
    let connect_timeout = Duration::from_millis(50);
    let (_exchange, address) = bound(
        &runtime,
        ExchangeOptions {
            connect_timeout,
            ..options()
        },
    );
    runtime.block_on(async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        assert!(read_rest(&mut stream).await.is_empty());
    });
}

#[test]
fn an_oversized_frame_ends_the_connection_with_the_limit_as_cause() {
    let runtime = runtime();
    let options = ExchangeOptions {
        frame_bytes_max: 1 << 20,
        ..options()
    };
    let (exchange, address) = bound(&runtime, options);
    let id = partition(1, 0);
    let mut sender = exchange.register(id, codec(), context()).unwrap();
    runtime.block_on(async {
        let mut stream = by_hand(address).await;
        let consumer = attempt(2, 0);
        let open = Open {
            consumer,
            partition: id,
            window: 1 << 10,
            fragment: 1 << 10,
        };
        stream
            .write_all(&encode(0, &Frame::Open(open)))
            .await
            .unwrap();
        stream
            .write_all(&[0, 0, 0, 0x7f, 2, 0, 0, 0, 0])
            .await
            .unwrap();
        let told = read_rest(&mut stream).await;
        let told = String::from_utf8_lossy(&told);
        assert!(told.contains("over the limit of 1048576 bytes"), "{told}");
    });
    let error = loop {
        if let Err(error) = sender.send(chunk(1, 1)) {
            break error.to_string();
        }
    };
    assert!(
        error.contains(&format!("TaskManager {B} at 127.0.0.1:")),
        "{error}"
    );
    assert!(
        error.ends_with("is over the limit of 1048576 bytes (`frame_bytes_max`)"),
        "{error}"
    );
}

/// A producer driven by hand, for a gate of an exchange: the socket and the gate's channel number.
fn producer_by_hand(runtime: &Runtime, exchange: &Exchange) -> (TcpStream, InputGate) {
    let mut stream = accepted_by_hand(runtime, exchange);
    // Nobody listens there.
    let location = Location::Remote {
        taskmanager: B,
        address: "127.0.0.1:1".to_owned(),
    };
    let gate = connected(exchange, location, partition(1, 0), 1 << 10);
    let mut open = [0; OPEN_BYTES];
    runtime.block_on(stream.read_exact(&mut open)).unwrap();
    assert_eq!(open[4], 1);
    (stream, gate)
}

fn data(channel: u32, payload: &[u8], more: bool) -> Vec<u8> {
    let mut out = Vec::new();
    begin_data(&mut out);
    out.extend_from_slice(payload);
    finish_data(&mut out, channel, more);
    out
}

#[test]
fn a_connection_cut_in_the_middle_of_a_frame_fails_its_channels() {
    let runtime = runtime();
    let (exchange, _) = bound(&runtime, options());
    let (mut stream, mut gate) = producer_by_hand(&runtime, &exchange);
    let whole = data(0, &[0; 80], false);
    runtime.block_on(stream.write_all(&whole[..50])).unwrap();
    drop(stream);
    let error = next_failure(&mut gate);
    assert!(matches!(error.cause, ChannelError::ConnectionLost { .. }));
    assert!(
        error
            .to_string()
            .ends_with("the peer closed it in the middle of a frame"),
        "{error}"
    );
}

#[test]
fn a_producer_over_its_credit_loses_the_channel_and_not_the_connection() {
    let runtime = runtime();
    let (exchange, _) = bound(&runtime, options());
    let too_much: Vec<u8> = data(0, &[0; 800], false).repeat(3);
    let too_long = data(0, &[0; 2_000], false);
    for bytes in [too_much, too_long] {
        let (mut stream, mut gate) = producer_by_hand(&runtime, &exchange);
        gate.block(0);
        runtime.block_on(stream.write_all(&bytes)).unwrap();
        let error = next_failure(&mut gate);
        assert!(
            matches!(error.cause, ChannelError::Protocol { .. }),
            "{error}"
        );
        assert_eq!(live_connections(&exchange), 1);
        let mut close = [0; 9];
        runtime.block_on(stream.read_exact(&mut close)).unwrap();
        assert_eq!(close[4], 10);
        drop(stream);
        while live_connections(&exchange) > 0 {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

#[test]
fn bytes_that_are_no_chunk_fail_the_gate_that_decodes_them() {
    let runtime = runtime();
    let (exchange, _) = bound(&runtime, options());
    let (mut stream, mut gate) = producer_by_hand(&runtime, &exchange);
    runtime
        .block_on(stream.write_all(&data(0, b"abc", false)))
        .unwrap();
    let error = next_failure(&mut gate);
    assert!(
        error
            .to_string()
            .ends_with("decode a chunk of `u64`: 3 bytes are no numbers"),
        "{error}"
    );
}

#[test]
fn a_chunk_that_never_ends_is_given_up_at_the_limit() {
    let runtime = runtime();
    let (exchange, _) = bound(&runtime, options());
    let mut stream = accepted_by_hand(&runtime, &exchange);
    let options = GateOptions {
        window_bytes: 1 << 10,
        chunk_bytes_max: 5_000,
    };
    let mut gate = InputGate::new(Signal::new(), 1, options);
    let location = Location::Remote {
        taskmanager: B,
        address: "127.0.0.1:1".to_owned(),
    };
    exchange.connect(request(partition(1, 0), location), gate.inlet(0));
    let fed = runtime.spawn(async move {
        // At most a fragment per credit that comes back.
        let mut back = [0; 13];
        let mut open = [0; OPEN_BYTES];
        stream.read_exact(&mut open).await.unwrap();
        while stream.write_all(&data(0, &[0; 1_000], true)).await.is_ok() {
            if stream.read_exact(&mut back).await.is_err() {
                break;
            }
        }
    });
    let error = next_failure(&mut gate);
    assert!(
        matches!(
            error.cause,
            ChannelError::ChunkTooLarge { bytes: 6_000, .. }
        ),
        "{error}"
    );
    drop(gate);
    drop(exchange);
    runtime.block_on(fed).unwrap();
}

/// A connection without a socket, with a gate that reads from its first channel.
fn connection(runtime: &Runtime) -> (Arc<Connection>, InputGate) {
    let registry = Registry::new(EPOCH, Duration::from_millis(1), runtime.handle().clone());
    let limits = Limits {
        frame_bytes_max: 1 << 16,
        chunk_bytes_max: 1 << 16,
        channels_max: 4,
    };
    let peer = Peer {
        taskmanager: B,
        address: "nowhere".to_owned(),
    };
    let connection = Arc::new(Connection::new(peer, EPOCH, limits, registry));
    let gate = gate(1 << 10);
    let queue = gate.inlet(0).queue;
    queue.name(partition(1, 0), Some(codec()));
    connection
        .open(attempt(9, 0), partition(1, 0), &queue)
        .unwrap();
    (connection, gate)
}

/// Well-formed frames, cut-off ones and noise.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let consumer = attempt(9, 0);
    let open = move |channel, window| {
        let open = Open {
            consumer,
            partition: partition(3, channel),
            window,
            fragment: window,
        };
        encode(channel, &Frame::Open(open))
    };
    let noise = prop::collection::vec(any::<u8>(), 0..40);
    let frame = prop_oneof![
        8 => (0..3_u32, prop::collection::vec(any::<u8>(), 0..1_200), any::<bool>())
            .prop_map(|(channel, payload, more)| data(channel, &payload, more)),
        2 => (0..6_u32, 0..5_u32).prop_map(move |(channel, window)| open(channel, window)),
        2 => (0..6_u32, any::<u32>()).prop_map(|(n, bytes)| encode(n, &Frame::Credit(bytes))),
        2 => Just(encode(0, &Frame::Control(crate::Control::Barrier(barrier(1))))),
        1 => Just(encode(0, &Frame::Control(crate::Control::EndOfInput))),
        1 => Just(encode(1, &Frame::Close("x".to_owned()))),
        1 => noise.clone(),
    ];
    (prop::collection::vec(frame, 0..20), noise)
        .prop_map(|(frames, noise)| [frames.concat(), noise].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn whatever_a_peer_sends_ends_in_an_error_and_stays_within_the_window(bytes in frames()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (connection, mut gate) = connection(&runtime);
        let cause = runtime.block_on(read_frames(&connection, &bytes[..]));
        prop_assert!(
            matches!(cause, ChannelError::ConnectionLost { .. } | ChannelError::Protocol { .. }),
            "{}", cause
        );
        prop_assert!(gate.bytes_buffered() <= 2 * (1 << 10) + 64);
        connection.fail(cause);
        while let Ok(Some(_)) = gate.poll() {}
    }
}
