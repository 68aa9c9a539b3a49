//! What a claimed job goes on from.

use weir_checkpoint::pointer::Pointer;
use weir_cli::Failure;
use weir_jobmanager::{Look, RestoreFrom};

use super::Folder;
use super::named::Named;
use super::refusals::Words;
use crate::program::Plan;

impl Folder {
    /// What the job goes on from.
    pub(super) fn restore(
        &self,
        pointer: &Pointer,
        named: Option<Named>,
        words: Words,
        plan: &Plan,
        say: &dyn Fn(&str),
    ) -> Result<Option<RestoreFrom>, Failure> {
        if let Some(named) = named {
            // By its folder or its `_metadata`.
            let Named { path, from } = named;
            say(&format!(
                "restoring {} {} of {path}",
                from.metadata.kind.noun(),
                from.metadata.id
            ));
            return Ok(Some(from));
        }
        let mut vertices = plan.program.job_graph.vertices.iter();
        let transactional = vertices.any(|vertex| vertex.commits);
        let store = self.store.as_ref();
        let found = weir_jobmanager::restore_point(store, pointer, transactional, Look::Objects);
        let found = found.map_err(|error| self.refused(error, words))?;
        let Some((metadata, warning)) = found else {
            return Ok(None);
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
        Ok(Some(from))
    }
}
