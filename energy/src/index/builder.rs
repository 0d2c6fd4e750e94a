//! Makes the index of one meter of readings that come in the order of time, without holding them: what it holds grows
//! with slots and events, not with readings. Must never know where readings come from.
//!
//! The index is that of all readings: of each slot those knots stay that its borders and events need, after each reading
//! was looked at, so a register that goes through its modulus or starts again within a slot counts.

use std::collections::BTreeMap;
use std::fmt;

use model::{Decimal, Quality, Timestamp};
use serde::Serialize;

use super::events::{EventFinding, Events};
use super::plausible::{Limit, refuse, refused};
use super::{Index, cadence};
use crate::period::Span;
use crate::plant::Meter;
use crate::put_aside::{Aside, Runs};
use crate::readings::{Reading, ReadingCounts, ReadingsError, Register, power_of};
use crate::validate::Walker;

/// Qualities that are counted apart; the others are counted together.
const QUALITIES_MAX: usize = 32;

/// Readings of one quality that were not used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotUsed {
    /// The quality, by its OPC UA name.
    pub quality: String,
    /// How many.
    pub readings: u64,
}

impl fmt::Display for NotUsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (quality, readings) = (&self.quality, self.readings);
        match readings {
            1 => write!(f, "1 reading is {quality} and was not used"),
            _ => write!(f, "{readings} readings are {quality} and were not used"),
        }
    }
}

/// Takes the readings of one meter one by one.
#[derive(Debug)]
pub struct IndexBuilder<'a> {
    meter: &'a Meter,
    register: Register,
    interpolation_max_micros: i64,
    /// By how much a digit of a reading counts in the register.
    power: i128,
    /// The time in which readings that are not used are counted by quality.
    span: Option<Span>,
    /// The reading that counts at the newest time, and the digits of the others at that time.
    newest: Option<Reading>,
    others: Vec<i64>,
    counts: ReadingCounts,
    not_used: BTreeMap<u32, u64>,
    /// Good readings that were never walked over: struck out, or below zero.
    aside: Runs,
    /// The newest reading that was used came after the newest one that was not.
    used_since_aside: bool,
    events: Events,
    /// What a first pass over the same readings found.
    learned: Option<Learned>,
    walker: Walker,
}

/// What became of the readings of a meter.
#[derive(Debug)]
pub enum Finished {
    /// Its index.
    Index(Box<Index>),
    /// The readings contradict a replacement in the plant file, or the register rose by more than is plausible: the same
    /// readings must be taken again by [`IndexBuilder::knowing`].
    Again(Learned),
}

/// What all readings of a meter say together and each alone cannot: its bound, and where its replacements fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Learned {
    limit: Option<Limit>,
    replacements: Vec<(Timestamp, i128, i128)>,
    findings: Vec<EventFinding>,
}

impl<'a> IndexBuilder<'a> {
    /// For readings whose digits are at `exponent`; `modulus` is what the device profile states.
    ///
    /// # Errors
    /// When the numbers of the meter do not fit together.
    pub fn new(
        meter: &'a Meter,
        interpolation_max_micros: i64,
        exponent: i8,
        modulus: Option<Decimal>,
    ) -> Result<Self, ReadingsError> {
        let register = Register::new(meter, exponent, modulus)?;
        let power = power_of(exponent, register.raw_exponent)
            .ok_or_else(|| ReadingsError::Digits { meter: meter.id.clone() })?;
        Ok(Self {
            meter,
            events: Events::of(&register),
            learned: None,
            aside: Runs::default(),
            used_since_aside: true,
            register,
            interpolation_max_micros,
            power,
            span: None,
            newest: None,
            others: Vec::new(),
            counts: ReadingCounts::default(),
            not_used: BTreeMap::new(),
            walker: Walker::new(false),
        })
    }

    /// Counts readings that are not used within a time by their quality.
    #[must_use]
    pub fn counting_in(self, span: Span) -> Self {
        Self { span: Some(span), ..self }
    }

    /// With what a first pass over the same readings found.
    #[must_use]
    pub fn knowing(mut self, learned: Learned) -> Self {
        self.register.replacements.clone_from(&learned.replacements);
        self.register.limit = learned.limit;
        Self { learned: Some(learned), events: Events::default(), ..self }
    }

    /// Keeps every knot, so that the energy of any time can be asked for, not only that of whole slots.
    #[must_use]
    pub(crate) fn keeping_all(self) -> Self {
        Self { walker: Walker::new(true), ..self }
    }

