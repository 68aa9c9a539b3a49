//! Reads the lines of one split.
//!
//! A turn takes a block of whole lines from the buffer, finds their ends, checks at once that the
//! block is UTF-8, and decodes line by line. What belongs to the split: every line that begins in
//! it. A line's length is bounded; what is longer is never held in memory as a whole.

use std::sync::Arc;

use memchr::{memchr, memchr_iter, memrchr};
use weir_stream::source::SourceOutput;
use weir_stream::{CHUNK_BYTES, Data};

use super::FileSourceError;
use super::bad_record::BadRecordHandler;
use super::buffer::FileBuffer;
use super::format::{SplitReader, Turn};
use super::split::FileSplit;
use crate::bad_records::{BadRecordReason, chain};
use crate::line_decoder::LineDecoder;

/// Reads one split line by line.
pub(super) struct LineSplitReader<D> {
    split: FileSplit,
    lines: LineBuffer,
    decoder: Arc<D>,
    /// The ends of the lines of the turn's block; kept, so that its memory is.
    ends: Vec<usize>,
}

impl<D> LineSplitReader<D> {
    /// Opens the file and goes to the first line that begins in the split.
    pub(super) fn open(
        split: FileSplit,
        decoder: Arc<D>,
        max_line_bytes: usize,
    ) -> Result<Self, FileSourceError> {
        let lines = LineBuffer::open(&split, max_line_bytes)?;
        Ok(Self {
            split,
            lines,
            decoder,
            ends: Vec::new(),
        })
    }

    /// The ends of up to `limit` lines of a block of whole lines.
    fn find_ends(&mut self, block_len: usize, limit: usize) {
        let block = &self.lines.buffer.unread()[..block_len];
        self.ends.clear();
        self.ends.extend(memchr_iter(b'\n', block).take(limit));
        let after = self.ends.last().map_or(0, |end| end + 1);
        if self.ends.len() < limit && after < block_len {
            // The file's last line, without an end.
            self.ends.push(block_len);
        }
    }

    /// Decodes the lines whose ends were found, or the first of them if the turn is over before,
    /// and tells how many bytes they take. The ends of others are forgotten.
    fn decode_lines<T: Data>(
        &mut self,
        block_len: usize,
        bad: &mut BadRecordHandler,
        out: &mut SourceOutput<'_, T>,
    ) -> Result<usize, FileSourceError>
    where
        D: LineDecoder<T>,
    {
        let used = self.ends.last().map_or(0, |end| (end + 1).min(block_len));
        let block = &self.lines.buffer.unread()[..used];
        let text = std::str::from_utf8(block);
        let (mut start, mut lines) = (0, 0);
        for &end in &self.ends {
            let line = match text {
                Ok(text) => Ok(&text[start..end]),
                // Something in the block is no UTF-8: find out which lines.
                Err(_) => std::str::from_utf8(&block[start..end]),
            };
            let problem = match line {
                Ok(line) => self
                    .decode_line(line, end < used, out)
                    .map(|reason| (0, reason)),
                Err(error) => Some((error.valid_up_to(), BadRecordReason::InvalidUtf8)),
            };
            if let Some((within, reason)) = problem {
                let offset = self.lines.buffer.offset() + (start + within) as u64;
                bad.handle(self.lines.buffer.path(), offset, reason)?;
            }
            start = end + 1;
            lines += 1;
            if out.turn_is_over() {
                break;
            }
        }
        self.ends.truncate(lines);
        Ok(start.min(used))
    }

    /// Decodes a line; tells what is wrong with it, if anything is.
    #[inline]
    fn decode_line<T: Data>(
        &self,
        line: &str,
        has_end: bool,
        out: &mut SourceOutput<'_, T>,
    ) -> Option<BadRecordReason>
    where
        D: LineDecoder<T>,
    {
        let max = self.lines.max_line_bytes;
        if line.len() > max {
            return Some(BadRecordReason::TooLong { max });
        }
        let line = if has_end {
            line.strip_suffix('\r').unwrap_or(line)
        } else {
            line
        };
        match self.decoder.decode(line, out) {
            Ok(()) => None,
            Err(error) => Some(BadRecordReason::Malformed(chain(&*error))),
        }
    }
}

