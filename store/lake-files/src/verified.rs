//! Reads a data file and verifies every byte that it hands out: the footer against the log, each column chunk against the
//! footer. Chunks that are not asked for are not read. Knows nothing of which files are live.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;
use bytes::buf::Reader;
use bytes::{Buf, Bytes};
use model::Timestamp;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder, RowSelection,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::statistics::Statistics;

use crate::facts::Tail;
use crate::file::{CHUNKS_KEY, MAGIC};
use crate::schema::{column, schema, schema_with_words};
use crate::selection::Selection;
use crate::{LakeError, regular};

/// Bytes after the footer: its length and the magic.
const END_BYTES: usize = 8;

/// A data file whose footer was verified.
#[derive(Debug, Clone)]
pub struct DataReader {
    path: PathBuf,
    chunks: Chunks,
    metadata: ArrowReaderMetadata,
    /// The same with columns of few words as dictionaries, which the file holds them as.
    words: ArrowReaderMetadata,
}

/// That a file was cut, or is another one.
pub fn wrong_length(path: &Path, found: u64, expected: u64) -> LakeError {
    LakeError::damaged(path, format!("it has {found} bytes, expected {expected}"))
}

impl DataReader {
    /// Opens the file that, as the log says, has so many bytes and this tail. Reads its footer.
    pub fn open(path: &Path, bytes: u64, tail: Tail) -> Result<Self, LakeError> {
        let wrong = |what: String| LakeError::damaged(path, what);
        let file = regular::open(path)?;
        let found = file.metadata().map_err(LakeError::io("measure", path))?.len();
        if found != bytes {
            return Err(wrong_length(path, found, bytes));
        }
        let read = |at: u64, buffer: &mut [u8]| {
            file.read_exact_at(buffer, at).map_err(LakeError::io("read", path))
        };
        let mut magic = [0; MAGIC.len()];
        read(0, &mut magic)?;
        let length = usize::try_from(tail.bytes.min(bytes)).unwrap_or(0);
        let mut end = vec![0; length];
        read(bytes - length as u64, &mut end)?;
        if magic != *MAGIC || crc32c::crc32c(&end) != tail.crc {
            return Err(wrong("its footer does not have the checksum that the log states".into()));
        }
        let metadata = contained(path, || metadata_of(&end))?
            .ok_or_else(|| wrong("its footer is not one that this program writes".into()))?;
        let checksums = checksums_of(&metadata)
            .ok_or_else(|| wrong("its footer lacks the checksums of its chunks".into()))?;
        let chunks = Chunks::new(file, bytes, &metadata, &checksums);
        let metadata = Arc::new(metadata);
        let described = |options| {
            ArrowReaderMetadata::try_new(Arc::clone(&metadata), options)
                .map_err(LakeError::parquet("read", path))
        };
        let plain = described(ArrowReaderOptions::new())?;
        if plain.schema().fields() != schema().fields() {
            return Err(wrong("its columns are not those of the table".into()));
        }
        let words = described(ArrowReaderOptions::new().with_schema(schema_with_words()))?;
        Ok(Self { path: path.to_owned(), chunks, metadata: plain, words })
    }

    /// The row groups that may hold rows of the selection.
    pub fn groups(&self, selection: &Selection) -> Vec<RowGroup> {
        let groups = self.metadata.metadata().row_groups().iter().enumerate();
        let groups = groups.map(|(index, group)| RowGroup::of(index, group));
        groups.filter(|group| group.may_hold(selection)).collect()
    }

    /// Reads these row groups, all columns or those named.
    pub fn read(
        &self,
        groups: Vec<usize>,
        columns: Option<&[&str]>,
        batch_rows: usize,
    ) -> Result<Batches, LakeError> {
        self.batches(&self.metadata, groups, columns, None, batch_rows)
    }

    /// Reads rows of a row group, with columns of few words as dictionaries (see [`schema_with_words`]).
    pub fn read_rows(
        &self,
        group: usize,
        columns: &[&str],
        rows: Option<RowSelection>,
        batch_rows: usize,
    ) -> Result<Batches, LakeError> {
        self.batches(&self.words, vec![group], Some(columns), rows, batch_rows)
    }

