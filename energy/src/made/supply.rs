//! What there is of each kind that is made on site, and what its makers used to make it. Must never look at a line's use.

use std::collections::BTreeMap;

use model::{Localized, text};

use super::Makers;
use crate::coefficient::{Basis, EnergyClass};
use crate::fact::Flow;
use crate::flows::Flows;
use crate::id::{KindId, SubjectId};
use crate::number::{Number, portion};
use crate::period::Period;
use crate::plant::{EnergyKind, Plant};
use crate::source::{Inputs, Quantity, SourceError};
use crate::tce::{BasisChoice, Converter};

/// Digits after the point to which a share that is no finite decimal is rounded; shares still sum to the whole.
pub(crate) const SHARE_DIGITS: u32 = 12;

/// What there is of a kind that is made on site, and what made it.
#[derive(Debug, Clone)]
pub(crate) struct Supply {
    /// Whether some of it is bought or generated, or may be.
    pub(crate) bought: bool,
    /// How a use of it is divided; `None` where that is not known.
    pub(crate) division: Option<Division>,
    /// Makers that lie in a line, with that line: what they used counts there.
    pub(crate) in_lines: Vec<(SubjectId, SubjectId)>,
    /// Why a line that uses it lacks energy.
    pub(crate) lacking: Vec<Localized>,
}

/// How a use of a kind is divided into what counts at its own coefficient and what was made.
#[derive(Debug, Clone)]
pub(crate) struct Division {
    /// Bought or generated, after stock and export.
    pub(crate) counted: Number,
    /// Made on site and used by others than its makers, after export.
    pub(crate) made: Number,
    /// What the makers gave to others and to export.
    pub(crate) given: Number,
    /// What they used of other kinds to give that.
    pub(crate) inputs: Vec<Input>,
}

/// What makers used of one kind.
#[derive(Debug, Clone)]
pub(crate) struct Input {
    /// The kind.
    pub(crate) kind: KindId,
    /// How much; of a maker of several kinds, what belongs to the one that was made.
    pub(crate) used: Quantity,
    /// Who used it.
    pub(crate) makers: Vec<SubjectId>,
}

impl Division {
    /// All that there is inside.
    pub(crate) fn whole(&self) -> Number {
        &self.counted + &self.made
    }

    /// Whether the kind is made of another one.
    pub(crate) fn is_made_of(&self, kind: &KindId) -> bool {
        self.inputs.iter().any(|input| input.kind == *kind)
    }
}

impl Supply {
    fn undivided(bought: bool, why: Localized) -> Self {
        Self { bought, division: None, in_lines: Vec::new(), lacking: vec![why] }
    }
}

/// Finds the supplies of one period.
pub(crate) struct Finder<'a> {
    inputs: &'a Inputs<'a>,
    period: Period,
    equivalent: Converter<'a>,
    /// Of each kind of which there is an own quantity above zero, or an unknown one.
    made: Vec<Made<'a>>,
}

struct Made<'a> {
    kind: &'a EnergyKind,
    flows: Flows<'a>,
    makers: Vec<SubjectId>,
    /// Whether somebody knows what made it.
    known: bool,
}

impl<'a> Finder<'a> {
    pub(crate) fn new(inputs: &'a Inputs<'a>, period: Period) -> Result<Self, SourceError> {
        let plant: &'a Plant = inputs.plant;
        let equivalent = Converter::new(inputs, &plant.kinds, period, BasisChoice::Equivalent);
        let mut finder = Self { inputs, period, equivalent, made: Vec::new() };
        for kind in &plant.kinds {
            if !inputs.has(&plant.enterprise, Flow::Own, kind) {
                continue;
            }
            let flows = inputs.flows(kind, period)?;
            if flows.amount(Flow::Own).is_some_and(|amount| amount.is_zero()) {
                continue;
            }
            // Never guessed: a forge whose diesel a key divides makes no compressed air.
            let (makers, known) = match inputs.makers(kind) {
                Makers::Nothing => (Vec::new(), true),
                Makers::Known(makers) => (makers, true),
                Makers::Unknown => (Vec::new(), false),
            };
            finder.made.push(Made { kind, flows, makers, known });
        }
        Ok(finder)
    }

