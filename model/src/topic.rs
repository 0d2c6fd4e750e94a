//! The topics of Nengliu. Fixed depth, so that `+` works; a level that is not used is `_`. Must never know MQTT.

use crate::dictionary::{Place, PointInfo};
use crate::id::GatewayId;

/// Filter that matches the uplink of every gateway.
pub const UP_FILTER: &str = "gw/+/up";

/// Where a gateway sends its messages.
#[must_use]
pub fn up(gateway: &GatewayId) -> String {
    format!("gw/{gateway}/up")
}

/// Where a gateway hears its commit acks.
#[must_use]
pub fn ack(gateway: &GatewayId) -> String {
    format!("gw/{gateway}/ack")
}

/// The gateway that an uplink topic belongs to; `None` for any other topic.
#[must_use]
pub fn gateway_of_up(topic: &str) -> Option<GatewayId> {
    let id = topic.strip_prefix("gw/")?.strip_suffix("/up")?;
    GatewayId::new(id).ok()
}

/// Where the last value of a point is kept, retained:
/// `v1/{enterprise}/{site}/{area}/{line}/{device}/v/{metric}`.
#[must_use]
pub fn live_value(point: &PointInfo) -> String {
    let Place { enterprise, site, area, line } = &point.place;
    let (area, line) = (area.as_deref().unwrap_or("_"), line.as_deref().unwrap_or("_"));
    format!("v1/{enterprise}/{site}/{area}/{line}/{}/v/{}", point.device, point.metric)
}
