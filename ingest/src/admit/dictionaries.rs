//! Which dictionaries are at hand, which of them give way, and how fast new ones are read.
//!
//! Anybody who may connect may send dictionaries, so both are bounded over all gateways. A *newcomer* is a gateway of
//! which the store has nothing; all newcomers share one budget and a small room of their own. What an *established*
//! gateway used lately never gives way to another gateway, so nobody can make it send its dictionaries again and again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use contract::LogKey;
use model::dictionary::{PointInfo, PointState};
use model::{Dictionary, DictionaryHash, GatewayId, LogId};
use sha2::{Digest as _, Sha256};

use super::frame::read_dictionary;
use super::log::Named;
use super::waits::TURN;
use super::{Admit, DropReason, LOGS_MAX, Now, Refusal, opened};

/// Most bytes of memory for the dictionaries of all established gateways, by [`weight_of`]: nearly a million points.
pub const DICTIONARIES_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// Most bytes of them for all newcomers together: one gateway of the largest size, and no more for any number of ids.
pub const NEWCOMERS_BYTES_MAX: u64 = GATEWAY_DICTIONARIES_BYTES_MAX;
/// Most bytes of them for one gateway: 100 000 points whose texts have 500 bytes each.
pub const GATEWAY_DICTIONARIES_BYTES_MAX: u64 = 80 * 1024 * 1024;
/// Most dictionaries of one log.
pub(super) const DICTIONARIES_MAX: usize = 128;
/// A dictionary that was named by a frame, or learnt, within this time is in use: a slow poll group is read in each slot.
const IN_USE: Duration = Duration::from_mins(15);
/// A use is noted when the last one is so old.
const USE_NOTED_AFTER: Duration = Duration::from_secs(1);
/// Bytes that a dictionary costs beside its points.
const DICTIONARY_OVERHEAD: u64 = 1_024;

/// How fast dictionaries are read: bytes of their texts in a second on average, and how many at once.
#[derive(Debug, Clone, Copy)]
struct Rate {
    per_second: u64,
    at_once: u64,
}

const MIB: u64 = 1024 * 1024;
/// For each gateway: the opening of one with 100 000 points is read at once.
const OF_GATEWAY: Rate = Rate { per_second: 4 * MIB, at_once: 48 * MIB };
/// For all newcomers together, so that reading them leaves time for frames.
const OF_NEWCOMERS: Rate = Rate { per_second: 2 * MIB, at_once: 8 * MIB };
/// For all others together.
const OF_ESTABLISHED: Rate = Rate { per_second: 16 * MIB, at_once: 64 * MIB };

/// A budget of bytes that fills up with time. Whoever may take something pays behind it, so a text that is longer than
/// the budget is read too, and is paid for by a longer wait.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Budget {
    /// When it is full again.
    full_at: Duration,
}

impl Budget {
    fn allows(self, rate: Rate, now: Duration) -> bool {
        self.full_at.saturating_sub(now) < time_for(rate.at_once, rate)
    }

    /// From when on it allows something.
    fn allows_from(self, rate: Rate) -> Duration {
        self.full_at.saturating_sub(time_for(rate.at_once, rate))
    }

    fn pay(&mut self, bytes: u64, rate: Rate, now: Duration) {
        self.full_at = self.full_at.max(now).saturating_add(time_for(bytes, rate));
    }
}

fn time_for(bytes: u64, rate: Rate) -> Duration {
    Duration::from_micros(bytes.saturating_mul(1_000_000) / rate.per_second)
}

/// Who may have dictionaries read.
#[derive(Debug, Default)]
pub(super) struct Budgets {
    newcomers: Budget,
    established: Budget,
    gateways: BTreeMap<GatewayId, Budget>,
}

impl Budgets {
    fn allow(&self, gateway: &GatewayId, is_established: bool, now: Duration) -> bool {
        let all = if is_established {
            self.established.allows(OF_ESTABLISHED, now)
        } else {
            self.newcomers.allows(OF_NEWCOMERS, now)
        };
        all && self.gateways.get(gateway).is_none_or(|own| own.allows(OF_GATEWAY, now))
    }

    /// From when on a dictionary of the gateway may be read.
    fn allow_from(&self, gateway: &GatewayId, is_established: bool) -> Duration {
        let all = if is_established {
            self.established.allows_from(OF_ESTABLISHED)
        } else {
            self.newcomers.allows_from(OF_NEWCOMERS)
        };
        let own = self.gateways.get(gateway).map(|own| own.allows_from(OF_GATEWAY));
        all.max(own.unwrap_or_default())
    }

