//! Numbers and times for people.

use std::time::Duration;

/// `1,234,567`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 bad record`, `2,000 bad records`: a number, and what it counts in the singular.
pub(crate) fn counted(number: u64, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {what}{plural}", count(number))
}

/// Three digits and a unit: `987`, `1.23 k`, `45.6 M`.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub(crate) fn short(number: u64) -> String {
    scaled(number as f64, 1000.0, &["", " k", " M", " G", " T"])
}

/// `1.50 MiB`.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub(crate) fn bytes(number: u64) -> String {
    scaled(
        number as f64,
        1024.0,
        &[" B", " KiB", " MiB", " GiB", " TiB"],
    )
}

/// Records per second: `1.23 M/s`.
pub(crate) fn rate(per_second: f64) -> String {
    format!(
        "{}/s",
        scaled(per_second, 1000.0, &["", " k", " M", " G", " T"])
    )
}

fn scaled(mut number: f64, step: f64, units: &[&str]) -> String {
    let mut unit = 0;
    // 999.5 and more would print as four digits.
    while number >= 999.5 && unit + 1 < units.len() {
        number /= step;
        unit += 1;
    }
    let decimals = match number {
        _ if unit == 0 => 0,
        ..9.995 => 2,
        ..99.95 => 1,
        _ => 0,
    };
    format!("{number:.decimals$}{}", units[unit])
}

/// `48%` of a share between 0 and 1.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.0}%", share * 100.0)
}

/// `0.52 s`, `48.1 s`, `3m 07s`, `2h 03m`.
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..10 => format!("{:.2} s", time.as_secs_f64()),
        10..60 => format!("{:.1} s", time.as_secs_f64()),
        60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h {:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// `0.21 ms`, `21.0 ms`, `2.10 s` of milliseconds: for what may be very short.
pub(crate) fn millis(ms: f64) -> String {
    match ms {
        ..9.995 => format!("{ms:.2} ms"),
        ..99.95 => format!("{ms:.1} ms"),
        ..999.5 => format!("{ms:.0} ms"),
        _ => duration(Duration::try_from_secs_f64(ms / 1000.0).unwrap_or(Duration::MAX)),
    }
}

/// `2026-01-31T23:59:59Z` of milliseconds since 1970; `-` before 1970, as of -1 for "not yet".
pub(crate) fn instant(unix_ms: i64) -> String {
    /// The last millisecond of the year 9999; what lies behind it is not a date that anyone means.
    const LAST: i64 = 253_402_300_799_999;
    match unix_ms {
        i64::MAX => "end".to_owned(),
        ..0 => "-".to_owned(),
        LAST.. => unix_ms.to_string(),
        _ => {
            let (days, second) = (unix_ms / 86_400_000, unix_ms / 1000 % 86_400);
            let (year, month, day) = civil(days);
            let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
            format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
        }
    }
}

/// The date of a day since 1970-01-01 (Howard Hinnant's `civil_from_days`).
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_exact_enough() {
        assert_eq!(
            [0, 999, 1000, 1_234_567].map(count),
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!(
            [0, 999, 1000, 9_999, 45_600_000].map(short),
            ["0", "999", "1.00 k", "10.0 k", "45.6 M"]
        );
        assert_eq!([1023, 1536 << 10].map(bytes), ["1.00 KiB", "1.50 MiB"]);
        assert_eq!(rate(2_500_000.0), "2.50 M/s");
        assert_eq!(percent(0.481), "48%");
    }

    #[test]
    fn times_are_dates_in_utc() {
        assert_eq!(instant(0), "1970-01-01T00:00:00Z");
        assert_eq!(instant(951_782_400_000), "2000-02-29T00:00:00Z");
        assert_eq!(instant(1_767_225_599_999), "2025-12-31T23:59:59Z");
        assert_eq!(instant(253_402_300_799_000), "9999-12-31T23:59:59Z");
        assert_eq!(instant(-1), "-");
        assert_eq!(instant(i64::MAX), "end");
    }

    #[test]
    fn durations_name_the_two_largest_units() {
        let texts = [520, 48_100, 187_000, 7_380_000].map(|ms| duration(Duration::from_millis(ms)));
        assert_eq!(texts, ["0.52 s", "48.1 s", "3m 07s", "2h 03m"]);
        let texts = [0.0, 0.214, 21.04, 521.0, 2_100.0].map(millis);
        assert_eq!(texts, ["0.00 ms", "0.21 ms", "21.0 ms", "521 ms", "2.10 s"]);
    }
}
