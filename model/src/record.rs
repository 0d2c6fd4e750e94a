//! The bodies of the small records (BOOT, HISTORY, LOSS, CLOCK): JSON, so that they can be read without this program.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::frame::BODY_BYTES_MAX;
use crate::id::{DestinationId, PointId, Sequence, SequenceRange};
use crate::time::Timestamp;

/// Why the body of a record could not be read.
#[derive(Debug, Error)]
#[error("{record} record is not the JSON that was expected")]
pub struct RecordError {
    /// Which record.
    pub record: &'static str,
    #[source]
    source: serde_json::Error,
}

/// A body that is JSON text.
pub trait JsonRecord: Serialize + DeserializeOwned {
    /// Name for errors.
    const NAME: &'static str;

    /// The body's bytes.
    fn to_record(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain structs with text keys serialize to JSON")
    }

    /// Reads a body.
    fn from_record(body: &[u8]) -> Result<Self, RecordError> {
        serde_json::from_slice(body).map_err(|source| RecordError { record: Self::NAME, source })
    }
}

/// A start of the gateway; what was in memory before it and not yet on disk is lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boot {
    /// Random name of this run.
    pub boot_id: String,
    /// Version of the program.
    pub version: String,
    /// Wall clock at the start.
    pub at: Timestamp,
    /// Last sequence that was found durable.
    pub last_sequence: Sequence,
}

impl JsonRecord for Boot {
    const NAME: &'static str = "BOOT";
}

/// Most bytes of a [`Cursor`].
pub const CURSOR_BYTES_MAX: usize = 128;
/// Version of the HISTORY and LOSS texts that this program writes. It reads version 1 too.
pub const RECORD_VERSION: u32 = 2;
/// Bytes up to which marks go into one HISTORY record.
const MARKS_BYTES_TARGET: usize = BODY_BYTES_MAX / 2;
/// Bytes of a HISTORY record around its marks, or more.
const MARKS_FRAME_BYTES: usize = 64;
/// Most destinations that a loss names.
pub const DESTINATIONS_MAX: usize = 16;

/// How far a driver has read the memory of a device: a text that only the driver understands (of OPC UA the source time
/// in µs, and digests of the values that stand at it).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cursor(Box<str>);

impl Cursor {
    /// Takes `text` as a cursor; `None` if it is longer than [`CURSOR_BYTES_MAX`].
    pub fn new(text: impl Into<Box<str>>) -> Option<Self> {
        let text = text.into();
        (text.len() <= CURSOR_BYTES_MAX).then_some(Self(text))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The time of a cursor that begins with one.
    #[must_use]
    pub fn time(&self) -> Option<Timestamp> {
        self.0.split(' ').next()?.parse().ok().map(Timestamp)
    }
}

impl From<Timestamp> for Cursor {
    fn from(time: Timestamp) -> Self {
        Self(time.0.to_string().into())
    }
}

impl From<Cursor> for String {
    fn from(cursor: Cursor) -> String {
        cursor.0.into()
    }
}

impl TryFrom<String> for Cursor {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let found = text.len();
        Self::new(text).ok_or_else(|| {
            format!("cursor is {found} bytes long: at most {CURSOR_BYTES_MAX} are accepted")
        })
    }
}

/// Per point with a memory in its device: up to where everything that the device gave is durable here.
///
/// What holds is the union of all records of a log, the newest for each point: a record names the marks that moved, or
/// is part of the full set that begins each segment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawMarks", into = "RawMarks")]
pub struct HistoryMarks {
    /// Whether this belongs to the full set.
    pub full: bool,
    /// Of a full set: no sample behind its mark stands in a frame before this sequence. Absent: not known before the
    /// segment in which the record stands.
    pub from: Option<Sequence>,
    /// The marks, by point.
    pub marks: BTreeMap<PointId, Cursor>,
}

impl HistoryMarks {
    /// The marks in parts, so that the HISTORY record of each has a body of at most `body_bytes_max`, but for a part that
    /// is one mark; none if there are no marks.
    #[must_use]
    pub fn split(self, body_bytes_max: usize) -> Vec<Self> {
        let bytes_max = body_bytes_max.min(MARKS_BYTES_TARGET).saturating_sub(MARKS_FRAME_BYTES);
        let mut parts: Vec<Self> = Vec::new();
        let mut bytes = 0_usize;
        for (point, cursor) in self.marks {
            let more = Self::bytes_of(&point, &cursor);
            if parts.is_empty() || bytes + more > bytes_max {
                parts.push(Self { full: self.full, from: self.from, ..Self::default() });
                bytes = 0;
            }
            bytes += more;
            if let Some(part) = parts.last_mut() {
                part.marks.insert(point, cursor);
            }
        }
        parts
    }

