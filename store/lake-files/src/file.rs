//! Writes one data file: its name, its encoding, its row groups, and the checksums that readers verify. Knows nothing of
//! which files are live.
//!
//! The CRC-32C of every column chunk is in the footer's metadata, under [`CHUNKS_KEY`]; that of the footer and of
//! all indexes before it goes into the log ([`Tail`]). So the log proves the footer, and the footer the chunks.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use model::{CommitNumber, Timestamp};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use crate::LakeError;
use crate::disk::{Disk, DiskFile, create_new, parent};
use crate::facts::{Extent, FileFacts, FramesSeen, Tail};
use crate::schema::{column, schema};

/// Rows in a row group: so few that a reader of one point reads little else, so many that the statistics of a group are
/// small beside it.
const GROUP_ROWS_MAX: usize = 65_536;
/// Rows from which a row group ends with its day.
const GROUP_ROWS_MIN: usize = 8_192;
/// Microseconds of a day.
const DAY_US: i64 = 86_400_000_000;
/// Key of the footer's metadata: the CRC-32C of each column chunk, 8 hexadecimal digits each, group by group.
pub const CHUNKS_KEY: &str = "nengliu.chunks";
/// Every Parquet file begins and ends with it.
pub const MAGIC: &[u8; 4] = b"PAR1";

/// A data file of ours, as its name and the log describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataFile {
    /// As [`file_name`] makes it.
    pub name: String,
    /// 0 as committed; a merge gives one level more.
    pub level: u32,
    /// The last commit that it holds; with the level it gives the order of files.
    pub commit: CommitNumber,
    /// How many rows it has.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
}

/// The name of a data file. The last number tells a second attempt from a first one that failed.
pub fn file_name(level: u32, commit: CommitNumber, attempt: u64) -> String {
    format!("{level}-{:012}-{attempt}.parquet", commit.0)
}

/// Level and last commit of a data file of ours; `None` for every other name.
pub fn parse_name(name: &str) -> Option<(u32, CommitNumber)> {
    parts_of(name).map(|(level, commit, _)| (level, commit))
}

/// Which attempt a data file of ours was; `None` for every other name.
pub fn attempt_of(name: &str) -> Option<u64> {
    parts_of(name).map(|(_, _, attempt)| attempt)
}

/// Whether [`file_name`] makes this very name.
pub fn is_canonical_name(name: &str) -> bool {
    parts_of(name).is_some_and(|(level, commit, attempt)| file_name(level, commit, attempt) == name)
}

fn parts_of(name: &str) -> Option<(u32, CommitNumber, u64)> {
    let mut numbers = name.strip_suffix(".parquet")?.split('-');
    let level = numbers.next()?.parse().ok()?;
    let commit = CommitNumber(numbers.next()?.parse().ok()?);
    let attempt = numbers.next()?.parse().ok()?;
    numbers.next().is_none().then_some((level, commit, attempt))
}

/// The UTC day of a source time.
pub fn day_of(ts: i64) -> i64 {
    ts.div_euclid(DAY_US)
}

/// How hard the bytes of a file are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Of a commit, which others wait for, and which is merged soon.
    Quick,
    /// Of a merge, which nobody waits for: 12 % fewer bytes at rest.
    Tight,
}

fn properties(packing: Packing) -> WriterProperties {
    let level = match packing {
        Packing::Quick => 1,
        Packing::Tight => 9,
    };
    let level = ZstdLevel::try_new(level).expect("both are levels of zstd");
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_max_row_group_row_count(Some(GROUP_ROWS_MAX));
    for name in [column::TEXT, column::UNIT, column::EXPONENT, column::MANTISSA, column::FLAGS] {
        let path = ColumnPath::from(name);
        properties = properties.set_column_statistics_enabled(path, EnabledStatistics::None);
    }
    // Numbers that run: a dictionary of them is larger than their differences (of merged rows with noisy values, `mantissa`
    // took 1.14 bytes a row with a dictionary and 0.52 without).
    let running = [column::TS, column::GATEWAY_TS, column::MANTISSA, column::SEQ, column::COMMIT];
    for name in running {
        let path = ColumnPath::from(name);
        properties = properties
            .set_column_dictionary_enabled(path.clone(), false)
            .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
    }
    properties.build()
}

