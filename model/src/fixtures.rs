//! A gateway, its points and their dictionary, for the tests of other crates.

use crate::dictionary::DisplayName;
use crate::{Dictionary, GatewayId, Place, PointId, PointInfo, PointKind, Unit, ValueType};

/// The gateway of this name.
///
/// # Panics
/// Where it is not an id.
#[must_use]
pub fn gateway(name: &str) -> GatewayId {
    GatewayId::new(name).expect("a test names an id")
}

/// A counter of the meter `acme/nb-1/m1`, in kWh; a test changes what it needs otherwise.
///
/// # Panics
/// Where `metric` cannot be a level of an id.
#[must_use]
pub fn point(metric: &str, value_type: ValueType) -> PointInfo {
    PointInfo {
        id: PointId::new(format!("acme/nb-1/m1/{metric}")).expect("a test names an id"),
        place: Place { enterprise: "acme".into(), site: "nb-1".into(), area: None, line: None },
        device: "m1".into(),
        metric: metric.into(),
        device_name: DisplayName::default(),
        unit: Unit::KilowattHour,
        kind: PointKind::Counter,
        value_type,
        modulus: None,
        states: Vec::new(),
        interval_ms: None,
        profile: None,
    }
}

/// `e_import`, a decimal of two places, and `p_total`, a double.
#[must_use]
#[expect(clippy::missing_panics_doc, reason = "two different points are a dictionary")]
pub fn dictionary() -> Dictionary {
    let decimal = ValueType::Decimal { exponent: -2 };
    let points = vec![point("e_import", decimal), point("p_total", ValueType::Float)];
    Dictionary::new(points).expect("two different points are a dictionary")
}
