//! Which gateway writes which point. Two that write one would make each other's readings look like corrections, so the
//! second is refused by name while the first is heard.
//!
//! A gateway has the points of the dictionaries that its opening names: what the next opening no longer has, it gives up
//! with that message. What its spool still holds of a device that it gave up is admitted and claims nothing. A gateway that
//! is gone gives nothing up; its points are free when it was not heard for [`OWNER_SILENT`].

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use model::{Dictionary, DictionaryHash, GatewayId};
use sha2::{Digest as _, Sha256};

/// A gateway that was not heard for so long loses its points to the next one: it was replaced.
pub(super) const OWNER_SILENT: Duration = Duration::from_mins(15);
/// Most points that are looked after; those beyond may be written by anybody.
const POINTS_MAX: usize = 2_000_000;
/// Dictionaries of one gateway that are known to be claimed; all are looked at again when there are more.
const CLAIMED_MAX: usize = 256;
/// Most hashes of dictionaries that are kept from openings, of all gateways together. One beyond them gives its points up
/// by silence alone.
const TODAY_MAX: usize = 500_000;

/// One gateway.
#[derive(Debug)]
struct Owner {
    gateway: GatewayId,
    heard: Duration,
    /// Its points.
    points: Vec<u64>,
    /// Dictionaries whose points were given to it.
    claimed: BTreeSet<DictionaryHash>,
    /// Those of its newest opening, sorted; `None` where it does not tell.
    today: Option<Vec<DictionaryHash>>,
}

/// The owners of points.
#[derive(Debug, Default)]
pub(super) struct Owners {
    numbers: BTreeMap<GatewayId, usize>,
    /// By number.
    list: Vec<Owner>,
    /// By the first 8 bytes of the hash of a point's id.
    by_point: HashMap<u64, usize>,
    /// Hashes in all `today`.
    today: usize,
}

impl Owners {
    /// A gateway was heard.
    pub(super) fn heard(&mut self, gateway: &GatewayId, now: Duration) {
        if let Some(owner) = self.owner_mut(gateway) {
            owner.heard = now;
        }
    }

    /// A gateway opened its session and names the dictionaries of its devices, where it tells them.
    pub(super) fn opened(
        &mut self,
        gateway: &GatewayId,
        today: Option<Vec<DictionaryHash>>,
        now: Duration,
    ) {
        let number = self.number(gateway, now);
        let Some(owner) = self.list.get_mut(number) else { return };
        let before = owner.today.take().map_or(0, |before| before.len());
        self.today = self.today.saturating_sub(before);
        if let Some(mut today) = today
            && self.today.saturating_add(today.len()) <= TODAY_MAX
        {
            today.sort_unstable();
            self.today = self.today.saturating_add(today.len());
            owner.today = Some(today);
        }
    }

    /// These dictionaries describe all devices that a gateway has today; it gives up what they lack. Whether it had any
    /// of that.
    pub(super) fn configured(
        &mut self,
        gateway: &GatewayId,
        dictionaries: &[Arc<Dictionary>],
    ) -> bool {
        let Some(owner) = self.owner_mut(gateway) else { return false };
        let all_claimed = |today: &Vec<DictionaryHash>| {
            owner.claimed.iter().all(|claimed| today.binary_search(claimed).is_ok())
        };
        if owner.points.is_empty() || owner.today.as_ref().is_some_and(all_claimed) {
            return false;
        }
        let points = dictionaries.iter().flat_map(|dictionary| &dictionary.points);
        let kept: HashSet<u64> = points.map(|point| key(point.id.as_str())).collect();
        owner.claimed.clear();
        let points = std::mem::take(&mut owner.points);
        let (kept, given_up): (Vec<u64>, Vec<u64>) =
            points.into_iter().partition(|point| kept.contains(point));
        owner.points = kept;
        for point in &given_up {
            self.by_point.remove(point);
        }
        !given_up.is_empty()
    }

