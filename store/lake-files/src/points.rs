//! The file of the `points` table, `_nengliu/points.parquet`: one row for each point, with the columns of
//! [`contract::points::schema`], and the proof of what it says. Knows nothing of where the times come from.
//!
//! The metadata of the file ([`KEY`]) state the table, the version and the seal of its log entry, the commit, data files that
//! could not be read, and the CRC-32C of all this and of the times. A file that does not prove itself counts as missing:
//! anybody may have changed or replaced it, and it can be made again at any time.
//!
//! It is written under another name, synced and renamed, so a reader finds the old table or the new one and never a part.

use std::collections::BTreeMap;
use std::path::Path;

use arrow_array::cast::AsArray as _;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array as _, RecordBatch};
use bytes::Bytes;
use contract::FirstAndLast;
use model::{CommitNumber, Timestamp};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use serde_json::{Value, json};

use crate::disk::{IfThere, LocalDisk, publish};
use crate::lock::place;
use crate::schema::column;
use crate::verified::contained;
use crate::{LakeError, regular};

/// Key of the file's metadata: what it was made of, as JSON.
const KEY: &str = "nengliu.points";
/// Version of that JSON.
const VERSION: u64 = 1;
/// A file larger than this is made again and not read; 200 000 points with regular names take 0.4 MB.
pub const FILE_BYTES_MAX: u64 = 256 << 20;

/// First and last reading of each point, up to one commit of one history.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct KnownTimes {
    /// Identity of the table.
    pub table: String,
    /// Its version.
    pub version: u64,
    /// The seal of the log entry of that version.
    pub seal: String,
    /// The last commit whose readings are taken into account.
    pub commit: CommitNumber,
    /// Data files that could not be read, and the first commit in each.
    pub unread: BTreeMap<String, u64>,
    /// First and last reading, by point.
    pub times: BTreeMap<String, FirstAndLast>,
}

impl KnownTimes {
    /// What the file beside a table says, where it proves itself.
    #[must_use]
    pub fn read(dir: &Path) -> Option<Self> {
        let path = place::points(dir);
        if regular::look(&path).ok()?.len() > FILE_BYTES_MAX {
            return None;
        }
        let bytes = regular::read(&path).ok()?;
        contained(&path, || decode(Bytes::from(bytes))).ok().flatten()
    }

    /// Replaces the file by one with these rows, which have these times.
    ///
    /// # Errors
    /// When it cannot be written; then the old one is still there.
    pub fn write(&self, dir: &Path, rows: &RecordBatch) -> Result<(), LakeError> {
        let path = place::points(dir);
        let wrong = || LakeError::parquet("write", &path);
        let keys = vec![KeyValue::new(KEY.to_owned(), self.stated().to_string())];
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_key_value_metadata(Some(keys))
            .build();
        let mut writer =
            ArrowWriter::try_new(Vec::new(), rows.schema(), Some(properties)).map_err(wrong())?;
        writer.write(rows).map_err(wrong())?;
        let bytes = writer.into_inner().map_err(wrong())?;
        publish(&LocalDisk, &path, &bytes, IfThere::Replace).map_err(LakeError::io("write", &path))
    }

    /// Takes the times between which a point was read into account.
    pub fn widen(&mut self, point: &str, (first, last): FirstAndLast) {
        match self.times.get_mut(point) {
            Some(known) => *known = (known.0.min(first), known.1.max(last)),
            None => drop(self.times.insert(point.to_owned(), (first, last))),
        }
    }

    /// What the metadata of the file state.
    fn stated(&self) -> Value {
        let mut stated = json!({
            "v": VERSION,
            "table": self.table,
            "version": self.version,
            "seal": self.seal,
            "commit": self.commit.0,
            "unread": self.unread,
        });
        let mut crc = crc32c::crc32c(stated.to_string().as_bytes());
        for (point, (first, last)) in &self.times {
            crc = crc32c::crc32c_append(crc, point.as_bytes());
            crc = crc32c::crc32c_append(crc, &first.0.to_be_bytes());
            crc = crc32c::crc32c_append(crc, &last.0.to_be_bytes());
        }
        if let Some(stated) = stated.as_object_mut() {
            stated.insert("crc".to_owned(), format!("{crc:08x}").into());
        }
        stated
    }
}

