//! Timers of one kind: a table of (key, namespace, time), so that they are deduplicated and part
//! of snapshots like any other state, and an order over it that knows which one is due first.
//!
//! The order is not told of deletions: what it names is looked up when it comes up, and skipped if
//! it is gone. When most of it is gone it is built anew.
//!
//! Over a tier not all timers need be in memory. The order is that of those which are; which others
//! there may be is known by [`Tails`], and [`TimerQueue::look_ahead`] and [`TimerQueue::next_time`]
//! read what comes before anything in memory. Timers of one time then come in no particular order.

use weir_types::KeyGroup;

use self::tails::Tails;
use self::text::{Moment, TimerCodec, read_timer};
use crate::codec::{CodecError, decode};
use crate::error::StateError;
use crate::key::{StateKey, hash_within};
use crate::table::below::{AnyShards, Below};
use crate::table::due_times::{Due, DueTimes};
use crate::table::entry_hash;
use crate::table::hash_index::Position;
use crate::table::record::read_record;
use crate::table::shards::{Block, KeyGroups, Shards};
use crate::table::state_table::{StateTable, Upcoming, ValueFormat, checked_hash};

mod below;
mod tails;
pub(crate) mod text;

/// How many timers are brought into the cache at a time. They and what they are for stay there
/// until their turn comes.
const AHEAD: usize = 64;

#[derive(Debug)]
pub(crate) struct TimerQueue<K, N> {
    timers: Shards<K, Moment<N>, ()>,
    due: DueTimes,
    /// How many are in memory.
    live: usize,
    /// How many of the next timers were brought into the cache.
    ahead: usize,
    /// Which timers are not in memory.
    tails: Tails,
}

/// The hash of a timer among those of its shard.
fn timer_hash(entry_hash: u64, time: i64) -> u64 {
    hash_within(entry_hash, &time).expect("a number has a hash")
}

fn rehash<K: StateKey, N: StateKey>(key: &K, moment: &Moment<N>) -> u64 {
    timer_hash(crate::table::rehash(key, &moment.namespace), moment.time)
}

impl<K: StateKey, N: StateKey> TimerQueue<K, N> {
    pub(crate) fn new(groups: KeyGroups) -> Self {
        Self {
            timers: Shards::new(groups),
            due: DueTimes::default(),
            live: 0,
            ahead: 0,
            tails: Tails::default(),
        }
    }

    /// How many timers there are. Those that are not in memory are read.
    pub(crate) fn len(&mut self) -> Result<usize, StateError> {
        Ok(self.live + self.count_tails()?)
    }

    /// Adds a timer; false if it is there already.
    pub(crate) fn register(
        &mut self,
        hash: u64,
        key: &K,
        namespace: &N,
        time: i64,
    ) -> Result<bool, StateError> {
        let entry_hash = entry_hash(hash, namespace)?;
        let shard_index = self.timers.groups().shard_of(hash)?;
        let moment = Moment {
            namespace: namespace.clone(),
            time,
        };
        if self.bring(shard_index, entry_hash, key, &moment)?.is_some() {
            return Ok(false);
        }
        let shard = self.timers.shard_mut(shard_index);
        let timer_hash = timer_hash(entry_hash, time);
        let slot = shard.insert(timer_hash, key.clone(), moment, (), rehash);
        self.due.push(time, Due::new(entry_hash, shard_index, slot));
        self.live += 1;
        Ok(true)
    }

    /// Removes a timer; false if there is none.
    pub(crate) fn delete(
        &mut self,
        hash: u64,
        key: &K,
        namespace: &N,
        time: i64,
    ) -> Result<bool, StateError> {
        let entry_hash = entry_hash(hash, namespace)?;
        let shard_index = self.timers.groups().shard_of(hash)?;
        let moment = Moment {
            namespace: namespace.clone(),
            time,
        };
        let Some(slot) = self.bring(shard_index, entry_hash, key, &moment)? else {
            return Ok(false);
        };
        let shard = self.timers.shard_mut(shard_index);
        shard.remove(timer_hash(entry_hash, time), slot, &TimerCodec);
        self.live -= 1;
        if self.due.len() > 2 * self.live + 64 {
            self.rebuild_due();
        }
        Ok(true)
    }

    /// The slot of a timer, after it was read from the tier below if it is not in memory.
    #[inline]
    fn bring(
        &mut self,
        shard_index: usize,
        entry_hash: u64,
        key: &K,
        moment: &Moment<N>,
    ) -> Result<Option<u32>, StateError> {
        let shard = self.timers.shard(shard_index);
        let found = shard.find(timer_hash(entry_hash, moment.time), key, moment);
        if found.is_some() || shard.is_complete() {
            return Ok(found);
        }
        self.load(shard_index, entry_hash, key, moment)
    }

    /// The time of the timer that is due first.
    pub(crate) fn next_time(&mut self) -> Result<Option<i64>, StateError> {
        if !self.tails.is_empty() {
            self.read_due(i64::MAX)?;
        }
        Ok(self.first_time())
    }

    /// The same of those in memory.
    fn first_time(&mut self) -> Option<i64> {
        while let Some((time, due)) = self.due.any_of_first_time() {
            if self.position(time, due).is_some() {
                return Some(time);
            }
            self.due.drop_any_of_first_time();
        }
        None
    }

