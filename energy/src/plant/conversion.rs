//! Conversion between the units of an energy kind, by their own factors or by one that the site states. Must never round.

use model::Unit;

use super::{Conversion, EnergyKind};
use crate::convert;
use crate::number::{Number, portion};

/// Digits after the point that the inverse of a stated factor may have.
const INVERSE_DIGITS_MAX: u32 = 18;

impl Conversion {
    /// The same from `to` to `from`, where the inverse of its factor is a finite decimal.
    fn backwards(&self) -> Option<Self> {
        let one = Number::from(1);
        let factor = portion(&one, &one, &self.factor, INVERSE_DIGITS_MAX)?;
        (&factor * &self.factor == one).then_some(Self { from: self.to, to: self.from, factor })
    }

    fn through(&self, from: Unit, to: Unit) -> Option<Number> {
        let (before, after) = (convert::factor(from, self.from)?, convert::factor(self.to, to)?);
        Some(&(&before * &self.factor) * &after)
    }
}

impl EnergyKind {
    /// How many of the kind's unit one `from` is.
    #[must_use]
    pub fn factor_from(&self, from: Unit) -> Option<Number> {
        self.factor(from, self.unit)
    }

    /// How many `to` one `from` is for this kind, by the units' own factors or by one that the site states, backwards too
    /// where that is a finite decimal: 1 ÷ 0.8 is, 1 ÷ 0.84 is not.
    #[must_use]
    pub fn factor(&self, from: Unit, to: Unit) -> Option<Number> {
        let stated = || self.conversions.iter();
        convert::factor(from, to)
            .or_else(|| stated().find_map(|one| one.through(from, to)))
            .or_else(|| {
                stated().filter_map(Conversion::backwards).find_map(|one| one.through(from, to))
            })
    }

    /// A stated conversion from `to` to `from` that cannot be turned round exactly.
    pub(crate) fn only_backwards(&self, from: Unit, to: Unit) -> Option<&Conversion> {
        let fits = |one: &&Conversion| {
            let goes = |from, to| convert::factor(from, to).is_some();
            goes(from, one.to) && goes(one.from, to)
        };
        self.conversions.iter().find(fits)
    }
}