/// `None` for a file that does not prove itself.
fn decode(bytes: Bytes) -> Option<KnownTimes> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).ok()?;
    let keys = builder.metadata().file_metadata().key_value_metadata()?;
    let stated = keys.iter().find(|found| found.key == KEY)?.value.as_deref()?;
    let stated: Value = serde_json::from_str(stated).ok()?;
    let unread = stated["unread"].as_object()?.iter();
    let mut known = KnownTimes {
        table: stated["table"].as_str()?.to_owned(),
        version: stated["version"].as_u64()?,
        seal: stated["seal"].as_str()?.to_owned(),
        commit: CommitNumber(stated["commit"].as_u64()?),
        unread: unread
            .map(|(name, first)| Some((name.clone(), first.as_u64()?)))
            .collect::<Option<_>>()?,
        times: BTreeMap::new(),
    };
    for batch in builder.build().ok()? {
        let batch = batch.ok()?;
        let points = batch.column_by_name(column::POINT)?.as_string_opt::<i32>()?;
        let times =
            |name| batch.column_by_name(name)?.as_primitive_opt::<TimestampMicrosecondType>();
        let (first, last) = (times("first_ts")?, times("last_ts")?);
        for row in (0..batch.num_rows()).filter(|row| first.is_valid(*row) && last.is_valid(*row)) {
            let of = (Timestamp(first.value(row)), Timestamp(last.value(row)));
            known.times.insert(points.value(row).to_owned(), of);
        }
    }
    (known.stated() == stated).then_some(known)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};

    use contract::StoredPoint;
    use contract::points::table;

    use super::*;

    /// A file with some points, one of them without a reading.
    fn written(dir: &Path) -> KnownTimes {
        let mut known = KnownTimes {
            table: "a table".to_owned(),
            version: 7,
            seal: "ab".repeat(32),
            commit: CommitNumber(5),
            unread: BTreeMap::from([("0-000000000002-1.parquet".to_owned(), 2)]),
            times: BTreeMap::new(),
        };
        for (point, at) in (0..12_i64).map(|at| (format!("acme/nb-1/d{at:02}/e"), at)) {
            known.widen(&point, (Timestamp(at), Timestamp(1_000 - at)));
            known.widen(&point, (Timestamp(at + 1), Timestamp(2_000)));
        }
        let point = |id: &str| StoredPoint {
            id: id.to_owned(),
            described: None,
            times: known.times.get(id).copied(),
        };
        let mut points: Vec<StoredPoint> = known.times.keys().map(|id| point(id)).collect();
        points.push(point("acme/nb-1/silent/e"));
        fs::create_dir_all(place::own(dir)).unwrap();
        known.write(dir, &table(&points)).unwrap();
        known
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(KnownTimes::read(folder.path()), None);
        let known = written(folder.path());
        assert_eq!(known.times["acme/nb-1/d03/e"], (Timestamp(3), Timestamp(2_000)));
        assert_eq!(KnownTimes::read(folder.path()), Some(known));
    }

    #[test]
    fn a_flipped_bit_changes_no_time_and_a_cut_file_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let (known, path) = (written(folder.path()), place::points(folder.path()));
        let sound = fs::read(&path).unwrap();
        let mut refused = 0;
        for at in (0..sound.len()).step_by(3) {
            let mut changed = sound.clone();
            changed[at] ^= 1 << (at / 3 % 8);
            fs::write(&path, changed).unwrap();
            match KnownTimes::read(folder.path()) {
                Some(found) => assert_eq!(found, known, "byte {at}"),
                None => refused += 1,
            }
        }
        assert!(refused > 100, "{refused}");
        for length in [0, 4, sound.len() / 2, sound.len() - 1] {
            fs::write(&path, &sound[..length]).unwrap();
            assert_eq!(KnownTimes::read(folder.path()), None, "{length} bytes");
        }
        // Larger than any that is read.
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(FILE_BYTES_MAX + 1).unwrap();
        assert_eq!(KnownTimes::read(folder.path()), None);
    }
}
