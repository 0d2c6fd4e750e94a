//! The bound on what all clients together have sent of packets that are not complete. Where it is full, the packet that
//! has taken longest loses its connection: an honest packet on loopback takes milliseconds.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

/// Most bytes of packets that are not complete, over all clients. The broker holds up to twice as much for them.
pub const HALF_READ_BYTES_MAX: usize = 24 * 1_024 * 1_024;

#[derive(Debug)]
struct Packet {
    bytes: usize,
    waker: Option<Waker>,
}

#[derive(Debug, Default)]
struct State {
    sum: usize,
    next: u64,
    /// By the order in which the packets began.
    packets: BTreeMap<u64, Packet>,
}

/// The bound of one broker.
#[derive(Debug, Clone, Default)]
pub struct HalfRead(Arc<Mutex<State>>);

/// The packet of one client, if it has one under way.
#[derive(Debug)]
pub struct Share {
    all: HalfRead,
    packet: Option<u64>,
}

/// The packet was given up, because others needed its room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GivenUp;

impl HalfRead {
    /// A place for one client.
    pub fn share(&self) -> Share {
        Share { all: self.clone(), packet: None }
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Share {
    /// Notes how much of a packet is here; 0 when it is complete.
    ///
    /// # Errors
    ///
    /// When the packet gave way to others.
    pub fn set(&mut self, bytes: usize, waker: &Waker) -> Result<(), GivenUp> {
        let packet = self.packet;
        let result = self.all.with(|state| {
            let before = match packet {
                Some(packet) => state.packets.remove(&packet).ok_or(GivenUp)?.bytes,
                None => 0,
            };
            state.sum = state.sum.saturating_sub(before);
            if bytes == 0 {
                return Ok(None);
            }
            let key = packet.unwrap_or_else(|| {
                state.next += 1;
                state.next
            });
            state.sum = state.sum.saturating_add(bytes);
            state.packets.insert(key, Packet { bytes, waker: Some(waker.clone()) });
            while state.sum > HALF_READ_BYTES_MAX {
                let Some((oldest, given_up)) = state.packets.pop_first() else { break };
                state.sum = state.sum.saturating_sub(given_up.bytes);
                if oldest == key {
                    return Err(GivenUp);
                }
                if let Some(waker) = given_up.waker {
                    waker.wake();
                }
            }
            Ok(Some(key))
        });
        self.packet = result.unwrap_or(None);
        result.map(|_| ())
    }

    /// Whether the packet may go on.
    ///
    /// # Errors
    ///
    /// When the packet gave way to others.
    pub fn check(&self, waker: &Waker) -> Result<(), GivenUp> {
        let Some(packet) = self.packet else { return Ok(()) };
        self.all.with(|state| {
            let packet = state.packets.get_mut(&packet).ok_or(GivenUp)?;
            packet.waker = Some(waker.clone());
            Ok(())
        })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let Some(packet) = self.packet else { return };
        self.all.with(|state| {
            if let Some(packet) = state.packets.remove(&packet) {
                state.sum = state.sum.saturating_sub(packet.bytes);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PART: usize = 2 * 1_024 * 1_024;

    /// Trial brk-06.
    #[test]
    fn what_took_longest_gives_way_and_the_sum_stays_bounded() {
        let all = HalfRead::default();
        let waker = Waker::noop();
        let mut clients: Vec<Share> = (0..2_000).map(|_| all.share()).collect();
        for client in &mut clients {
            client.set(PART, waker).unwrap();
            assert!(all.with(|state| state.sum) <= HALF_READ_BYTES_MAX);
        }
        let kept = HALF_READ_BYTES_MAX / PART;
        let alive = clients.iter().filter(|client| client.check(waker).is_ok()).count();
        assert_eq!(alive, kept);
        assert_eq!(clients[0].set(PART + 1, waker), Err(GivenUp));
        // An honest packet finds room at once.
        let mut honest = all.share();
        honest.set(PART / 2, waker).unwrap();
        honest.set(PART, waker).unwrap();
        honest.set(0, waker).unwrap();
        drop(clients);
        assert_eq!(all.with(|state| (state.sum, state.packets.len())), (0, 0));
    }

    #[test]
    fn one_packet_that_alone_is_too_large_gives_way_itself() {
        let mut client = HalfRead::default().share();
        assert_eq!(client.set(HALF_READ_BYTES_MAX + 1, Waker::noop()), Err(GivenUp));
        assert_eq!(client.check(Waker::noop()), Ok(()));
    }
}
