//! Which requests read the points of a device: as few as its limits allow, and no register that nobody wants unless the
//! profile allows it. Must never send one.

use std::fmt;
use std::ops::Range;

use model::PointIndex;

use crate::address::{Address, Area};
use crate::codec::Form;

/// Registers that one request may ask for at most.
///
/// # Source
/// MODBUS Application Protocol Specification V1.1b3, §6.3 and §6.4: quantity of registers 1 to 125 (0x7D).
pub(crate) const REGISTERS_PER_REQUEST_MAX: u16 = 125;
/// Bits that one request may ask for at most.
///
/// # Source
/// MODBUS Application Protocol Specification V1.1b3, §6.1 and §6.2: quantity of bits 1 to 2000 (0x7D0).
pub(crate) const BITS_PER_REQUEST_MAX: u16 = 2000;

/// What a device stands at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Registers of one request.
    pub(crate) registers_max: u16,
    /// Bits of one request.
    pub(crate) bits_max: u16,
    /// Unwanted registers in a row that may be read along.
    pub(crate) register_holes_max: u16,
    /// Unwanted bits in a row that may be read along.
    pub(crate) bit_holes_max: u16,
    /// One point a request.
    pub(crate) single_reads: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            registers_max: REGISTERS_PER_REQUEST_MAX,
            bits_max: BITS_PER_REQUEST_MAX,
            register_holes_max: 0,
            bit_holes_max: 0,
            single_reads: false,
        }
    }
}

/// A point with everything that turns registers into its samples.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Point {
    /// Its place in the dictionary.
    pub(crate) index: PointIndex,
    /// Where it stands.
    pub(crate) address: Address,
    /// From raw to its values.
    pub(crate) form: Form,
    /// Its place in the profile.
    pub(crate) at: u16,
}

/// One question to a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Request {
    /// The table that is read.
    pub(crate) area: Area,
    /// The first register or bit, as on the wire.
    pub(crate) start: u16,
    /// How many.
    pub(crate) count: u16,
}

impl fmt::Display for Request {
    /// `input 0..=79`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = u32::from(self.start) + u32::from(self.count).saturating_sub(1);
        write!(f, "{} {}..={last}", self.area.name(), self.start)
    }
}

impl Request {
    /// Bytes of values in its reply; a reply on a serial line says no more of what it answers than this and the
    /// function.
    pub(crate) fn reply_bytes(self) -> u16 {
        if self.area.is_bits() { self.count.div_ceil(8) } else { self.count.saturating_mul(2) }
    }

    /// Whether a reply to the one could be taken for a reply to the other.
    pub(crate) fn may_be_mistaken_for(self, other: Self) -> bool {
        self.area == other.area && self.reply_bytes() == other.reply_bytes()
    }

    /// Whether the value at `address` is part of what it asks for.
    pub(crate) fn covers(self, address: &Address) -> bool {
        let end = u32::from(self.start) + u32::from(self.count);
        self.area == address.area && self.start <= address.start && address.end() <= end
    }

    /// Whether both ask for a register or bit that is the same.
    pub(crate) fn overlaps(self, other: Self) -> bool {
        let end = |request: Self| u32::from(request.start) + u32::from(request.count);
        self.area == other.area
            && u32::from(self.start) < end(other)
            && u32::from(other.start) < end(self)
    }

    /// The smallest request that covers `points`, which are of one area and sorted by start.
    pub(crate) fn covering(points: &[Point]) -> Option<Self> {
        let first = points.first()?.address;
        let end = points.iter().map(|point| point.address.end()).max()?;
        let count = u16::try_from(end.saturating_sub(u32::from(first.start))).ok()?;
        Some(Self { area: first.area, start: first.start, count })
    }
}

