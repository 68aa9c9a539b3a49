use std::time::Duration;

use proptest::prelude::*;
use prost::Message;
use weir_graph::NodeId;
use weir_types::Epoch;

use super::*;
use crate::{Fenced, SplitResponse, TaskExecutorCommand};

/// Fails if a field or a variant gets lost or mixed up on the way.
#[test]
fn every_message_reads_back_what_was_written() {
    for message in examples::messages() {
        let message = Fenced::new(Epoch(3), message);
        let bytes = message_to_wire(&message).encode_to_vec();
        let back = pb::TaskManagerMessage::decode(bytes.as_slice()).expect("decodes");
        assert_eq!(message_from_wire(back), Ok(message));
    }
}

#[test]
fn every_command_reads_back_what_was_written() {
    for command in examples::commands() {
        let command = Fenced::new(Epoch(3), command);
        let bytes = command_to_wire(&command).encode_to_vec();
        let back = pb::JobMasterMessage::decode(bytes.as_slice()).expect("decodes");
        assert_eq!(command_from_wire(back), Ok(command));
    }
}

#[test]
fn registrations_and_their_answers_read_back_what_was_written() {
    let mut registration = examples::registration();
    for address in [registration.data_address, None] {
        registration.data_address = address;
        let back = registration_from_wire(registration_to_wire(&registration));
        assert_eq!(back.as_ref(), Ok(&registration));
    }
    let job = examples::job_info();
    assert_eq!(info_from_wire(3, info_to_wire(&job)), Ok(job));
    for result in examples::results() {
        assert_eq!(result_from_wire(result_to_wire(&result)), Ok(result));
    }
}

/// A wait of no time would make a reader ask in a busy loop.
#[test]
fn a_wait_shorter_than_a_millisecond_does_not_become_none() {
    let response = SplitResponse::NotYet(Duration::from_micros(10));
    let split = TaskExecutorCommand::Split {
        attempt: examples::attempt(),
        node: NodeId(1),
        response,
    };
    let back = command_from_wire(command_to_wire(&Fenced::new(Epoch(3), split))).expect("decodes");
    let Ok(TaskExecutorCommand::Split {
        response: SplitResponse::NotYet(rest),
        ..
    }) = back.open(Epoch(3))
    else {
        panic!("it is still a wait");
    };
    assert_eq!(rest, Duration::from_millis(1));
}

#[test]
fn a_missing_part_is_named() {
    let empty = pb::TaskManagerMessage {
        epoch: 1,
        body: None,
    };
    assert_eq!(
        message_from_wire(empty).expect_err("empty").to_string(),
        "decode `body`: it is missing"
    );
    let register = pb::Register {
        id: vec![1, 2],
        ..registration_to_wire(&examples::registration())
    };
    let error = registration_from_wire(register)
        .expect_err("short id")
        .to_string();
    assert_eq!(error, "decode `register.id`: an id has 16 bytes, not 2");
}

proptest! {
    /// Whatever comes in from a socket, decoding it gives a message or an error.
    #[test]
    fn no_bytes_make_decoding_panic(bytes: Vec<u8>) {
        if let Ok(message) = pb::TaskManagerMessage::decode(bytes.as_slice()) {
            drop(message_from_wire(message));
        }
        if let Ok(message) = pb::JobMasterMessage::decode(bytes.as_slice()) {
            drop(command_from_wire(message));
        }
    }

    /// Valid messages with bytes changed get further than random ones.
    #[test]
    fn no_damaged_message_makes_decoding_panic(
        which: prop::sample::Index, place: prop::sample::Index, byte: u8
    ) {
        let commands = examples::commands();
        let command = commands[which.index(commands.len())].clone();
        let mut bytes = command_to_wire(&Fenced::new(Epoch(3), command)).encode_to_vec();
        let place = place.index(bytes.len());
        bytes[place] = byte;
        if let Ok(message) = pb::JobMasterMessage::decode(bytes.as_slice()) {
            drop(command_from_wire(message));
        }
    }
}