    fn pay(&mut self, gateway: &GatewayId, is_established: bool, bytes: u64, now: Duration) {
        if is_established {
            self.established.pay(bytes, OF_ESTABLISHED, now);
        } else {
            self.newcomers.pay(bytes, OF_NEWCOMERS, now);
        }
        if self.gateways.len() >= LOGS_MAX {
            self.gateways.retain(|_, own| own.full_at > now);
        }
        self.gateways.entry(gateway.clone()).or_default().pay(bytes, OF_GATEWAY, now);
    }
}

/// About how much memory a dictionary with a text of so many bytes takes.
fn weight_of(dictionary: &Dictionary, text_bytes: u64) -> u64 {
    let states: usize = dictionary.points.iter().map(|point| point.states.len()).sum();
    let fixed = dictionary.points.len().saturating_mul(size_of::<PointInfo>());
    let fixed = fixed.saturating_add(states.saturating_mul(size_of::<PointState>()));
    text_bytes.saturating_add(fixed as u64).saturating_add(DICTIONARY_OVERHEAD)
}

/// A dictionary of a log.
type Place = (LogKey, DictionaryHash);

#[derive(Debug)]
struct Kept {
    bytes: u64,
    used: Duration,
}

/// Those of newcomers or those of established gateways, in the order in which they give way.
#[derive(Debug, Default)]
struct Room {
    bytes: u64,
    in_order: BTreeSet<(Duration, Place)>,
}

/// What is at hand.
#[derive(Debug, Default)]
pub(super) struct AtHand {
    places: BTreeMap<Place, Kept>,
    of_newcomers: Room,
    of_established: Room,
    established: BTreeSet<GatewayId>,
}

impl AtHand {
    /// Starts with the gateways of which the store has something.
    pub(super) fn new(established: BTreeSet<GatewayId>) -> Self {
        Self { established, ..Self::default() }
    }

    pub(super) fn is_established(&self, gateway: &GatewayId) -> bool {
        self.established.contains(gateway)
    }

    /// Readings of the gateway are durable. Returns what gave way for what it has.
    pub(super) fn establish(&mut self, gateway: &GatewayId, now: Duration) -> Vec<Place> {
        if self.is_established(gateway) {
            return Vec::new();
        }
        let of_gateway: Vec<_> = self
            .of_gateway(gateway)
            .map(|(place, kept)| (kept.bytes, (kept.used, place.clone())))
            .collect();
        for (bytes, entry) in of_gateway {
            self.of_newcomers.in_order.remove(&entry);
            self.of_newcomers.bytes = self.of_newcomers.bytes.saturating_sub(bytes);
            self.of_established.in_order.insert(entry);
            self.of_established.bytes = self.of_established.bytes.saturating_add(bytes);
        }
        self.established.insert(gateway.clone());
        let mut gone = Vec::new();
        while let Some(given_up) = self.excess_of(gateway, None, now) {
            self.remove(&given_up);
            gone.push(given_up);
        }
        gone
    }

    fn room(&mut self, gateway: &GatewayId) -> &mut Room {
        if self.is_established(gateway) { &mut self.of_established } else { &mut self.of_newcomers }
    }

    fn put(&mut self, place: Place, bytes: u64, now: Duration) {
        let room = self.room(&place.0.0);
        room.bytes = room.bytes.saturating_add(bytes);
        room.in_order.insert((now, place.clone()));
        self.places.insert(place, Kept { bytes, used: now });
    }

    /// A frame named it.
    pub(super) fn used(&mut self, key: &LogKey, hash: DictionaryHash, now: Duration) {
        let place = (key.clone(), hash);
        let Some(kept) = self.places.get_mut(&place) else { return };
        if now.saturating_sub(kept.used) < USE_NOTED_AFTER {
            return;
        }
        let before = std::mem::replace(&mut kept.used, now);
        let order = &mut self.room(&key.0).in_order;
        order.remove(&(before, place.clone()));
        order.insert((now, place));
    }

    fn remove(&mut self, place: &Place) {
        let Some(kept) = self.places.remove(place) else { return };
        let room = self.room(&place.0.0);
        room.bytes = room.bytes.saturating_sub(kept.bytes);
        room.in_order.remove(&(kept.used, place.clone()));
    }

    fn of_gateway(&self, gateway: &GatewayId) -> impl Iterator<Item = (&Place, &Kept)> {
        let end = |byte| ((gateway.clone(), LogId([byte; 16])), DictionaryHash([byte; 32]));
        self.places.range(end(0)..=end(255))
    }

