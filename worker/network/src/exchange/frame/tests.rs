use proptest::prelude::*;

use super::*;
use crate::testing::{attempt, barrier, partition};

fn read_back(channel: u32, frame: &Frame) -> Frame {
    let bytes = encode(channel, frame);
    let (header, body) = bytes.split_first_chunk().unwrap();
    let header = parse_header(*header, 1 << 20).unwrap();
    assert_eq!((header.channel, header.body), (channel, body.len()));
    parse_body(header.kind, body).unwrap()
}

#[test]
fn every_frame_reads_back_as_it_was_written() {
    let (consumer, partition) = (attempt(1, 2), partition(3, 4));
    let frames = [
        Frame::Open(Open {
            consumer,
            partition,
            window: 5,
            fragment: 6,
        }),
        Frame::Control(Control::Watermark(Watermark(EventTime(-5)))),
        Frame::Control(Control::Barrier(barrier(6))),
        Frame::Control(Control::Barrier(CheckpointBarrier {
            kind: BarrierKind::Savepoint,
            ..barrier(7)
        })),
        Frame::Control(Control::Idle),
        Frame::Control(Control::Active),
        Frame::Control(Control::EndOfData),
        Frame::Control(Control::EndOfInput),
        Frame::Credit(u32::MAX),
        Frame::Error(ChannelError::ProducerGone {
            cause: "it panicked: ä".to_owned(),
        }),
        Frame::Error(ChannelError::PartitionNotFound {
            waited: Duration::from_secs(10),
        }),
        Frame::Error(ChannelError::AlreadyConsumed),
        Frame::Error(ChannelError::Stale { theirs: 1, ours: 2 }),
        Frame::Close("cancelled".to_owned()),
    ];
    for (channel, frame) in (u32::MAX - 20..).zip(frames) {
        assert_eq!(read_back(channel, &frame), frame);
    }
}

#[test]
fn a_long_cause_is_cut_to_what_a_frame_may_hold() {
    let Frame::Close(cause) = read_back(1, &Frame::Close("ä".repeat(10_000))) else {
        panic!("a close frame");
    };
    assert!((1_000..BODY_MAX).contains(&cause.len()));
    assert!(cause.chars().all(|c| c == 'ä'));
}

fn header(length: u32, kind: u8) -> [u8; HEADER] {
    let [a, b, c, d] = length.to_le_bytes();
    [a, b, c, d, kind, 0, 0, 0, 0]
}

#[test]
fn a_frame_over_its_limit_is_refused_by_its_header_alone() {
    let error = parse_header(header(1_001, 2), 1_000).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a frame of 1001 bytes is over the limit of 1000 bytes (`frame_bytes_max`)"
    );
    assert!(parse_header(header(1_000, 2), 1_000).is_ok());
    assert!(parse_header(header(u32::try_from(BODY_MAX + 1).unwrap(), 9), 1 << 30).is_err());
    assert_eq!(
        parse_header(header(5, 2), 1_000),
        Err(FrameError::TooShort(5))
    );
    assert_eq!(
        parse_header(header(9, 12), 1_000),
        Err(FrameError::UnknownKind(12))
    );
}

#[test]
fn a_body_with_a_byte_too_few_or_too_many_is_refused() {
    let frames = [
        Frame::Control(Control::Barrier(barrier(6))),
        Frame::Control(Control::Idle),
        Frame::Credit(1),
    ];
    for frame in frames {
        let bytes = encode(0, &frame);
        let (head, body) = bytes.split_first_chunk().unwrap();
        let kind = parse_header(*head, 1 << 20).unwrap().kind;
        assert_eq!(
            parse_body(kind, &[body, &[0]].concat()),
            Err(FrameError::Malformed(kind))
        );
        if let Some((_, shorter)) = body.split_last() {
            assert_eq!(parse_body(kind, shorter), Err(FrameError::Malformed(kind)));
        }
    }
}

#[test]
fn an_error_with_something_where_it_has_nothing_to_say_is_refused() {
    let body = |code: u8, a: u64, b: u64, text: &str| {
        let numbers = [a.to_le_bytes(), b.to_le_bytes()].concat();
        [&[code], &numbers[..], text.as_bytes()].concat()
    };
    let sound = [
        body(0, 0, 0, "gone"),
        body(1, 7, 0, ""),
        body(2, 0, 0, ""),
        body(3, 7, 8, ""),
    ];
    for body in sound {
        assert!(parse_body(Kind::Error, &body).is_ok(), "{body:?}");
    }
    let unsound = [
        body(0, 1, 0, "gone"),
        body(0, 0, 1, "gone"),
        body(1, 7, 1, ""),
        body(1, 7, 0, "gone"),
        body(2, 1, 0, ""),
        body(2, 0, 1, ""),
        body(2, 0, 0, "gone"),
        body(3, 7, 8, "gone"),
        body(4, 0, 0, ""),
    ];
    for body in unsound {
        let refused = Err(FrameError::Malformed(Kind::Error));
        assert_eq!(parse_body(Kind::Error, &body), refused);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_a_frame_or_an_error(
        head in prop::array::uniform9(any::<u8>()),
        kind in 0..12_u8,
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut near_miss = head;
        near_miss[1..4].fill(0);
        near_miss[4] = kind;
        for head in [head, near_miss] {
            if let Ok(header) = parse_header(head, 1 << 20) {
                prop_assert!(header.body <= 1 << 20);
                if let Ok(frame) = parse_body(header.kind, &body) {
                    prop_assert_eq!(&encode(header.channel, &frame)[HEADER..], &body[..]);
                }
            }
        }
    }
}
