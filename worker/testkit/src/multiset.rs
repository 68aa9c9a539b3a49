//! Whether a job's output is exactly what it is to be: each row as often as it should come, in
//! whatever order and files.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// Rows, and how often each comes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Multiset(BTreeMap<String, u64>);

/// How many rows a difference names: more help nobody.
const NAMED_MAX: usize = 5;

impl Multiset {
    /// The rows of all finished files of a folder. Files whose names begin with `.` or `_` are not
    /// finished; a finished file whose last row is cut off fails the test.
    #[track_caller]
    pub fn of_folder(folder: &Path) -> Self {
        let mut names: Vec<_> = fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .collect();
        names.retain(|entry| !entry.file_name().to_string_lossy().starts_with(['.', '_']));
        let mut all = Self::default();
        for entry in names {
            let path = entry.path();
            let text = fs::read_to_string(&path).expect("a finished file stays");
            let whole = text.is_empty() || text.ends_with('\n');
            assert!(whole, "the last row of {} is cut off", path.display());
            all.extend(text.lines().map(str::to_owned));
        }
        all
    }

    /// How many rows there are.
    pub fn len(&self) -> u64 {
        self.0.values().sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is wrong with `found` where this is what it is to be: how many rows were lost and how
    /// many came too often, and some of them. None if nothing is.
    pub fn difference(&self, found: &Self) -> Option<String> {
        let lost = self.without(found);
        let surplus = found.without(self);
        if lost.is_empty() && surplus.is_empty() {
            return None;
        }
        let mut text = format!("of {} rows {} are lost", self.len(), lost.len());
        lost.name_some(&mut text);
        write!(text, "; {} came too often or are wrong", surplus.len()).expect("a text");
        surplus.name_some(&mut text);
        Some(text)
    }

    /// How many rows of this are not in `found`, and how many are there too often or are wrong.
    pub fn lost_and_surplus(&self, found: &Self) -> (u64, u64) {
        (self.without(found).len(), found.without(self).len())
    }

    /// Rows that are not in `expected`, or not so often: what an unfinished job may not have
    /// published.
    pub fn surplus_over(&self, expected: &Self) -> Option<String> {
        let surplus = self.without(expected);
        let mut text = format!("{} rows came too often or are wrong", surplus.len());
        surplus.name_some(&mut text);
        (!surplus.is_empty()).then_some(text)
    }

    fn without(&self, other: &Self) -> Self {
        let rest = self.0.iter().filter_map(|(row, count)| {
            let rest = count.saturating_sub(other.0.get(row).copied().unwrap_or(0));
            (rest > 0).then(|| (row.clone(), rest))
        });
        Self(rest.collect())
    }

    fn name_some(&self, text: &mut String) {
        for (row, count) in self.0.iter().take(NAMED_MAX) {
            write!(text, ", `{row}` ({count})").expect("a text");
        }
    }
}

impl Extend<String> for Multiset {
    fn extend<I: IntoIterator<Item = String>>(&mut self, rows: I) {
        for row in rows {
            *self.0.entry(row).or_insert(0) += 1;
        }
    }
}

impl FromIterator<String> for Multiset {
    fn from_iter<I: IntoIterator<Item = String>>(rows: I) -> Self {
        let mut all = Self::default();
        all.extend(rows);
        all
    }
}
