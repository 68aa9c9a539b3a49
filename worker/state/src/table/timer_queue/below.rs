//! Timers beyond memory: reads them from the tier below, where those of a key group lie in the
//! order in which they are due, and knows what stays there when a key group is dropped.

use crate::cold::group_prefix;
use crate::error::StateError;
use crate::key::StateKey;
use crate::table::below::Below;
use crate::table::due_times::Due;
use crate::table::shard::EntryCodec;
use crate::table::state_table::checked_entry_hash;
use crate::table::timer_queue::text::{Moment, TIMERS_VERSION, TimerCodec, front, read_timer};
use crate::table::timer_queue::{TimerQueue, rehash, timer_hash};

/// The most timers that are read at once when memory is short.
const MOST: usize = 1024;

/// The part of the memory that the heads of all key groups may take.
const HEADS: usize = 32;

impl<K: StateKey, N: StateKey> TimerQueue<K, N> {
    /// Nothing is known of what the tier has.
    pub(super) fn all_is_below(&mut self) {
        for shard in 0..self.timers.groups().range.len() {
            self.tails.set(shard, Some(Vec::new()));
        }
    }

    /// Reads what may be due at this time and before all that is in memory.
    #[cold]
    pub(super) fn read_due(&mut self, until: i64) -> Result<(), StateError> {
        while self.tails.first_time().is_some_and(|time| time <= until) {
            let first = self.first_time();
            let Some(shard) = self.tails.due(first, until) else {
                break;
            };
            self.read_head(shard)?;
        }
        Ok(())
    }

    /// Finds a timer that is not in memory, and brings it there: in the tier it is looked up if it
    /// lies in the tail.
    #[cold]
    pub(super) fn load(
        &mut self,
        shard_at: usize,
        hash: u64,
        key: &K,
        moment: &Moment<N>,
    ) -> Result<Option<u32>, StateError> {
        if self.timers.over(shard_at).1.room.get() > 0 {
            self.read_head(shard_at)?;
        }
        let group = self.timers.groups().group_of_shard(shard_at);
        let (shard, below) = self.timers.over(shard_at);
        let timer_hash = timer_hash(hash, moment.time);
        // It may have come with others.
        let found = shard.find(timer_hash, key, moment);
        if found.is_some() {
            return Ok(found);
        }
        let text = below.key(group, |out| TimerCodec.key(key, moment, out))?;
        let own = Below::text(&text);
        let in_tail = self.tails.begin(shard_at).is_some_and(|begin| begin <= own);
        if !in_tail || shard.partial_mut().is_some_and(|p| p.is_removed(own)) {
            return Ok(None);
        }
        let mut there = false;
        below.get(&[&text], |_, _| {
            there = true;
            Ok(())
        })?;
        if !there {
            return Ok(None);
        }
        let timer = (key.clone(), moment.clone(), ());
        let slot = shard.insert_clean(timer_hash, timer, rehash);
        self.due.push(moment.time, Due::new(hash, shard_at, slot));
        self.live += 1;
        Ok(Some(slot))
    }

    /// Reads the first timers of a tail, which then begins behind them: a few, or as many as there
    /// is room for.
    fn read_head(&mut self, shard_at: usize) -> Result<(), StateError> {
        let groups = self.timers.groups();
        let group = groups.group_of_shard(shard_at);
        let entry = size_of::<(K, Moment<N>, Due)>() + self.timers.owned.per_entry();
        let Some(begin) = self.tails.begin(shard_at) else {
            return Ok(());
        };
        let prefix = group_prefix(group);
        let from = [&prefix[..], begin].concat();
        let (shard, below) = self.timers.over(shard_at);
        let few = below.room.limit() / HEADS / groups.range.len().max(1) / entry;
        let (few, room) = (few.clamp(1, MOST), below.room.get());
        let before = shard.bytes();
        let (mut read, mut beside, mut used, mut rest) = (0, 0, 0, None);
        below.scan_from(&prefix, &from, |text, _| {
            if shard.partial_mut().is_some_and(|p| p.is_removed(text)) {
                return Ok(true);
            }
            if read >= few && used >= room {
                rest = Some(text.to_vec());
                return Ok(false);
            }
            let (key, moment) = read_timer::<K, N>(text, TIMERS_VERSION)?;
            let hash = checked_entry_hash(&key, &moment.namespace, groups, group)?;
            let (time, timer_hash) = (moment.time, timer_hash(hash, moment.time));
            if shard.find(timer_hash, &key, &moment).is_none() {
                let slot = shard.insert_clean(timer_hash, (key, moment, ()), rehash);
                self.due.push(time, Due::new(hash, shard_at, slot));
                self.live += 1;
                read += 1;
                beside += size_of::<Due>();
                if std::mem::needs_drop::<(K, N)>() {
                    beside += text.len();
                }
                used = shard.bytes().saturating_sub(before) + beside;
            }
            Ok(true)
        })?;
        below.room.take(used);
        if rest.is_none() {
            shard.complete();
        }
        self.tails.set(shard_at, rest);
        Ok(())
    }

    /// Drops the key groups that were spilled. All that they had is in their tails then.
    pub(super) fn drop_spilled(&mut self) {
        let spilled = self.timers.victims.clone();
        if spilled.is_empty() {
            return;
        }
        let mut tails = Vec::with_capacity(spilled.len());
        for at in &spilled {
            let shard = self.timers.shard(*at);
            let first = shard.iter().map(|(_, _, moment, ())| moment.time).min();
            let first = first.map(|time| front(time).to_vec());
            let old = self.tails.begin(*at).map(<[u8]>::to_vec);
            tails.push(match (first, old) {
                (Some(first), Some(old)) => Some(first.min(old)),
                (first, old) => first.or(old),
            });
            self.live -= shard.len();
        }
        self.timers.evict(|_| {});
        for (at, tail) in spilled.iter().zip(tails) {
            if tail.is_none() {
                // All was in memory, and nothing is left.
                self.timers.shard_mut(*at).complete();
            }
            self.tails.set(*at, tail);
        }
        self.due
            .retain(|shard| !spilled.contains(&(shard as usize)));
        self.ahead = 0;
    }

    /// How many timers of the tails are not in memory: reads all of them.
    pub(super) fn count_tails(&mut self) -> Result<usize, StateError> {
        let groups = self.timers.groups();
        let mut count = 0;
        for (shard_at, begin) in self.tails.iter() {
            let group = groups.group_of_shard(shard_at);
            let prefix = group_prefix(group);
            let (shard, below) = self.timers.over(shard_at);
            below.scan_from(&prefix, &[&prefix[..], begin].concat(), |text, _| {
                let (key, moment) = read_timer::<K, N>(text, TIMERS_VERSION)?;
                let hash = checked_entry_hash(&key, &moment.namespace, groups, group)?;
                let removed = shard.partial_mut().is_some_and(|p| p.is_removed(text));
                let here = shard.find(timer_hash(hash, moment.time), &key, &moment);
                count += usize::from(!removed && here.is_none());
                Ok(true)
            })?;
        }
        Ok(count)
    }
}