    /// Bytes of one mark in a record, or more.
    #[must_use]
    pub fn bytes_of(point: &PointId, cursor: &Cursor) -> usize {
        // Escaped in JSON, a byte of a cursor may take six.
        let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
        let cursor: usize =
            cursor.as_str().bytes().map(|byte| if plain(byte) { 1 } else { 6 }).sum();
        point.as_str().len() + cursor + 6
    }

    /// The union of HISTORY records, the newest for each point, with `from` of the newest full set; what cannot be read
    /// is left out, and `unreadable` is told why.
    pub fn union<'a>(
        records: impl IntoIterator<Item = &'a [u8]>,
        mut unreadable: impl FnMut(&RecordError),
    ) -> Self {
        let mut union = Self { full: true, ..Self::default() };
        for body in records {
            match Self::from_record(body) {
                Ok(read) => {
                    union.marks.extend(read.marks);
                    union.from = if read.full { read.from } else { union.from };
                }
                Err(e) => unreadable(&e),
            }
        }
        union
    }
}

#[derive(Serialize, Deserialize)]
struct RawMarks {
    #[serde(default = "version_1")]
    v: u32,
    #[serde(default)]
    full: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<Sequence>,
    /// Texts; version 1 had the source time as a number.
    marks: BTreeMap<PointId, serde_json::Value>,
}

fn version_1() -> u32 {
    1
}

fn check_version(found: u32) -> Result<(), String> {
    if (1..=RECORD_VERSION).contains(&found) {
        return Ok(());
    }
    Err(format!("version {found} is unknown: expected {RECORD_VERSION}; update this program"))
}

impl TryFrom<RawMarks> for HistoryMarks {
    type Error = String;
    fn try_from(raw: RawMarks) -> Result<Self, String> {
        check_version(raw.v)?;
        let marks = raw.marks.into_iter().map(|(point, found)| {
            let cursor = match found.as_i64() {
                Some(micros) => Ok(Timestamp(micros).into()),
                None => serde_json::from_value(found).map_err(|e| e.to_string()),
            };
            cursor.map(|cursor| (point, cursor))
        });
        // Each record of version 1 held every mark.
        let marks = marks.collect::<Result<_, _>>()?;
        Ok(Self { full: raw.full || raw.v == 1, from: raw.from, marks })
    }
}

impl From<HistoryMarks> for RawMarks {
    fn from(HistoryMarks { full, from, marks }: HistoryMarks) -> Self {
        let marks = marks.into_iter().map(|(point, cursor)| (point, cursor.as_str().into()));
        Self { v: RECORD_VERSION, full, from, marks: marks.collect() }
    }
}

impl JsonRecord for HistoryMarks {
    const NAME: &'static str = "HISTORY";
}

/// Why records were given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossReason {
    /// The spool was full; whole segments were dropped, oldest first.
    DropOldest,
    /// The bytes on disk were damaged.
    Corrupt,
    /// The disk did not take them: they were never written and had no sequence.
    Refused,
    /// The log passed over these sequences after an unclean end; they held no data, or data that was never sent.
    Skipped,
    /// The centre could not read the frame and put it aside.
    Quarantined,
    /// Some of the readings were left out, so that the others last longer.
    Thinned,
}

/// Readings that will never arrive: a range of sequences, or readings that never got one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawLoss", into = "RawLoss")]
pub struct Loss {
    /// First sequence lost; 0 where no sequence was ever given.
    pub first: Sequence,
    /// Last sequence lost; 0 where no sequence was ever given.
    pub last: Sequence,
    /// Samples in it; `None` where the number is unknown.
    pub samples: Option<u64>,
    /// Earliest source time in it, where known.
    pub ts_min: Option<Timestamp>,
    /// Latest source time in it, where known.
    pub ts_max: Option<Timestamp>,
    /// Why.
    pub reason: LossReason,
    /// The destinations that lost it; none stands for all.
    pub destinations: Vec<DestinationId>,
}

impl Loss {
    /// The sequences that were lost; `None` where none was ever given.
    #[must_use]
    pub fn range(&self) -> Option<SequenceRange> {
        SequenceRange::new(self.first, self.last)
    }

    /// Whether this destination lost it.
    #[must_use]
    pub fn concerns(&self, destination: &DestinationId) -> bool {
        self.destinations.is_empty() || self.destinations.contains(destination)
    }
}

#[derive(Serialize, Deserialize)]
struct RawLoss {
    #[serde(default = "version_1")]
    v: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    first: Option<Sequence>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last: Option<Sequence>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    samples: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ts_min: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ts_max: Option<Timestamp>,
    reason: LossReason,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    destinations: Vec<DestinationId>,
}

