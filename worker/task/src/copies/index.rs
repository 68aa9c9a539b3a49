//! Which objects there are copies of, and which checkpoints need them. Pure.

use std::collections::{BTreeMap, BTreeSet};

use weir_checkpoint::handle::ObjectRef;
use weir_types::CheckpointId;

#[derive(Debug, Default)]
pub(super) struct Index {
    copies: BTreeMap<ObjectRef, Copy>,
    bytes: u64,
}

#[derive(Debug)]
struct Copy {
    file: u64,
    /// What it takes of its own.
    bytes: u64,
    needed_by: BTreeSet<CheckpointId>,
}

impl Index {
    /// What the copies take of their own.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A checkpoint needs an object. False if there is no copy of it.
    pub(super) fn need(&mut self, object: &ObjectRef, checkpoint: CheckpointId) -> bool {
        match self.copies.get_mut(object) {
            Some(copy) => {
                copy.needed_by.insert(checkpoint);
                true
            }
            None => false,
        }
    }

    /// A copy has been made.
    pub(super) fn add(
        &mut self,
        object: &ObjectRef,
        checkpoint: CheckpointId,
        file: u64,
        bytes: u64,
    ) {
        let copy = Copy {
            file,
            bytes,
            needed_by: BTreeSet::from([checkpoint]),
        };
        self.bytes += bytes;
        if let Some(before) = self.copies.insert(object.clone(), copy) {
            self.bytes -= before.bytes;
        }
    }

    /// The file with the copy of an object.
    pub(super) fn find(&self, object: &ObjectRef) -> Option<u64> {
        self.copies.get(object).map(|copy| copy.file)
    }

    /// Only some checkpoints count from now on. Gives the files that none of them needs.
    pub(super) fn retain(&mut self, keep: impl Fn(CheckpointId) -> bool) -> Vec<u64> {
        let mut gone = Vec::new();
        self.copies.retain(|_, copy| {
            copy.needed_by.retain(|checkpoint| keep(*checkpoint));
            let needed = !copy.needed_by.is_empty();
            if !needed {
                self.bytes -= copy.bytes;
                gone.push(copy.file);
            }
            needed
        });
        gone
    }

    /// Forgets the copy of an object; gives its file.
    pub(super) fn remove(&mut self, object: &ObjectRef) -> Option<u64> {
        let copy = self.copies.remove(object)?;
        self.bytes -= copy.bytes;
        Some(copy.file)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn object(n: u64) -> ObjectRef {
        ObjectRef {
            path: format!("chk-1-{n}/0-0-0-keyed"),
            size: n,
            checksum: u128::from(n),
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Stored(u64, Vec<u64>),
        Completed(u64),
        Aborted(u64),
        Restored(u64),
        Removed(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let checkpoint = 0u64..8;
        prop_oneof![
            4 => (checkpoint.clone(), prop::collection::vec(0u64..12, 0..5))
                .prop_map(|(checkpoint, objects)| Step::Stored(checkpoint, objects)),
            2 => checkpoint.clone().prop_map(Step::Completed),
            1 => checkpoint.clone().prop_map(Step::Aborted),
            1 => checkpoint.prop_map(Step::Restored),
            1 => (0u64..12).prop_map(Step::Removed),
        ]
    }

    proptest! {
        /// The model says by checkpoint what is needed.
        #[test]
        fn a_copy_stays_for_as_long_as_a_checkpoint_needs_it_and_no_longer(
            steps in prop::collection::vec(step(), 0..60),
        ) {
            let mut index = Index::default();
            let mut model = BTreeSet::<(u64, u64)>::new();
            let (mut files, mut next) = (BTreeMap::<u64, u64>::new(), 0);
            for step in steps {
                let gone = match step {
                    Step::Stored(checkpoint, objects) => {
                        for n in objects {
                            if !index.need(&object(n), CheckpointId(checkpoint)) {
                                index.add(&object(n), CheckpointId(checkpoint), next, n);
                                files.insert(next, n);
                                next += 1;
                            }
                            model.insert((checkpoint, n));
                        }
                        Vec::new()
                    }
                    Step::Completed(checkpoint) => {
                        model.retain(|(other, _)| *other >= checkpoint);
                        index.retain(|other| other.0 >= checkpoint)
                    }
                    Step::Aborted(checkpoint) => {
                        model.retain(|(other, _)| *other != checkpoint);
                        index.retain(|other| other.0 != checkpoint)
                    }
                    Step::Restored(checkpoint) => {
                        model.retain(|(other, _)| *other == checkpoint);
                        index.retain(|other| other.0 == checkpoint)
                    }
                    Step::Removed(n) => {
                        model.retain(|(_, other)| *other != n);
                        index.remove(&object(n)).into_iter().collect()
                    }
                };
                for file in gone {
                    prop_assert!(files.remove(&file).is_some(), "removed twice");
                }
                let needed: BTreeSet<u64> = model.iter().map(|(_, n)| *n).collect();
                for n in 0..12 {
                    let found = index.find(&object(n)).map(|file| files[&file]);
                    prop_assert_eq!(found, needed.contains(&n).then_some(n));
                }
                prop_assert_eq!(files.len(), needed.len());
                prop_assert_eq!(index.bytes(), needed.iter().sum::<u64>());
            }
        }
    }
}
