//! A line of an access log in Apache's combined format:
//!
//! ```text
//! 203.0.113.7 - - [10/Oct/2000:13:55:36 -0700] "GET /index.html HTTP/1.1" 200 2326 "-" "curl/8"
//! ```

use compact_str::CompactString;

use super::Request;

/// What is wrong with a line.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum LineError {
    #[error("no access log line in combined format: {0} is missing")]
    Missing(&'static str),
    #[error("`{0}` is no time such as 10/Oct/2000:13:55:36 -0700")]
    Time(String),
}

/// Time and page of a request; what follows a `?` is no part of the page. A request that is no
/// HTTP (scanners send such) counts as the page `-`.
pub(super) fn parse(line: &str) -> Result<Request, LineError> {
    let (_, rest) = line
        .split_once(" [")
        .ok_or(LineError::Missing("the time in brackets"))?;
    let (time, rest) = rest
        .split_once("] \"")
        .ok_or(LineError::Missing("the quoted request"))?;
    let request = &rest[..end_of_quoted(rest).ok_or(LineError::Missing("the request's end"))?];
    let mut words = request.split(' ');
    let page = match (words.next(), words.next(), words.next()) {
        (Some(_method), Some(target), Some(_version)) => target.split('?').next().unwrap_or("-"),
        _ => "-",
    };
    let time = unix_ms(time).ok_or_else(|| LineError::Time(time.to_owned()))?;
    Ok(Request {
        time,
        page: CompactString::new(page),
    })
}

/// Where the quoted text ends; servers write a quote in it as `\"`.
fn end_of_quoted(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })
}

/// `10/Oct/2000:13:55:36 -0700` in milliseconds since 1970.
fn unix_ms(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let (date, time) = text.split_once(':')?;
    let mut date = date.split('/');
    let day = number(date.next()?, 1, 31)?;
    let name = date.next()?;
    let month = i64::try_from(MONTHS.iter().position(|month| *month == name)?).ok()? + 1;
    let year = number(date.next()?, 1970, 9999)?;
    let (time, zone) = time.split_once(' ')?;
    let mut time = time.split(':');
    let hours = number(time.next()?, 0, 23)?;
    let minutes = number(time.next()?, 0, 59)?;
    let seconds = number(time.next()?, 0, 60)?;
    let (sign, zone) = match zone.split_at_checked(1)? {
        ("+", zone) => (1, zone),
        ("-", zone) => (-1, zone),
        _ => return None,
    };
    let zone = number(zone, 0, 2359)?;
    let offset = sign * (zone / 100 * 60 + zone % 100);
    let days = days_since_1970(year, month, day);
    Some((((days * 24 + hours) * 60 + minutes - offset) * 60 + seconds) * 1000)
}

fn number(text: &str, least: i64, most: i64) -> Option<i64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|number| digits && (least..=most).contains(number))
}

/// Days from 1970-01-01 to a date of the Gregorian calendar: years are counted from March, so
/// that the leap day is a year's last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_combined_line_gives_time_and_page() {
        let line = r#"203.0.113.7 - - [10/Oct/2000:13:55:36 -0700] "GET /a/b?q=1 HTTP/1.1" 200 23 "-" "curl""#;
        // `date -d '2000-10-10 13:55:36 -0700' +%s`
        assert_eq!(
            parse(line),
            Ok(Request {
                time: 971_211_336_000,
                page: "/a/b".into()
            })
        );
    }

    #[test]
    fn dates_around_leap_days_are_right() {
        // Each number is from `date -u -d ... +%s`.
        for (text, seconds) in [
            ("01/Jan/1970:00:00:00 +0000", 0),
            ("29/Feb/2024:12:00:00 +0000", 1_709_208_000),
            ("01/Mar/2024:00:30:00 +0130", 1_709_247_600),
            ("31/Dec/2099:23:59:59 +0000", 4_102_444_799),
        ] {
            assert_eq!(unix_ms(text), Some(seconds * 1000), "{text}");
        }
    }

    #[test]
    fn a_request_that_is_no_http_is_counted_as_such() {
        let line = r#"203.0.113.7 - - [10/Oct/2000:13:55:36 -0700] "\x16\x03 \"x" 400 0 "-" "-""#;
        assert_eq!(parse(line).expect("is a line").page, "-");
    }

    #[test]
    fn lines_of_another_kind_name_what_is_missing() {
        assert_eq!(
            parse("hello"),
            Err(LineError::Missing("the time in brackets"))
        );
        assert_eq!(
            parse("a [x] b"),
            Err(LineError::Missing("the quoted request"))
        );
        assert_eq!(
            parse(r#"h - - [32/Oct/2000:13:55:36 -0700] "GET / HTTP/1.1" 200"#),
            Err(LineError::Time("32/Oct/2000:13:55:36 -0700".to_owned()))
        );
    }
}
