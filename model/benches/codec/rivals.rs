//! The same batches in the formats that others made. Each body stands alone, as a frame must, and carries everything
//! that ours does; the version byte and the dictionary's hash are added by the caller.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, UInt32Type};
use arrow_array::{Array, ArrayRef, Float64Array, Int64Array, RecordBatch, UInt32Array};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{DataType, Field, Schema};
use bytes::Bytes;
use model::{Batch, DictionaryHash, PointIndex, Quality, Sample, SampleFlags, Timestamp, Value};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;

use crate::ZSTD_LEVEL;

const TABLE: &str = "these columns make a table";
const OURS: &str = "we wrote these bytes";

/// Lag instead of gateway time: small numbers are kinder to all of these formats.
fn table(batch: &Batch) -> RecordBatch {
    let field = |name: &str, kind, nullable| Field::new(name, kind, nullable);
    let schema = Schema::new(vec![
        field("p", DataType::UInt32, false),
        field("t", DataType::Int64, false),
        field("l", DataType::Int64, false),
        field("q", DataType::UInt32, false),
        field("d", DataType::Int64, true),
        field("f", DataType::Float64, true),
    ]);
    let samples = &batch.samples;
    let decimal = |s: &Sample| match s.value {
        Some(Value::Decimal(value)) => Some(value),
        _ => None,
    };
    let float = |s: &Sample| match s.value {
        Some(Value::Float(value)) => Some(value),
        _ => None,
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(UInt32Array::from_iter_values(samples.iter().map(|s| s.point.0))),
        Arc::new(Int64Array::from_iter_values(samples.iter().map(|s| s.source_time.0))),
        Arc::new(Int64Array::from_iter_values(samples.iter().map(lag))),
        Arc::new(UInt32Array::from_iter_values(samples.iter().map(|s| s.quality.0))),
        Arc::new(samples.iter().map(decimal).collect::<Int64Array>()),
        Arc::new(samples.iter().map(float).collect::<Float64Array>()),
    ];
    RecordBatch::try_new(Arc::new(schema), columns).expect(TABLE)
}

fn lag(sample: &Sample) -> i64 {
    sample.gateway_time.0 - sample.source_time.0
}

fn push_table(table: &RecordBatch, out: &mut Vec<Sample>) {
    let points = table.column(0).as_primitive::<UInt32Type>().values();
    let times = table.column(1).as_primitive::<Int64Type>().values();
    let lags = table.column(2).as_primitive::<Int64Type>().values();
    let qualities = table.column(3).as_primitive::<UInt32Type>().values();
    let decimals = table.column(4).as_primitive::<Int64Type>();
    let floats = table.column(5).as_primitive::<Float64Type>();
    for row in 0..table.num_rows() {
        out.push(Sample {
            point: PointIndex(points[row]),
            source_time: Timestamp(times[row]),
            gateway_time: Timestamp(times[row] + lags[row]),
            quality: Quality(qualities[row]),
            flags: SampleFlags::default(),
            value: if decimals.is_valid(row) {
                Some(Value::Decimal(decimals.value(row)))
            } else {
                floats.is_valid(row).then(|| Value::Float(floats.value(row)))
            },
        });
    }
}

fn batch(samples: Vec<Sample>) -> Batch {
    Batch { dictionary: DictionaryHash([0x5A; 32]), samples }
}

/// Arrow IPC stream, compressed with zstd as a whole: smaller than buffer by buffer, and the library is built without its
/// own zstd, as the programs use it.
pub(crate) fn arrow_encode(batch: &Batch) -> Vec<u8> {
    let table = table(batch);
    let mut writer = StreamWriter::try_new(Vec::new(), &table.schema()).expect(TABLE);
    writer.write(&table).expect(TABLE);
    let stream = writer.into_inner().expect(TABLE);
    zstd::encode_all(stream.as_slice(), ZSTD_LEVEL).expect("a stream in memory")
}

/// The way back.
pub(crate) fn arrow_decode(body: &[u8]) -> Batch {
    let stream = zstd::decode_all(body).expect(OURS);
    let reader = arrow_ipc::reader::StreamReader::try_new(stream.as_slice(), None).expect(OURS);
    let mut samples = Vec::new();
    for table in reader {
        push_table(&table.expect(OURS), &mut samples);
    }
    batch(samples)
}

