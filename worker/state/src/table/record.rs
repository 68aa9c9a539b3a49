//! The block format: how the entries of one key group lie in a snapshot.
//!
//! ```text
//! block  = record*
//! record = 0 text(key)               the entry is gone
//!        | 1 text(key) text(value)   the entry has this value
//! text   = length (LEB128) byte*
//! ```
//!
//! Records are applied in order, so that blocks may be joined end to end. The key is the encoded
//! key, namespace and, for map state, user key, one behind the other.

use crate::codec::CodecError;

const REMOVED: u8 = 0;
const PUT: u8 = 1;

/// One record of a block.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub(crate) key: &'a [u8],
    /// None: the entry is gone.
    pub(crate) value: Option<&'a [u8]>,
}

/// Writes one text's bytes.
pub(crate) trait Write: FnOnce(&mut Vec<u8>) -> Result<(), CodecError> {}

impl<F: FnOnce(&mut Vec<u8>) -> Result<(), CodecError>> Write for F {}

/// Appends an entry's value. After an error `out` is as it was.
#[inline]
pub(crate) fn write_put(
    out: &mut Vec<u8>,
    key: impl Write,
    value: impl Write,
) -> Result<(), CodecError> {
    let start = out.len();
    out.push(PUT);
    let written = write_text(out, key).and_then(|()| write_text(out, value));
    written.inspect_err(|_| out.truncate(start))
}

/// Appends an entry whose key and value are encoded already.
pub(crate) fn append_put(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    out.push(PUT);
    append_text(out, key);
    append_text(out, value);
}

/// The same for an entry that is gone.
pub(crate) fn append_removal(out: &mut Vec<u8>, key: &[u8]) {
    out.push(REMOVED);
    append_text(out, key);
}

fn append_text(out: &mut Vec<u8>, text: &[u8]) {
    append_length(out, text.len());
    out.extend_from_slice(text);
}

fn append_length(out: &mut Vec<u8>, mut rest: usize) {
    while rest >= 128 {
        out.push(rest.to_le_bytes()[0] | 128);
        rest >>= 7;
    }
    out.push(rest.to_le_bytes()[0]);
}

/// Appends that an entry is gone. After an error `out` is as it was.
pub(crate) fn write_removed(out: &mut Vec<u8>, key: impl Write) -> Result<(), CodecError> {
    let start = out.len();
    out.push(REMOVED);
    write_text(out, key).inspect_err(|_| out.truncate(start))
}

#[inline]
fn write_text(out: &mut Vec<u8>, write: impl Write) -> Result<(), CodecError> {
    let start = out.len();
    out.push(0);
    write(out)?;
    let len = out.len() - start - 1;
    match u8::try_from(len) {
        Ok(short @ ..128) => out[start] = short,
        _ => make_room_for_length(out, start, len),
    }
    Ok(())
}

/// Puts the length before a text that has got one byte for it.
#[cold]
fn make_room_for_length(out: &mut Vec<u8>, start: usize, len: usize) {
    let mut prefix = Vec::with_capacity(5);
    append_length(&mut prefix, len);
    drop(out.splice(start..=start, prefix));
}

/// Takes the record at the front of a block; none at its end.
pub(crate) fn read_record<'a>(block: &mut &'a [u8]) -> Result<Option<Record<'a>>, CodecError> {
    let Some((&tag, mut rest)) = block.split_first() else {
        return Ok(None);
    };
    let key = read_text(&mut rest)?;
    let record = match tag {
        REMOVED => Record { key, value: None },
        PUT => Record {
            key,
            value: Some(read_text(&mut rest)?),
        },
        _ => {
            return Err(CodecError::decode::<Record>(format!(
                "{tag} is no kind of record"
            )));
        }
    };
    *block = rest;
    Ok(Some(record))
}

#[inline]
fn read_text<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], CodecError> {
    let cut_off = || CodecError::decode::<Record>("the block is cut off");
    let mut len = 0usize;
    for shift in (0..=28).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or_else(cut_off)?;
        *bytes = rest;
        len |= usize::from(byte & 127) << shift;
        if byte < 128 {
            let (text, rest) = bytes.split_at_checked(len).ok_or_else(cut_off)?;
            *bytes = rest;
            return Ok(text);
        }
    }
    Err(CodecError::decode::<Record>(
        "a length has more than 5 bytes",
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn append(bytes: &[u8]) -> impl FnOnce(&mut Vec<u8>) -> Result<(), CodecError> {
        |out| {
            out.extend_from_slice(bytes);
            Ok(())
        }
    }

    #[test]
    fn records_of_any_length_read_back_in_order() {
        let texts = [vec![], vec![1; 127], vec![2; 128], vec![3; 70_000]];
        let mut block = Vec::new();
        for text in &texts {
            write_put(&mut block, append(b"k"), append(text)).unwrap();
            write_removed(&mut block, append(text)).unwrap();
        }
        let mut rest = block.as_slice();
        for text in &texts {
            let put = read_record(&mut rest).unwrap().unwrap();
            assert_eq!(
                put,
                Record {
                    key: b"k",
                    value: Some(text)
                }
            );
            let removed = read_record(&mut rest).unwrap().unwrap();
            assert_eq!(
                removed,
                Record {
                    key: text,
                    value: None
                }
            );
        }
        assert_eq!(read_record(&mut rest).unwrap(), None);
    }

    #[test]
    fn the_bytes_of_version_1_stay_what_they_are() {
        let mut block = Vec::new();
        write_removed(&mut block, append(b"ab")).unwrap();
        write_put(&mut block, append(b"c"), append(&[9; 130])).unwrap();
        let mut want = b"\x00\x02ab\x01\x01c\x82\x01".to_vec();
        want.extend([9; 130]);
        assert_eq!(block, want);
    }

    #[test]
    fn encoded_texts_are_appended_as_others_are_written() {
        for len in [0, 1, 127, 128, 16_383, 16_384] {
            let text = vec![7; len];
            let (mut written, mut appended) = (Vec::new(), Vec::new());
            write_put(&mut written, append(&text), append(&text)).unwrap();
            append_put(&mut appended, &text, &text);
            assert_eq!(written, appended);
        }
    }

    #[test]
    fn a_refused_value_leaves_no_half_record() {
        let mut block = b"before".to_vec();
        let refuse = |_: &mut Vec<u8>| Err(CodecError::decode::<u8>("no"));
        assert!(write_put(&mut block, append(b"k"), refuse).is_err());
        assert_eq!(block, b"before");
    }

    proptest! {
        #[test]
        fn garbage_never_panics_and_ends(garbage in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut rest = garbage.as_slice();
            while let Ok(Some(_)) = read_record(&mut rest) {}
        }
    }
}
