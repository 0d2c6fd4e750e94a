//! From the bytes of a segment to its frames and its damage: a pure function (I6).

use std::collections::BTreeMap;

use model::frame::{ALIGNMENT, MAGIC, decode_frame, decode_header};
use model::{Frame, FrameHeader, Sequence};

use crate::to_usize;

/// What stands at one place of a segment.
#[derive(Debug)]
pub(crate) enum Step<'a> {
    /// The expected frame.
    Frame(Frame<'a>),
    /// The log passed over the sequences up to `last`: no byte stands between the frames around them.
    Skipped { last: Sequence },
    /// The sequences from `first` to `last` cannot be read.
    Damage { first: Sequence, last: Sequence, headers: Vec<FrameHeader> },
    /// Nothing more can be read, and more need not be there. The headers are of frames that were cut.
    Tail { headers: Vec<FrameHeader> },
}

/// Walks over the frames of one segment.
pub(crate) struct Walk<'a> {
    /// The file from its start.
    pub(crate) bytes: &'a [u8],
    pub(crate) offset: u64,
    pub(crate) expected: Sequence,
    /// `None` when the header of the segment is damaged.
    pub(crate) salt: Option<u32>,
    /// Last sequence that must be there; `None` in the newest segment, where nobody knows.
    pub(crate) last: Option<Sequence>,
}

impl<'a> Walk<'a> {
    /// The next step; `None` behind the last sequence. After a [`Step::Tail`] it must not be called again.
    pub(crate) fn step(&mut self) -> Option<Step<'a>> {
        if self.last.is_some_and(|last| self.expected > last) {
            return None;
        }
        let first = self.expected;
        if let Some(frame) =
            self.frame_at(self.offset, first).filter(|f| f.header.sequence == first)
        {
            self.offset += crate::to_u64(frame.bytes.len());
            self.expected = first.next();
            return Some(Step::Frame(frame));
        }
        let (found, mut headers) = self.search();
        let last = match found {
            Some((offset, sequence)) if offset == self.offset => {
                self.expected = sequence;
                return Some(Step::Skipped { last: Sequence(sequence.0 - 1) });
            }
            Some((offset, sequence)) => {
                self.offset = offset;
                self.expected = sequence;
                Sequence(sequence.0 - 1)
            }
            None => match self.last {
                Some(last) => {
                    self.offset = crate::to_u64(self.bytes.len());
                    self.expected = last.next();
                    last
                }
                None => return Some(Step::Tail { headers }),
            },
        };
        headers.retain(|header| header.sequence <= last);
        Some(Step::Damage { first, last, headers })
    }

    /// A whole frame of this segment that is not below `least`.
    fn frame_at(&self, offset: u64, least: Sequence) -> Option<Frame<'a>> {
        let frame = decode_frame(self.bytes.get(to_usize(offset)..)?).ok()?;
        self.is_ours(&frame.header, least).then_some(frame)
    }

    fn is_ours(&self, header: &FrameHeader, least: Sequence) -> bool {
        Some(header.salt) == self.salt
            && header.sequence >= least
            && self.last.is_none_or(|last| header.sequence <= last)
    }

    /// Goes forward in steps of the alignment to the next whole frame. Gathers the readable headers of frames that
    /// are not whole: they tell how many samples were in them.
    fn search(&self) -> (Option<(u64, Sequence)>, Vec<FrameHeader>) {
        let mut headers = BTreeMap::new();
        let mut found = None;
        if self.salt.is_some() {
            let magic = MAGIC.to_le_bytes();
            let start = to_usize(self.offset);
            let rest = self.bytes.get(start..).unwrap_or_default();
            for (index, piece) in rest.chunks_exact(ALIGNMENT).enumerate() {
                if piece[..2] != magic {
                    continue;
                }
                let offset = start + index * ALIGNMENT;
                let header = self.bytes.get(offset..).and_then(|bytes| decode_header(bytes).ok());
                let Some(header) = header.filter(|header| self.is_ours(header, self.expected))
                else {
                    continue;
                };
                let offset = crate::to_u64(offset);
                if self.frame_at(offset, self.expected.next()).is_some() {
                    found = Some((offset, header.sequence));
                    break;
                }
                headers.entry(header.sequence).or_insert(header);
            }
        }
        (found, headers.into_values().collect())
    }
}
