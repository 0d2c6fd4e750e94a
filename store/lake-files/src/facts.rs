//! What the log keeps of a data file: its extent for readers that skip files, the frames that it holds, and the checksum
//! that its content is verified by. Knows nothing of Parquet.

use std::collections::BTreeMap;

use model::{Generation, Sequence, Timestamp};
use serde_json::{Value, json};

use crate::schema::column;

/// Tag of [`Tail`] in an `add` action: `bytes:crc`.
const TAIL: &str = "nengliu.tail";
/// Tag of the frames of a file in an `add` action: `generation:first-last`, separated by spaces.
const FRAMES: &str = "nengliu.frames";
/// Tag of the first and the last source time in an `add` action, in microseconds; statistics may be rounded.
const TIMES: &str = "nengliu.times";
/// Logs named in one tag; a file with more of them has one entry that spans them all, under generation 0.
const LOGS_MAX: usize = 256;

/// The last bytes of a file, from the end of its last column chunk on: indexes and footer. The footer holds the checksums
/// of the chunks, so this one proves the whole file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tail {
    /// How many.
    pub bytes: u64,
    /// CRC-32C.
    pub crc: u32,
}

impl Tail {
    /// The tags of a `remove` action; an `add` action has more.
    pub fn tags(self) -> BTreeMap<String, String> {
        BTreeMap::from([(TAIL.to_owned(), format!("{}:{:08x}", self.bytes, self.crc))])
    }

    /// From the tags of an action; `None` where the tag is missing or has another form.
    #[must_use]
    pub fn parse(tags: &BTreeMap<String, String>) -> Option<Self> {
        let (length, crc) = tags.get(TAIL)?.split_once(':')?;
        Some(Self { bytes: length.parse().ok()?, crc: u32::from_str_radix(crc, 16).ok()? })
    }
}

/// The sequences of one log that have rows in a file, first and last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogFrames {
    /// The log; 0 for all logs of a file with too many to name.
    pub generation: Generation,
    /// The first sequence that has rows.
    pub first: Sequence,
    /// The last one, included.
    pub last: Sequence,
}

/// Smallest and largest values of the rows of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extent {
    /// How many rows.
    pub rows: u64,
    /// Column `point`, in byte order.
    pub point: (String, String),
    /// Column `ts`: source times.
    pub ts: (Timestamp, Timestamp),
    /// Column `commit`.
    pub commit: (u64, u64),
    /// Column `generation`.
    pub generation: (u64, u64),
    /// Column `seq`.
    pub seq: (u64, u64),
}

impl Extent {
    /// That of the rows of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        fn both<T: Ord>(one: (T, T), other: (T, T)) -> (T, T) {
            (one.0.min(other.0), one.1.max(other.1))
        }
        Self {
            rows: self.rows + other.rows,
            point: both(self.point, other.point),
            ts: both(self.ts, other.ts),
            commit: both(self.commit, other.commit),
            generation: both(self.generation, other.generation),
            seq: both(self.seq, other.seq),
        }
    }
}

/// What the log keeps of a data file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFacts {
    /// Size of the file.
    pub bytes: u64,
    /// When it was written, in milliseconds since 1970 (UTC).
    pub modified_ms: i64,
    /// Smallest and largest values.
    pub extent: Extent,
    /// Which frames have rows in it.
    pub frames: Vec<LogFrames>,
    /// What proves its bytes.
    pub tail: Tail,
}

impl FileFacts {
    /// The statistics as the Delta protocol has them in an `add` action ("Per-file Statistics").
    pub fn stats(&self) -> String {
        let extent = &self.extent;
        let side = |point: &str, ts: Timestamp, commit: u64, generation: u64, seq: u64| {
            json!({
                column::POINT: point,
                column::TS: ts.to_string(),
                column::COMMIT: commit,
                column::GENERATION: generation,
                column::SEQ: seq,
            })
        };
        let null = [column::POINT, column::TS, column::COMMIT, column::GENERATION, column::SEQ]
            .map(|name| (name.to_owned(), 0));
        json!({
            "numRecords": extent.rows,
            "minValues": side(
                &extent.point.0, extent.ts.0, extent.commit.0, extent.generation.0, extent.seq.0,
            ),
            "maxValues": side(
                &extent.point.1, extent.ts.1, extent.commit.1, extent.generation.1, extent.seq.1,
            ),
            "nullCount": BTreeMap::from(null),
        })
        .to_string()
    }

