//! How much of a line's use falls in a part of the period, where coefficients of parts differ. Shares are those of the whole
//! period, so that the parts sum to it. Must never convert.

use super::uses::{Counted, LineUse, share};
use crate::fact::Flow;
use crate::id::SubjectId;
use crate::made::SHARE_DIGITS;
use crate::number::{Number, portion};
use crate::period::Period;
use crate::plant::{Allocation, EnergyKind};
use crate::source::{Inputs, Quantity};

/// One use of a line, as far as it can be divided in time.
pub(super) struct Within<'a> {
    inputs: &'a Inputs<'a>,
    period: Period,
    line: SubjectId,
    kind: &'a EnergyKind,
    has_own: bool,
    keys: Vec<&'a Allocation>,
    /// Makers of a kind, and the line's part of what they used.
    through: Vec<(Vec<SubjectId>, Option<Number>)>,
    /// What counts of all of it, where that is not everything.
    counted: Option<(Option<Number>, Option<Number>)>,
}

impl<'a> Within<'a> {
    pub(super) fn of(
        inputs: &'a Inputs<'a>,
        period: Period,
        line: &SubjectId,
        one: &LineUse<'a>,
    ) -> Self {
        let counted = match &one.counted {
            Counted::Part(part, _) => Some((part.clone(), one.amount())),
            Counted::All | Counted::Nothing => None,
        };
        let through = one.through.iter().map(|one| (one.makers.clone(), one.part.clone()));
        Self {
            inputs,
            period,
            line: line.clone(),
            kind: one.kind,
            has_own: one.own.is_some(),
            keys: one.allocated.iter().map(|one| one.key).collect(),
            through: through.collect(),
            counted,
        }
    }

    /// What counts of the use in a part of the period; `None` where it is not known.
    pub(super) fn quantity(&self, part: Period) -> Option<Quantity> {
        let own = if self.has_own { Some(self.used(&self.line, part)?) } else { None };
        if let (true, true, None, Some(own)) =
            (self.keys.is_empty(), self.through.is_empty(), &self.counted, &own)
        {
            return Some(own.clone());
        }
        let mut sum = own.map_or_else(|| Some(Number::zero()), |own| own.value)?;
        for key in &self.keys {
            let whole = self.used(&key.from, part)?.value?;
            sum = sum + share(key, &self.line, &whole)?;
        }
        for (makers, mine) in &self.through {
            let used = |period| -> Option<Number> {
                let each = makers.iter().map(|maker| self.used(maker, period)?.value);
                each.collect::<Option<Vec<Number>>>().map(|each| each.iter().sum())
            };
            let (here, all) = (used(part)?, used(self.period)?);
            if !all.is_zero() {
                sum = sum + portion(&here, mine.as_ref()?, &all, SHARE_DIGITS.max(here.places()))?;
            }
        }
        let value = match &self.counted {
            Some((Some(counted), Some(all))) if !all.is_zero() => {
                portion(&sum, counted, all, SHARE_DIGITS.max(sum.places()))?
            }
            Some((None, _) | (_, None)) => return None,
            Some(_) | None => sum,
        };
        Some(Quantity { value: Some(value), ..Quantity::unknown() })
    }

    fn used(&self, subject: &SubjectId, period: Period) -> Option<Quantity> {
        // Two levels are told when the whole is asked for; here the part is not known.
        self.inputs.quantity(subject, Flow::Consumed, self.kind, period).ok().flatten()
    }
}
