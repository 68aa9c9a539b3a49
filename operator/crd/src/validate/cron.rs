//! Checks cron schedules: five fields of numbers, names, `*`, ranges, steps and lists.

use crate::manifest::quoted;

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

/// Whether a schedule is one; otherwise what is wrong with it.
pub(super) fn check(schedule: &str) -> Result<(), String> {
    let parts: Vec<_> = schedule.split_ascii_whitespace().collect();
    if parts.len() != FIELDS.len() {
        return Err(format!(
            "is {}; cron has five fields (minute, hour, day of month, month, day of week), as in \
             `0 3 * * *`",
            quoted(schedule)
        ));
    }
    for (field, part) in FIELDS.iter().zip(parts) {
        if !part.split(',').all(|item| field.takes(item)) {
            let Field { name, min, max, .. } = field;
            return Err(format!(
                "has {} for the {name}; possible are `*`, {min} to {max}, ranges (`{min}-{max}`), \
                 steps (`*/5`) and lists",
                quoted(part)
            ));
        }
    }
    Ok(())
}

impl Field {
    fn takes(&self, item: &str) -> bool {
        let (range, step) = match item.split_once('/') {
            None => (item, None),
            Some((range, step)) => (range, Some(step)),
        };
        let step_fits =
            step.is_none_or(|step| number(step).is_some_and(|step| (1..=self.max).contains(&step)));
        step_fits
            && match range.split_once('-') {
                _ if range == "*" => true,
                None => self.value(range).is_some(),
                Some((first, last)) => match (self.value(first), self.value(last)) {
                    (Some(first), Some(last)) => first <= last,
                    _ => false,
                },
            }
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
mod tests {
    use super::*;

    #[test]
    fn schedules_that_cron_takes_are_taken() {
        for schedule in [
            "* * * * *",
            "0 3 * * *",
            "*/15 0-6,22-23 1,15 jan-MAR mon",
            "59 23 31 12 7",
            "5/10 * * * *",
        ] {
            assert_eq!(check(schedule), Ok(()), "{schedule}");
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
        ] {
            assert!(check(schedule).is_err(), "{schedule}");
        }
    }
}