    /// What must give way for the newest of all, if anything must; it is the newest itself where all others are in use.
    fn excess(&self, newest: &Place, now: Duration) -> Option<Place> {
        let (key, gateway) = (&newest.0, &newest.0.0);
        let of_log =
            || self.of_gateway(gateway).filter(|(place, _)| place.0 == *key && *place != newest);
        if of_log().count() >= DICTIONARIES_MAX {
            return of_log().min_by_key(|(_, kept)| kept.used).map(|(place, _)| place.clone());
        }
        self.excess_of(gateway, Some(newest), now)
    }

    /// The same by bytes alone: what is beyond a gateway's own part, or beyond the room that it shares.
    fn excess_of(
        &self,
        gateway: &GatewayId,
        newest: Option<&Place>,
        now: Duration,
    ) -> Option<Place> {
        let of_gateway = || self.of_gateway(gateway).filter(|(place, _)| Some(*place) != newest);
        let own = || of_gateway().min_by_key(|(_, kept)| kept.used).map(|(place, _)| place);
        let bytes = self.of_gateway(gateway).map(|(_, kept)| kept.bytes);
        if bytes.fold(0, u64::saturating_add) > GATEWAY_DICTIONARIES_BYTES_MAX {
            return own().or(newest).cloned();
        }
        let is_established = self.is_established(gateway);
        let (room, max) = if is_established {
            (&self.of_established, DICTIONARIES_BYTES_MAX)
        } else {
            (&self.of_newcomers, NEWCOMERS_BYTES_MAX)
        };
        if room.bytes <= max {
            return None;
        }
        let is_other = |(_, place): &&(Duration, Place)| Some(place) != newest;
        let may_go =
            |(used, _): &&(Duration, Place)| !is_established || now.saturating_sub(*used) >= IN_USE;
        let other = room.in_order.iter().find(is_other).filter(may_go).map(|(_, place)| place);
        other.or_else(own).or(newest).cloned()
    }
}

impl Admit {
    /// Reads a dictionary that a gateway offers.
    pub(super) fn dictionary(
        &mut self,
        now: Now,
        key: &LogKey,
        record: &[u8],
    ) -> Result<(), Refusal> {
        let learnt = self.learn(now, key, record);
        if let (Err(Refusal(DropReason::Refused, _)), Some(log)) = (&learnt, self.logs.get_mut(key))
        {
            log.has_bad_dictionary = true;
        }
        learnt.map(|_| ())
    }

    /// Reads the body of a DICT record, unless it was read before. Returns what it holds, and the bytes of its text if
    /// they are new here.
    pub(super) fn learn(
        &mut self,
        now: Now,
        key: &LogKey,
        record: &[u8],
    ) -> Result<(Named, u64), Refusal> {
        let record_hash: [u8; 32] = Sha256::digest(record).into();
        let log = opened(&mut self.logs, key)?;
        if let Some(known) = log.of_record(&record_hash) {
            self.at_hand.used(key, known.0, now.monotonic);
            return Ok((known, 0));
        }
        let is_established = self.at_hand.is_established(&key.0);
        if !self.budgets.allow(&key.0, is_established, now.monotonic) {
            return Err(DropReason::Bound.into());
        }
        let (bytes, named) = read_dictionary(record);
        // What cannot be read costs time too.
        self.budgets.pay(&key.0, is_established, bytes, now.monotonic);
        let named = named?;
        if log.dictionary(named.0).is_some() {
            return Ok((named, 0));
        }
        log.learn(record_hash, named.clone());
        let place = (key.clone(), named.0);
        self.at_hand.put(place.clone(), weight_of(&named.1, bytes), now.monotonic);
        while let Some(given_up) = self.at_hand.excess(&place, now.monotonic) {
            self.at_hand.remove(&given_up);
            self.forget(&given_up);
            if given_up == place {
                return Err(no_room(is_established));
            }
        }
        Ok((named, bytes))
    }

    /// Readings of the gateway are durable.
    pub(super) fn establish(&mut self, now: Now, gateway: &GatewayId) {
        for given_up in self.at_hand.establish(gateway, now.monotonic) {
            self.forget(&given_up);
        }
    }

    fn forget(&mut self, given_up: &Place) {
        if let Some(log) = self.logs.get_mut(&given_up.0) {
            log.forget_dictionary(given_up.1);
        }
    }

