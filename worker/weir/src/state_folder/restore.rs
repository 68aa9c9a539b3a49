//! What a claimed job goes on from.

use weir_cli::Failure;
use weir_jobmanager::{Claimed, Look, RestoreFrom};

use super::named::{Named, root_of};
use super::refusals::Words;
use super::wish::Wish;
use super::{Candidate, Folder};
use crate::program::Plan;
use crate::random;

impl Folder {
    /// What the job goes on from.
    pub(super) fn restore(
        &self,
        claimed: Claimed,
        wish: Wish,
        candidate: &Candidate,
        plan: &Plan,
        say: &dyn Fn(&str),
    ) -> Result<(Claimed, Option<RestoreFrom>), Failure> {
        let words = Words::of(candidate);
        if let Some(named) = wish.named {
            return self.restore_named(claimed, named, candidate, say);
        }
        // Started again with the same words, it is to go on from what it has stored since.
        let claimed = match wish.newest {
            Some(path) => self.noted(claimed, &path, candidate)?,
            None => claimed,
        };
        let mut vertices = plan.program.job_graph.vertices.iter();
        let transactional = vertices.any(|vertex| vertex.commits);
        let (store, pointer) = (self.store.as_ref(), &claimed.pointer);
        let found = weir_jobmanager::restore_point(store, pointer, transactional, Look::Objects);
        let found = found.map_err(|error| self.refused(error, words))?;
        let Some((metadata, warning)) = found else {
            return Ok((claimed, None));
        };
        if let Some(warning) = warning {
            say(&warning);
        }
        say(&format!(
            "restoring {} {}",
            metadata.kind.noun(),
            metadata.id
        ));
        // A sink may have committed results beyond them.
        let older = match transactional {
            true => Vec::new(),
            false => weir_jobmanager::older_points(store, pointer, metadata.id),
        };
        let from = RestoreFrom::latest(&self.address, metadata).with_older(older);
        Ok((claimed, Some(from)))
    }

    /// A snapshot that a person named, by its folder or its `_metadata`.
    fn restore_named(
        &self,
        claimed: Claimed,
        named: Named,
        candidate: &Candidate,
        say: &dyn Fn(&str),
    ) -> Result<(Claimed, Option<RestoreFrom>), Failure> {
        let Named { path, from } = named;
        let claimed = self.noted(claimed, &path, candidate)?;
        say(&format!(
            "restoring {} {} of {path}",
            from.metadata.kind.noun(),
            from.metadata.id
        ));
        Ok((claimed, Some(from)))
    }

    /// Notes in the pointer what the job begins with.
    fn noted(
        &self,
        claimed: Claimed,
        path: &str,
        candidate: &Candidate,
    ) -> Result<Claimed, Failure> {
        let root = root_of(path, candidate)?;
        let mut newest_first = claimed.pointer.roots.iter().rev();
        let before = newest_first.find(|other| other.operation == root.operation);
        if before == Some(&root) {
            return Ok(claimed);
        }
        let seed = random::word();
        let noted = weir_jobmanager::record_root(self.store.as_ref(), claimed, root, seed);
        noted.map_err(Failure::failed)
    }
}
