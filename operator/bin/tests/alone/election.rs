//! Two operators as processes: one acts, the other one takes over, and never do both act.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::spawn_blocking;
use weir_testkit::{Process, Proxy, Traffic, until, until_within};
use weir_types::{Clock, SystemClock};

use crate::process::{LEASE_SECONDS, Request, requests, start};
use crate::server::{Server, server};
use crate::world::World;

const ACTS: &str = "this operator acts";

fn acts(process: &Process) -> bool {
    process.stderr().contains(ACTS)
}

fn since_ms(start_ms: i64) -> i64 {
    SystemClock.unix_ms() - start_ms
}

/// Two operators of a namespace: the first acts, the second stands by.
struct Pair {
    server: &'static Server,
    world: World,
    first: Process,
    second: Process,
}

async fn pair(first: Option<PathBuf>) -> Pair {
    let server = server().await;
    let world = World::new().await;
    // A job that no pod is needed for, and that there is something to be written about again and
    // again.
    world.create(&json!({ "suspend": true })).await;
    let namespace = world.namespace.clone();
    let (first, second) = spawn_blocking(move || {
        let kubeconfig = first.unwrap_or_else(|| server.kubeconfig("operator-a"));
        let first = start(&kubeconfig, "a", &namespace);
        until("the first operator", || acts(&first));
        let second = start(&server.kubeconfig("operator-b"), "b", &namespace);
        until("the second operator", || {
            second.stderr().contains("standing by")
        });
        (first, second)
    })
    .await
    .expect("they start");
    // It has read the Lease by then.
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(!acts(&second), "both act");
    Pair {
        server,
        world,
        first,
        second,
    }
}

