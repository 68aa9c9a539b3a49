//! Which timers lie in the tier below alone.
//!
//! Of each key group a *head* is in memory: all timers whose texts are before some text. What the
//! tier has from there on is the *tail*; of that some timers may be in memory too, those that were
//! registered or asked for of late. A key group whose timers are all in memory has no tail.

use std::collections::BTreeSet;

use crate::table::timer_queue::text::time_of;

/// Where the tail of each key group begins.
#[derive(Debug, Default)]
pub(super) struct Tails {
    /// By shard; those behind the last one have none.
    begins: Vec<Option<Vec<u8>>>,
    by_time: BTreeSet<(i64, usize)>,
}

impl Tails {
    /// Whether all timers are in memory.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.by_time.is_empty()
    }

    /// No timer of a tail is due before this time.
    pub(super) fn first_time(&self) -> Option<i64> {
        self.by_time.first().map(|(time, _)| *time)
    }

    /// The shard whose tail may have a timer that is due at `until` and before all those in memory,
    /// of which the first one has the time `first`.
    pub(super) fn due(&self, first: Option<i64>, until: i64) -> Option<usize> {
        let (time, shard) = *self.by_time.first()?;
        let before = first.is_none_or(|first| time < first);
        (before && time <= until).then_some(shard)
    }

    /// Where the tail of a shard begins, if it has one.
    pub(super) fn begin(&self, shard: usize) -> Option<&[u8]> {
        self.begins.get(shard)?.as_deref()
    }

    /// The shards that have one.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let begins = self.begins.iter().enumerate();
        begins.filter_map(|(shard, begin)| Some((shard, begin.as_deref()?)))
    }

    /// Lets the tail of a shard begin at a text, or lets it have none.
    pub(super) fn set(&mut self, shard: usize, begin: Option<Vec<u8>>) {
        if shard >= self.begins.len() {
            self.begins.resize(shard + 1, None);
        }
        let place = &mut self.begins[shard];
        if let Some(old) = place {
            self.by_time.remove(&(time_of(old), shard));
        }
        if let Some(begin) = &begin {
            self.by_time.insert((time_of(begin), shard));
        }
        *place = begin;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::timer_queue::text::front;

    #[test]
    fn a_tail_is_asked_only_if_it_may_have_what_is_due_first() {
        let mut tails = Tails::default();
        assert_eq!((tails.due(None, i64::MAX), tails.is_empty()), (None, true));
        tails.set(3, Some(front(10).to_vec()));
        tails.set(1, Some([&front(20)[..], b"key"].concat()));
        assert_eq!((tails.first_time(), tails.is_empty()), (Some(10), false));
        assert_eq!(tails.due(None, 9), None, "not due yet");
        assert_eq!(tails.due(Some(10), 50), None, "one of that time is here");
        assert_eq!(tails.due(Some(11), 50), Some(3));
        assert_eq!(tails.due(None, 10), Some(3));
        tails.set(3, Some(front(21).to_vec()));
        assert_eq!(tails.due(None, 50), Some(1));
        tails.set(1, None);
        assert_eq!(tails.due(None, 50), Some(3));
        assert_eq!(tails.iter().collect::<Vec<_>>(), [(3, &front(21)[..])]);
        assert_eq!((tails.begin(1), tails.begin(9)), (None, None));
    }
}
