//! Which gateways are there, and how far their values are durable.

use std::collections::BTreeMap;
use std::time::Duration;

use contract::LogKey;
use model::{GatewayId, LogId, Place, Sequence, Timestamp, topic};

use super::LiveMessage;
use super::settings::LiveSettings;
use super::text;

/// A gateway that sends nothing for so long is taken for gone; its will or its connection mostly says so before.
pub(super) const SILENCE_MAX: Duration = Duration::from_mins(2);
/// Time between two messages about what of a gateway is durable.
const DURABLE_INTERVAL: Duration = Duration::from_secs(1);
/// Most gateways that have topics.
pub(super) const GATEWAYS_MAX: usize = 10_000;

#[derive(Debug)]
struct Gateway {
    online: bool,
    since: Timestamp,
    heard: Duration,
    /// Enterprise and site; its topics begin when they are known.
    site: Option<(String, String)>,
    /// By which its topics are published again.
    number: usize,
    said: bool,
    said_at: Duration,
    durable: Option<(LogId, Sequence)>,
    durable_said: bool,
    durable_at: Option<Duration>,
}

/// All gateways.
#[derive(Debug, Default)]
pub(super) struct Gateways {
    known: BTreeMap<GatewayId, Gateway>,
    /// There is something to say.
    pending: bool,
}

impl Gateways {
    /// Where a gateway is, from the place of its points.
    pub(super) fn is_at(&mut self, gateway: &GatewayId, place: &Place) {
        let Some(known) = self.known.get_mut(gateway).filter(|known| known.site.is_none()) else {
            return;
        };
        known.site = Some((place.enterprise.clone(), place.site.clone()));
        self.pending = true;
    }

    /// Notes that a gateway is there or gone; whether that is a change.
    pub(super) fn heard(
        &mut self,
        gateway: &GatewayId,
        online: bool,
        now: Duration,
        wall: Timestamp,
    ) -> bool {
        if let Some(known) = self.known.get_mut(gateway) {
            if online {
                known.heard = now;
            }
            if known.online == online {
                return false;
            }
            (known.online, known.since, known.said) = (online, wall, false);
            self.pending = true;
            return true;
        }
        if self.known.len() < GATEWAYS_MAX {
            let gateway_state = Gateway {
                online,
                since: wall,
                heard: now,
                site: None,
                number: self.known.len(),
                said: false,
                said_at: now,
                durable: None,
                durable_said: true,
                durable_at: None,
            };
            self.known.insert(gateway.clone(), gateway_state);
        }
        true
    }

    /// A gateway that the store has rows of. Whether it is there is known when it is heard.
    pub(super) fn restored(
        &mut self,
        gateway: &GatewayId,
        place: &Place,
        now: Duration,
        wall: Timestamp,
    ) {
        if !self.known.contains_key(gateway) {
            self.heard(gateway, false, now, wall);
        }
        self.is_at(gateway, place);
    }

    /// How far the newest log of a gateway was durable when this run began.
    pub(super) fn restored_durable(&mut self, gateway: &GatewayId, log_id: LogId, upto: Sequence) {
        if self.known.get(gateway).is_some_and(|known| known.durable.is_none()) {
            self.durable(gateway, log_id, upto);
        }
    }

    pub(super) fn is_online(&self, gateway: &GatewayId) -> bool {
        self.known.get(gateway).is_some_and(|known| known.online)
    }

    pub(super) fn durable(&mut self, gateway: &GatewayId, log_id: LogId, upto: Sequence) {
        if let Some(known) = self.known.get_mut(gateway) {
            (known.durable, known.durable_said) = (Some((log_id, upto)), false);
            self.pending = true;
        }
    }

    /// The store holds of each log what `upto` says. Where that is less than was said, it is said again: readers rely on it.
    pub(super) fn stands_at(&mut self, upto: impl Fn(&LogKey) -> Sequence) {
        for (gateway, known) in &mut self.known {
            let Some((log_id, said)) = &mut known.durable else { continue };
            let stands = upto(&(gateway.clone(), *log_id));
            if stands < *said {
                (*said, known.durable_said) = (stands, false);
                self.pending = true;
            }
        }
    }

    /// Gateways that fell silent are gone, and what was said long ago is said again before a broker forgets it.
    pub(super) fn sweep(&mut self, now: Duration, wall: Timestamp, settings: &LiveSettings) {
        for known in self.known.values_mut() {
            if known.online && now.saturating_sub(known.heard) > SILENCE_MAX {
                (known.online, known.since, known.said) = (false, wall, false);
                self.pending = true;
            }
            let again = settings.again_after(known.number);
            let expires = |at: Duration| now.saturating_sub(at) >= again;
            if known.said && expires(known.said_at) {
                known.said = false;
                self.pending = true;
            }
            if known.durable_said && known.durable_at.is_some_and(expires) {
                known.durable_said = false;
                self.pending = true;
            }
        }
    }

    /// Everything must be said again.
    pub(super) fn say_again(&mut self) {
        for known in self.known.values_mut() {
            known.said = false;
            known.durable_said = known.durable.is_none();
        }
        self.pending = true;
    }

    /// When [`Self::messages`] may have something.
    pub(super) fn due(&self) -> Option<Duration> {
        if !self.pending {
            return None;
        }
        let waits = self.known.values().filter(|known| known.site.is_some());
        let due = waits.filter_map(|known| {
            if !known.said {
                return Some(Duration::ZERO);
            }
            let next = |at: Duration| at.saturating_add(DURABLE_INTERVAL);
            (!known.durable_said).then(|| known.durable_at.map_or(Duration::ZERO, next))
        });
        due.min()
    }

    /// What is to be said now.
    pub(super) fn messages(&mut self, prefix: &str, now: Duration) -> Vec<LiveMessage> {
        let mut messages = Vec::new();
        if self.due().is_none_or(|due| due > now) {
            return messages;
        }
        for (gateway, known) in &mut self.known {
            let Some((enterprise, site)) = &known.site else { continue };
            let base = format!("{prefix}{}", topic::live_gateway(enterprise, site, gateway));
            let mut say = |name: &str, payload| {
                let topic = format!("{base}/{name}");
                messages.push(LiveMessage { topic, payload, retain: true, at_least_once: true });
            };
            if !std::mem::replace(&mut known.said, true) {
                known.said_at = now;
                say("$state", text::state(known.online, known.since));
            }
            let rested =
                known.durable_at.is_none_or(|at| now.saturating_sub(at) >= DURABLE_INTERVAL);
            if let Some((log_id, upto)) = known.durable
                && rested
                && !std::mem::replace(&mut known.durable_said, true)
            {
                known.durable_at = Some(now);
                say("$durable", text::durable(log_id, upto));
            }
        }
        self.pending = self.known.values().any(|known| !known.said || !known.durable_said);
        messages
    }
}
