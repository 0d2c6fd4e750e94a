//! A profile as data. Must never know how an address is read.

use std::sync::Arc;
use std::time::Duration;

use config::{SourceFile, Table};
use model::{Decimal, PointKind, PointState, Unit};

use crate::range::PlausibleRange;

/// What a make and model offers: its points, and how each is to be read.
#[doc(alias = "device template")]
#[derive(Debug, Clone)]
pub struct DeviceProfile {
    /// `<maker>/<model>`, as configuration names it.
    pub id: String,
    /// Maker, as printed on the device.
    pub maker: String,
    /// Model or series, as printed on the device.
    pub model: String,
    /// Name of the protocol that reads it: `modbus`, `opcua`.
    pub protocol: String,
    /// The documents that its facts come from.
    pub sources: Vec<PointSource>,
    /// The keys of `[<protocol>]`: defaults and quirks that only the protocol understands, not yet read.
    pub options: Table,
    /// The points, in the order of the file.
    pub points: Vec<Arc<ProfilePoint>>,
    /// The file it was read from.
    pub file: Arc<SourceFile>,
}

/// A document that a fact was taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PointSource {
    /// Short name that points refer to.
    pub id: String,
    /// Title, edition, page or table.
    pub title: String,
}

/// One point of a profile.
#[derive(Debug, Clone)]
pub struct ProfilePoint {
    /// What it measures; one level of a topic, `e_import`.
    pub metric: String,
    /// What the value is measured in.
    pub unit: Unit,
    /// What it is for.
    pub kind: PointKind,
    /// One step of the raw value in the unit; 1 unless stated.
    pub scale: Decimal,
    /// Added after scaling, in the unit; 0 unless stated.
    pub offset: Decimal,
    /// The smallest step that the device really has, in the unit: a value is rounded to it and held exactly.
    pub resolution: Option<Decimal>,
    /// For a counter: the reading at which it starts again from zero, in the unit.
    pub modulus: Option<Decimal>,
    /// The values that are plausible, in the unit: as stated, else what follows from metric and unit.
    pub range: PlausibleRange,
    /// What the values of an enumeration mean.
    pub states: Vec<PointState>,
    /// Which of the profile's sources says so.
    pub source: Option<String>,
    /// True when no document confirmed it.
    pub unverified: bool,
    /// How often it is worth reading, where that differs from the rest: a serial number once an hour.
    pub poll: Option<Duration>,
    /// Whether the device remembers its values, so that they are worth reading back.
    pub history: Option<bool>,
    /// The remaining keys: the address, which only the protocol understands, not yet read.
    pub address: Table,
}