    fn batches(
        &self,
        metadata: &ArrowReaderMetadata,
        groups: Vec<usize>,
        columns: Option<&[&str]>,
        rows: Option<RowSelection>,
        batch_rows: usize,
    ) -> Result<Batches, LakeError> {
        let mut builder = ParquetRecordBatchReaderBuilder::new_with_metadata(
            self.chunks.apart(),
            metadata.clone(),
        );
        if let Some(rows) = rows {
            builder = builder.with_row_selection(rows);
        }
        let mask = match columns {
            Some(columns) => {
                ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied())
            }
            None => ProjectionMask::all(),
        };
        let builder =
            builder.with_projection(mask).with_row_groups(groups).with_batch_size(batch_rows);
        let reader = contained(&self.path, || builder.build())?
            .map_err(LakeError::parquet("read", &self.path))?;
        Ok(Batches { path: self.path.clone(), reader })
    }

    /// Rows of a row group.
    pub fn rows_of_group(&self, group: usize) -> usize {
        let group = self.metadata.metadata().row_groups().get(group);
        group.and_then(|group| usize::try_from(group.num_rows()).ok()).unwrap_or_default()
    }

    /// Bytes of the columns of a row group.
    pub fn bytes_of_group(&self, group: usize, columns: &[&str]) -> u64 {
        let Some(group) = self.metadata.metadata().row_groups().get(group) else { return 0 };
        let wanted =
            group.columns().iter().filter(|one| columns.contains(&one.column_descr().name()));
        wanted.map(|one| one.byte_range().1).sum()
    }

    /// Verifies the chunks of these row groups without decoding them.
    pub fn verify(&self, groups: &[usize], columns: Option<&[&str]>) -> Result<(), LakeError> {
        let wanted = |name: &str| columns.is_none_or(|columns| columns.contains(&name));
        for group in
            groups.iter().filter_map(|index| self.metadata.metadata().row_groups().get(*index))
        {
            for chunk in group.columns().iter().filter(|chunk| wanted(chunk.column_descr().name()))
            {
                self.chunks
                    .load(chunk.byte_range().0)
                    .map_err(|error| LakeError::damaged(&self.path, text_of(error)))?;
            }
        }
        Ok(())
    }

    /// Bytes of column chunks read so far.
    pub fn bytes_read(&self) -> u64 {
        self.chunks.inner.bytes_read.load(Ordering::Relaxed)
    }
}

fn text_of(error: ParquetError) -> String {
    match error {
        ParquetError::General(text) => text,
        error => error.to_string(),
    }
}

/// Without the prefixes of the two libraries that the text came through, `Parquet argument error: Parquet error: …`.
fn text_of_arrow(error: ArrowError) -> String {
    match error {
        ArrowError::ParquetError(text) => match text.strip_prefix("Parquet error: ") {
            Some(ours) => ours.to_owned(),
            None => text,
        },
        error => error.to_string(),
    }
}

/// Turns a panic of the Parquet reader, which some damaged files bring about, into an error that names the file.
pub fn contained<T>(path: &Path, read: impl FnOnce() -> T) -> Result<T, LakeError> {
    catch_unwind(AssertUnwindSafe(read))
        .map_err(|_| LakeError::damaged(path, "its content makes no sense to the Parquet reader"))
}

fn metadata_of(tail: &[u8]) -> Option<ParquetMetaData> {
    let (before, end) = tail.split_at_checked(tail.len().checked_sub(END_BYTES)?)?;
    let length = u32::from_le_bytes(end.get(..4)?.try_into().ok()?);
    let footer = before.get(before.len().checked_sub(length as usize)?..)?;
    ParquetMetaDataReader::decode_metadata(footer).ok()
}

/// The checksums of the chunks, group by group.
fn checksums_of(metadata: &ParquetMetaData) -> Option<Vec<u32>> {
    let keys = metadata.file_metadata().key_value_metadata()?;
    let text = keys.iter().find(|key| key.key == CHUNKS_KEY)?.value.as_deref()?;
    let digits = text.as_bytes().chunks(8);
    let checksums: Option<Vec<u32>> = digits
        .map(|digits| u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok())
        .collect();
    let chunks: usize = metadata.row_groups().iter().map(RowGroupMetaData::num_columns).sum();
    checksums.filter(|checksums| checksums.len() == chunks)
}

/// A row group of a data file, as its statistics describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowGroup {
    /// Its place in the file.
    pub index: usize,
    /// Its rows.
    pub rows: u64,
    /// A text not after the first point and one not before the last, where known.
    pub points: Option<(String, String)>,
    /// First and last source time, where known.
    pub times: Option<(Timestamp, Timestamp)>,
    /// The oldest commit that it has rows of, where known.
    pub first_commit: Option<i64>,
}

