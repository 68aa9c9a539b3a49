use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

#[test]
fn schedules_that_cron_takes_are_taken() {
    for schedule in [
        "* * * * *",
        "0 3 * * *",
        "*/15 0-6,22-23 1,15 jan-MAR mon",
        "59 23 31 12 7",
        "5/10 * * * *",
        "0 0 29 feb *",
        "0 0 31 2 mon",
    ] {
        assert!(Schedule::parse(schedule).is_ok(), "{schedule}");
    }
}

#[test]
fn other_schedules_are_refused() {
    for schedule in [
        "",
        "daily",
        "* * * *",
        "* * * * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "* * * * 8",
        "5-1 * * * *",
        "*/0 * * * *",
        "+5 * * * *",
        "1,, * * * *",
        "a * * * *",
        "0 0 31 2,4,6,9,11 *",
        "0 0 30 feb *",
    ] {
        assert!(Schedule::parse(schedule).is_err(), "{schedule}");
    }
}

/// Minutes since 1970 of a date and a time of the years 1970 to 2105, counted day by day.
fn minutes(year: i64, month: i64, day: i64, hour: i64, minute: i64) -> i64 {
    let leap = |year: i64| (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let mut days = (1970..year).fold(0, |days, year| days + 365 + i64::from(leap(year)));
    for before in 1..month {
        days += match before {
            4 | 6 | 9 | 11 => 30,
            2 => 28 + i64::from(leap(year)),
            _ => 31,
        };
    }
    ((days + day - 1) * 24 + hour) * 60 + minute
}

#[test]
fn the_next_time_is_the_one_that_a_calendar_shows() {
    type Time = (i64, i64, i64, i64, i64);
    let cases: &[(&str, Time, Time)] = &[
        ("* * * * *", (2026, 11, 28, 18, 5), (2026, 11, 28, 18, 6)),
        ("0 3 * * *", (2026, 11, 28, 2, 59), (2026, 11, 28, 3, 0)),
        ("0 3 * * *", (2026, 11, 28, 3, 0), (2026, 11, 29, 3, 0)),
        ("0 3 * * *", (2026, 12, 31, 23, 0), (2027, 1, 1, 3, 0)),
        ("*/20 * * * *", (2026, 11, 28, 23, 41), (2026, 11, 29, 0, 0)),
        ("5/30 1 * * *", (2026, 11, 28, 1, 5), (2026, 11, 28, 1, 35)),
        // Saturday the 28th of November 2026.
        ("0 0 * * sat", (2026, 11, 27, 0, 0), (2026, 11, 28, 0, 0)),
        ("0 0 * * 0", (2026, 11, 28, 0, 0), (2026, 11, 29, 0, 0)),
        ("0 0 * * 7", (2026, 11, 28, 0, 0), (2026, 11, 29, 0, 0)),
        // One of the two is enough where both are named,
        ("0 0 1 * mon", (2026, 11, 28, 0, 0), (2026, 11, 30, 0, 0)),
        ("0 0 1 * mon", (2026, 11, 30, 0, 0), (2026, 12, 1, 0, 0)),
        // and both must fit where one begins with `*`.
        ("0 0 */2 * mon", (2026, 11, 28, 0, 0), (2026, 12, 7, 0, 0)),
        ("0 0 31 * *", (2026, 11, 1, 0, 0), (2026, 12, 31, 0, 0)),
        ("0 0 29 2 *", (2026, 11, 28, 0, 0), (2028, 2, 29, 0, 0)),
        ("0 0 29 2 *", (2096, 2, 29, 0, 0), (2104, 2, 29, 0, 0)),
        (
            "30 12 24 dec *",
            (2026, 12, 24, 12, 30),
            (2027, 12, 24, 12, 30),
        ),
    ];
    for (schedule, (y, mo, d, h, mi), next) in cases {
        let parsed = Schedule::parse(schedule).expect(schedule);
        let at = minutes(*y, *mo, *d, *h, *mi) * MINUTE_MS;
        let (y, mo, d, h, mi) = *next;
        let next = minutes(y, mo, d, h, mi) * MINUTE_MS;
        assert_eq!(parsed.next_after(at), Some(next), "{schedule} after {at}");
        assert_eq!(parsed.next_after(next - 1), Some(next), "{schedule}");
        assert!(
            parsed.includes(next) && !parsed.includes(next + 1),
            "{schedule}"
        );
    }
}

/// A field as words, and the numbers that it means, made together.
fn field(min: u32, max: u32) -> impl Strategy<Value = (String, Vec<u32>)> {
    let all = (min..=max).collect::<Vec<_>>();
    prop_oneof![
        3 => Just(("*".to_owned(), all)),
        2 => (min..=max).prop_map(|number| (number.to_string(), vec![number])),
        1 => (min..=max, 1..=max).prop_map(move |(first, step)| {
            let numbers = (min..=max).filter(|n| *n >= first && (n - first).is_multiple_of(step));
            (format!("{first}/{step}"), numbers.collect())
        }),
        1 => (1..=max).prop_map(move |step| {
            let numbers = (min..=max).filter(|n| (n - min).is_multiple_of(step));
            (format!("*/{step}"), numbers.collect())
        }),
        1 => (min..=max, min..=max).prop_map(|(a, b)| {
            let (first, last) = (a.min(b), a.max(b));
            (format!("{first}-{last}"), (first..=last).collect())
        }),
        1 => (min..=max, min..=max).prop_map(|(a, b)| (format!("{a},{b}"), vec![a, b])),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// The model walks a calendar minute by minute.
    #[test]
    fn no_minute_is_left_out_and_none_is_made_up(
        minute in field(0, 59),
        hour in field(0, 23),
        day in field(1, 31),
        weekday in field(0, 7),
        start in 0..(200 * 365 * DAY_MINUTES),
    ) {
        let words = format!("{} {} {} * {}", minute.0, hour.0, day.0, weekday.0);
        let schedule = Schedule::parse(&words).expect("a schedule");
        let found = schedule.next_after(start * MINUTE_MS);
        // A window that always holds a day that fits would be years long; what lies beyond it is
        // only checked for not lying in it.
        let window = 62 * DAY_MINUTES;
        let named = |words: &str| !words.starts_with('*');
        let fits = |at: i64| {
            let days = at / DAY_MINUTES;
            let number = |n: i64| u32::try_from(n).expect("small");
            let by_week = {
                let of_week = number((days + 4) % 7);
                weekday.1.iter().any(|wanted| wanted % 7 == of_week)
            };
            let by_month = day.1.contains(&day_of_month(days));
            let day_fits = match named(&day.0) && named(&weekday.0) {
                true => by_week || by_month,
                false => by_week && by_month,
            };
            day_fits
                && hour.1.contains(&number(at / 60 % 24))
                && minute.1.contains(&number(at % 60))
        };
        let expected = (start + 1..start + window).find(|at| fits(*at));
        match expected {
            Some(at) => prop_assert_eq!(found, Some(at * MINUTE_MS), "{}", words),
            None => prop_assert!(found.is_none_or(|at| at >= (start + window) * MINUTE_MS)),
        }
    }
}

/// The day of the month of a day since 1970, counted day by day.
fn day_of_month(day: i64) -> u32 {
    static DAYS: LazyLock<Vec<u32>> = LazyLock::new(|| {
        let mut days = Vec::new();
        for (year, month) in (1970..2180).flat_map(|year| (1..=12).map(move |month| (year, month)))
        {
            let next = match month {
                12 => minutes(year + 1, 1, 1, 0, 0),
                _ => minutes(year, month + 1, 1, 0, 0),
            };
            let length = (next - minutes(year, month, 1, 0, 0)) / DAY_MINUTES;
            days.extend(1..=u32::try_from(length).expect("a month"));
        }
        days
    });
    DAYS[usize::try_from(day).expect("since 1970")]
}