    /// Takes a reading; none may be older than the one before it.
    pub fn push(&mut self, reading: Reading) {
        let quality = reading.quality;
        if !quality.is_good() && (quality.is_bad() || !self.meter.accept_uncertain) {
            self.put_aside(&reading);
            return;
        }
        if let Some(why) = self.is_no_energy(&reading) {
            match why {
                Aside::Struck(_) => self.counts.struck += 1,
                _ => self.counts.below_zero += 1,
            }
            let goes_on = !std::mem::take(&mut self.used_since_aside);
            self.aside.extend(reading.time, goes_on, why);
            return;
        }
        self.used_since_aside = true;
        match self.newest {
            Some(newest) if newest.time == reading.time => {
                // R8: generation, then sequence. The digits make the order total, whatever the caller hands in.
                let rank = |one: &Reading| (one.generation, one.sequence, one.mantissa);
                let (winner, other) = if rank(&reading) > rank(&newest) {
                    (reading, newest)
                } else {
                    (newest, reading)
                };
                self.newest = Some(winner);
                self.others.push(other.mantissa);
            }
            newest => {
                debug_assert!(
                    newest.is_none_or(|newest| newest.time < reading.time),
                    "INV-7: readings come in the order of time"
                );
                self.settle();
                self.newest = Some(reading);
            }
        }
    }

    /// Why a Good reading cannot count, whatever the others are: it was struck out, or no counter shows it.
    fn is_no_energy(&self, reading: &Reading) -> Option<Aside> {
        let mut strikes = self.meter.strikes.iter();
        if let Some(strike) = strikes.find(|one| one.from <= reading.time && reading.time < one.to)
        {
            return Some(Aside::Struck(strike.reason.clone()));
        }
        (reading.mantissa < 0).then_some(Aside::BelowZero)
    }

    /// Counts readings that were not handed over, since they have no value.
    pub fn count_not_used(&mut self, quality: Quality, readings: u64) {
        self.counts.unusable += readings;
        self.add_not_used(quality, readings);
    }

    fn put_aside(&mut self, reading: &Reading) {
        self.counts.unusable += 1;
        if self.span.is_some_and(|span| span.from <= reading.time && reading.time < span.to) {
            self.add_not_used(reading.quality, 1);
        }
    }

    fn add_not_used(&mut self, Quality(code): Quality, readings: u64) {
        let known = self.not_used.contains_key(&code) || self.not_used.len() < QUALITIES_MAX;
        let code = if known { code } else { Quality::UNCERTAIN.0 };
        *self.not_used.entry(code).or_default() += readings;
    }

    /// All readings of the newest time are there.
    fn settle(&mut self) {
        let Some(winner) = self.newest.take() else { return };
        self.counts.used += 1;
        for other in self.others.drain(..) {
            if other == winner.mantissa {
                self.counts.duplicates += 1;
            } else {
                self.counts.conflicts += 1;
            }
        }
        let point = (winner.time, i128::from(winner.mantissa) * self.power);
        self.events.push(point);
        self.walker.push(point, &self.register, self.interpolation_max_micros);
    }

    /// There are no more readings.
    #[must_use]
    pub fn finish(mut self) -> Finished {
        self.settle();
        let mut walked = self.walker.finish(&self.register, self.interpolation_max_micros);
        let Learned { limit, findings, .. } = if let Some(learned) = self.learned {
            learned
        } else {
            let limit = Limit::of(&walked.knots, &self.register, self.meter.unit);
            let decided = self.events.decide(&self.register, limit.as_ref());
            let (replacements, findings) = (decided.replacements, decided.findings);
            let learned = Learned { limit, replacements, findings };
            let is_refused = |limit: &Limit| !refused(&walked.knots, limit).is_empty();
            if !learned.findings.is_empty() || limit.as_ref().is_some_and(is_refused) {
                return Finished::Again(learned);
            }
            learned
        };
        if let Some(limit) = &limit {
            let refused = refused(&walked.knots, limit);
            refuse(&mut walked.knots, refused);
        }
        self.counts.untrusted = walked.untrusted;
        self.counts.used -= walked.untrusted;
        let not_used = self
            .not_used
            .into_iter()
            .map(|(code, readings)| NotUsed { quality: Quality(code).to_string(), readings });
        Finished::Index(Box::new(Index {
            meter: self.meter.id.clone(),
            unit: self.meter.unit,
            bound: limit.map(|limit| limit.bound(&self.register)),
            register: self.register,
            interpolation_max_micros: self.interpolation_max_micros,
            counts: self.counts,
            not_used: not_used.collect(),
            put_aside: self.aside.and(walked.put_aside),
            findings,
            seldom_max_micros: cadence::seldom(&walked.knots),
            knots: walked.knots,
        }))
    }
}
