//! What one segment says: its records that outlive a restart, its damage, its end.

use model::frame::{MAGIC, OVERHEAD_BYTES, decode_header, hash_of_frame};
use model::record::{JsonRecord, Loss};
use model::{Frame, FrameHeader, RecordType, Sequence, Timestamp};

use crate::scan::{Step, Walk};
use crate::segment::{SEGMENT_HEADER_BYTES, Segment};
use crate::{Draft, to_u64, to_usize};

/// What one segment holds.
#[derive(Debug)]
pub(crate) struct Contents {
    pub(crate) dictionaries: Vec<Draft>,
    /// Oldest first.
    pub(crate) history: Vec<Draft>,
    pub(crate) losses: Vec<(Sequence, Loss)>,
    /// Latest source time of a sample.
    pub(crate) newest_sample: Option<Timestamp>,
    pub(crate) damage: Vec<(Sequence, Sequence, Vec<FrameHeader>)>,
    /// Last sequence that can be read or that damage may have held.
    pub(crate) end: Sequence,
    pub(crate) end_offset: u64,
    /// Of the last readable frame.
    pub(crate) hash: [u8; 32],
    /// Readable headers of a commit that did not finish; `None` when there is no trace of one.
    pub(crate) cut: Option<Vec<FrameHeader>>,
}

/// Reads a whole segment. `last` is `None` for the newest one.
pub(crate) fn contents_of(
    bytes: &[u8],
    segment: &Segment,
    last: Option<Sequence>,
    prev_hash: [u8; 32],
) -> Contents {
    let mut contents = Contents {
        dictionaries: Vec::new(),
        history: Vec::new(),
        losses: Vec::new(),
        newest_sample: None,
        damage: Vec::new(),
        end: Sequence(segment.first.0.saturating_sub(1)),
        end_offset: SEGMENT_HEADER_BYTES,
        hash: prev_hash,
        cut: None,
    };
    if segment.salt.is_none() && last.is_none() {
        // Nobody knows how many frames it held: no sequence that it may have held is used again (I2).
        let frames_max = to_u64(bytes.len()) / to_u64(OVERHEAD_BYTES);
        contents.end = Sequence(segment.first.0.saturating_add(frames_max));
        contents.damage.push((segment.first, contents.end, Vec::new()));
        return contents;
    }
    let mut walk = Walk {
        bytes,
        offset: SEGMENT_HEADER_BYTES,
        expected: segment.first,
        salt: segment.salt,
        last,
    };
    while let Some(step) = walk.step() {
        match step {
            Step::Frame(frame) => contents.take(&frame),
            // Its LOSS record is the frame behind it.
            Step::Skipped { last } => contents.end = last,
            Step::Damage { first, last, headers } => {
                contents.damage.push((first, last, headers));
                contents.end = last;
            }
            Step::Tail { headers } => {
                let begun = bytes.get(to_usize(walk.offset)..).is_some_and(is_damaged_header);
                contents.cut = (begun || !headers.is_empty()).then_some(headers);
                break;
            }
        }
        contents.end_offset = walk.offset;
    }
    contents
}

/// Whether a frame was begun here, and not finished; an old frame of a recycled segment is whole.
fn is_damaged_header(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC.to_le_bytes()) && decode_header(bytes).is_err()
}

impl Contents {
    fn take(&mut self, frame: &Frame<'_>) {
        self.end = frame.header.sequence;
        self.hash = hash_of_frame(frame.bytes);
        let header = frame.header;
        if header.record_type == RecordType::Data {
            self.newest_sample = self.newest_sample.max(Some(header.ts_max));
        }
        let draft = || Draft {
            record_type: header.record_type,
            samples: header.samples,
            ts_min: header.ts_min,
            ts_max: header.ts_max,
            body: frame.body.to_vec(),
        };
        match header.record_type {
            RecordType::Dictionary => self.dictionaries.push(draft()),
            // A mark behind damage says that samples are durable which are not.
            RecordType::History if self.damage.is_empty() => self.history.push(draft()),
            RecordType::Loss => match Loss::from_record(frame.body) {
                Ok(loss) => self.losses.push((header.sequence, loss)),
                Err(error) => {
                    tracing::warn!(%error, sequence = header.sequence.0, "LOSS record ignored");
                }
            },
            RecordType::Data
            | RecordType::History
            | RecordType::Boot
            | RecordType::Clock
            | RecordType::Audit
            | RecordType::Checkpoint => {}
        }
    }
}