    /// A frame was put off for its dictionary: where none of this gateway may be read now, its log is asked when some may.
    pub(super) fn wait_for_dictionary(&mut self, now: Now, key: &LogKey) {
        let is_established = self.at_hand.is_established(&key.0);
        if !self.budgets.allow(&key.0, is_established, now.monotonic) {
            let from = self.budgets.allow_from(&key.0, is_established);
            self.waits.until(key, from.saturating_add(TURN));
        }
    }
}

fn no_room(is_established: bool) -> Refusal {
    let own = GATEWAY_DICTIONARIES_BYTES_MAX / MIB;
    let (all, whose) = if is_established {
        (DICTIONARIES_BYTES_MAX, "all gateways")
    } else {
        (NEWCOMERS_BYTES_MAX, "all gateways of which nothing is stored yet")
    };
    let text = format!(
        "no room for its dictionary: those in use have {} MiB of {whose} or {own} MiB of this one; it is tried again",
        all / MIB
    );
    Refusal(DropReason::Bound, Some(text))
}

#[cfg(test)]
mod tests {
    use model::fixtures::gateway;

    use super::*;
    use crate::admit::fixtures::points_of;

    fn place(name: &str, n: u8) -> Place {
        ((gateway(name), LogId([1; 16])), DictionaryHash([n; 32]))
    }

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    /// Puts it, and returns what gave way.
    fn put(at_hand: &mut AtHand, place: &Place, bytes: u64, now: u64) -> Vec<Place> {
        at_hand.put(place.clone(), bytes, seconds(now));
        let mut gone = Vec::new();
        while let Some(given_up) = at_hand.excess(place, seconds(now)) {
            at_hand.remove(&given_up);
            gone.push(given_up);
        }
        sound(at_hand);
        gone
    }

    /// The rooms hold what is at hand, and not more than they may.
    fn sound(at_hand: &AtHand) {
        let (newcomers, established) = (&at_hand.of_newcomers, &at_hand.of_established);
        assert!(newcomers.bytes <= NEWCOMERS_BYTES_MAX);
        assert!(established.bytes <= DICTIONARIES_BYTES_MAX);
        for (room, is_established) in [(newcomers, false), (established, true)] {
            let of_room = at_hand
                .places
                .iter()
                .filter(|(place, _)| at_hand.is_established(&place.0.0) == is_established);
            let bytes: u64 = of_room.clone().map(|(_, kept)| kept.bytes).sum();
            assert_eq!((room.bytes, room.in_order.len()), (bytes, of_room.count()));
        }
    }

    #[test]
    fn newcomers_give_way_to_newcomers_and_what_is_in_use_stays() {
        let mut at_hand = AtHand::default();
        let established: Vec<Place> = (0..8).map(|n| place(&format!("old-{n}"), n)).collect();
        for old in &established {
            at_hand.establish(&old.0.0, seconds(0));
            assert_eq!(put(&mut at_hand, old, 64 * MIB, 0), []);
        }
        let newcomers = [1, 2, 3].map(|n| place(&format!("new-{n}"), n));
        assert_eq!(put(&mut at_hand, &newcomers[0], 40 * MIB, 1), [], "a room of their own");
        assert_eq!(put(&mut at_hand, &newcomers[1], 40 * MIB, 2), []);
        assert_eq!(put(&mut at_hand, &newcomers[2], MIB, 3), [newcomers[0].clone()]);
        // An established one finds all in use, and gives way itself.
        let late = place("late", 9);
        assert_eq!(at_hand.establish(&late.0.0, seconds(4)), []);
        assert_eq!(put(&mut at_hand, &late, MIB, 4), std::slice::from_ref(&late));
        // After a quarter of an hour what nobody used makes room.
        for old in &established[1..] {
            at_hand.used(&old.0, old.1, seconds(800));
        }
        assert_eq!(put(&mut at_hand, &late, MIB, 900), [established[0].clone()]);
        // Who is established takes what it has along, where there is room.
        assert_eq!(at_hand.establish(&newcomers[2].0.0, seconds(901)), []);
        assert_eq!(at_hand.establish(&newcomers[1].0.0, seconds(901)), []);
        sound(&at_hand);
        for new in &newcomers[1..] {
            at_hand.used(&new.0, new.1, seconds(902));
        }
        let large = place("large", 7);
        assert_eq!(put(&mut at_hand, &large, 80 * MIB, 902), []);
        assert_eq!(at_hand.establish(&large.0.0, seconds(903)), [large]);
        sound(&at_hand);
    }

