//! Who may do what at the embedded broker. It listens on loopback only and asks for no password, so a client id is taken
//! for an identity: this keeps mistakes out, not attackers. Must never know the broker's types.

use model::{GatewayId, topic};

/// Longest client id.
const CLIENT_ID_CHARS_MAX: usize = 200;
/// Most levels in a filter.
const LEVELS_MAX: usize = 32;

/// Whether a client may have this name.
pub(super) fn may_connect(client_id: &str) -> bool {
    let fits = (1..CLIENT_ID_CHARS_MAX).contains(&client_id.len());
    fits && !client_id.chars().any(|c| c.is_control() || matches!(c, '/' | '\\' | '+' | '#'))
}

/// A gateway publishes to its own uplink; nobody else publishes anything: live topics and acks come from ingest.
pub(super) fn may_publish(client_id: &str, topic: &str) -> bool {
    topic::gateway_of_up(topic).is_some_and(|gateway| is_gateway(client_id, &gateway))
}

/// A gateway hears its own acks; everybody may watch the live topics.
pub(super) fn may_subscribe(client_id: &str, filter: &str) -> bool {
    let shared = filter.strip_prefix("$share/").map(|rest| rest.split_once('/'));
    let filter = match shared {
        None => filter,
        Some(Some((_group, filter))) => filter,
        Some(None) => return false,
    };
    if filter.split('/').count() > LEVELS_MAX {
        return false;
    }
    let own_acks = filter
        .strip_prefix("gw/")
        .and_then(|rest| rest.strip_suffix("/ack"))
        .and_then(|id| GatewayId::new(id).ok())
        .is_some_and(|gateway| is_gateway(client_id, &gateway));
    own_acks || filter.starts_with("v1/")
}

/// The client id of a gateway is the gateway's id, or begins with it and a hyphen.
fn is_gateway(client_id: &str, gateway: &GatewayId) -> bool {
    client_id
        .strip_prefix(gateway.as_str())
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_ids() {
        for good in ["g1", "gw-01", "mosq-Ab12", "auto-0123"] {
            assert!(may_connect(good), "{good}");
        }
        for bad in ["", "a/b", "a\\b", "a\nb", "+", "#", &"x".repeat(200)] {
            assert!(!may_connect(bad), "{bad}");
        }
    }

    #[test]
    fn publishing() {
        let check = |client, topic, expected| {
            assert_eq!(may_publish(client, topic), expected, "{client} to {topic}");
        };
        check("g1", "gw/g1/up", true);
        check("g1-live", "gw/g1/up", true);
        check("g1", "gw/g2/up", false);
        check("g1", "gw/g11/up", false);
        check("g11", "gw/g1/up", false);
        check("g1", "gw/g1/ack", false);
        check("g1", "gw/g1/up/more", false);
        check("g1", "v1/acme/nb-1/_/_/m1/v/e_import", false);
        check("g1", "$SYS/broker", false);
        check("g1", "other", false);
        check("+", "gw/+/up", false);
    }

    #[test]
    fn subscribing() {
        let check = |client, filter: &str, expected| {
            assert_eq!(may_subscribe(client, filter), expected, "{client} to {filter}");
        };
        check("g1", "gw/g1/ack", true);
        check("g1", "gw/g2/ack", false);
        check("g1", "gw/+/ack", false);
        check("g1", "gw/#", false);
        check("g1", "gw/+/up", false);
        check("wall", "v1/#", true);
        check("wall", "v1/acme/nb-1/+/+/+/v/+", true);
        check("wall", "#", false);
        check("wall", "$SYS/#", false);
        check("wall", "$share/walls/v1/#", true);
        check("wall", "$share/walls/gw/g1/ack", false);
        check("wall", "$share/walls", false);
        check("wall", &format!("v1/{}#", "+/".repeat(31)), false);
    }
}
