//! The output of `page-views`, and what is wrong with it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The rows of `window_end,page,views` that are published.
#[derive(Clone, Debug, Default)]
pub struct Views {
    /// Views by window and page.
    windows: BTreeMap<i64, BTreeMap<u64, u64>>,
    wrong: Vec<String>,
    /// The last window of each epoch.
    epochs: BTreeMap<u64, i64>,
}

/// A part file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The epoch that it was written in.
    pub epoch: u64,
    /// Its subtask.
    pub subtask: u64,
    /// The subtask's attempt.
    pub attempt: u64,
    /// When it was published, in milliseconds since 1970.
    pub at_ms: i64,
}

impl Part {
    /// The part files of a folder. `part-EPOCH-SUBTASK-ATTEMPT-NUMBER.csv` is the name of one.
    pub fn all(folder: &Path) -> Vec<Self> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.filter_map(|entry| Self::read(&entry)).collect()
    }

    fn read(entry: &fs::DirEntry) -> Option<Self> {
        let name = entry.file_name();
        let mut numbers = name.to_str()?.strip_prefix("part-")?.split('-');
        let mut number = || numbers.next()?.parse().ok();
        let (epoch, subtask, attempt) = (number()?, number()?, number()?);
        let metadata = entry.metadata().ok()?;
        // When the file came under its name, not when its bytes were written.
        let at_ms = metadata.ctime() * 1000 + metadata.ctime_nsec() / 1_000_000;
        Some(Self {
            epoch,
            subtask,
            attempt,
            at_ms,
        })
    }
}

/// The first window begins here: the start of 2026, in milliseconds since 1970.
const FIRST_VIEW: i64 = 1_767_225_600_000;

impl Views {
    /// Reads the part files of a folder.
    pub fn read(folder: &Path) -> Self {
        let mut views = Self::default();
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        for entry in entries {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let Some(rest) = name.strip_prefix("part-") else {
                continue;
            };
            let epoch = rest.split('-').next().and_then(|text| text.parse().ok());
            let text = fs::read_to_string(entry.path()).unwrap_or_default();
            views.add(epoch.unwrap_or(0), &name, &text);
        }
        views
    }

    fn add(&mut self, epoch: u64, name: &str, text: &str) {
        for row in text.lines() {
            let mut fields = row.split(',').map(str::parse::<i64>);
            let (Some(Ok(end)), Some(Ok(page)), Some(Ok(views)), None) =
                (fields.next(), fields.next(), fields.next(), fields.next())
            else {
                self.wrong.push(format!("{name} holds `{row}`"));
                continue;
            };
            let (page, views) = (page.unsigned_abs(), views.unsigned_abs());
            let last = self.epochs.entry(epoch).or_insert(end);
            *last = end.max(*last);
            let window = self.windows.entry(end).or_default();
            if window.insert(page, views).is_some() {
                let text = format!("page {page} is in window {end} twice, again in {name}");
                self.wrong.push(text);
            }
        }
    }

    /// The end of the newest window, in milliseconds after the first view; 0 if there is none.
    pub fn newest(&self) -> i64 {
        let last = self.windows.last_key_value();
        last.map_or(0, |(end, _)| end - FIRST_VIEW)
    }

    /// The newest epoch that has published anything; 0 if none has.
    pub fn epoch(&self) -> u64 {
        let last = self.epochs.last_key_value();
        last.map_or(0, |(epoch, _)| *epoch)
    }

    /// What is wrong: something that is there twice, or missing before something that is there.
    /// Of a job that runs, the files of the newest checkpoint may be there in part: `running` lets
    /// the newest windows be incomplete.
    pub fn wrong(&self, window_ms: i64, running: bool) -> Vec<String> {
        let mut wrong = self.wrong.clone();
        let sum = |end: i64| -> u64 {
            let window = self.windows.get(&end);
            window.map_or(0, |pages| pages.values().sum())
        };
        let whole = window_ms.unsigned_abs();
        let ends = |last: i64| {
            let count = last / window_ms;
            (1..=count).map(move |number| FIRST_VIEW + number * window_ms)
        };
        let mut last = self.newest();
        if running {
            while last > 0 && sum(FIRST_VIEW + last) != whole {
                last -= window_ms;
            }
        }
        for end in ends(last).filter(|end| sum(*end) != whole) {
            wrong.push(format!(
                "window {end} has {} views of {whole}: {:?}",
                sum(end),
                self.windows.get(&end)
            ));
        }
        for end in self.windows.keys() {
            if (end - FIRST_VIEW) % window_ms != 0 || sum(*end) > whole {
                wrong.push(format!("window {end} has {} views", sum(*end)));
            }
        }
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn views(rows: &[(i64, u64, u64)]) -> Views {
        let mut views = Views::default();
        for (window, page, count) in rows {
            let end = FIRST_VIEW + window * 1000;
            views.add(1, "part", &format!("{end},{page},{count}\n"));
        }
        views
    }

    #[test]
    fn whole_windows_one_after_the_other_are_right() {
        let views = views(&[(1, 0, 600), (1, 1, 400), (2, 1, 300), (2, 0, 700)]);
        assert_eq!(views.wrong(1000, false), Vec::<String>::new());
        assert_eq!((views.newest(), views.epoch()), (2000, 1));
    }

    #[test]
    fn a_page_that_is_there_twice_a_view_too_many_and_a_gap_are_found() {
        let twice = views(&[(1, 0, 1000), (1, 0, 1000)]);
        assert_eq!(twice.wrong(1000, true).len(), 1);
        let more = views(&[(1, 0, 1000), (1, 1, 1), (2, 0, 1000)]);
        assert!(!more.wrong(1000, true).is_empty());
        let gap = views(&[(1, 0, 1000), (3, 0, 1000)]);
        assert_eq!(gap.wrong(1000, true).len(), 1);
        let odd = Views {
            wrong: Vec::new(),
            windows: BTreeMap::from([(FIRST_VIEW + 1, BTreeMap::new())]),
            epochs: BTreeMap::new(),
        };
        assert_eq!(odd.wrong(1000, true).len(), 1);
    }

    #[test]
    fn only_the_newest_windows_of_a_running_job_may_be_incomplete() {
        let views = views(&[(1, 0, 1000), (2, 0, 600)]);
        assert_eq!(views.wrong(1000, true), Vec::<String>::new());
        assert_eq!(views.wrong(1000, false).len(), 1);
    }
}