    /// The largest gateway that there is, beside 1 000 ids that send one large dictionary each.
    #[test]
    fn a_gateway_with_100_000_points_is_at_hand_whatever_others_send() {
        let weight = |dictionary: &Dictionary| {
            let (bytes, named) = read_dictionary(&dictionary.to_record());
            (bytes, weight_of(&named.ok().unwrap().1, bytes))
        };
        // Few devices to a dictionary, and as many points as one has as a rule.
        for (dictionaries, points) in [(100_u8, 1_000), (25, 4_000)] {
            let (text, own) = weight(&points_of("g1", 0, points, 500));
            assert!(text >= 500 * u64::from(points), "{text} bytes");
            let (hostile_text, hostile) = weight(&points_of("hostile", 0, 4_000, 0));
            let (mut at_hand, mut budgets) = (AtHand::default(), Budgets::default());
            let honest = place("honest", 0).0.0;
            at_hand.establish(&honest, seconds(0));
            for n in 0..dictionaries {
                assert!(budgets.allow(&honest, true, seconds(0)), "its opening is read at once");
                budgets.pay(&honest, true, text, seconds(0));
                assert_eq!(put(&mut at_hand, &place("honest", n), own, 0), []);
            }
            let mut read = 0;
            for n in 0..1_000 {
                let newcomer = place(&format!("n{n}"), 0);
                let now = n / 10;
                if budgets.allow(&newcomer.0.0, false, seconds(now)) {
                    budgets.pay(&newcomer.0.0, false, hostile_text, seconds(now));
                    let gone = put(&mut at_hand, &newcomer, hostile, now);
                    assert!(gone.iter().all(|place| place.0.0 != honest), "{gone:?}");
                    read += 1;
                }
            }
            assert!(read > 100, "{read} were read");
            assert_eq!(at_hand.of_gateway(&honest).count(), usize::from(dictionaries));
        }
    }

    #[test]
    fn a_gateway_makes_room_for_its_own() {
        let mut at_hand = AtHand::default();
        let own = [1, 2, 3].map(|n| place("g", n));
        at_hand.establish(&own[0].0.0, seconds(0));
        for (now, own) in (0..).zip(&own[..2]) {
            assert_eq!(put(&mut at_hand, own, 40 * MIB, now), []);
        }
        at_hand.used(&own[0].0, own[0].1, seconds(5));
        assert_eq!(put(&mut at_hand, &own[2], 40 * MIB, 6), [own[1].clone()], "used longest ago");
        let alone = place("h", 1);
        let gone = put(&mut at_hand, &alone, GATEWAY_DICTIONARIES_BYTES_MAX + 1, 7);
        assert_eq!(gone, [alone], "larger than a gateway may have");
    }

    #[test]
    fn a_log_has_a_bounded_number_of_dictionaries() {
        let mut at_hand = AtHand::default();
        let gone: Vec<_> = (0..=u8::MAX)
            .flat_map(|n| put(&mut at_hand, &place("g", n), 1, u64::from(n)))
            .collect();
        assert_eq!(at_hand.places.len(), DICTIONARIES_MAX);
        assert_eq!(gone.first(), Some(&place("g", 0)));
    }

    #[test]
    fn a_budget_fills_up_with_time() {
        let rate = Rate { per_second: 10, at_once: 20 };
        let mut budget = Budget::default();
        assert!(budget.allows(rate, seconds(0)));
        // Paid behind it.
        budget.pay(50, rate, seconds(0));
        assert!(!budget.allows(rate, seconds(3)));
        assert!(budget.allows(rate, Duration::from_millis(3_001)));
        // What was not taken is not saved up beyond the budget.
        budget.pay(20, rate, seconds(100));
        assert!(!budget.allows(rate, seconds(100)));
    }

    #[test]
    fn newcomers_leave_the_budget_of_the_others_alone() {
        let mut budgets = Budgets::default();
        let names: Vec<_> = (0..100).map(|n| gateway(&format!("n{n}"))).collect();
        let mut read = 0;
        for newcomer in &names {
            if budgets.allow(newcomer, false, seconds(0)) {
                budgets.pay(newcomer, false, MIB, seconds(0));
                read += 1;
            }
        }
        assert_eq!(read, OF_NEWCOMERS.at_once / MIB);
        assert!(budgets.allow(&names[99], true, seconds(0)));
        assert!(!budgets.allow(&names[99], false, seconds(0)));
        // One gateway alone, established or not.
        budgets.pay(&names[99], true, OF_GATEWAY.at_once, seconds(0));
        assert!(!budgets.allow(&names[99], true, seconds(0)));
        assert!(budgets.allow(&names[98], true, seconds(0)));
    }
}