impl<T: Data, D: LineDecoder<T>> SplitReader<T> for LineSplitReader<D> {
    fn turn(
        &mut self,
        limit: usize,
        bad: &mut BadRecordHandler,
        out: &mut SourceOutput<'_, T>,
    ) -> Result<Turn, FileSourceError> {
        match self.lines.next_block()? {
            Block::End => Ok(Turn {
                lines: 0,
                done: true,
            }),
            Block::TooLong => {
                let reason = BadRecordReason::TooLong {
                    max: self.lines.max_line_bytes,
                };
                bad.handle(self.lines.buffer.path(), self.lines.buffer.offset(), reason)?;
                self.lines.buffer.skip_line(self.lines.end)?;
                Ok(Turn {
                    lines: 1,
                    done: false,
                })
            }
            Block::Lines(length) => {
                self.find_ends(length, limit);
                let used = self.decode_lines(length, bad, out)?;
                self.lines.buffer.consume(used);
                Ok(Turn {
                    lines: self.ends.len(),
                    done: false,
                })
            }
        }
    }

    fn rest(&self) -> FileSplit {
        self.split.rest(self.lines.buffer.offset())
    }
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block {
    /// So many unread bytes are one or more whole lines that begin in the split.
    Lines(usize),
    /// A line that is longer than allowed.
    TooLong,
    /// No line that begins in the split is left.
    End,
}

/// The lines of a split as blocks of bytes.
struct LineBuffer {
    buffer: FileBuffer,
    end: u64,
    max_line_bytes: usize,
}

impl LineBuffer {
    fn open(split: &FileSplit, max_line_bytes: usize) -> Result<Self, FileSourceError> {
        // From one byte before the split on: if that ends a line, only this byte is passed over. If
        // the line fills the whole split, no line begins in it.
        let mut buffer = FileBuffer::open(split.path(), split.start.saturating_sub(1))?;
        if split.start > 0 {
            buffer.skip_line(split.end)?;
        }
        Ok(Self {
            buffer,
            end: split.end,
            max_line_bytes,
        })
    }

    fn next_block(&mut self) -> Result<Block, FileSourceError> {
        let left = self.end.saturating_sub(self.buffer.offset());
        if left == 0 {
            return Ok(Block::End);
        }
        let window = usize::try_from(left)
            .unwrap_or(CHUNK_BYTES)
            .min(CHUNK_BYTES);
        let searched = self.buffer.fill_to(window)?.min(window);
        if searched == 0 {
            return Err(self.buffer.cut_short(self.end));
        }
        match memrchr(b'\n', &self.buffer.unread()[..searched]) {
            Some(last) => Ok(Block::Lines(last + 1)),
            None => self.single_line(searched),
        }
    }

    /// The line that begins here; its first `searched` bytes hold no line end.
    fn single_line(&mut self, mut searched: usize) -> Result<Block, FileSourceError> {
        while searched <= self.max_line_bytes {
            let want = searched
                .saturating_mul(2)
                .min(self.max_line_bytes.saturating_add(1));
            let have = self.buffer.fill_to(want)?;
            if have == searched {
                return Ok(Block::Lines(searched));
            }
            if let Some(end) = memchr(b'\n', &self.buffer.unread()[searched..have]) {
                return Ok(Block::Lines(searched + end + 1));
            }
            searched = have;
        }
        Ok(Block::TooLong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_beyond_the_cap_takes_no_more_memory_than_the_cap() {
        const MIB: usize = 1024 * 1024;
        let folder = tempfile::tempdir().expect("makes a folder");
        let path = folder.path().join("file");
        let mut bytes = vec![b'x'; 16 * MIB];
        bytes.extend_from_slice(b"\nend\n");
        std::fs::write(&path, &bytes).expect("writes");
        let split = FileSplit::new(&path, 0, bytes.len() as u64);
        let mut lines = LineBuffer::open(&split, MIB).expect("opens");
        assert_eq!(lines.next_block().expect("reads"), Block::TooLong);
        assert!(
            lines.buffer.capacity() <= MIB + 1,
            "{}",
            lines.buffer.capacity()
        );
        lines.buffer.skip_line(u64::MAX).expect("reads");
        assert_eq!(lines.next_block().expect("reads"), Block::Lines(4));
        assert!(
            lines.buffer.capacity() <= MIB + 1,
            "{}",
            lines.buffer.capacity()
        );
    }
}
