//! From a `DataValue` of a server to a sample, exactly. Must never ask a clock or a server.

use async_opcua::types::{DataValue, DateTime, Variant};
use driver::{RawKind, Scaling};
use model::{PointIndex, Quality, Sample, Timestamp, Value};

/// Ticks of 100 ns from 1601-01-01, where OPC UA begins to count, to 1970-01-01.
///
/// # Source
/// OPC 10000-6 §5.2.2.5 (`DateTime`).
const TICKS_TO_1970: i64 = 116_444_736_000_000_000;
const TICKS_PER_MICROSECOND: i64 = 10;

/// The server's queue ran over before or after this value. Counts without the info type `DataValue` (bit 10) too, which
/// some servers leave out: nothing else has this bit.
///
/// # Source
/// OPC 10000-4 §7.39.1, table of the `DataValue` info bits.
const OVERFLOW_BIT: u32 = 0x0080;

/// How the values of one point are read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PointCodec {
    pub(crate) point: PointIndex,
    pub(crate) kind: RawKind,
    pub(crate) scaling: Scaling,
}

/// What a `DataValue` said.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Decoded {
    pub(crate) sample: Sample,
    /// Whether the time is the server's and not our own.
    pub(crate) timed: bool,
    /// Whether values before or after this one were lost in the server's queue.
    pub(crate) overflow: bool,
    /// What the server holds where it is not what was configured.
    pub(crate) mismatch: Option<String>,
}

impl PointCodec {
    /// A value as subscribed to or read now: its source time, or `gateway_time` where the server gives none.
    pub(crate) fn live(&self, value: &DataValue, gateway_time: Timestamp) -> Decoded {
        self.decode(value, storable(value.source_timestamp.as_ref()), gateway_time)
    }

    /// A value as remembered by the server: its source time, else the server's own. `None` when it has neither, for a
    /// memory without a time cannot be placed.
    pub(crate) fn remembered(&self, value: &DataValue, gateway_time: Timestamp) -> Option<Sample> {
        let time = storable(value.source_timestamp.as_ref())
            .or_else(|| storable(value.server_timestamp.as_ref()))?;
        Some(self.decode(value, Some(time), gateway_time).sample)
    }

    fn decode(
        &self,
        value: &DataValue,
        time: Option<Timestamp>,
        gateway_time: Timestamp,
    ) -> Decoded {
        let quality = Quality(value.status.map_or(0, |status| status.bits()));
        let overflow = quality.0 & OVERFLOW_BIT != 0 && time.is_some();
        let source_time = time.unwrap_or(gateway_time);
        let bad = |quality| Sample::without_value(self.point, source_time, gateway_time, quality);
        let mut mismatch = None;
        let sample = if quality.is_bad() {
            bad(quality)
        } else {
            match self.value(value.value.as_ref()) {
                Ok(value) => Sample::new(self.point, source_time, gateway_time, quality, value),
                Err(quality) => {
                    if quality == Quality::BAD_TYPE_MISMATCH {
                        mismatch = Some(found(value.value.as_ref()));
                    }
                    bad(quality)
                }
            }
        };
        Decoded { sample, timed: time.is_some(), overflow, mismatch }
    }

    fn value(&self, value: Option<&Variant>) -> Result<Value, Quality> {
        match self.kind {
            RawKind::Integer => self.scaling.of_integer(integer(value)?),
            RawKind::Float => match value {
                Some(Variant::Double(raw)) => self.scaling.of_float(*raw),
                Some(Variant::Float(raw)) => self.scaling.of_float(f64::from(*raw)),
                _ => Err(Quality::BAD_TYPE_MISMATCH),
            },
        }
    }
}

fn integer(value: Option<&Variant>) -> Result<i64, Quality> {
    Ok(match value {
        Some(Variant::Boolean(raw)) => i64::from(*raw),
        Some(Variant::SByte(raw)) => i64::from(*raw),
        Some(Variant::Byte(raw)) => i64::from(*raw),
        Some(Variant::Int16(raw)) => i64::from(*raw),
        Some(Variant::UInt16(raw)) => i64::from(*raw),
        Some(Variant::Int32(raw)) => i64::from(*raw),
        Some(Variant::UInt32(raw)) => i64::from(*raw),
        Some(Variant::Int64(raw)) => *raw,
        Some(Variant::UInt64(raw)) => i64::try_from(*raw).map_err(|_| Quality::BAD_OUT_OF_RANGE)?,
        _ => return Err(Quality::BAD_TYPE_MISMATCH),
    })
}

fn found(value: Option<&Variant>) -> String {
    value.map_or_else(|| "no value".to_owned(), |value| format!("a value of {:?}", value.type_id()))
}

fn storable(time: Option<&DateTime>) -> Option<Timestamp> {
    let time = time.filter(|time| !time.is_null()).map(to_timestamp)?;
    time.is_storable().then_some(time)
}

/// The microsecond in which a time of OPC UA lies.
fn to_timestamp(time: &DateTime) -> Timestamp {
    Timestamp((time.ticks() - TICKS_TO_1970).div_euclid(TICKS_PER_MICROSECOND))
}

/// The first tick of a microsecond.
pub(crate) fn to_date_time(time: Timestamp) -> DateTime {
    DateTime::from(time.0.saturating_mul(TICKS_PER_MICROSECOND).saturating_add(TICKS_TO_1970))
}

#[cfg(test)]
mod tests;
