//! The columns of the table, for Arrow and for Delta. Must never know where rows come from.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use deltalake_core::kernel::{DataType as DeltaType, PrimitiveType, StructField};

/// Table property that carries [`LAYOUT`].
pub const LAYOUT_PROPERTY: &str = "nengliu.layout";
/// Version of everything this crate promises about a table: columns, application transactions, folders.
pub const LAYOUT: &str = "1";

/// Names of the columns, in order.
pub mod column {
    #![expect(missing_docs, reason = "described under `# Shape` of `schema`")]
    pub const POINT: &str = "point";
    pub const TS: &str = "ts";
    pub const GATEWAY_TS: &str = "gateway_ts";
    pub const QUALITY: &str = "quality";
    pub const MANTISSA: &str = "mantissa";
    pub const EXPONENT: &str = "exponent";
    pub const FLOAT: &str = "float";
    pub const GENERATION: &str = "generation";
    pub const SEQ: &str = "seq";
    pub const COMMIT: &str = "commit";
}

/// The columns, one row per sample, as Arrow reads them from the Parquet files.
///
/// # Shape
/// | column | Delta type | Arrow type | unit | null |
/// |---|---|---|---|---|
/// | `point` | string | Utf8 | `PointId` | never |
/// | `ts` | timestamp | Timestamp(µs, UTC) | source time | never |
/// | `gateway_ts` | timestamp | Timestamp(µs, UTC) | when the gateway had it | never |
/// | `quality` | long | Int64 | OPC UA status code as an unsigned number | never |
/// | `mantissa` | long | Int64 | 10^`exponent` of the point's unit | float points, Bad samples |
/// | `exponent` | integer | Int32 | power of ten, of the point's Decimal type | float points, Bad samples |
/// | `float` | double | Float64 | the point's unit | Decimal points, Bad samples |
/// | `generation` | long | Int64 | order in which logs were first committed, from 1 | never |
/// | `seq` | long | Int64 | sequence of the frame in its log | never |
/// | `commit` | long | Int64 | number of the ingest commit that brought the row | never |
///
/// The value of a Decimal point is `mantissa × 10^exponent`, exactly; that of a Float point is `float`; a Bad sample
/// has none of the three (INV-1). A row is identified by (`point`, `ts`, `generation`, `seq`) (INV-4): two values for
/// one (`point`, `ts`) are two rows and both stay. Rows with the same identity are replays and equal in all but
/// `commit`. `commit` is constant per ingest commit and kept by compaction, so "as of commit N" is the filter
/// `commit <= N`. The order of rows in a file is (`point`, `ts`, `generation`, `seq`).
#[must_use]
pub fn schema() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new(column::POINT, DataType::Utf8, false),
        Field::new(column::TS, time.clone(), false),
        Field::new(column::GATEWAY_TS, time, false),
        Field::new(column::QUALITY, DataType::Int64, false),
        Field::new(column::MANTISSA, DataType::Int64, true),
        Field::new(column::EXPONENT, DataType::Int32, true),
        Field::new(column::FLOAT, DataType::Float64, true),
        Field::new(column::GENERATION, DataType::Int64, false),
        Field::new(column::SEQ, DataType::Int64, false),
        Field::new(column::COMMIT, DataType::Int64, false),
    ]))
}

/// The same columns for the table's metadata.
pub(crate) fn delta_columns() -> Vec<StructField> {
    let delta_type = |arrow: &DataType| match arrow {
        DataType::Utf8 => PrimitiveType::String,
        DataType::Timestamp(..) => PrimitiveType::Timestamp,
        DataType::Int32 => PrimitiveType::Integer,
        DataType::Float64 => PrimitiveType::Double,
        _ => PrimitiveType::Long,
    };
    schema()
        .fields()
        .iter()
        .map(|f| {
            let delta = DeltaType::Primitive(delta_type(f.data_type()));
            StructField::new(f.name().clone(), delta, f.is_nullable())
        })
        .collect()
}