/// Sorts the points by address and cuts them into runs that one request each reads.
pub(crate) fn plan(points: &mut [Point], limits: &Limits) -> Vec<Range<usize>> {
    points.sort_by_key(|point| (point.address.area, point.address.start, point.index.0));
    let mut blocks: Vec<Range<usize>> = Vec::new();
    let mut end = 0_u32;
    for (index, point) in points.iter().enumerate() {
        let address = &point.address;
        let joins = blocks.last().and_then(|block| points.get(block.start)).is_some_and(|first| {
            let bits = address.area.is_bits();
            let (count_max, holes_max) = if bits {
                (limits.bits_max, limits.bit_holes_max)
            } else {
                (limits.registers_max, limits.register_holes_max)
            };
            let hole = u32::from(address.start).saturating_sub(end);
            let count = address.end().max(end).saturating_sub(u32::from(first.address.start));
            !limits.single_reads
                && first.address.area == address.area
                && hole <= u32::from(holes_max)
                && count <= u32::from(count_max)
        });
        match blocks.last_mut() {
            Some(block) if joins => {
                block.end = index + 1;
                end = end.max(address.end());
            }
            _ => {
                blocks.push(index..index + 1);
                end = address.end();
            }
        }
    }
    blocks
}

/// Requests by which a device can show that it is in step again: each covers whole points of one block. First come some
/// of which no reply to one can be taken for a reply to another, then the same lengths at other places.
///
/// A reply on a serial line says only its function and how many bytes it brings, so a reply that is late can be told
/// from the one that is due by asking for another number of them. They are spread over the blocks, since a device may
/// keep silent on one of them, or on a register of one.
pub(crate) fn probes(points: &[Point], blocks: &[Range<usize>]) -> Vec<Request> {
    let longest = blocks.iter().map(ExactSizeIterator::len).max().unwrap_or(0);
    let of_length = |length: usize| {
        (0..blocks.len()).filter_map(move |turn| {
            let block = blocks.get((length - 1 + turn) % blocks.len())?;
            Request::covering(points.get(block.clone())?.get(..length)?)
        })
    };
    let mut probes = distinct((1..=longest).flat_map(of_length));
    let one_kind = probes.len() == 1;
    // Where all are of one kind, the device is asked for more than it has: many give what lies there, though nobody wants
    // it.
    if let [only] = probes.as_slice() {
        let only = *only;
        probes = distinct(with_longer(only));
    }
    let elsewhere = elsewhere(points, blocks, &probes, one_kind);
    probes.extend(elsewhere);
    probes
}

/// A request, and two that ask for more as well, as far as there are so many registers or bits.
fn with_longer(request: Request) -> impl Iterator<Item = Request> {
    let step = if request.area.is_bits() { 8 } else { 1 };
    let longer = (0..=2).map(move |more| Request { count: request.count + more * step, ..request });
    longer.filter(|longer| {
        u32::from(longer.start) + u32::from(longer.count) <= u32::from(u16::MAX) + 1
    })
}

/// Other places for probes of the same kinds, spread evenly over the device: the end and the middle of each block.
fn elsewhere(
    points: &[Point],
    blocks: &[Range<usize>],
    probes: &[Request],
    one_kind: bool,
) -> Vec<Request> {
    /// Of each kind.
    const PLACES_MAX: usize = 7;
    let of_block = |block: &Range<usize>| {
        let block = block.clone();
        (1..=block.len().min(PROBES_MAX)).flat_map(move |length| {
            let middle = block.start + (block.len() - length) / 2;
            [block.end - length, middle].map(|start| start..start + length)
        })
    };
    let covering = |range: Range<usize>| Request::covering(points.get(range)?);
    let mut all: Vec<Request> = blocks.iter().flat_map(of_block).filter_map(covering).collect();
    if one_kind {
        all = all.into_iter().flat_map(with_longer).collect();
    }
    let mut found = Vec::new();
    for probe in probes {
        let is_other = |other: &&Request| other.may_be_mistaken_for(*probe) && **other != *probe;
        let mut of_kind: Vec<Request> = all.iter().filter(is_other).copied().collect();
        of_kind.sort_unstable_by_key(|request| request.start);
        of_kind.dedup();
        let step = of_kind.len().div_ceil(PLACES_MAX).max(1);
        found.extend(of_kind.into_iter().rev().step_by(step));
    }
    found
}

/// Kinds of probes that are kept: each further one is asked only after all before it stayed unanswered.
const PROBES_MAX: usize = 8;

/// The first few requests whose replies cannot be mistaken for one another.
fn distinct(requests: impl Iterator<Item = Request>) -> Vec<Request> {
    let mut kept: Vec<Request> = Vec::new();
    for request in requests {
        if kept.len() < PROBES_MAX && !kept.iter().any(|other| other.may_be_mistaken_for(request)) {
            kept.push(request);
        }
    }
    kept
}

#[cfg(test)]
mod tests;