impl RowGroup {
    fn of(index: usize, group: &RowGroupMetaData) -> Self {
        let statistics = |name: &str| {
            let chunk = group.columns().iter().find(|chunk| chunk.column_descr().name() == name)?;
            chunk.statistics()
        };
        let longs = |name| match statistics(name)? {
            Statistics::Int64(found) => Some((*found.min_opt()?, *found.max_opt()?)),
            _ => None,
        };
        let points = || match statistics(column::POINT)? {
            Statistics::ByteArray(found) => {
                let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_owned);
                Some((text(found.min_opt()?.data())?, text(found.max_opt()?.data())?))
            }
            _ => None,
        };
        let times = longs(column::TS);
        Self {
            index,
            rows: u64::try_from(group.num_rows()).unwrap_or_default(),
            points: points(),
            times: times.map(|(first, last)| (Timestamp(first), Timestamp(last))),
            first_commit: longs(column::COMMIT).map(|(first, _)| first),
        }
    }

    fn may_hold(&self, selection: &Selection) -> bool {
        let points = self.points.as_ref();
        self.times.is_none_or(|(first, last)| selection.may_hold_times(first.0, last.0))
            && self.first_commit.is_none_or(|first| selection.may_hold_commit(first))
            && points.is_none_or(|(first, last)| selection.may_hold_points(first, last))
    }
}

/// The rows of a file, batch by batch; an error names the file.
#[derive(Debug)]
pub struct Batches {
    path: PathBuf,
    reader: ParquetRecordBatchReader,
}

impl Iterator for Batches {
    type Item = Result<RecordBatch, LakeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = contained(&self.path, || self.reader.next());
        match next {
            Err(error) => Some(Err(error)),
            Ok(next) => next.map(|batch| {
                batch.map_err(|error| LakeError::damaged(&self.path, text_of_arrow(error)))
            }),
        }
    }
}

/// A column chunk in the file.
#[derive(Debug, Clone, Copy)]
struct Chunk {
    start: u64,
    end: u64,
    crc: u32,
    column: usize,
}

/// The column chunks of a file: each is read whole and verified when a byte of it is asked for; of each column the last
/// one is held, by each reader for itself.
#[derive(Debug, Clone)]
struct Chunks {
    inner: Arc<Inner>,
    /// By column: where the chunk begins, and its bytes.
    held: Arc<Mutex<HashMap<usize, (u64, Bytes)>>>,
}

#[derive(Debug)]
struct Inner {
    file: File,
    len: u64,
    /// In the order of the file.
    all: Vec<Chunk>,
    bytes_read: AtomicU64,
}

impl Chunks {
    fn new(file: File, len: u64, metadata: &ParquetMetaData, checksums: &[u32]) -> Self {
        let groups = metadata.row_groups().iter();
        let chunks = groups.flat_map(|group| group.columns().iter().enumerate());
        let mut all: Vec<Chunk> = chunks
            .zip(checksums)
            .map(|((column, chunk), crc)| {
                let (start, length) = chunk.byte_range();
                Chunk { start, end: start.saturating_add(length), crc: *crc, column }
            })
            .collect();
        all.sort_by_key(|chunk| chunk.start);
        let inner = Arc::new(Inner { file, len, all, bytes_read: AtomicU64::default() });
        Self { inner, held: Arc::default() }
    }

    /// For a reader of its own, which may run beside others.
    fn apart(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), held: Arc::default() }
    }

    /// The chunk with the byte at `at`, from there to its end.
    fn load(&self, at: u64) -> Result<Bytes, ParquetError> {
        let inner = &self.inner;
        let wrong = |text: &str| ParquetError::General(text.to_owned());
        let index = inner.all.partition_point(|chunk| chunk.end <= at);
        let chunk = inner.all.get(index).filter(|chunk| chunk.start <= at);
        let chunk = chunk.ok_or_else(|| wrong("a page lies outside of its column chunk"))?;
        let from = usize::try_from(at - chunk.start).map_err(|_| wrong("a chunk is too long"))?;
        // Held only while it is looked up: a thread that panicked left nothing half done.
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((start, bytes)) = held.get(&chunk.column)
            && *start == chunk.start
        {
            return Ok(bytes.slice(from..));
        }
        let length = usize::try_from(chunk.end - chunk.start).map_err(|_| wrong("too long"))?;
        if chunk.end > inner.len {
            return Err(wrong("a column chunk lies outside of the file"));
        }
        let mut bytes = vec![0; length];
        inner.file.read_exact_at(&mut bytes, chunk.start)?;
        inner.bytes_read.fetch_add(length as u64, Ordering::Relaxed);
        if crc32c::crc32c(&bytes) != chunk.crc {
            let text = "its rows do not have the checksum that its footer states";
            return Err(wrong(text));
        }
        let bytes = Bytes::from(bytes);
        held.insert(chunk.column, (chunk.start, bytes.clone()));
        Ok(bytes.slice(from..))
    }
}

impl Length for Chunks {
    fn len(&self) -> u64 {
        self.inner.len
    }
}

impl ChunkReader for Chunks {
    type T = Reader<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(self.load(start)?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let bytes = self.load(start)?;
        if bytes.len() < length {
            return Err(ParquetError::EOF("a page lies outside of its column chunk".to_owned()));
        }
        Ok(bytes.slice(..length))
    }
}