    /// What only this program reads.
    pub fn tags(&self) -> BTreeMap<String, String> {
        let frames: Vec<String> = self
            .frames
            .iter()
            .map(|log| format!("{}:{}-{}", log.generation.0, log.first.0, log.last.0))
            .collect();
        let mut tags = self.tail.tags();
        tags.insert(FRAMES.to_owned(), frames.join(" "));
        let (first, last) = self.extent.ts;
        tags.insert(TIMES.to_owned(), format!("{} {}", first.0, last.0));
        tags
    }

    /// Reads both; `None` when something is missing.
    pub fn parse(
        bytes: u64,
        modified_ms: i64,
        stats: &str,
        tags: &BTreeMap<String, String>,
    ) -> Option<Self> {
        let stats: Value = serde_json::from_str(stats).ok()?;
        let both = |name: &str| Some((&stats["minValues"][name], &stats["maxValues"][name]));
        let counts = |name: &str| {
            let (min, max) = both(name)?;
            Some((min.as_u64()?, max.as_u64()?))
        };
        let (first, last) = both(column::POINT)?;
        let point = (first.as_str()?.to_owned(), last.as_str()?.to_owned());
        let (first, last) = tags.get(TIMES)?.split_once(' ')?;
        let ts = (Timestamp(first.parse().ok()?), Timestamp(last.parse().ok()?));
        let tail = Tail::parse(tags)?;
        let frames = tags.get(FRAMES)?.split_ascii_whitespace().map(parse_frames);
        Some(Self {
            bytes,
            modified_ms,
            extent: Extent {
                rows: stats["numRecords"].as_u64()?,
                point,
                ts,
                commit: counts(column::COMMIT)?,
                generation: counts(column::GENERATION)?,
                seq: counts(column::SEQ)?,
            },
            frames: frames.collect::<Option<_>>()?,
            tail,
        })
    }
}

fn parse_frames(text: &str) -> Option<LogFrames> {
    let (generation, range) = text.split_once(':')?;
    let (first, last) = range.split_once('-')?;
    Some(LogFrames {
        generation: Generation(generation.parse().ok()?),
        first: Sequence(first.parse().ok()?),
        last: Sequence(last.parse().ok()?),
    })
}

/// The frames of the rows seen so far.
#[derive(Debug, Default)]
pub struct FramesSeen(BTreeMap<i64, (i64, i64)>);

impl FramesSeen {
    /// Notes a row.
    pub fn add(&mut self, generation: i64, seq: i64) {
        let range = self.0.entry(generation).or_insert((seq, seq));
        *range = (range.0.min(seq), range.1.max(seq));
    }

    /// A range for each log; one of generation 0 for all where they are too many to name.
    #[must_use]
    pub fn into_frames(self) -> Vec<LogFrames> {
        let count = |number: i64| u64::try_from(number).unwrap_or_default();
        let frames = |(generation, (first, last))| LogFrames {
            generation: Generation(count(generation)),
            first: Sequence(count(first)),
            last: Sequence(count(last)),
        };
        if self.0.len() <= LOGS_MAX {
            return self.0.into_iter().map(frames).collect();
        }
        let all = self.0.into_values().reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
        all.map(|range| frames((0, range))).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(logs: i64) -> Vec<LogFrames> {
        let mut seen = FramesSeen::default();
        for generation in 1..=logs {
            seen.add(generation, generation + 5);
            seen.add(generation, generation);
        }
        seen.into_frames()
    }

    #[test]
    fn what_is_kept_of_a_file_is_read_again() {
        let facts = FileFacts {
            bytes: 1_234,
            modified_ms: 5,
            extent: Extent {
                rows: 9,
                point: ("a/b".to_owned(), "z/\"é".to_owned()),
                ts: (Timestamp(0), Timestamp(1_767_225_600_000_001)),
                commit: (1, 2),
                generation: (3, 4),
                seq: (5, u64::MAX >> 1),
            },
            frames: frames(3),
            tail: Tail { bytes: 77, crc: 0x00ab_cdef },
        };
        let read = FileFacts::parse(1_234, 5, &facts.stats(), &facts.tags());
        assert_eq!(read, Some(facts));
    }

    #[test]
    fn a_file_of_very_many_logs_names_them_together() {
        let most = i64::try_from(LOGS_MAX).unwrap();
        assert_eq!(frames(most).len(), LOGS_MAX);
        let all = LogFrames {
            generation: Generation(0),
            first: Sequence(1),
            last: Sequence(u64::try_from(most).unwrap() + 6),
        };
        assert_eq!(frames(most + 1), [all]);
    }
}
