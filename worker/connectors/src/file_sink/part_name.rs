//! The names of part files. Pure.

use weir_types::ExecutionAttemptId;

const FINISHED_PREFIX: &str = "part-";
const IN_PROGRESS_PREFIX: &str = ".part-";
const IN_PROGRESS_SUFFIX: &str = ".inprogress";

/// Every extension that a finished part file of this sink may have.
const EXTENSIONS: [&str; 2] = ["csv", "jsonl"];

/// `part-<epoch>-<subtask>-<attempt>-<counter>.<extension>`: no two attempts of any subtask ever
/// have one name. A file is begun before it is known which checkpoint it will be prepared for, so
/// the counter stands for that, and tells apart files of one checkpoint, too. It has leading zeros,
/// so that the parts of a subtask sort by age.
pub(super) fn finished(attempt: &ExecutionAttemptId, counter: u32, extension: &str) -> String {
    let ExecutionAttemptId {
        epoch,
        subtask,
        attempt,
        ..
    } = attempt;
    format!("{FINISHED_PREFIX}{epoch}-{subtask}-{attempt}-{counter:06}.{extension}")
}

/// The name of the same file until it is published.
pub(super) fn in_progress(finished: &str) -> String {
    format!(".{finished}{IN_PROGRESS_SUFFIX}")
}

/// Whether a name is one that [`finished`] makes.
pub(super) fn is_finished(name: &str) -> bool {
    let Some((numbers, extension)) = name
        .strip_prefix(FINISHED_PREFIX)
        .and_then(|rest| rest.split_once('.'))
    else {
        return false;
    };
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    EXTENSIONS.contains(&extension)
        && numbers.split('-').count() == 4
        && numbers.split('-').all(is_number)
}

/// Whether a name is one that [`in_progress`] makes.
pub(super) fn is_in_progress(name: &str) -> bool {
    finished_of(name).is_some()
}

/// The name under which a file that is in progress will be published.
pub(super) fn finished_of(in_progress: &str) -> Option<&str> {
    let name = in_progress
        .starts_with(IN_PROGRESS_PREFIX)
        .then_some(in_progress)?;
    let finished = name.strip_prefix('.')?.strip_suffix(IN_PROGRESS_SUFFIX)?;
    is_finished(finished).then_some(finished)
}

/// Who writes or wrote a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Author {
    pub(super) epoch: u64,
    pub(super) subtask: u32,
    pub(super) attempt: u32,
}

impl Author {
    /// Whether it is an older attempt of a former subtask that this one continues: of `p` subtasks,
    /// `i` continues each `j` with `j mod p = i`.
    pub(super) fn is_continued_by(self, attempt: &ExecutionAttemptId, parallelism: u32) -> bool {
        let continued = self.subtask % parallelism.max(1) == attempt.subtask.0;
        continued && (self.epoch, self.attempt) < (attempt.epoch.0, attempt.attempt.0)
    }
}

/// Who writes or wrote the file, if its name is one that [`finished`] makes.
pub(super) fn author(finished: &str) -> Option<Author> {
    let numbers = is_finished(finished).then_some(finished)?;
    let mut numbers = numbers.strip_prefix(FINISHED_PREFIX)?.split('-');
    Some(Author {
        epoch: numbers.next()?.parse().ok()?,
        subtask: numbers.next()?.parse().ok()?,
        attempt: numbers.next()?.parse().ok()?,
    })
}

/// Whether one of these attempts has written the file, if its name is one that [`finished`] makes.
pub(super) fn is_by_one_of(finished: &str, attempts: &[ExecutionAttemptId]) -> bool {
    author(finished).is_some_and(|author| {
        attempts.iter().any(|attempt| {
            let by = Author {
                epoch: attempt.epoch.0,
                subtask: attempt.subtask.0,
                attempt: attempt.attempt.0,
            };
            author == by
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::context;

    #[test]
    fn a_name_is_known_as_finished_or_in_progress_and_never_both() {
        let attempt = context(3, 4).attempt;
        for (extension, name) in [
            ("csv", "part-1-3-0-000007.csv"),
            ("jsonl", "part-1-3-0-000007.jsonl"),
        ] {
            assert_eq!(finished(&attempt, 7, extension), name);
            assert!(is_finished(name) && !is_in_progress(name));
            let open = in_progress(name);
            assert!(is_in_progress(&open) && !is_finished(&open), "{open}");
            assert!(open.starts_with('.'), "what begins with a dot is no result");
            let (epoch, subtask) = (1, 3);
            let want = Author {
                epoch,
                subtask,
                attempt: 0,
            };
            assert_eq!(finished_of(&open), Some(name));
            assert_eq!(author(name), Some(want));
            assert_eq!(author(&open), None);
        }
    }

    #[test]
    fn only_older_attempts_of_former_subtasks_are_continued() {
        let mut own = context(1, 2).attempt;
        own.epoch = weir_types::Epoch(5);
        own.attempt = weir_types::AttemptNumber(3);
        let continued = |name| author(name).is_some_and(|author| author.is_continued_by(&own, 2));
        for older in [
            "part-5-1-2-000000.csv",
            "part-4-1-9-000000.csv",
            "part-5-3-2-000000.csv",
        ] {
            assert!(continued(older), "{older}");
        }
        for other in [
            "part-5-1-3-000000.csv",
            "part-5-0-2-000000.csv",
            "part-6-1-0-000000.csv",
            "part-5-1-4-000000.csv",
        ] {
            assert!(!continued(other), "{other}");
        }
    }

    #[test]
    fn files_of_others_are_not_taken_for_part_files() {
        for name in [
            "part-00000.csv",
            "part-1-2-3.csv",
            "part-1-2-3-4.parquet",
            "part-1-2-3-4.csv.gz",
            "part-1-2--4.csv",
            "part-1-2-3-x.csv",
            "my-part-1-2-3-4.csv",
            "notes.txt",
            ".part-1-2-3-4.csv",
            "part-1-2-3-4.csv.inprogress",
            "",
            "part-",
        ] {
            assert!(!is_finished(name), "{name}");
            assert!(!is_in_progress(name), "{name}");
        }
    }
}
