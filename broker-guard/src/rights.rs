//! Who may do what at the embedded broker. A gateway with a `[[gateway]]` entry proves itself with a password; without
//! any entry a client id counts as an identity, which keeps mistakes out but not attackers.

use std::collections::BTreeMap;

use model::{GatewayId, topic};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use config::Secret;

/// Longest client id.
const CLIENT_ID_CHARS_MAX: usize = 200;
/// Most levels in a filter.
const LEVELS_MAX: usize = 32;
/// Ends the gateway's id in a client id, so that `a` and `a-b` cannot be confused: no gateway id contains it.
const SUFFIX: char = '.';

/// Why a client may not connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Denied {
    /// No client id, or a broken one.
    #[error("client id has a character that no client id may have, or is empty or too long")]
    ClientId,
    /// A listed gateway without its password.
    #[error("the gateway has a password in `nengliu.toml`; it was not given, or is another")]
    Password,
    /// A user name that no `[[gateway]]` entry has.
    #[error("`nengliu.toml` has no such `[[gateway]]`, and only those it lists may send")]
    Unlisted,
}

/// The rights of the clients of one broker.
#[derive(Debug, Default)]
pub struct Rights {
    /// SHA-256 of the password of each gateway. Empty: gateways prove nothing.
    passwords: BTreeMap<GatewayId, [u8; 32]>,
}

impl Rights {
    /// Rights where each of these gateways has this password, and nobody else may send.
    pub fn new(passwords: &BTreeMap<GatewayId, Secret>) -> Self {
        let hashed = |(gateway, password): (&GatewayId, &Secret)| {
            (gateway.clone(), Sha256::digest(password.expose().as_bytes()).into())
        };
        Self { passwords: passwords.iter().map(hashed).collect() }
    }

    /// Whether a client may connect, and as which gateway; `None` for one that only reads.
    ///
    /// The user name is the gateway's id where there is one, else the client id up to its first dot.
    ///
    /// # Errors
    ///
    /// When the client may not connect at all.
    pub fn identify(
        &self,
        client_id: &str,
        user: Option<&str>,
        password: Option<&[u8]>,
    ) -> Result<Option<GatewayId>, Denied> {
        let fits = (1..CLIENT_ID_CHARS_MAX).contains(&client_id.len());
        if !fits || client_id.chars().any(|c| c.is_control() || "/\\+#".contains(c)) {
            return Err(Denied::ClientId);
        }
        let base = client_id.split(SUFFIX).next().unwrap_or_default();
        let by_client_id = GatewayId::new(base).ok();
        if self.passwords.is_empty() {
            return Ok(by_client_id);
        }
        // The client id of a listed gateway is taken even for reading: whoever connects with it ends the session of the
        // gateway itself.
        let listed = |id: &GatewayId| self.passwords.contains_key(id);
        let user = user.filter(|user| !user.is_empty());
        let by_user = user.and_then(|user| GatewayId::new(user).ok()).filter(listed);
        if user.is_some() && by_user.is_none() {
            return Err(Denied::Unlisted);
        }
        let claimed = match (by_user, by_client_id.filter(listed)) {
            (Some(user), Some(client)) if user != client => return Err(Denied::Password),
            (Some(id), _) | (None, Some(id)) => id,
            (None, None) => return Ok(None),
        };
        let given: [u8; 32] = Sha256::digest(password.unwrap_or_default()).into();
        let expected = self.passwords.get(&claimed).copied().unwrap_or_default();
        // Without an early end, so that the time tells nothing.
        let differs = given.iter().zip(expected).fold(0, |sum, (a, b)| sum | (a ^ b));
        if differs != 0 { Err(Denied::Password) } else { Ok(Some(claimed)) }
    }
}

/// A gateway publishes to its own uplink and its own state; nobody else publishes anything: live topics and acks come
/// from ingest.
pub fn may_publish(gateway: Option<&GatewayId>, topic: &str) -> bool {
    let Some(gateway) = gateway else { return false };
    topic == topic::up(gateway) || topic == topic::state(gateway)
}

/// What a client gets for a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subscription {
    /// The filter as it stands.
    As,
    /// This filter in its place: what the client may see of it.
    Narrowed(String),
    /// Nothing, and it is told so.
    Refused,
}