    /// The supplies of all kinds that are made on site.
    pub(crate) fn all(&self) -> Result<BTreeMap<KindId, Supply>, SourceError> {
        let found = self.made.iter().map(|made| Ok((made.kind.id.clone(), self.supply(made)?)));
        found.collect()
    }

    fn tce(&self, kind: &EnergyKind, amount: &Number) -> Option<Number> {
        self.equivalent.roughly(kind, Basis::Equivalent, amount)
    }

    fn used(
        &self,
        subject: &SubjectId,
        kind: &EnergyKind,
    ) -> Result<Option<Quantity>, SourceError> {
        self.inputs.quantity(subject, Flow::Consumed, kind, self.period)
    }

    fn supply(&self, made: &Made<'a>) -> Result<Supply, SourceError> {
        let (kind, flows, id) = (made.kind, &made.flows, &made.kind.id);
        let (counted, own) = (flows.counted_inside(), flows.amount(Flow::Own));
        let (Some(counted), Some(own)) = (&counted, &own) else {
            let why = text!(
                en: "how much of `{id}` was bought and how much was made on site is not known",
                zh: "`{id}` 外购量和自产量不全，无法划分"
            );
            return Ok(Supply::undivided(counted.is_none_or(|counted| !counted.is_zero()), why));
        };
        if !made.known {
            let why = text!(
                en: "what made `own:{id}` is not stated, so its energy reaches no line: write `made_by` in its `[[energy_kind]]`, with the subjects whose energy it was made of",
                zh: "未说明 `own:{id}` 由什么生产，其能耗未计入产线：请在其 `[[energy_kind]]` 中用 `made_by` 写明生产它的设备"
            );
            return Ok(Supply::undivided(!counted.is_zero(), why));
        }
        let line_of = |maker: &SubjectId| {
            let mut lines = self.inputs.plant.lines();
            lines
                .find(|line| self.inputs.plant.is_within(maker, &line.id))
                .map(|line| line.id.clone())
        };
        let (mut free, mut in_lines) = (Vec::new(), Vec::new());
        for maker in &made.makers {
            match line_of(maker) {
                Some(line) => in_lines.push((maker.clone(), line)),
                None => free.push(maker.clone()),
            }
        }
        let mut lacking = flows.refused.clone();
        let mut given = own.clone();
        for maker in &free {
            match self.used(maker, kind)?.map(|used| used.value) {
                Some(Some(used)) => given = given - used,
                Some(None) => lacking.push(unknown_use(id, maker)),
                None => {}
            }
        }
        let exported = if flows.export == Flow::Own { flows.amount(Flow::Exported) } else { None };
        // What was put in stock was made here where less was bought.
        let stocked = if *counted < Number::zero() { counted.clone() } else { Number::zero() };
        let made_inside = &(&given - &exported.unwrap_or_else(Number::zero)) + &stocked;
        if !given.is_positive() || made_inside < Number::zero() {
            let why = text!(
                en: "the makers of `{id}` and its export use more of it than was made",
                zh: "`{id}` 的自用量与外供量之和大于自产量"
            );
            return Ok(Supply::undivided(counted.is_positive(), why));
        }
        let inputs = self.inputs_of(made, &free, &mut lacking)?;
        let counted = counted - &stocked;
        Ok(Supply {
            bought: !counted.is_zero(),
            division: Some(Division { counted, made: made_inside, given, inputs }),
            in_lines,
            lacking,
        })
    }

