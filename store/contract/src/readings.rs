//! The side of a store that figures, queries and screens read: points × time as a stream of Arrow record batches.
//!
//! An engine reads what a [`Request`] names and nothing else as far as it can: points, times and columns are handed down
//! to it. Rows come in the order (`point`, `ts`, `generation`, `seq`), a batch at a time, so that memory does not grow
//! with the answer. What cannot be read is no error of the whole: its range is named beside the rows.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use model::{CommitNumber, DictionaryHash, PointId, Timestamp};

use crate::book::DictionaryUse;
use crate::damage::LostFrames;
use crate::draft::{LogKey, Watermark};
use crate::error::StoreError;
use crate::points::{PointTimes, TIMES_COLUMNS, times_of_rows};
use crate::store::Dictionaries;

/// Names of the columns, in their order.
pub mod column {
    #![expect(missing_docs, reason = "described under `# Shape` of `schema`")]
    pub const POINT: &str = "point";
    pub const TS: &str = "ts";
    pub const GATEWAY_TS: &str = "gateway_ts";
    pub const VALUE: &str = "value";
    pub const TEXT: &str = "text";
    pub const UNIT: &str = "unit";
    pub const QUALITY: &str = "quality";
    pub const STATUS: &str = "status";
    pub const MANTISSA: &str = "mantissa";
    pub const EXPONENT: &str = "exponent";
    pub const FLAGS: &str = "flags";
    pub const GENERATION: &str = "generation";
    pub const SEQ: &str = "seq";
    pub const COMMIT: &str = "commit";
    pub const ALL: [&str; 14] = [
        POINT, TS, GATEWAY_TS, VALUE, TEXT, UNIT, QUALITY, STATUS, MANTISSA, EXPONENT, FLAGS,
        GENERATION, SEQ, COMMIT,
    ];
}

/// The columns of a row, in order.
///
/// # Shape
/// | column | Arrow type | meaning | null |
/// |---|---|---|---|
/// | `point` | Dictionary(Int32, Utf8) | `PointId` | never |
/// | `ts` | Timestamp(µs, UTC) | source time | never |
/// | `gateway_ts` | Timestamp(µs, UTC) | when the gateway had it | never |
/// | `value` | Float64 | the value in `unit`: of a decimal the nearest double, of a Bool 0 or 1 | text, Bad |
/// | `text` | Utf8 | the text | not text, Bad |
/// | `unit` | Dictionary(Int32, Utf8) | unit of this row, `1` for none | never |
/// | `quality` | Dictionary(Int32, Utf8) | `Good`, `Uncertain` or `Bad` | never |
/// | `status` | Int64 | the OPC UA status code, exactly | never |
/// | `mantissa` | Int64 | with `exponent` the exact decimal | not decimal, Bad |
/// | `exponent` | Int32 | power of ten of `mantissa` | not decimal, Bad |
/// | `flags` | Int32 | bit 0 recovered, bit 1 clock unsynchronised | never |
/// | `generation` | Int64 | order in which logs were first committed, from 1 | never |
/// | `seq` | Int64 | sequence of the frame in its log | never |
/// | `commit` | Int64 | number of the ingest commit that brought the row | never |
///
/// A row is identified by (`point`, `ts`, `generation`, `seq`) (INV-4).
#[must_use]
pub fn schema() -> SchemaRef {
    let time = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let word = || DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    Arc::new(Schema::new(vec![
        Field::new(column::POINT, word(), false),
        Field::new(column::TS, time(), false),
        Field::new(column::GATEWAY_TS, time(), false),
        Field::new(column::VALUE, DataType::Float64, true),
        Field::new(column::TEXT, DataType::Utf8, true),
        Field::new(column::UNIT, word(), false),
        Field::new(column::QUALITY, word(), false),
        Field::new(column::STATUS, DataType::Int64, false),
        Field::new(column::MANTISSA, DataType::Int64, true),
        Field::new(column::EXPONENT, DataType::Int32, true),
        Field::new(column::FLAGS, DataType::Int32, false),
        Field::new(column::GENERATION, DataType::Int64, false),
        Field::new(column::SEQ, DataType::Int64, false),
        Field::new(column::COMMIT, DataType::Int64, false),
    ]))
}

/// Which points are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Points {
    /// All of them.
    #[default]
    All,
    /// Those whose id begins with one of these.
    Prefixes(Vec<String>),
    /// These.
    Exactly(Vec<PointId>),
}

impl Points {
    /// Whether a point is wanted.
    #[must_use]
    pub fn wants(&self, point: &str) -> bool {
        match self {
            Self::All => true,
            Self::Prefixes(prefixes) => prefixes.iter().any(|prefix| point.starts_with(prefix)),
            Self::Exactly(ids) => ids.iter().any(|id| id.as_str() == point),
        }
    }

    /// Whether a wanted point may lie between these two, both included.
    #[must_use]
    pub fn may_lie_in(&self, first: &str, last: &str) -> bool {
        match self {
            Self::All => true,
            // What begins with a prefix lies from the prefix on, next to one another.
            Self::Prefixes(prefixes) => prefixes
                .iter()
                .map(String::as_str)
                .any(|prefix| prefix <= last && (first <= prefix || first.starts_with(prefix))),
            Self::Exactly(ids) => ids.iter().any(|id| first <= id.as_str() && id.as_str() <= last),
        }
    }
}

/// Which rows of one point and source time are wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RowChoice {
    /// The reader's rule: the one of the highest generation, then of the highest sequence. A function of the rows, not
    /// of their order of arrival.
    #[default]
    Chosen,
    /// Every one (INV-4).
    All,
}