impl TryFrom<RawLoss> for Loss {
    type Error = String;
    fn try_from(raw: RawLoss) -> Result<Self, String> {
        check_version(raw.v)?;
        let RawLoss { samples, ts_min, ts_max, reason, destinations, .. } = raw;
        let found = destinations.len();
        if found > DESTINATIONS_MAX {
            return Err(format!(
                "loss names {found} destinations: at most {DESTINATIONS_MAX} are accepted"
            ));
        }
        let (first, last) = match (raw.first, raw.last) {
            (None, None) => (Sequence(0), Sequence(0)),
            (Some(first), Some(last)) if SequenceRange::new(first, last).is_some() => (first, last),
            _ => return Err("loss names no range of sequences".to_owned()),
        };
        // Version 1 wrote 0 for an unknown number too.
        let samples = samples.filter(|&samples| raw.v > 1 || samples > 0);
        Ok(Self { first, last, samples, ts_min, ts_max, reason, destinations })
    }
}

impl From<Loss> for RawLoss {
    fn from(loss: Loss) -> Self {
        let Loss { first, last, samples, ts_min, ts_max, reason, destinations } = loss;
        // What is no range is written as it is, so that nobody takes it for "no sequence".
        let has_range = (first, last) != (Sequence(0), Sequence(0));
        let (first, last) = (has_range.then_some(first), has_range.then_some(last));
        Self { v: RECORD_VERSION, first, last, samples, ts_min, ts_max, reason, destinations }
    }
}

impl JsonRecord for Loss {
    const NAME: &'static str = "LOSS";
}

/// A step of the wall clock of a gateway, or a change of whether it is synchronised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// Wall clock when this was noticed.
    pub at: Timestamp,
    /// What the wall clock would have shown without the step.
    pub before: Timestamp,
    /// What it shows.
    pub after: Timestamp,
    /// Microseconds of the monotonic clock, which makes no steps.
    pub monotonic_us: u64,
    /// Whether the clock is known to be right.
    pub synchronised: bool,
}

impl JsonRecord for Clock {
    const NAME: &'static str = "CLOCK";
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<R: JsonRecord + PartialEq + std::fmt::Debug>(record: &R, json: &str) {
        assert_eq!(String::from_utf8(record.to_record()).unwrap(), json);
        assert_eq!(R::from_record(json.as_bytes()).unwrap(), *record);
        let error = R::from_record(b"{").unwrap_err().to_string();
        assert_eq!(error, format!("{} record is not the JSON that was expected", R::NAME));
    }

