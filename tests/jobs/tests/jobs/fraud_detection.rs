//! `fraud-detection` on transactions with known alerts, and on many with an independent detector.

use std::collections::HashMap;
use std::fmt::Write as _;

use weir_testkit::Ended;

use crate::harness::{Folder, Random, done_in_one, done_on_two};

/// Account, time of the small and of the large transaction, and its amount.
type Alert = (u64, i64, i64, f64);

/// Where a job runs.
type Run = fn(&[String]) -> Ended;

/// The alerts of a file, in order.
#[track_caller]
fn alerts(folder: &Folder, run: Run, parallelism: &str) -> Vec<Alert> {
    let mut args = folder.job("fraud-detection", "in.csv");
    args.extend(["--parallelism", parallelism].map(str::to_owned));
    run(&args).expect(0, &["job fraud-detection finished"]);
    let mut alerts: Vec<Alert> = folder
        .rows("out")
        .concat()
        .iter()
        .map(|row| parse(row))
        .collect();
    alerts.sort_by(|a, b| a.partial_cmp(b).expect("numbers"));
    alerts
}

fn parse(row: &str) -> Alert {
    let row: serde_json::Value = serde_json::from_str(row).expect("JSON");
    let number = |key: &str| row[key].as_i64().expect("a number");
    assert_eq!(row.as_object().map(serde_json::Map::len), Some(4), "{row}");
    let amount = row["amount"].as_f64().expect("an amount");
    (
        row["account"].as_u64().expect("an account"),
        number("small_at"),
        number("large_at"),
        amount,
    )
}

#[test]
fn a_large_transaction_right_after_a_small_one_within_a_minute_is_an_alert() {
    let folder = Folder::new();
    // Each account is a case; its rows are in order, those of different accounts are mixed.
    let rows = [
        // 1: within the minute.
        (1, 1_000, "0.10"),
        // 2: at its very end.
        (2, 1_000, "0.99"),
        // 3: one millisecond after.
        (3, 1_000, "0.99"),
        // 4: the limits themselves are neither small nor large.
        (4, 1_000, "1.00"),
        (4, 2_000, "500.01"),
        (4, 3_000, "0.5"),
        (4, 4_000, "500.00"),
        // 5: another transaction in between.
        (5, 1_000, "0.10"),
        (5, 2_000, "20.00"),
        (5, 3_000, "900.00"),
        // 6: the later of two small ones counts.
        (6, 1_000, "0.10"),
        (6, 2_000, "0.20"),
        // 7: one alert for the first of two large ones.
        (7, 1_000, "0.10"),
        (7, 2_000, "700.00"),
        (7, 3_000, "800.00"),
        // 8: both at the same time, twice.
        (8, 5_000, "0"),
        (8, 5_000, "600.5"),
        (8, 5_000, "0.01"),
        (8, 5_000, "1e3"),
        // 9: the large one first.
        (9, 5_000, "900.00"),
        (9, 6_000, "0.10"),
        (1, 30_000, "600.00"),
        // 10: a minute that ends long before the next transaction.
        (10, 31_000, "0.10"),
        (2, 61_000, "600.25"),
        (3, 61_001, "600.25"),
        (6, 61_500, "501.00"),
        (10, 3_600_000, "600.00"),
        (10, 3_600_001, "0.10"),
        (10, 3_600_002, "500.01"),
    ];
    let text: String = rows
        .iter()
        .map(|(account, time, amount)| format!("{account},{time},{amount}\n"))
        .collect();
    folder.write("in.csv", text);
    let expected = [
        (1, 1_000, 30_000, 600.0),
        (2, 1_000, 61_000, 600.25),
        (6, 2_000, 61_500, 501.0),
        (7, 1_000, 2_000, 700.0),
        (8, 5_000, 5_000, 600.5),
        (8, 5_000, 5_000, 1000.0),
        (10, 3_600_001, 3_600_002, 500.01),
    ];
    assert_eq!(alerts(&folder, done_in_one, "2"), expected);
}

/// A minute after the last of all times there is no time any more.
#[test]
fn times_at_the_ends_of_time_are_times_too() {
    let folder = Folder::new();
    let (first, last) = (i64::MIN, i64::MAX);
    folder.write(
        "in.csv",
        format!("1,{first},0.1\n1,{last},600\n2,{last},0.1\n2,{last},700\n"),
    );
    assert_eq!(alerts(&folder, done_in_one, "1"), [(2, last, last, 700.0)]);
}

#[test]
fn limits_can_be_chosen() {
    let folder = Folder::new();
    folder.write("in.csv", "1,0,9\n1,1,11\n2,0,0.5\n2,1,900\n");
    let mut args = folder.job("fraud-detection", "in.csv");
    args.extend(["--arg", "small=10", "--arg", "large=10"].map(str::to_owned));
    done_in_one(&args).expect(0, &[]);
    let mut rows = folder.rows("out").concat();
    rows.sort_unstable();
    let first = r#"{"account":1,"small_at":0,"large_at":1,"amount":11.0}"#;
    let second = r#"{"account":2,"small_at":0,"large_at":1,"amount":900.0}"#;
    assert_eq!(rows, [first, second]);
}

/// What the program is to do, account by account, without state, timers or watermarks.
fn expected(transactions: &[(u64, i64, f64)]) -> Vec<Alert> {
    let mut last: HashMap<u64, (i64, f64)> = HashMap::new();
    let mut alerts = Vec::new();
    for &(account, time, amount) in transactions {
        let before = last.insert(account, (time, amount));
        if let Some((small_at, before)) = before
            && before < 1.0
            && amount > 500.0
            && time - small_at <= 60_000
        {
            alerts.push((account, small_at, time, amount));
        }
    }
    alerts.sort_by(|a, b| a.partial_cmp(b).expect("numbers"));
    alerts
}

#[test]
fn many_accounts_get_the_alerts_of_an_independent_detector() {
    let folder = Folder::new();
    let mut random = Random(11);
    let mut transactions = Vec::new();
    let (mut time, mut text) = (1_700_000_000_000i64, String::new());
    for _ in 0..40_000 {
        time += i64::try_from(random.below(400)).expect("a number");
        let account = random.below(150) as u64;
        // A third each is small, large and neither.
        let cents = [
            random.below(120),
            random.below(50_000),
            49_900 + random.below(90_000),
        ];
        let cents = cents[random.below(3)];
        let amount = format!("{}.{:02}", cents / 100, cents % 100);
        writeln!(text, "{account},{time},{amount}").expect("a text");
        transactions.push((account, time, amount.parse().expect("a number")));
    }
    folder.write("in.csv", text);
    let expected = expected(&transactions);
    assert!(expected.len() > 1_000, "only {} alerts", expected.len());
    assert_eq!(alerts(&folder, done_in_one, "4"), expected);
    std::fs::remove_dir_all(folder.path("out")).expect("removed");
    assert_eq!(alerts(&folder, done_on_two, "2"), expected);
}
