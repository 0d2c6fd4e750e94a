//! The topics of Nengliu. Fixed depth, so that `+` works; a level that is not used is `_`. Must never know MQTT.

use crate::dictionary::{Place, PointInfo};
use crate::id::GatewayId;

/// First level of what gateways and ingest say to each other.
pub const GATEWAY_ROOT: &str = "gw";
/// First level of the live topics; its number is the version of the contract in `docs/mqtt.md`.
pub const LIVE_ROOT: &str = "v1";
/// Filter that matches the uplink of every gateway.
pub const UP_FILTER: &str = "gw/+/up";
/// Filter that matches the state of every gateway.
pub const STATE_FILTER: &str = "gw/+/state";
/// A gateway says that it is there.
pub const ONLINE: &str = "online";
/// A gateway, or its last will, says that it is gone.
pub const OFFLINE: &str = "offline";

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

/// Where a gateway says that it is there, and its last will that it is gone: [`ONLINE`] or [`OFFLINE`], not retained.
#[must_use]
pub fn state(gateway: &GatewayId) -> String {
    format!("gw/{gateway}/state")
}

/// The gateway that a state topic belongs to; `None` for any other topic.
#[must_use]
pub fn gateway_of_state(topic: &str) -> Option<GatewayId> {
    let id = topic.strip_prefix("gw/")?.strip_suffix("/state")?;
    GatewayId::new(id).ok()
}

/// Where everything about a device begins: `v1/{enterprise}/{site}/{area}/{line}/{device}`.
#[must_use]
pub fn live_device(point: &PointInfo) -> String {
    let Place { enterprise, site, area, line } = &point.place;
    let (area, line) = (area.as_deref().unwrap_or("_"), line.as_deref().unwrap_or("_"));
    format!("{LIVE_ROOT}/{enterprise}/{site}/{area}/{line}/{}", point.device)
}

/// Where everything about a gateway begins: `v1/{enterprise}/{site}/_/_/{gateway}`.
#[must_use]
pub fn live_gateway(enterprise: &str, site: &str, gateway: &GatewayId) -> String {
    format!("{LIVE_ROOT}/{enterprise}/{site}/_/_/{gateway}")
}

/// Where the last value of a point is kept, retained:
/// `v1/{enterprise}/{site}/{area}/{line}/{device}/v/{metric}`.
#[must_use]
pub fn live_value(point: &PointInfo) -> String {
    format!("{}/v/{}", live_device(point), point.metric)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dictionary::tests::point;

    #[test]
    fn a_gateway_is_found_in_its_own_topic_only() {
        let id = GatewayId::new("gw-01_a").unwrap();
        assert_eq!(up(&id), "gw/gw-01_a/up");
        assert_eq!(ack(&id), "gw/gw-01_a/ack");
        assert_eq!(gateway_of_state(&state(&id)), Some(id.clone()));
        assert_eq!(gateway_of_state(&up(&id)), None);
        assert_eq!(gateway_of_up(&up(&id)), Some(id.clone()));
        let others = [
            "",
            "gw",
            "gw/up",
            "gw//up",
            "gw/a/b/up",
            "gw/A/up",
            "gw/+/up",
            "gw/a/up/",
            "x/gw/a/up",
        ];
        for topic in others.into_iter().chain([ack(&id).as_str()]) {
            assert_eq!(gateway_of_up(topic), None, "{topic}");
        }
    }

    #[test]
    fn a_live_value_has_the_same_depth_everywhere() {
        let mut point = point("e_import");
        assert_eq!(live_value(&point), "v1/acme/north/_/_/m1/v/e_import");
        point.place.area = Some("melting".to_owned());
        point.place.line = Some("l2".to_owned());
        assert_eq!(live_value(&point), "v1/acme/north/melting/l2/m1/v/e_import");
    }
}