/// Keeps whoever acts busy.
async fn busy(world: &World, until: impl Fn() -> bool) {
    let mut paused = false;
    while !until() {
        paused = !paused;
        let value = if paused { "true" } else { "false" };
        world.annotate("weir.dev/paused", value).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn writes(requests: &[Request], user: &str) -> Vec<i64> {
    let own = requests
        .iter()
        .filter(|request| request.user == user && request.changes() && !request.is_aside());
    own.map(|request| request.at_ms).collect()
}

/// The last write of the first one came before the first write of the second one.
#[track_caller]
fn check_one_acts(pair: &Pair) {
    let requests = requests(pair.server, &pair.world.namespace);
    let (first, second) = (
        writes(&requests, "operator-a"),
        writes(&requests, "operator-b"),
    );
    let (last, next) = (first.iter().max(), second.iter().min());
    assert!(last.is_some() && next.is_some(), "{first:?} {second:?}");
    assert!(
        last < next,
        "the first wrote at {last:?}, the second from {next:?} on"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn an_operator_that_is_told_to_end_hands_over_within_two_seconds() {
    let pair = pair(None).await;
    busy(&pair.world, || {
        !writes(&requests(pair.server, &pair.world.namespace), "operator-a").is_empty()
    })
    .await;
    let start = SystemClock.unix_ms();
    pair.first.signal("TERM");
    busy(&pair.world, || {
        acts(&pair.second) || since_ms(start) > 20_000
    })
    .await;
    let took = since_ms(start);
    assert!(took <= 2_000, "{took} ms");
    let second = || !writes(&requests(pair.server, &pair.world.namespace), "operator-b").is_empty();
    busy(&pair.world, second).await;
    check_one_acts(&pair);
    let ended = spawn_blocking(move || pair.first.wait())
        .await
        .expect("it ends");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn an_operator_that_is_killed_is_followed_within_the_lease_and_two_seconds() {
    let mut pair = pair(None).await;
    busy(&pair.world, || {
        !writes(&requests(pair.server, &pair.world.namespace), "operator-a").is_empty()
    })
    .await;
    let start = SystemClock.unix_ms();
    pair.first.kill_nine();
    busy(&pair.world, || {
        acts(&pair.second) || since_ms(start) > 30_000
    })
    .await;
    let took = since_ms(start);
    assert!(took <= (LEASE_SECONDS as i64 + 2) * 1000, "{took} ms");
    let second = || !writes(&requests(pair.server, &pair.world.namespace), "operator-b").is_empty();
    busy(&pair.world, second).await;
    check_one_acts(&pair);
}

/// The kubeconfig of the first operator, by way of a proxy.
fn by_way_of(server: &Server, dir: &std::path::Path) -> (Proxy, PathBuf) {
    let text = std::fs::read_to_string(server.kubeconfig("operator-a")).expect("a kubeconfig");
    let address = text
        .split("https://")
        .nth(1)
        .and_then(|rest| rest.split('"').next());
    let address = address.expect("an address");
    let proxy = Proxy::start(Some(address.parse().expect("an address")));
    let kubeconfig = dir.join("kubeconfig");
    let text = text.replace(address, &proxy.address().to_string());
    std::fs::write(&kubeconfig, text).expect("a file");
    (proxy, kubeconfig)
}

/// operator-framework/java-operator-sdk#2341 and #2056: an operator that could not reach the API
/// server went on, beside the one that had taken over.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn an_operator_that_is_cut_off_stops_acting_before_another_one_begins() {
    let dir = tempfile::tempdir().expect("a folder");
    let (proxy, kubeconfig) = by_way_of(server().await, dir.path());
    let mut pair = pair(Some(kubeconfig)).await;
    busy(&pair.world, || {
        !writes(&requests(pair.server, &pair.world.namespace), "operator-a").is_empty()
    })
    .await;
    proxy.set_traffic(Traffic::Cut);
    let start = SystemClock.unix_ms();
    busy(&pair.world, || {
        acts(&pair.second) || since_ms(start) > 30_000
    })
    .await;
    until_within(Duration::from_secs(5), "the end of the first", || {
        pair.first.has_ended()
    });
    assert!(acts(&pair.second), "{}", pair.second.stderr());
    // What was on its way arrives late.
    proxy.set_traffic(Traffic::Pass);
    let second = || !writes(&requests(pair.server, &pair.world.namespace), "operator-b").is_empty();
    busy(&pair.world, second).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    check_one_acts(&pair);
    assert_ne!(
        pair.first.code(),
        Some(0),
        "it says that it does not act any more"
    );
}

/// The same of one that stood still, as on a machine that was suspended.
async fn stands_still(seconds: u64) {
    let mut pair = pair(None).await;
    busy(&pair.world, || {
        !writes(&requests(pair.server, &pair.world.namespace), "operator-a").is_empty()
    })
    .await;
    pair.first.stop();
    let start = SystemClock.unix_ms();
    let long = i64::try_from(seconds * 1000).expect("small");
    let second = || {
        since_ms(start) > long
            && !writes(&requests(pair.server, &pair.world.namespace), "operator-b").is_empty()
    };
    busy(&pair.world, second).await;
    pair.first.cont();
    let start = SystemClock.unix_ms();
    busy(&pair.world, || since_ms(start) > 3_000).await;
    until("the end of the first", || pair.first.has_ended());
    check_one_acts(&pair);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn an_operator_that_stood_still_writes_nothing_once_another_one_acts() {
    stands_still(LEASE_SECONDS + 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
#[ignore = "takes half a minute: make k8s-faults"]
async fn an_operator_that_stood_still_for_thirty_seconds_writes_nothing() {
    stands_still(30).await;
}

/// The operator looks after a job that runs, for so long, and writes nothing.
async fn idle(seconds: u64) -> Value {
    let server = server().await;
    let world = World::new().await;
    world.create(&json!({})).await;
    let namespace = world.namespace.clone();
    let process = spawn_blocking(move || start(&server.kubeconfig("operator-a"), "a", &namespace));
    let process = process.await.expect("it starts");
    let start = SystemClock.unix_ms();
    while !crate::matrix::is_settled(&world).await {
        assert!(
            since_ms(start) < 60_000,
            "it does not become stable: {}",
            process.stderr()
        );
        world.tick().await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // The last news may be on its way.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let from = SystemClock.unix_ms();
    let before = world.job().await.expect("it is there").data;
    let long = i64::try_from(seconds * 1000).expect("small");
    while since_ms(from) < long {
        // Checkpoints go on.
        world.tick().await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let all: Vec<_> = requests(server, &world.namespace).into_iter().collect();
    let idle = all
        .iter()
        .filter(|r| r.at_ms >= from && r.resource != "leases" && r.verb != "watch");
    let idle: Vec<_> = idle.collect();
    let changes = idle.iter().filter(|request| request.changes()).count();
    let after = world.job().await.expect("it is there").data;
    assert_eq!(
        changes, 0,
        "{idle:?}\nfrom {from} on\n{before:#}\nis now\n{after:#}"
    );
    json!({ "seconds": seconds, "changes": changes, "other calls": idle.len() })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn an_operator_whose_jobs_just_run_writes_nothing() {
    let found = idle(30).await;
    assert_eq!(found["other calls"], 0, "it does not even ask");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
#[ignore = "takes ten minutes: make k8s-faults"]
async fn an_operator_whose_jobs_just_run_writes_nothing_in_ten_minutes() {
    println!("{}", idle(600).await);
}
