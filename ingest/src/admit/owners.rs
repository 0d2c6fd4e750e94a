//! Which gateway writes which point. Two that write one would make each other's readings look like corrections, so the
//! second is refused by name while the first is heard. Must never know a value.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use model::{Dictionary, GatewayId};
use sha2::{Digest as _, Sha256};

/// A gateway that was not heard for so long loses its points to the next one: a device was replaced.
pub(super) const OWNER_SILENT: Duration = Duration::from_mins(15);
/// Most points that are looked after; those beyond may be written by anybody.
const POINTS_MAX: usize = 2_000_000;

/// The owners of points.
#[derive(Debug, Default)]
pub(super) struct Owners {
    numbers: BTreeMap<GatewayId, usize>,
    /// By number: the gateway, and when it was heard last.
    gateways: Vec<(GatewayId, Duration)>,
    /// By the first 8 bytes of the hash of a point's id.
    by_point: HashMap<u64, usize>,
}

impl Owners {
    /// A gateway was heard.
    pub(super) fn heard(&mut self, gateway: &GatewayId, now: Duration) {
        let number = self.number(gateway);
        if let Some((_, heard)) = self.gateways.get_mut(number) {
            *heard = now;
        }
    }

    /// Gives the points of a dictionary to a gateway.
    ///
    /// # Errors
    /// Names a point that another gateway writes.
    pub(super) fn claim(
        &mut self,
        gateway: &GatewayId,
        dictionary: &Dictionary,
        now: Duration,
    ) -> Result<(), String> {
        let number = self.number(gateway);
        for point in &dictionary.points {
            let other =
                self.by_point.get(&key(point.id.as_str())).filter(|owner| **owner != number);
            let Some((other, heard)) = other.and_then(|owner| self.gateways.get(*owner)) else {
                continue;
            };
            if now.saturating_sub(*heard) < OWNER_SILENT {
                return Err(format!(
                    "point `{}` is written by gateway `{other}`: give the point another id, or stop one of the two",
                    point.id
                ));
            }
        }
        for point in &dictionary.points {
            if self.by_point.len() < POINTS_MAX {
                self.by_point.insert(key(point.id.as_str()), number);
            }
        }
        Ok(())
    }

    fn number(&mut self, gateway: &GatewayId) -> usize {
        if let Some(number) = self.numbers.get(gateway) {
            return *number;
        }
        let number = self.gateways.len();
        self.gateways.push((gateway.clone(), Duration::ZERO));
        self.numbers.insert(gateway.clone(), number);
        number
    }
}

fn key(point: &str) -> u64 {
    let hash = Sha256::digest(point.as_bytes());
    hash.iter().take(8).fold(0, |key, byte| key << 8 | u64::from(*byte))
}