/// Lets whoever asked say that nobody wants the answer any more.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// No further batch is read.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was said.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What is wanted of a store.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Which points.
    pub points: Points,
    /// First source time that is wanted.
    pub from: Option<Timestamp>,
    /// First source time that is no longer wanted.
    pub to: Option<Timestamp>,
    /// Only what this commit and those before it brought.
    pub as_of: Option<CommitNumber>,
    /// Which rows of one point and time.
    pub choice: RowChoice,
    /// Names of the columns, of [`column`]; all of them when empty. They come in the order of [`schema`].
    pub columns: Vec<&'static str>,
    /// Ends the stream early.
    pub cancel: Cancel,
}

impl Request {
    /// The columns of the answer.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        let whole = schema();
        if self.columns.is_empty() {
            return whole;
        }
        let wanted = whole.fields().iter().filter(|field| self.wants(field.name()));
        Arc::new(Schema::new(wanted.cloned().collect::<Vec<_>>()))
    }

    /// Whether a column is wanted.
    #[must_use]
    pub fn wants(&self, name: &str) -> bool {
        self.columns.is_empty() || self.columns.contains(&name)
    }
}

/// Logs that the text of a [`DamagedRange`] names.
const FRAMES_TOLD_MAX: usize = 16;

/// Rows that an engine holds and could not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedRange {
    /// First and last point that the rows may be of; both empty where nobody knows whether there are such rows.
    pub points: (String, String),
    /// First and last source time that they may have.
    pub times: (Timestamp, Timestamp),
    /// How many there are, where that is known.
    pub rows: Option<u64>,
    /// The frames, by log, that have rows in the damaged part; these rows may be a part of them.
    pub frames: Vec<LostFrames>,
    /// What is wrong, and where.
    pub reason: String,
}

impl DamagedRange {
    /// That rows which were committed last may be missing, of any point and time.
    #[must_use]
    pub fn of_end(reason: String) -> Self {
        let times = (Timestamp(i64::MIN), Timestamp(i64::MAX));
        Self {
            points: (String::new(), String::new()),
            times,
            rows: None,
            frames: Vec::new(),
            reason,
        }
    }

    /// Whether it is one of [`Self::of_end`].
    #[must_use]
    pub fn is_of_end(&self) -> bool {
        self.points.0.is_empty() && self.points.1.is_empty()
    }
}

impl fmt::Display for DamagedRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_of_end() {
            return write!(
                f,
                "rows that were committed last may be missing: {}; put the file back from a backup",
                self.reason
            );
        }
        let ((first, last), (from, to)) = (&self.points, self.times);
        match self.rows {
            Some(rows) => write!(f, "{rows} rows")?,
            None => f.write_str("rows")?,
        }
        write!(f, " of `{first}` to `{last}`, {from} to {to}")?;
        for frames in self.frames.iter().take(FRAMES_TOLD_MAX) {
            write!(f, ", {frames}")?;
        }
        match self.frames.len().saturating_sub(FRAMES_TOLD_MAX) {
            0 => {}
            more => write!(f, ", and of {more} more logs")?,
        }
        write!(f, ", cannot be read: {}", self.reason)
    }
}

/// What an answer has cost so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Files (or what an engine has in their place) that were opened.
    pub files: u64,
    /// Bytes that were read.
    pub bytes: u64,
}

/// An answer: batches of rows in the order (`point`, `ts`, `generation`, `seq`), none of them empty. Reads as it is
/// asked for more, and may block, so an async caller drains it on a thread that may. Dropping it ends the work.
pub trait Rows: Iterator<Item = Result<RecordBatch, StoreError>> + Send {
    /// What was wanted and could not be read, as far as the stream has come; complete when it ended.
    fn damaged(&self) -> Vec<DamagedRange>;
    /// What it has cost so far.
    fn cost(&self) -> Cost;
}

/// An answer of whichever engine.
pub type BoxedRows = Box<dyn Rows>;

/// One version of a store, for reading. What it answers never changes.
pub trait Readings: Send + Sync {
    /// The last commit in it; 0 when there was none.
    fn commit_number(&self) -> CommitNumber;
    /// How far each log is durable in it.
    fn watermarks(&self) -> BTreeMap<LogKey, Watermark>;
    /// The dictionaries that the store keeps.
    fn dictionaries(&self) -> Result<Dictionaries, StoreError>;
    /// Why a dictionary is not among them, with the name of what is damaged; `None` where that is not known.
    fn dictionary_fault(&self, _: DictionaryHash) -> Option<String> {
        None
    }
    /// Which dictionary the rows of which frames follow, in the order of commits.
    fn dictionary_uses(&self) -> Vec<DictionaryUse>;
    /// Rows of points × time.
    fn rows(&self, request: &Request) -> Result<BoxedRows, StoreError>;
    /// The last row of each point that passes the request, by the reader's rule.
    fn last_rows(&self, request: &Request) -> Result<BoxedRows, StoreError>;
    /// First and last reading of each point. Reads every row, unless an engine keeps them. A cancelled call returns what it
    /// has found so far.
    fn point_times(&self, cancel: &Cancel) -> Result<PointTimes, StoreError> {
        let columns = TIMES_COLUMNS.to_vec();
        let (choice, cancel) = (RowChoice::All, cancel.clone());
        let request = Request { choice, columns, cancel, ..Request::default() };
        times_of_rows(&mut self.rows(&request)?)
    }
    /// The newest version of the same store.
    fn renewed(&self) -> Result<Arc<dyn Readings>, StoreError>;
}
