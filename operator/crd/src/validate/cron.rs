//! Cron schedules: five fields of numbers, names, `*`, ranges, steps and lists, in UTC.
//!
//! As in Vixie's cron, a day is one of the schedule's if its day of the month and its day of the
//! week fit; where both fields name days (neither begins with `*`), one of them is enough.

use crate::manifest::quoted;

const DAY_MINUTES: i64 = 24 * 60;
const MINUTE_MS: i64 = 60_000;

/// The 29th of February comes again after eight years at the latest (1896 to 1904, 2096 to 2104).
const DAYS_AHEAD_MAX: i64 = 8 * 366 + 1;

struct Field {
    name: &'static str,
    min: u32,
    max: u32,
    /// Three-letter names, the first of which means `min`.
    names: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field {
        name: "minute",
        min: 0,
        max: 59,
        names: &[],
    },
    Field {
        name: "hour",
        min: 0,
        max: 23,
        names: &[],
    },
    Field {
        name: "day of month",
        min: 1,
        max: 31,
        names: &[],
    },
    Field {
        name: "month",
        min: 1,
        max: 12,
        names: &[
            "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
        ],
    },
    Field {
        name: "day of week",
        min: 0,
        max: 7,
        names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
    },
];

/// Minutes that come again and again, as five cron fields name them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Each a set of numbers, a bit each.
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Both kinds of day are named: one that fits is enough.
    either_day: bool,
}

impl Schedule {
    /// Reads a schedule; otherwise says what is wrong with it.
    pub fn parse(schedule: &str) -> Result<Self, String> {
        let parts: Vec<_> = schedule.split_ascii_whitespace().collect();
        if parts.len() != FIELDS.len() {
            return Err(format!(
                "is {}; cron has five fields (minute, hour, day of month, month, day of week), as \
                 in `0 3 * * *`",
                quoted(schedule)
            ));
        }
        let mut sets = [0; FIELDS.len()];
        for ((field, part), set) in FIELDS.iter().zip(&parts).zip(&mut sets) {
            *set = field.set(part).ok_or_else(|| {
                let Field { name, min, max, .. } = field;
                format!(
                    "has {} for the {name}; possible are `*`, {min} to {max}, ranges \
                     (`{min}-{max}`), steps (`*/5`) and lists",
                    quoted(part)
                )
            })?;
        }
        let [minutes, hours, days, months, weekdays] = sets;
        let schedule_of_sets = Self {
            minutes,
            hours,
            days,
            months,
            // Sunday is 0 and 7.
            weekdays: (weekdays | weekdays >> 7) & 0x7f,
            either_day: !parts[2].starts_with('*') && !parts[4].starts_with('*'),
        };
        if schedule_of_sets.next_after(0).is_none() {
            return Err(format!(
                "is {}, which never comes: no such month has such a day",
                quoted(schedule)
            ));
        }
        Ok(schedule_of_sets)
    }

    /// The first time of the schedule after this one, both in milliseconds since 1970.
    pub fn next_after(&self, unix_ms: i64) -> Option<i64> {
        let first = unix_ms.div_euclid(MINUTE_MS) + 1;
        let today = first.div_euclid(DAY_MINUTES);
        let minute = (today..today + DAYS_AHEAD_MAX).find_map(|day| {
            let from = match day == today {
                true => first.rem_euclid(DAY_MINUTES),
                false => 0,
            };
            let minute = self.has_day(day).then(|| self.minute_from(from))??;
            Some(day * DAY_MINUTES + minute)
        })?;
        Some(minute * MINUTE_MS)
    }

    /// Whether a time is one of the schedule's.
    pub fn includes(&self, unix_ms: i64) -> bool {
        unix_ms.rem_euclid(MINUTE_MS) == 0 && self.next_after(unix_ms - 1) == Some(unix_ms)
    }

    /// The first minute of a day that fits, at or after this one.
    fn minute_from(&self, from: i64) -> Option<i64> {
        (from / 60..24)
            .filter(|hour| has(self.hours, *hour))
            .find_map(|hour| {
                let earliest = if hour == from / 60 { from % 60 } else { 0 };
                let minute = (earliest..60).find(|minute| has(self.minutes, *minute))?;
                Some(hour * 60 + minute)
            })
    }

    /// Whether a day, counted from 1970, fits.
    fn has_day(&self, day: i64) -> bool {
        let (month, day_of_month) = month_and_day(day);
        // The first of January 1970 was a Thursday.
        let weekday = (day + 4).rem_euclid(7);
        let (by_month, by_week) = (has(self.days, day_of_month), has(self.weekdays, weekday));
        let fits = match self.either_day {
            true => by_month || by_week,
            false => by_month && by_week,
        };
        fits && has(self.months, month)
    }
}

fn has(set: u64, number: i64) -> bool {
    u32::try_from(number).is_ok_and(|number| number < 64 && set >> number & 1 == 1)
}

/// Month and day of the month of a day, counted from 1970, by the Gregorian calendar. The year is
/// taken to begin in March, so that the day that leap years have comes last.
fn month_and_day(day: i64) -> (i64, i64) {
    const ERA_DAYS: i64 = 146_097;
    let of_era = (day + 719_468).rem_euclid(ERA_DAYS);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day_of_month = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    (month, day_of_month)
}

impl Field {
    /// The numbers that a field names.
    fn set(&self, part: &str) -> Option<u64> {
        part.split(',')
            .try_fold(0, |set, item| Some(set | self.item(item)?))
    }

    fn item(&self, item: &str) -> Option<u64> {
        let (range, step) = match item.split_once('/') {
            None => (item, None),
            Some((range, step)) => (range, Some(number(step)?)),
        };
        if step.is_some_and(|step| !(1..=self.max).contains(&step)) {
            return None;
        }
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (self.min, self.max),
            // With a step, one number is where the steps begin.
            None if step.is_some() => (self.value(range)?, self.max),
            None => (self.value(range)?, self.value(range)?),
            Some((first, last)) => (self.value(first)?, self.value(last)?),
        };
        let step = usize::try_from(step.unwrap_or(1)).ok()?;
        let numbers = (first..=last).step_by(step);
        (first <= last).then(|| numbers.fold(0, |set, number| set | 1 << number))
    }

    fn value(&self, text: &str) -> Option<u32> {
        let lower = text.to_ascii_lowercase();
        let named = (self.min..)
            .zip(self.names)
            .find(|(_, name)| **name == lower);
        let value = named.map(|(value, _)| value).or_else(|| number(text))?;
        (self.min..=self.max).contains(&value).then_some(value)
    }
}

fn number(text: &str) -> Option<u32> {
    text.bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests;
