use proptest::prelude::*;
use weir_network::{ChannelOutputs, Chunk, Router, SendError};
use weir_types::{EventTime, KeyGroup, subtask_of_key_group};

use super::*;

/// Collects what each channel is sent.
struct Channels(Vec<Vec<(u64, Option<EventTime>)>>);

impl ChannelOutputs for Channels {
    fn channels(&self) -> usize {
        self.0.len()
    }

    fn send(&mut self, channel: usize, chunk: Box<dyn Chunk>) -> Result<(), SendError> {
        let batch = Batch::<u64>::from_chunk(chunk);
        let rows = batch.rows().iter().enumerate();
        self.0[channel].extend(rows.map(|(row, value)| (*value, batch.timestamp(row))));
        Ok(())
    }

    fn has_room(&self, _channel: usize) -> bool {
        true
    }
}

fn context(channels: u32) -> RouterContext {
    RouterContext {
        subtask: 0,
        channels: channels as usize,
        consumers: channels,
        max_parallelism: 128,
    }
}

/// Sends batches of the sizes given, every second one with event times, and flushes at the end.
fn send(router: &mut dyn Router, channels: u32, sizes: &[usize]) -> Channels {
    let mut out = Channels(vec![Vec::new(); channels as usize]);
    let mut next = 0;
    for (index, size) in sizes.iter().enumerate() {
        let rows: Vec<u64> = (next..).take(*size).collect();
        next += *size as u64;
        let times = if index % 2 == 1 {
            rows.iter()
                .map(|row| EventTime(i64::try_from(*row).expect("fits")))
                .collect()
        } else {
            Vec::new()
        };
        router
            .route(Box::new(Batch::with_timestamps(rows, times)), &mut out)
            .expect("has room");
    }
    router.flush(&mut out).expect("has room");
    out
}

proptest! {
    #[test]
    fn a_key_goes_to_the_subtask_of_its_key_group_and_records_keep_order_and_time(
        channels in 1u32..9, sizes in prop::collection::vec(0usize..3000, 0..6)
    ) {
        let mut router = hash_router(|row: &u64| row % 100, &context(channels));
        let out = send(router.as_mut(), channels, &sizes);
        let total: usize = out.0.iter().map(Vec::len).sum();
        prop_assert_eq!(total, sizes.iter().sum::<usize>());
        for (channel, rows) in out.0.iter().enumerate() {
            prop_assert!(rows.is_sorted_by_key(|(row, _)| *row));
            for (row, time) in rows {
                let group = KeyGroup::of_hash(key_hash(&(row % 100)).expect("hashes"), 128);
                prop_assert_eq!(subtask_of_key_group(group, 128, channels) as usize, channel);
                if let Some(time) = time {
                    prop_assert_eq!(time.0, i64::try_from(*row).expect("fits"));
                }
            }
        }
    }

    #[test]
    fn spreading_in_turn_is_even_to_the_record(
        channels in 1u32..9, start: u64, sizes in prop::collection::vec(0usize..200, 0..6)
    ) {
        let mut router = spread_router::<u64>(Spread::InTurn(start), &context(channels));
        let counts: Vec<usize> =
            send(router.as_mut(), channels, &sizes).0.iter().map(Vec::len).collect();
        let (least, most) = (counts.iter().min(), counts.iter().max());
        prop_assert!(most.zip(least).is_some_and(|(most, least)| most - least <= 1), "{counts:?}");
    }
}

#[test]
fn spreading_in_turn_begins_where_it_is_told_to() {
    let spread = |start, channels| {
        let mut router = spread_router::<u64>(Spread::InTurn(start), &context(channels));
        let out = send(router.as_mut(), channels, &[4]);
        let values = |rows: &Vec<(u64, _)>| rows.iter().map(|(value, _)| *value).collect();
        out.0.iter().map(values).collect::<Vec<Vec<u64>>>()
    };
    assert_eq!(spread(0, 2), [[0, 2], [1, 3]]);
    assert_eq!(spread(5, 3), [vec![1], vec![2], vec![0, 3]]);
}

#[test]
fn shuffling_spreads_the_same_way_for_the_same_seed() {
    let shuffled = |seed| {
        let mut router = spread_router::<u64>(Spread::Random(seed), &context(4));
        send(router.as_mut(), 4, &[400]).0
    };
    assert_eq!(shuffled(1), shuffled(1));
    assert_ne!(shuffled(1), shuffled(2));
}

#[test]
fn shuffling_reaches_every_channel_and_loses_nothing() {
    let mut router = spread_router::<u64>(Spread::Random(7), &context(5));
    let out = send(router.as_mut(), 5, &[1000]);
    assert_eq!(out.0.iter().map(Vec::len).sum::<usize>(), 1000);
    assert!(out.0.iter().all(|rows| rows.len() > 100));
}

#[test]
fn a_custom_choice_beyond_the_channels_is_taken_modulo_their_number() {
    let mut router = custom_router(|row: &u64, channels| *row as usize + channels, &context(3));
    let out = send(router.as_mut(), 3, &[9]);
    assert!(out.0.iter().all(|rows| rows.len() == 3));
}
