//! The programs that a manifest can name.

use std::sync::Arc;

use weir_api::ProgramFn;
use weir_cli::{ProgramSummary, suggest};

/// A registered program.
#[derive(Clone, Copy)]
pub struct ProgramEntry {
    /// What `spec.job.program` says.
    pub name: &'static str,
    /// What it does, in a line.
    pub summary: &'static str,
    /// Builds its graph. Must not read clocks, randomness or files: each process of a job calls it
    /// and must get the same.
    pub build: ProgramFn,
}

/// No program of that name.
#[derive(Debug, thiserror::Error)]
#[error(
    "unknown program `{name}`{}; the programs are: {}",
    hint(.nearest.as_ref()), .known.join(", ")
)]
pub(crate) struct UnknownProgram {
    name: String,
    nearest: Option<&'static str>,
    known: Vec<&'static str>,
}

fn hint(nearest: Option<&&str>) -> String {
    nearest
        .map(|name| format!(": did you mean `{name}`?"))
        .unwrap_or_default()
}

/// All registered programs. Clones share them.
#[derive(Clone)]
pub(crate) struct Registry {
    programs: Arc<[ProgramEntry]>,
}

impl Registry {
    pub(crate) fn new(programs: &[ProgramEntry]) -> Self {
        let mut programs = programs.to_vec();
        programs.sort_by_key(|program| program.name);
        Self {
            programs: programs.into(),
        }
    }

    pub(crate) fn find(&self, name: &str) -> Result<ProgramEntry, UnknownProgram> {
        let found = self.programs.iter().find(|program| program.name == name);
        found.copied().ok_or_else(|| {
            let known: Vec<&'static str> = self.programs.iter().map(|entry| entry.name).collect();
            let nearest = suggest::nearest(name, known.iter().copied());
            let nearest = known.iter().copied().find(|known| nearest == Some(*known));
            UnknownProgram {
                name: name.to_owned(),
                nearest,
                known,
            }
        })
    }

    pub(crate) fn summaries(&self) -> Vec<ProgramSummary> {
        let summary = |entry: &ProgramEntry| ProgramSummary {
            name: entry.name,
            summary: entry.summary,
        };
        self.programs.iter().map(summary).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry() -> Registry {
        let entry = |name| ProgramEntry {
            name,
            summary: "",
            build: |_, _| Ok(()),
        };
        Registry::new(&[entry("wordcount"), entry("top-pages")])
    }

    #[test]
    fn an_unknown_program_is_told_with_the_known_ones_and_the_nearest() {
        let said = |name| registry().find(name).err().map(|error| error.to_string());
        assert_eq!(
            said("word-cuont").as_deref(),
            Some(
                "unknown program `word-cuont`: did you mean `wordcount`?; the programs are: \
                 top-pages, wordcount"
            )
        );
        let far = said("sessions").unwrap_or_default();
        assert!(
            !far.contains("did you mean") && far.contains("top-pages, wordcount"),
            "{far}"
        );
        assert_eq!(said("wordcount"), None);
    }
}