/// Parquet with the encodings that suit each column, then zstd; no statistics, no dictionary where it cannot help.
pub(crate) fn parquet_encode(batch: &Batch) -> Vec<u8> {
    let table = table(batch);
    let column = |name: &str| ColumnPath::from(name);
    let mut properties = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_2_0)
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3).expect("3 is a level")))
        .set_statistics_enabled(EnabledStatistics::None)
        .set_dictionary_enabled(false);
    for (name, encoding) in [
        ("p", Encoding::DELTA_BINARY_PACKED),
        ("t", Encoding::DELTA_BINARY_PACKED),
        ("l", Encoding::DELTA_BINARY_PACKED),
        ("q", Encoding::DELTA_BINARY_PACKED),
        ("d", Encoding::DELTA_BINARY_PACKED),
        ("f", Encoding::BYTE_STREAM_SPLIT),
    ] {
        properties = properties.set_column_encoding(column(name), encoding);
    }
    let mut writer =
        ArrowWriter::try_new(Vec::new(), table.schema(), Some(properties.build())).expect(TABLE);
    writer.write(&table).expect(TABLE);
    writer.into_inner().expect(TABLE)
}

/// The way back.
pub(crate) fn parquet_decode(body: &[u8]) -> Batch {
    let reader =
        ParquetRecordBatchReaderBuilder::try_new(Bytes::copy_from_slice(body)).expect(OURS);
    let mut samples = Vec::new();
    for table in reader.with_batch_size(32_768).build().expect(OURS) {
        push_table(&table.expect(OURS), &mut samples);
    }
    batch(samples)
}

/// One pco chunk for each column, each after its length.
pub(crate) fn pco_encode(batch: &Batch) -> Vec<u8> {
    let samples = &batch.samples;
    let mut out = Vec::new();
    let kind = |s: &Sample| match s.value {
        None => 0_u32,
        Some(Value::Decimal(_)) => 1,
        Some(_) => 2,
    };
    let decimal = |s: &Sample| match s.value {
        Some(Value::Decimal(value)) => Some(value),
        _ => None,
    };
    let float = |s: &Sample| match s.value {
        Some(Value::Float(value)) => Some(value),
        _ => None,
    };
    pco_column(&samples.iter().map(|s| s.point.0).collect::<Vec<u32>>(), &mut out);
    pco_column(&samples.iter().map(|s| s.source_time.0).collect::<Vec<i64>>(), &mut out);
    pco_column(&samples.iter().map(lag).collect::<Vec<i64>>(), &mut out);
    pco_column(&samples.iter().map(|s| s.quality.0).collect::<Vec<u32>>(), &mut out);
    pco_column(&samples.iter().map(kind).collect::<Vec<u32>>(), &mut out);
    pco_column(&samples.iter().filter_map(decimal).collect::<Vec<i64>>(), &mut out);
    pco_column(&samples.iter().filter_map(float).collect::<Vec<f64>>(), &mut out);
    out
}

fn pco_column<T: pco::data_types::Number>(values: &[T], out: &mut Vec<u8>) {
    let config = pco::ChunkConfig::default();
    let column = pco::standalone::simple_compress(values, &config).expect("any numbers will do");
    out.extend_from_slice(&u32::try_from(column.len()).expect("small").to_le_bytes());
    out.extend_from_slice(&column);
}

fn pco_values<T: pco::data_types::Number>(body: &mut &[u8]) -> Vec<T> {
    let (len, rest) = body.split_first_chunk().expect(OURS);
    let (column, rest) = rest.split_at(usize::try_from(u32::from_le_bytes(*len)).expect("small"));
    *body = rest;
    pco::standalone::simple_decompress(column).expect(OURS)
}

/// The way back.
pub(crate) fn pco_decode(mut body: &[u8]) -> Batch {
    let points = pco_values::<u32>(&mut body);
    let times = pco_values::<i64>(&mut body);
    let lags = pco_values::<i64>(&mut body);
    let qualities = pco_values::<u32>(&mut body);
    let kinds = pco_values::<u32>(&mut body);
    let mut decimals = pco_values::<i64>(&mut body).into_iter();
    let mut floats = pco_values::<f64>(&mut body).into_iter();
    let sample = |row: usize| Sample {
        point: PointIndex(points[row]),
        source_time: Timestamp(times[row]),
        gateway_time: Timestamp(times[row] + lags[row]),
        quality: Quality(qualities[row]),
        flags: SampleFlags::default(),
        value: match kinds[row] {
            0 => None,
            1 => decimals.next().map(Value::Decimal),
            _ => floats.next().map(Value::Float),
        },
    };
    batch((0..points.len()).map(sample).collect())
}