    /// Gives the points of a dictionary to a gateway that has it today.
    ///
    /// # Errors
    /// Names a point that another gateway writes.
    pub(super) fn claim(
        &mut self,
        gateway: &GatewayId,
        (hash, dictionary): (DictionaryHash, &Dictionary),
        now: Duration,
    ) -> Result<(), String> {
        let number = self.number(gateway, now);
        let Some(owner) = self.list.get(number) else { return Ok(()) };
        let is_old = owner.today.as_ref().is_some_and(|today| today.binary_search(&hash).is_err());
        if is_old || owner.claimed.contains(&hash) {
            return Ok(());
        }
        let keys: Vec<u64> = dictionary.points.iter().map(|point| key(point.id.as_str())).collect();
        let mut gone = BTreeSet::new();
        for (point, key) in dictionary.points.iter().zip(&keys) {
            let other = self.by_point.get(key).copied().filter(|other| *other != number);
            let Some((other, owner)) = other.and_then(|at| Some((at, self.list.get(at)?))) else {
                continue;
            };
            let silent = now.saturating_sub(owner.heard);
            if silent < OWNER_SILENT {
                return Err(taken(point.id.as_str(), &owner.gateway));
            }
            gone.insert(other);
        }
        for other in gone {
            self.give_up(other);
        }
        let Some(owner) = self.list.get_mut(number) else { return Ok(()) };
        for key in keys {
            if self.by_point.len() < POINTS_MAX && self.by_point.insert(key, number).is_none() {
                owner.points.push(key);
            }
        }
        if owner.claimed.len() >= CLAIMED_MAX {
            owner.claimed.clear();
        }
        owner.claimed.insert(hash);
        Ok(())
    }

    /// Frees all points of a gateway that is gone. If it comes again, it is asked like any other.
    fn give_up(&mut self, number: usize) {
        let Some(owner) = self.list.get_mut(number) else { return };
        owner.claimed.clear();
        for point in std::mem::take(&mut owner.points) {
            self.by_point.remove(&point);
        }
    }

    fn owner_mut(&mut self, gateway: &GatewayId) -> Option<&mut Owner> {
        self.list.get_mut(*self.numbers.get(gateway)?)
    }

    fn number(&mut self, gateway: &GatewayId, now: Duration) -> usize {
        if let Some(number) = self.numbers.get(gateway) {
            return *number;
        }
        let number = self.list.len();
        self.list.push(Owner {
            gateway: gateway.clone(),
            heard: now,
            points: Vec::new(),
            claimed: BTreeSet::new(),
            today: None,
        });
        self.numbers.insert(gateway.clone(), number);
        number
    }
}

/// What both logs say of a point that another gateway writes. The same each time, so that a gateway logs it once.
fn taken(point: &str, other: &GatewayId) -> String {
    let free_min = OWNER_SILENT.as_secs() / 60;
    format!(
        "point `{point}` is written by gateway `{other}`: take the device out of the settings of one \
         of the two, or give the point another id. Once `{other}` is started without it the point is free at once; if \
         `{other}` is gone for good, {free_min} min after it was heard last"
    )
}

fn key(point: &str) -> u64 {
    let hash = Sha256::digest(point.as_bytes());
    hash.iter().take(8).fold(0, |key, byte| key << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use model::fixtures::{dictionary, gateway};

    use super::*;

    /// What is kept of openings is bounded; beyond that a gateway keeps its points until it is silent.
    #[test]
    fn openings_that_name_too_many_dictionaries_take_nothing_from_others() {
        let (mut owners, now) = (Owners::default(), Duration::ZERO);
        let named = |dictionary: &Dictionary| (dictionary.hash(), dictionary.clone());
        let (hash, dictionary) = named(&dictionary());
        let many = vec![DictionaryHash([1; 32]); TODAY_MAX];
        owners.opened(&gateway("g1"), Some(many.clone()), now);
        assert_eq!(owners.today, TODAY_MAX);
        owners.opened(&gateway("g2"), Some(vec![DictionaryHash([2; 32])]), now);
        assert_eq!((owners.today, owners.list[1].today.is_none()), (TODAY_MAX, true));
        owners.claim(&gateway("g2"), (hash, &dictionary), now).unwrap();
        assert!(owners.claim(&gateway("g3"), (hash, &dictionary), now).is_err());
        owners.opened(&gateway("g1"), None, now);
        assert_eq!(owners.today, 0);
        // Dictionaries beyond those that are remembered as claimed are looked at again.
        for number in 0..=CLAIMED_MAX {
            let hash = DictionaryHash([u8::try_from(number % 256).unwrap(); 32]);
            let hash = DictionaryHash(
                [&hash.0[..31], &[u8::from(number > 255)]].concat().try_into().unwrap(),
            );
            owners.claim(&gateway("g2"), (hash, &dictionary), now).unwrap();
        }
        assert!(owners.list[1].claimed.len() <= CLAIMED_MAX);
        assert!(owners.claim(&gateway("g3"), (hash, &dictionary), now).is_err());
    }
}