    /// Takes the timer that is due first, if it is due at this time. To be called after
    /// [`Self::look_ahead`].
    pub(crate) fn pop(&mut self, until: i64) -> Option<(K, N, i64)> {
        debug_assert!(
            self.tails.is_empty() || {
                let first = self.first_time();
                self.tails.due(first, until).is_none()
            },
            "what comes first was read"
        );
        let (due, position) = self.first(until)?;
        self.due.pop();
        self.live -= 1;
        self.ahead = self.ahead.saturating_sub(1);
        let shard = self.timers.shard_mut(due.shard as usize);
        let removed = shard.remove_at(position, due.slot, &TimerCodec);
        let (key, moment, ()) = removed.expect("the timer was just looked at");
        Some((key, moment.namespace, moment.time))
    }

    /// Brings into memory what is due first. When those that were brought into the cache are used
    /// up: brings in the next ones that are due, and says which they are, so that what they are for
    /// can be brought in as well.
    pub(crate) fn look_ahead(
        &mut self,
        until: i64,
        upcoming: &mut Vec<Upcoming>,
    ) -> Result<(), StateError> {
        upcoming.clear();
        if !self.tails.is_empty() {
            self.read_due(until)?;
        }
        if self.ahead > 0 {
            return Ok(());
        }
        let Some((time, _)) = self.due_first(until) else {
            return Ok(());
        };
        let mut touched = 0;
        for due in self.due.next_few(AHEAD) {
            let shard = self.timers.shard(due.shard as usize);
            touched ^= shard.touch_slot(due.slot) ^ shard.touch_index(timer_hash(due.hash, time));
            upcoming.push(Upcoming {
                shard: due.shard as usize,
                entry_hash: due.hash,
            });
        }
        std::hint::black_box(touched);
        self.ahead = upcoming.len();
        Ok(())
    }

    /// The first one that is due, if any, and where the index has it, after what is gone was taken
    /// off.
    fn first(&mut self, until: i64) -> Option<(Due, Position)> {
        while let Some((time, due)) = self.due_first(until) {
            if let Some(position) = self.position(time, due) {
                return Some((due, position));
            }
            self.due.pop();
            self.ahead = self.ahead.saturating_sub(1);
        }
        None
    }

    /// The first one, if its time has come: before, more of its time may be registered.
    fn due_first(&mut self, until: i64) -> Option<(i64, Due)> {
        let (time, _) = self.due.any_of_first_time()?;
        if time <= until {
            self.due.first()
        } else {
            None
        }
    }

    /// Where the index has a timer, if it is still there.
    fn position(&self, time: i64, due: Due) -> Option<Position> {
        let shard = self.timers.shard(due.shard as usize);
        // The slot may have been given to another timer. Should that one have the same time and
        // almost the same hash, it is as much due as this one, and its own place in the order will
        // find the slot empty.
        let (_, moment, ()) = shard.entry(due.slot)?;
        if moment.time == time {
            shard.position_of(timer_hash(due.hash, time), due.slot)
        } else {
            None
        }
    }

    fn rebuild_due(&mut self) {
        let shards = (0u32..).zip(self.timers.iter());
        let all = shards.flat_map(|(shard, timers)| {
            timers.iter().map(move |(slot, key, moment, ())| {
                let hash = crate::table::rehash(key, &moment.namespace);
                (moment.time, Due { hash, shard, slot })
            })
        });
        self.due = all.collect();
        self.ahead = 0;
    }
}

impl<K: StateKey, N: StateKey> StateTable for TimerQueue<K, N> {
    fn shards(&mut self) -> &mut dyn AnyShards {
        &mut self.timers
    }

    fn copy_some(&mut self, budget: &mut usize) -> Result<bool, CodecError> {
        self.timers.copy_some(budget, |_| TimerCodec)
    }

    fn restore(
        &mut self,
        group: KeyGroup,
        block: &[u8],
        format: ValueFormat,
    ) -> Result<(), CodecError> {
        let mut rest = block;
        while let Some(record) = read_record(&mut rest)? {
            let (key, Moment { namespace, time }) = read_timer::<K, N>(record.key, format.version)?;
            let hash = checked_hash(&key, self.timers.groups(), group)?;
            let done = match record.value {
                Some(value) => {
                    decode::<()>(value)?;
                    self.register(hash, &key, &namespace, time)
                }
                None => self.delete(hash, &key, &namespace, time),
            };
            done.map_err(|e| CodecError::decode::<(K, N)>(e.to_string()))?;
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.timers.bytes() + self.due.bytes()
    }

    fn memory(&mut self) -> usize {
        self.timers.memory(|_| TimerCodec) + self.due.bytes()
    }

    fn spill(&mut self, at_least: usize) -> Result<Vec<Block>, CodecError> {
        self.timers.spill(at_least, |_| TimerCodec)
    }

    fn evict(&mut self) {
        self.drop_spilled();
    }

    fn lay_over(&mut self, below: Below, complete: bool) {
        self.timers.lay_over(below, complete);
        if !complete {
            self.all_is_below();
        }
    }
}