/// A gateway hears its own acks; everybody may watch the live topics. A filter that reaches further is narrowed to the
/// live topics. One for topics of other programs is granted and brings nothing: nobody can publish there.
pub fn subscription(gateway: Option<&GatewayId>, filter: &str) -> Subscription {
    let (share, wanted) = match filter.strip_prefix("$share/").map(|rest| rest.split_once('/')) {
        None => ("", filter),
        Some(Some((group, wanted))) => {
            let prefix = filter.get(..filter.len() - wanted.len()).unwrap_or_default();
            if group.is_empty() {
                return Subscription::Refused;
            }
            (prefix, wanted)
        }
        Some(None) => return Subscription::Refused,
    };
    if wanted.split('/').count() > LEVELS_MAX {
        return Subscription::Refused;
    }
    let (first, rest) = wanted.split_once('/').map_or((wanted, None), |(a, b)| (a, Some(b)));
    match (first, rest) {
        ("#", _) => Subscription::Narrowed(format!("{share}{}/#", topic::LIVE_ROOT)),
        ("+", Some(rest)) => Subscription::Narrowed(format!("{share}{}/{rest}", topic::LIVE_ROOT)),
        (topic::GATEWAY_ROOT, _) => {
            let own = gateway.is_some_and(|gateway| wanted == topic::ack(gateway));
            if own && share.is_empty() { Subscription::As } else { Subscription::Refused }
        }
        _ => Subscription::As,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gateway(id: &str) -> GatewayId {
        GatewayId::new(id).unwrap()
    }

    #[test]
    fn client_ids() {
        let open = Rights::default();
        for good in ["g1", "gw-01", "mosq-Ab12", "auto-0123"] {
            assert!(open.identify(good, None, None).is_ok(), "{good}");
        }
        for bad in ["", "a/b", "a\\b", "a\nb", "+", "#", &"x".repeat(200)] {
            assert_eq!(open.identify(bad, None, None), Err(Denied::ClientId), "{bad}");
        }
    }

    /// Trial brk-08: a client called `honest-x` heard the acks of `honest` and published in its name.
    #[test]
    fn a_gateway_is_its_exact_id_and_not_what_begins_with_it() {
        let check = |client: &str, topic: &str, expected| {
            let who = Rights::default().identify(client, None, None).unwrap();
            assert_eq!(may_publish(who.as_ref(), topic), expected, "{client} to {topic}");
        };
        check("g1", "gw/g1/up", true);
        check("g1", "gw/g1/state", true);
        check("g1.second", "gw/g1/up", true);
        check("g1-live", "gw/g1/up", false);
        check("g1-live", "gw/g1-live/up", true);
        check("g1", "gw/g2/up", false);
        check("g1", "gw/g11/up", false);
        check("g11", "gw/g1/up", false);
        check("g1", "gw/g1/ack", false);
        check("g1", "gw/g1/up/more", false);
        check("g1", "v1/acme/nb-1/_/_/m1/v/e_import", false);
        check("g1", "$SYS/broker", false);
        check("g1", "other", false);
        check("G1", "gw/g1/up", false);
    }

    #[test]
    fn a_listed_gateway_needs_its_password_and_nobody_else_may_send() {
        let passwords = BTreeMap::from([(gateway("a"), Secret::new("secret".to_owned()))]);
        let rights = Rights::new(&passwords);
        let check = |client: &str, user: Option<&str>, password: Option<&str>, expected| {
            let found = rights.identify(client, user, password.map(str::as_bytes));
            assert_eq!(found, expected, "{client} {user:?} {password:?}");
        };
        check("a", Some("a"), Some("secret"), Ok(Some(gateway("a"))));
        check("a", None, Some("secret"), Ok(Some(gateway("a"))));
        check("any-name", Some("a"), Some("secret"), Ok(Some(gateway("a"))));
        check("a", None, None, Err(Denied::Password));
        check("a.x", None, None, Err(Denied::Password));
        check("a", Some("a"), Some("Secret"), Err(Denied::Password));
        check("a", Some("a"), Some(""), Err(Denied::Password));
        check("b", Some("b"), Some("secret"), Err(Denied::Unlisted));
        check("a", Some("b"), Some("secret"), Err(Denied::Unlisted));
        // Readers need no name; what looks like another gateway may read, not send.
        check("wall", None, None, Ok(None));
        check("a-b", None, None, Ok(None));
        assert!(!may_publish(None, "gw/a/up"));
    }

    #[test]
    fn subscribing() {
        use Subscription::{As, Narrowed, Refused};
        let check = |client: &str, filter: &str, expected: Subscription| {
            let who = GatewayId::new(client).ok();
            assert_eq!(subscription(who.as_ref(), filter), expected, "{client} to {filter}");
        };
        let narrowed = |filter: &str| Narrowed(filter.to_owned());
        check("g1", "gw/g1/ack", As);
        check("g1", "gw/g2/ack", Refused);
        check("g1-x", "gw/g1/ack", Refused);
        check("g1", "gw/+/ack", Refused);
        check("g1", "gw/#", Refused);
        check("g1", "gw/+/up", Refused);
        check("wall", "v1/#", As);
        check("wall", "v1/acme/nb-1/+/+/+/v/+", As);
        check("wall", "$share/walls/v1/#", As);
        check("wall", "$share/walls/gw/g1/ack", Refused);
        check("g1", "$share/walls/gw/g1/ack", Refused);
        check("wall", "$share/walls", Refused);
        check("wall", &format!("v1/{}#", "+/".repeat(31)), Refused);
        // Trial int-03: MQTT Explorer's first filter, and one of Home Assistant.
        check("wall", "#", narrowed("v1/#"));
        check("wall", "+/#", narrowed("v1/#"));
        check("wall", "+/g1/ack", narrowed("v1/g1/ack"));
        check("wall", "$share/walls/#", narrowed("$share/walls/v1/#"));
        check("wall", "homeassistant/#", As);
        check("wall", "$SYS/#", As);
    }
}