    /// These texts lie on disks in the field.
    #[test]
    fn the_texts_stay() {
        let boot = Boot {
            boot_id: "b7".to_owned(),
            version: "0.1.0".to_owned(),
            at: Timestamp(5),
            last_sequence: Sequence(9),
        };
        check(&boot, r#"{"boot_id":"b7","version":"0.1.0","at":5,"last_sequence":9}"#);
        let mut marks = HistoryMarks { full: true, ..HistoryMarks::default() };
        check(&marks, r#"{"v":2,"full":true,"marks":{}}"#);
        marks.from = Some(Sequence(u64::MAX));
        let text = r#"{"v":2,"full":true,"from":18446744073709551615,"marks":{}}"#;
        assert!(text.len() < MARKS_FRAME_BYTES);
        check(&marks, text);
        marks.from = None;
        marks.full = false;
        marks.marks.insert(PointId::new("acme/m1/e").unwrap(), Timestamp(-1).into());
        marks.marks.insert(PointId::new("acme/m1/f").unwrap(), Cursor::new("seq 7").unwrap());
        let text = r#"{"v":2,"full":false,"marks":{"acme/m1/e":"-1","acme/m1/f":"seq 7"}}"#;
        check(&marks, text);
        let mut loss = Loss {
            first: Sequence(1),
            last: Sequence(u64::MAX),
            samples: Some(3),
            ts_min: None,
            ts_max: None,
            reason: LossReason::Corrupt,
            destinations: vec![],
        };
        let text =
            r#"{"v":2,"first":1,"last":18446744073709551615,"samples":3,"reason":"corrupt"}"#;
        check(&loss, text);
        (loss.ts_min, loss.ts_max) = (Some(Timestamp(4)), Some(Timestamp(6)));
        loss.reason = LossReason::DropOldest;
        loss.destinations = vec![DestinationId::default()];
        let text = r#"{"v":2,"first":1,"last":18446744073709551615,"samples":3,"ts_min":4,"ts_max":6,"reason":"drop_oldest","destinations":["centre"]}"#;
        check(&loss, text);
        (loss.first, loss.last, loss.samples) = (Sequence(0), Sequence(0), None);
        (loss.ts_min, loss.ts_max, loss.destinations) = (None, None, vec![]);
        for (reason, name) in [
            (LossReason::Refused, "refused"),
            (LossReason::Skipped, "skipped"),
            (LossReason::Quarantined, "quarantined"),
            (LossReason::Thinned, "thinned"),
        ] {
            check(&Loss { reason, ..loss.clone() }, &format!(r#"{{"v":2,"reason":"{name}"}}"#));
        }
        let clock = Clock {
            at: Timestamp(7),
            before: Timestamp(5),
            after: Timestamp(7),
            monotonic_us: 9,
            synchronised: true,
        };
        let text = r#"{"at":7,"before":5,"after":7,"monotonic_us":9,"synchronised":true}"#;
        check(&clock, text);
    }

    #[test]
    fn records_of_version_1_are_still_read() {
        let marks = HistoryMarks::from_record(br#"{"marks":{"acme/m1/e":-1}}"#).unwrap();
        let cursor = marks.marks.values().next().unwrap();
        assert_eq!((marks.full, cursor.as_str(), cursor.time()), (true, "-1", Some(Timestamp(-1))));
        let loss = |samples: u64| {
            let text =
                format!(r#"{{"first":1,"last":2,"samples":{samples},"reason":"drop_oldest"}}"#);
            Loss::from_record(text.as_bytes()).unwrap().samples
        };
        assert_eq!((loss(3), loss(0)), (Some(3), None));
    }

    #[test]
    fn what_contradicts_itself_or_is_newer_is_refused() {
        let check = |text: &str, expected: &str| {
            let error = Loss::from_record(text.as_bytes()).unwrap_err();
            let source = std::error::Error::source(&error).unwrap().to_string();
            assert!(source.contains(expected), "{source}");
        };
        let newer = "version 3 is unknown: expected 2; update this program";
        check(r#"{"v":3,"reason":"corrupt"}"#, newer);
        for range in
            [r#""first":1"#, r#""last":1"#, r#""first":2,"last":1"#, r#""first":0,"last":0"#]
        {
            check(&format!(r#"{{"v":2,{range},"reason":"corrupt"}}"#), "names no range");
        }
        let many = |count| format!(r#"["{}"]"#, vec!["a"; count].join(r#"",""#));
        let named =
            |count| format!(r#"{{"v":2,"reason":"corrupt","destinations":{}}}"#, many(count));
        assert!(Loss::from_record(named(DESTINATIONS_MAX).as_bytes()).is_ok());
        check(&named(DESTINATIONS_MAX + 1), "loss names 17 destinations");
        let error = HistoryMarks::from_record(br#"{"v":3,"full":true,"marks":{}}"#).unwrap_err();
        assert_eq!(std::error::Error::source(&error).unwrap().to_string(), newer);
    }

    #[test]
    fn a_cursor_has_a_limit_and_any_number_of_marks_fits_frames() {
        let full = "\u{1}".repeat(CURSOR_BYTES_MAX);
        assert!(Cursor::new(format!("{full}a")).is_none());
        let cursor = Cursor::new(full).unwrap();
        let mark = |i: u32| (PointId::new(format!("acme/m{i}/e")).unwrap(), cursor.clone());
        let from = Some(Sequence(u64::MAX));
        let all = HistoryMarks { full: true, from, marks: (0..20_000).map(mark).collect() };
        for bytes_max in [2_000, 10_000, BODY_BYTES_MAX, usize::MAX] {
            let parts = all.clone().split(bytes_max);
            let records: Vec<Vec<u8>> = parts.iter().map(JsonRecord::to_record).collect();
            assert!(records.len() > 1);
            assert!(records.iter().all(|record| record.len() <= bytes_max.min(BODY_BYTES_MAX)));
            let back = HistoryMarks::union(records.iter().map(Vec::as_slice), |e| panic!("{e}"));
            assert_eq!(back, all);
        }
        assert!(HistoryMarks::default().split(BODY_BYTES_MAX).is_empty());
    }

    #[test]
    fn of_many_records_the_newest_mark_of_each_point_holds() {
        let record = |marks: &[(&str, i64)]| {
            let mark =
                |(point, at): &(&str, i64)| (PointId::new(*point).unwrap(), Timestamp(*at).into());
            let marks = marks.iter().map(mark).collect();
            HistoryMarks { marks, ..HistoryMarks::default() }.to_record()
        };
        let records =
            [record(&[("a/b/c", 1), ("a/b/d", 5)]), b"{".to_vec(), record(&[("a/b/c", 3)])];
        let mut unreadable = 0;
        let union = HistoryMarks::union(records.iter().map(Vec::as_slice), |_| unreadable += 1);
        let times: Vec<_> = union.marks.values().filter_map(Cursor::time).collect();
        assert_eq!((times, unreadable), (vec![Timestamp(3), Timestamp(5)], 1));
    }
}