    /// What the makers used of every other kind, without what an allocation key divides.
    fn inputs_of(
        &self,
        made: &Made<'a>,
        makers: &[SubjectId],
        lacking: &mut Vec<Localized>,
    ) -> Result<Vec<Input>, SourceError> {
        let plant = self.inputs.plant;
        let id = &made.kind.id;
        let mut inputs: Vec<Input> = Vec::new();
        let mut spent = Some(Number::zero());
        for maker in makers {
            let mut found = false;
            for other in plant.kinds.iter().filter(|other| other.id != *id) {
                let Some(used) = self.used(maker, other)? else { continue };
                found = true;
                let keys = || plant.allocations.iter().filter(|key| key.energy_kind == other.id);
                if keys().any(|key| plant.is_within(maker, &key.from)) {
                    spent = None;
                    continue;
                }
                if keys().any(|key| plant.is_within(&key.from, maker)) {
                    lacking.push(partly_divided(&other.id, maker));
                    continue;
                }
                let used = self.share_of(made, maker, used, lacking)?;
                let worth = used.value.as_ref().and_then(|value| self.tce(other, value));
                spent = spent.zip(worth).map(|(sum, one)| sum + one);
                if let Some(input) = inputs.iter_mut().find(|input| input.kind == other.id) {
                    input.used = Quantity::sum([input.used.clone(), used]);
                    input.makers.push(maker.clone());
                } else {
                    let (kind, makers) = (other.id.clone(), vec![maker.clone()]);
                    inputs.push(Input { kind, used, makers });
                }
            }
            if !found {
                lacking.push(text!(
                    en: "what `{maker}` used to make `{id}` is not given: state `consumed:KIND` of it",
                    zh: "未填写 `{maker}` 生产 `{id}` 所用的能源：请填写其 `consumed:能源`"
                ));
            }
        }
        let own = made.flows.amount(Flow::Own).and_then(|own| self.tce(made.kind, &own));
        let more = spent.zip(own).is_some_and(|(spent, own)| own > spent);
        if more && made.kind.class != EnergyClass::Medium && !inputs.is_empty() {
            lacking.push(text!(
                en: "there is more energy in `own:{id}` than in what its makers used: check both",
                zh: "`own:{id}` 所含能量大于生产它所用的能量：请核对"
            ));
        }
        Ok(inputs)
    }

    /// The part of what a maker used that belongs to this kind, where it makes several: by their heat content.
    fn share_of(
        &self,
        made: &Made<'a>,
        maker: &SubjectId,
        used: Quantity,
        lacking: &mut Vec<Localized>,
    ) -> Result<Quantity, SourceError> {
        let products: Vec<&Made<'a>> =
            self.made.iter().filter(|one| one.makers.contains(maker)).collect();
        if products.len() < 2 {
            return Ok(used);
        }
        let mut worth = Vec::new();
        for one in &products {
            let here = self.inputs.quantity(maker, Flow::Own, one.kind, self.period)?;
            let amount = match here {
                Some(here) => here.value,
                None if one.makers.len() == 1 => one.flows.amount(Flow::Own),
                None => None,
            };
            worth.push(amount.and_then(|amount| self.tce(one.kind, &amount)));
        }
        let at = products.iter().position(|one| one.kind.id == made.kind.id);
        let known: Option<Vec<Number>> = worth.into_iter().collect();
        let (Some(at), Some(worth)) = (at, known) else {
            let id = &made.kind.id;
            lacking.push(text!(
                en: "`{maker}` makes several kinds, and how much energy is in each is not known: give `own:{id}` for `{maker}`, and its coefficient",
                zh: "`{maker}` 生产多种能源，各自的能量不全：请按 `{maker}` 填写 `own:{id}`，并给出其折标系数"
            ));
            return Ok(Quantity { value: None, ..used });
        };
        let whole: Number = worth.iter().sum();
        let upto = |count: usize| -> Option<Number> {
            let running: Number = worth.iter().take(count).sum();
            let value = used.value.as_ref()?;
            portion(value, &running, &whole, SHARE_DIGITS.max(value.places()))
        };
        let value = upto(at + 1).zip(upto(at)).map(|(after, before)| after - before);
        Ok(Quantity { value, ..used })
    }
}

fn unknown_use(id: &KindId, maker: &SubjectId) -> Localized {
    text!(
        en: "how much of `{id}` its maker `{maker}` used itself is not known",
        zh: "`{maker}` 自用的 `{id}` 未知"
    )
}

fn partly_divided(id: &KindId, maker: &SubjectId) -> Localized {
    text!(
        en: "an `[[allocation]]` divides a part of the `{id}` that `{maker}` used: name the equipment itself in `made_by`",
        zh: "`[[allocation]]` 分摊了 `{maker}` 所用 `{id}` 的一部分：请在 `made_by` 中写具体设备"
    )
}