/// Writes `batches`, which are in the order of the table, into a new file and syncs it and its directory. `None`, and no
/// file, when there are no rows. On an error what was written is removed again.
pub fn write(
    disk: &dyn Disk,
    path: &Path,
    packing: Packing,
    now: Timestamp,
    batches: impl Iterator<Item = Result<RecordBatch, LakeError>>,
) -> Result<Option<FileFacts>, LakeError> {
    let written = write_all(disk, path, packing, now, batches);
    if !matches!(written, Ok(Some(_))) {
        // A leftover is found again when the table is opened; it is in no log entry.
        drop(fs::remove_file(path));
    }
    written
}

fn write_all(
    disk: &dyn Disk,
    path: &Path,
    packing: Packing,
    now: Timestamp,
    batches: impl Iterator<Item = Result<RecordBatch, LakeError>>,
) -> Result<Option<FileFacts>, LakeError> {
    let file = create_new().open(path).map_err(LakeError::io("create", path))?;
    let sink = Sink { file: DiskFile { disk, file }, written: 0, group: Vec::new() };
    let mut groups = Groups::new(path, packing, sink)?;
    let mut seen = Seen::default();
    for batch in batches {
        let batch = batch?;
        seen.add(&batch).ok_or_else(|| LakeError::damaged(path, "the rows are not ours"))?;
        groups.write(&batch)?;
    }
    let (sink, tail) = groups.end()?;
    let Some((extent, frames)) = seen.end() else { return Ok(None) };
    disk.sync_file(&sink.file.file).map_err(LakeError::io("sync", path))?;
    disk.sync_directory(parent(path)).map_err(LakeError::io("sync directory of", path))?;
    let modified_ms = now.as_millis();
    Ok(Some(FileFacts { bytes: sink.written, modified_ms, extent, frames, tail }))
}

/// The file, and what of it was written since the last row group ended.
struct Sink<'a> {
    file: DiskFile<'a>,
    written: u64,
    group: Vec<u8>,
}

impl Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_all(bytes)?;
        self.group.extend_from_slice(bytes);
        self.written += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Row groups with the checksums of their chunks.
struct Groups<'a, 'p> {
    path: &'p Path,
    writer: ArrowWriter<Sink<'a>>,
    rows: usize,
    /// Day of the last row of the open group.
    day: i64,
    /// Where the open group begins in the file.
    begin: u64,
    checksums: Vec<u32>,
}

