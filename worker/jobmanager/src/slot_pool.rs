//! The slots that TaskManagers offer, free or in use (Flink's `DeclarativeSlotPool`). Pure.

use std::collections::BTreeSet;

use weir_graph::FreeSlot;
use weir_types::{SlotIndex, TaskManagerId};

/// The slots of all TaskManagers that are ready.
#[derive(Debug, Default)]
pub(crate) struct SlotPool {
    free: BTreeSet<FreeSlot>,
    allocated: BTreeSet<FreeSlot>,
}

impl SlotPool {
    /// A TaskManager offers its slots.
    pub(crate) fn add(&mut self, task_manager: TaskManagerId, slots: u32) {
        let offered = (0..slots).map(|slot| FreeSlot {
            task_manager,
            slot: SlotIndex(slot),
        });
        self.free
            .extend(offered.filter(|slot| !self.allocated.contains(slot)));
    }

    /// A TaskManager and its slots are gone.
    pub(crate) fn remove(&mut self, task_manager: TaskManagerId) {
        self.free.retain(|slot| slot.task_manager != task_manager);
        self.allocated
            .retain(|slot| slot.task_manager != task_manager);
    }

    /// Takes free slots into use. All of them must be free: they were chosen among [`Self::free`].
    pub(crate) fn allocate(&mut self, slot: FreeSlot) {
        assert!(self.free.remove(&slot), "slot {slot:?} is not free");
        self.allocated.insert(slot);
    }

    /// Gives those slots back that are not in use any more.
    pub(crate) fn release_unless(&mut self, in_use: impl Fn(FreeSlot) -> bool) {
        let (kept, released) = std::mem::take(&mut self.allocated)
            .into_iter()
            .partition(|slot| in_use(*slot));
        self.allocated = kept;
        self.free.extend::<BTreeSet<FreeSlot>>(released);
    }

    /// Whether a slot is in use.
    pub(crate) fn is_allocated(&self, slot: FreeSlot) -> bool {
        self.allocated.contains(&slot)
    }

    /// Gives all slots in use back.
    pub(crate) fn release_all(&mut self) {
        self.free.append(&mut self.allocated);
    }

    /// The free slots, in order.
    pub(crate) fn free(&self) -> Vec<FreeSlot> {
        self.free.iter().copied().collect()
    }

    /// How many slots there are, free or not.
    pub(crate) fn total(&self) -> usize {
        self.free.len() + self.allocated.len()
    }

    /// How many slots are in use.
    pub(crate) fn allocated(&self) -> usize {
        self.allocated.len()
    }

    /// How many free slots a TaskManager has.
    pub(crate) fn free_of(&self, task_manager: TaskManagerId) -> usize {
        self.free
            .iter()
            .filter(|slot| slot.task_manager == task_manager)
            .count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_of_a_lost_taskmanager_are_gone_whether_free_or_in_use() {
        let mut pool = SlotPool::default();
        let (a, b) = (TaskManagerId(1), TaskManagerId(2));
        pool.add(a, 2);
        pool.add(b, 1);
        pool.allocate(FreeSlot {
            task_manager: a,
            slot: SlotIndex(0),
        });
        pool.remove(a);
        assert_eq!((pool.total(), pool.allocated(), pool.free_of(b)), (1, 0, 1));
    }

    #[test]
    fn released_slots_are_free_again() {
        let mut pool = SlotPool::default();
        pool.add(TaskManagerId(1), 2);
        for slot in pool.free() {
            pool.allocate(slot);
        }
        assert_eq!(pool.free(), []);
        pool.release_all();
        assert_eq!((pool.free().len(), pool.allocated()), (2, 0));
    }
}
