//! The columns of the table, for Arrow and for Delta. Knows nothing of where rows come from.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};

/// Table property that carries [`LAYOUT`].
pub const LAYOUT_PROPERTY: &str = "nengliu.layout";
/// Version of everything this crate promises about a table: columns, application transactions, folders, checksums.
pub const LAYOUT: &str = "2";

/// Names of the columns: those of the contract.
pub use contract::readings::column;

/// Columns whose smallest and largest values are in the log; the table's property says so, so that no reader takes the
/// absence of statistics for the absence of rows.
pub const STATISTICS: &str = "point,ts,commit,generation,seq";

/// The columns, one row per sample, as Arrow reads them from the Parquet files.
///
/// # Shape
/// | column | Delta type | Arrow type | unit | null |
/// |---|---|---|---|---|
/// | `point` | string | Utf8 | `PointId` | never |
/// | `ts` | timestamp | Timestamp(µs, UTC) | source time | never |
/// | `gateway_ts` | timestamp | Timestamp(µs, UTC) | when the gateway had it | never |
/// | `value` | double | Float64 | `unit`; decimals to the nearest double, Bool as 0 or 1 | text, Bad samples |
/// | `text` | string | Utf8 | at most 1 024 bytes | all but text |
/// | `unit` | string | Utf8 | symbol of the row's unit, `1` for none | never |
/// | `quality` | string | Utf8 | `Good`, `Uncertain` or `Bad` | never |
/// | `status` | long | Int64 | OPC UA status code as an unsigned number | never |
/// | `mantissa` | long | Int64 | 10^`exponent` of `unit` | all but decimals, Bad samples |
/// | `exponent` | integer | Int32 | power of ten | all but decimals, Bad samples |
/// | `flags` | integer | Int32 | bit 0 recovered, bit 1 clock unsynchronised | never |
/// | `generation` | long | Int64 | order in which logs were first committed, from 1 | never |
/// | `seq` | long | Int64 | sequence of the frame in its log | never |
/// | `commit` | long | Int64 | number of the ingest commit that brought the row | never |
///
/// The value of a decimal point is `mantissa × 10^exponent`, exactly; where `mantissa` is null, `value` is a double or a
/// Bool. A Bad sample has no value of any kind (INV-1). A row is identified by (`point`, `ts`, `generation`, `seq`)
/// (INV-4): two values for one (`point`, `ts`) are two rows and both stay. Rows with the same identity are replays and
/// equal in all but `commit`. `commit` is constant per ingest commit and kept by merging, so "as of commit N" is the
/// filter `commit <= N`.
///
/// The order of rows in a file is (UTC day of `ts`, `point`, `ts`, `generation`, `seq`); the rows of one point are thus
/// in the order of time, and a row group holds one day, or several days with few rows.
#[must_use]
pub fn schema() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("UTC")));
    Arc::new(Schema::new(vec![
        Field::new(column::POINT, DataType::Utf8, false),
        Field::new(column::TS, time.clone(), false),
        Field::new(column::GATEWAY_TS, time, false),
        Field::new(column::VALUE, DataType::Float64, true),
        Field::new(column::TEXT, DataType::Utf8, true),
        Field::new(column::UNIT, DataType::Utf8, false),
        Field::new(column::QUALITY, DataType::Utf8, false),
        Field::new(column::STATUS, DataType::Int64, false),
        Field::new(column::MANTISSA, DataType::Int64, true),
        Field::new(column::EXPONENT, DataType::Int32, true),
        Field::new(column::FLAGS, DataType::Int32, false),
        Field::new(column::GENERATION, DataType::Int64, false),
        Field::new(column::SEQ, DataType::Int64, false),
        Field::new(column::COMMIT, DataType::Int64, false),
    ]))
}

/// The same columns with `point`, `unit` and `quality` as Dictionary(Int32, Utf8): a row then costs a key and no text.
pub fn schema_with_words() -> SchemaRef {
    let word = || DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let is_word = |name: &str| [column::POINT, column::UNIT, column::QUALITY].contains(&name);
    let plain = schema();
    let fields = plain.fields().iter().map(|field| match field.name() {
        name if is_word(name) => Arc::new(field.as_ref().clone().with_data_type(word())),
        _ => Arc::clone(field),
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// What the table says of itself, to whoever opens it (`description` of the Delta protocol).
pub const DESCRIPTION: &str = "Nengliu readings, one row for each sample. `value` in `unit` is what most queries want, \
     `quality` says whether it may be used; units, names and places of points are in _nengliu/points.parquet; \
     docs/lake.md has queries. \
     能流读数，每个采样一行：`value` 为数值，`unit` 为单位，`quality` 为质量；测点的名称、位置与单位见 _nengliu/points.parquet";

/// What a column means, for whoever opens the table (`comment` in the metadata of a Delta column).
fn comment(name: &str) -> &'static str {
    match name {
        column::POINT => "point id, joins with _nengliu/points.parquet; 测点标识",
        column::TS => "source time: when the device had this value, UTC; 源时间",
        column::GATEWAY_TS => "when the gateway received the value, UTC; 网关接收时间",
        column::VALUE => {
            "value in `unit`: of a decimal the nearest double, of a boolean 0 or 1; null for text and for Bad quality; 数值"
        }
        column::TEXT => "value of a text point, at most 1024 bytes; null for all others; 文本值",
        column::UNIT => "unit of `value` in this row, UCUM style, 1 for none; 单位",
        column::QUALITY => "Good, Uncertain (use with care) or Bad (there is no value); 质量",
        column::STATUS => "OPC UA status code, 0 is Good; OPC UA 状态码",
        column::MANTISSA => {
            "exact value = mantissa × 10^exponent, in `unit`; null where the value is not a decimal; 精确值的尾数"
        }
        column::EXPONENT => "power of ten of `mantissa`; 精确值的十进制指数",
        column::FLAGS => {
            "bit 0: read back from the memory of the device, bit 1: gateway clock not synchronised; 标志位"
        }
        column::GENERATION => {
            "number of the gateway's log; of two rows with the same point and ts the higher one counts; 日志代次"
        }
        column::SEQ => {
            "sequence of the frame in its log; with the same generation the higher one counts; 帧序号"
        }
        column::COMMIT => {
            "ingest commit that brought the row; commit <= N is the lake as of commit N; 入库提交号"
        }
        _ => "",
    }
}

/// The same columns as the table's metadata holds them (Delta protocol, "Schema Serialization Format").
pub fn delta_schema() -> String {
    let delta_type = |arrow: &DataType| match arrow {
        DataType::Utf8 => "string",
        DataType::Timestamp(..) => "timestamp",
        DataType::Int32 => "integer",
        DataType::Float64 => "double",
        _ => "long",
    };
    let fields: Vec<serde_json::Value> = schema()
        .fields()
        .iter()
        .map(|field| {
            serde_json::json!({
                "name": field.name(),
                "type": delta_type(field.data_type()),
                "nullable": field.is_nullable(),
                "metadata": { "comment": comment(field.name()) },
            })
        })
        .collect();
    serde_json::json!({ "type": "struct", "fields": fields }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_says_what_it_is() {
        for field in schema().fields() {
            let comment = comment(field.name());
            assert!(comment.contains("; ") && !comment.is_ascii(), "{}: {comment}", field.name());
        }
    }
}
