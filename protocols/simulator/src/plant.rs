//! The plant itself, a pure function of seed and time: registers that are exact at every moment, and momentary values
//! that fit their slope.
//!
//! Energy is drawn per 15-minute slot by a hash of (seed, source, slot), so that any time can be asked for without the
//! times before it. Inside a slot a register rises linearly; at the ends of slots it is exact. A meter is a sum of
//! sources, so a main register is the sum of its subs, in integers, at every moment.

mod calendar;
mod chance;
mod counter;
mod meters;
mod moment;
mod source;

use model::{Decimal, Timestamp};

pub(crate) use calendar::SLOT_MICROS;
pub use meters::{METERS, Meter, PRODUCTS, Product};
pub(crate) use moment::{Electric, What};
pub(crate) use source::{Machine, Source};

use calendar::Slot;
use counter::Counter;

/// A simulated plant.
#[derive(Debug)]
pub struct Plant {
    seed: u64,
    counters: [Counter; Source::COUNT],
}

impl Plant {
    /// The plant of a seed. All registers stand at zero on 2025-01-01T00:00+08:00 and before.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, counters: std::array::from_fn(|_| Counter::default()) }
    }

    /// What the register of a meter shows, in steps of its last digit. Never falls.
    #[must_use]
    pub fn register(&self, meter: &Meter, at: Timestamp) -> i64 {
        meter.sources.iter().map(|source| self.reading(*source, at)).sum()
    }

    /// What a meter counts between two times, exactly: the difference of its register.
    #[must_use]
    pub fn integral(&self, meter: &Meter, from: Timestamp, to: Timestamp) -> Decimal {
        let mantissa = self.register(meter, to) - self.register(meter, from);
        Decimal { mantissa, exponent: meter.exponent }
    }

    /// Pieces of a product that were finished between two times.
    #[must_use]
    pub fn output(&self, product: &Product, from: Timestamp, to: Timestamp) -> i64 {
        let made = |at| product.sources.iter().map(|source| self.reading(*source, at)).sum::<i64>();
        made(to) - made(from)
    }

    /// The reading of a source: exact at the ends of slots, rising linearly between them, rounded down.
    fn reading(&self, source: Source, at: Timestamp) -> i64 {
        let (slot, into) = Slot::of(at);
        let (begin, adds) = self.slot(source, slot);
        begin + adds * into / SLOT_MICROS
    }

    /// The reading of a source at the beginning of a slot, and what the slot adds.
    fn slot(&self, source: Source, slot: Slot) -> (i64, i64) {
        self.counters[source.index()].at(slot.0, |slot| source.increment(self.seed, Slot(slot)))
    }
}

#[cfg(test)]
mod tests;