impl<'a, 'p> Groups<'a, 'p> {
    fn new(path: &'p Path, packing: Packing, sink: Sink<'a>) -> Result<Self, LakeError> {
        let writer = ArrowWriter::try_new(sink, schema(), Some(properties(packing)))
            .map_err(LakeError::parquet("write", path))?;
        Ok(Self { path, writer, rows: 0, day: 0, begin: 0, checksums: Vec::new() })
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<(), LakeError> {
        let times = batch.column_by_name(column::TS).expect("rows have a source time");
        let times = times.as_primitive::<TimestampMicrosecondType>().values();
        let mut from = 0;
        while from < times.len() {
            let day = day_of(times[from]);
            if self.rows >= GROUP_ROWS_MIN && day != self.day {
                self.end_group()?;
            }
            let of_day = times[from..].iter().take_while(|ts| day_of(**ts) == day).count();
            let rows = of_day.min(GROUP_ROWS_MAX - self.rows);
            self.writer
                .write(&batch.slice(from, rows))
                .map_err(LakeError::parquet("write", self.path))?;
            (self.rows, self.day, from) = (self.rows + rows, day, from + rows);
            if self.rows >= GROUP_ROWS_MAX {
                self.end_group()?;
            }
        }
        Ok(())
    }

    fn end_group(&mut self) -> Result<(), LakeError> {
        if self.rows == 0 {
            return Ok(());
        }
        self.rows = 0;
        self.writer.flush().map_err(LakeError::parquet("write", self.path))?;
        self.writer.sync().map_err(LakeError::io("write", self.path))?;
        let Some(group) = self.writer.flushed_row_groups().last() else { return Ok(()) };
        let bytes = &self.writer.inner().group;
        let mut checksums = Vec::with_capacity(group.num_columns());
        for chunk in group.columns() {
            let (start, len) = chunk.byte_range();
            let start = start.checked_sub(self.begin).and_then(|at| usize::try_from(at).ok());
            let range = start.zip(usize::try_from(len).ok()).map(|(at, len)| at..at + len);
            let chunk = range.and_then(|range| bytes.get(range));
            let chunk = chunk
                .ok_or_else(|| LakeError::damaged(self.path, "a chunk is not where it belongs"))?;
            checksums.push(crc32c::crc32c(chunk));
        }
        self.checksums.extend(checksums);
        let sink = self.writer.inner_mut();
        sink.group.clear();
        self.begin = sink.written;
        Ok(())
    }

    /// Writes the footer.
    fn end(mut self) -> Result<(Sink<'a>, Tail), LakeError> {
        self.end_group()?;
        let checksums: Vec<String> =
            self.checksums.iter().map(|crc| format!("{crc:08x}")).collect();
        self.writer
            .append_key_value_metadata(KeyValue::new(CHUNKS_KEY.to_owned(), checksums.concat()));
        let sink = self.writer.into_inner().map_err(LakeError::parquet("write", self.path))?;
        let tail = Tail { bytes: sink.group.len() as u64, crc: crc32c::crc32c(&sink.group) };
        Ok((sink, tail))
    }
}

/// What is known of the rows written so far.
#[derive(Default)]
struct Seen {
    extent: Option<Extent>,
    frames: FramesSeen,
}

impl Seen {
    /// `None` when the columns are not ours.
    fn add(&mut self, batch: &RecordBatch) -> Option<()> {
        let longs = |name: &str| {
            let column = batch.column_by_name(name)?.as_primitive_opt::<Int64Type>()?;
            Some(column.values().clone())
        };
        let points = batch.column_by_name(column::POINT)?.as_string_opt::<i32>()?;
        let ts = batch.column_by_name(column::TS)?;
        let ts = ts.as_primitive_opt::<TimestampMicrosecondType>()?.values();
        let (commits, generations) = (longs(column::COMMIT)?, longs(column::GENERATION)?);
        let seqs = longs(column::SEQ)?;
        let mut last = None;
        for (&generation, &seq) in generations.iter().zip(seqs.iter()) {
            if last != Some((generation, seq)) {
                self.frames.add(generation, seq);
                last = Some((generation, seq));
            }
        }
        if batch.num_rows() == 0 {
            return Some(());
        }
        let counts = |values: &[i64]| {
            let count = |number: &i64| u64::try_from(*number).unwrap_or_default();
            Some((values.iter().min().map(count)?, values.iter().max().map(count)?))
        };
        let names = (0..points.len()).map(|row| points.value(row));
        let of_batch = Extent {
            rows: batch.num_rows() as u64,
            point: (names.clone().min()?.to_owned(), names.max()?.to_owned()),
            ts: (Timestamp(*ts.iter().min()?), Timestamp(*ts.iter().max()?)),
            commit: counts(&commits)?,
            generation: counts(&generations)?,
            seq: counts(&seqs)?,
        };
        self.extent = Some(match self.extent.take() {
            Some(extent) => extent.and(of_batch),
            None => of_batch,
        });
        Some(())
    }

    fn end(self) -> Option<(Extent, Vec<crate::facts::LogFrames>)> {
        Some((self.extent?, self.frames.into_frames()))
    }
}
