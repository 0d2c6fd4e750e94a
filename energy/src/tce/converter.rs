//! Converts each part of a quantity by the coefficient of its days and its batch. Must never apply a coefficient to more than
//! the part that it is for.
//!
//! One coefficient for all of a period is the usual case. Where several hold in it (a certificate each month, a batch each
//! delivery), the quantity is asked for part by part, and the parts must be the whole: a quantity that is known for the year
//! alone cannot be converted by twelve coefficients.

use std::cell::RefCell;
use std::collections::BTreeMap;

use model::{Localized, Unit, text};

use super::BasisChoice;
use super::plan::{Plan, request, resolve};
use super::used::{self, CoefficientUse, KindCoefficient};
use crate::coefficient::{Basis, MissingCoefficient, Part, Resolved, Rule, constant, set_id};
use crate::fact::Flow;
use crate::id::KindId;
use crate::number::{Number, portion};
use crate::period::Period;
use crate::plant::EnergyKind;
use crate::source::{Inputs, Quantity};

/// Digits after the point of the mean of several coefficients, which is printed and multiplied with nothing.
const MEAN_DIGITS: u32 = 6;
/// What the rounding of shares to 12 digits may leave over the parts of a period, in the kind's unit.
const SETTLED_MAX: &str = "0.000000001";
/// Digits after the point of tonnes per unit, where several coefficients were used.
const PER_UNIT_DIGITS: u32 = 9;

/// The coefficients of the kinds that are in use, resolved once.
pub(crate) struct Converter<'a> {
    inputs: Inputs<'a>,
    period: Period,
    plans: BTreeMap<(KindId, Basis), Plan>,
    /// What quantities turned out to lack.
    refused: RefCell<Vec<MissingCoefficient>>,
}

/// A quantity in coal equivalent, with what it was made with.
pub(crate) struct Conversion {
    /// The tonnes and the formula; `None` where the quantity or a coefficient is unknown.
    pub(crate) tce: Option<(Number, String)>,
    /// The coefficients, each with its part of the quantity where there are several.
    pub(crate) used: Vec<Resolved>,
    /// The same for a table; `None` when it is missing.
    pub(crate) printed: Option<CoefficientUse>,
    /// Tonnes per unit of the kind.
    pub(crate) tce_per_unit: Option<Number>,
    /// Why there are no tonnes, or what is special about them.
    pub(crate) notes: Vec<Localized>,
    /// What is said of every figure that is made from it.
    pub(crate) carried: Vec<Localized>,
}

impl Conversion {
    fn lacking(note: Localized) -> Self {
        Self {
            tce: None,
            used: Vec::new(),
            printed: None,
            tce_per_unit: None,
            notes: vec![note],
            carried: Vec::new(),
        }
    }

    /// By one coefficient for all of it. What is not converted is zero whatever its quantity; otherwise an unknown quantity is
    /// unknown.
    fn by_one(kind: &EnergyKind, resolved: &Resolved, quantity: Option<&Number>) -> Self {
        let basis = resolved.basis;
        let mut made = Self {
            tce: None,
            used: vec![resolved.clone()],
            printed: Some(CoefficientUse::from(resolved)),
            tce_per_unit: None,
            notes: Vec::new(),
            carried: used::carried(&kind.name, basis, std::slice::from_ref(resolved)),
        };
        if resolved.rule == Rule::Excluded {
            let formula = format!("{} is not converted by the site's rule", kind.name);
            made.tce = Some((Number::zero(), formula));
            made.notes
                .push(text!(en: "not converted by the site's rule", zh: "按本单位规则不折标"));
            return made;
        }
        made.tce_per_unit = converted(kind, resolved, &Number::from(1));
        made.tce = quantity.and_then(|quantity| {
            let tce = converted(kind, resolved, quantity)?;
            let formula = format!("{} = {tce} tce", formula(kind, resolved, quantity)?);
            Some((tce, formula))
        });
        made
    }

    /// By several coefficients, each applied to its own part.
    fn by_parts(kind: &EnergyKind, basis: Basis, whole: &Number, used: Vec<Resolved>) -> Self {
        let each = |one: &Resolved| {
            let part = one.part.as_ref()?;
            let tce = converted(kind, one, &part.quantity)?;
            let batch = part.batch.as_ref().map_or_else(String::new, |batch| format!(", {batch}"));
            let text = formula(kind, one, &part.quantity)?;
            Some((tce, format!("{text} ({}{batch})", part.period)))
        };
        let parts: Option<Vec<(Number, String)>> = used.iter().map(each).collect();
        let Some(parts) = parts else { return Self::lacking(unknown_unit(kind)) };
        let tce: Number = parts.iter().map(|(tce, _)| tce).sum();
        let texts: Vec<&str> = parts.iter().map(|(_, text)| text.as_str()).collect();
        let formula = format!("{} = {tce} tce", texts.join(" + "));
        let count = used.len();
        Self {
            printed: mean(kind, &tce, whole, &used),
            tce_per_unit: portion(&tce, &Number::from(1), whole, PER_UNIT_DIGITS),
            tce: Some((tce, formula)),
            notes: vec![text!(
                en: "{count} coefficients, each applied to its own quantity",
                zh: "{count} 个折标系数，各按其数量折算",
            )],
            carried: used::carried(&kind.name, basis, &used),
            used,
        }
    }
}

fn unknown_unit(kind: &EnergyKind) -> Localized {
    let unit = kind.unit;
    text!(
        en: "`{unit}` does not convert exactly into the unit of the coefficient",
        zh: "`{unit}` 不能准确换算为系数的单位",
    )
}

/// What the parts come to, per the unit of the rows where they have one, else per that of the kind.
fn mean(
    kind: &EnergyKind,
    tce: &Number,
    whole: &Number,
    used: &[Resolved],
) -> Option<CoefficientUse> {
    let first = used.first()?.unit;
    let unit = if used.iter().all(|one| one.unit == first) { first } else { kind.unit };
    let quantity = whole * &kind.factor(kind.unit, unit)?;
    let mean = portion(&(tce * &Number::from(1000)), &Number::from(1), &quantity, MEAN_DIGITS)?;
    Some(CoefficientUse::mean(mean, unit, used))
}

/// Tonnes of a quantity in the kind's unit.
fn converted(kind: &EnergyKind, resolved: &Resolved, quantity: &Number) -> Option<Number> {
    let factor = kind.factor(kind.unit, resolved.unit)?;
    Some(&(&(quantity * &factor) * &resolved.kgce_per_unit) * &constant("0.001"))
}

fn formula(kind: &EnergyKind, resolved: &Resolved, quantity: &Number) -> Option<String> {
    let (unit, per) = (kind.unit, resolved.unit);
    let factor = kind.factor(unit, per)?;
    let convert = if unit == per { String::new() } else { format!(" × {factor} {per}/{unit}") };
    Some(format!("{quantity} {unit}{convert} × {} kgce/{per} ÷ 1000", resolved.kgce_per_unit))
}

impl<'a> Converter<'a> {
    /// Resolves the coefficients of `kinds`.
    pub(crate) fn new<'k>(
        inputs: &Inputs<'a>,
        kinds: impl IntoIterator<Item = &'k EnergyKind>,
        period: Period,
        choice: BasisChoice,
    ) -> Self {
        let mut plans = BTreeMap::new();
        for kind in kinds {
            for basis in choice.bases() {
                let plan = Plan::new(inputs.plant, kind, period, *basis);
                plans.insert((kind.id.clone(), *basis), plan);
            }
        }
        Self { inputs: *inputs, period, plans, refused: RefCell::default() }
    }

    fn plan(&self, kind: &KindId, basis: Basis) -> Option<&Plan> {
        self.plans.get(&(kind.clone(), basis))
    }

    /// Everything that is missing, once each.
    pub(crate) fn missing(&self) -> Vec<MissingCoefficient> {
        let alone = self.plans.values().filter_map(|plan| plan.alone()?.found.as_ref().err());
        let mut missing: Vec<MissingCoefficient> = alone.cloned().collect();
        missing.extend(self.refused.borrow().iter().cloned());
        missing.sort_by(|a, b| (&a.key, &a.reason).cmp(&(&b.key, &b.reason)));
        missing.dedup();
        missing
    }

    /// The name of the set that figures on a basis use: every row that may apply to a part of them.
    pub(crate) fn set_id(&self, basis: Basis) -> String {
        let plans = self.plans.iter().filter(|((_, on), _)| *on == basis).map(|(_, plan)| plan);
        set_id(plans.flat_map(|plan| {
            plan.runs.iter().filter_map(|run| run.found.as_ref().ok()).chain(&plan.batches)
        }))
    }

    /// The coefficients in the order of `kinds`, for the foot of a table that has no row for each of them.
    pub(crate) fn coefficients<'k>(
        &self,
        kinds: impl IntoIterator<Item = &'k EnergyKind>,
        choice: BasisChoice,
    ) -> Vec<KindCoefficient> {
        let mut all = Vec::new();
        for kind in kinds {
            for basis in choice.bases() {
                let Some(plan) = self.plan(&kind.id, *basis) else { continue };
                let runs = plan.runs.iter().filter_map(|run| run.found.as_ref().ok());
                all.extend(runs.chain(&plan.batches).map(|one| KindCoefficient {
                    kind: kind.id.clone(),
                    name: kind.name.clone(),
                    basis: *basis,
                    coefficient: CoefficientUse::from(one),
                }));
            }
        }
        all
    }

    /// A flow of the enterprise in a part of the period, as [`Converter::convert`] asks for it. What is in stock is of the day
    /// on which it is: at the beginning of the first part and at the end of the last.
    pub(crate) fn flow(&self, flow: Flow, kind: &EnergyKind, part: Period) -> Option<Quantity> {
        let enterprise = &self.inputs.plant.enterprise;
        let ((first, after), (begin, end)) = (self.period.days(), part.days());
        let asked = match flow {
            Flow::OpeningStock if begin == first => self.period,
            Flow::ClosingStock if end == after => self.period,
            Flow::OpeningStock | Flow::ClosingStock => {
                return Some(Quantity { value: Some(Number::zero()), ..Quantity::unknown() });
            }
            _ => part,
        };
        // Two levels are told when the whole is asked for; here the part is not known.
        self.inputs.quantity(enterprise, flow, kind, asked).ok().flatten()
    }

    /// Tonnes by the first coefficient that holds in the period: for a comparison, never for a figure.
    pub(crate) fn roughly(
        &self,
        kind: &EnergyKind,
        basis: Basis,
        quantity: &Number,
    ) -> Option<Number> {
        let plan = self.plan(&kind.id, basis)?;
        let found = plan.first().map(|(found, _)| found).or_else(|| plan.batches.first())?;
        if found.rule == Rule::Excluded {
            return Some(Number::zero());
        }
        converted(kind, found, quantity)
    }

    /// A quantity in the kind's unit as tonnes. `within` gives the quantity in a part of the period; it is asked only where
    /// several coefficients hold in it, or belong to batches.
    pub(crate) fn convert(
        &self,
        kind: &EnergyKind,
        basis: Basis,
        whole: Option<&Number>,
        within: &dyn Fn(Period) -> Option<Quantity>,
    ) -> Conversion {
        let missing = || text!(en: "the coefficient is missing", zh: "缺少折标系数");
        let Some(plan) = self.plan(&kind.id, basis) else { return Conversion::lacking(missing()) };
        if let Some(run) = plan.alone() {
            return match &run.found {
                Ok(resolved) => Conversion::by_one(kind, resolved, whole),
                Err(_) => Conversion::lacking(missing()),
            };
        }
        // Nothing is known of the quantity, and its own notes say why.
        let Some(whole) = whole else {
            return Conversion { notes: Vec::new(), ..Conversion::lacking(missing()) };
        };
        match self.parts(plan, kind, basis, whole, within) {
            Ok(used) => match used.as_slice() {
                [one] => {
                    Conversion::by_one(kind, &Resolved { part: None, ..one.clone() }, Some(whole))
                }
                _ => Conversion::by_parts(kind, basis, whole, used),
            },
            Err(lacking) => match self.refused(lacking) {
                Some(reason) => Conversion::lacking(reason),
                None => Conversion::lacking(missing()),
            },
        }
    }

    /// Keeps the first of what is lacking, with how often the same is; returns why.
    fn refused(&self, lacking: Vec<MissingCoefficient>) -> Option<Localized> {
        let more = lacking.len().saturating_sub(1);
        let mut first = lacking.into_iter().next()?;
        if more > 0 {
            let others =
                text!(en: "{more} more parts lack one", zh: "另有 {more} 个时段或批次缺少系数");
            first.reason = Localized::join([&first.reason, &others], "; ");
        }
        let reason = first.reason.clone();
        self.refused.borrow_mut().push(first);
        Some(reason)
    }

    /// Each part of the quantity with its coefficient. Together they are the whole.
    fn parts(
        &self,
        plan: &Plan,
        kind: &EnergyKind,
        basis: Basis,
        whole: &Number,
        within: &dyn Fn(Period) -> Option<Quantity>,
    ) -> Result<Vec<Resolved>, Vec<MissingCoefficient>> {
        let mut parts = Parts { kind, used: Vec::new(), sum: Number::zero() };
        let mut lacking = Vec::new();
        for run in &plan.runs {
            let Some(quantity) = within(run.period) else { continue };
            let Some(mut rest) = quantity.value else { continue };
            let of_batches: Vec<_> = if plan.batches.is_empty() {
                Vec::new()
            } else {
                quantity.declared.iter().filter(|fact| fact.batch.is_some()).collect()
            };
            for fact in &of_batches {
                rest = &rest - &fact.value;
                let batch = fact.batch.as_deref();
                match resolve(self.inputs.plant, kind, fact.period, basis, batch) {
                    Ok(found) => parts.push(found, fact.period, batch, &fact.value),
                    Err(missing) => lacking.push(*missing),
                }
            }
            if rest.is_zero() {
                continue;
            }
            match &run.found {
                Ok(found) => parts.push(found.clone(), run.period, None, &rest),
                Err(missing) => lacking.push(missing.clone()),
            }
        }
        if let (true, Some((found, period))) =
            (whole.is_zero() && parts.used.is_empty(), plan.first())
        {
            parts.push(found.clone(), period, None, whole);
        }
        if lacking.is_empty() {
            parts.settle(whole);
        }
        if lacking.is_empty() && parts.sum != *whole {
            lacking.extend(plan.runs.iter().filter_map(|run| run.found.as_ref().err().cloned()));
            lacking.extend(if lacking.is_empty() {
                self.as_a_whole(plan, kind, basis)
            } else {
                None
            });
        }
        if lacking.is_empty() { Ok(parts.used) } else { Err(lacking) }
    }

    fn as_a_whole(
        &self,
        plan: &Plan,
        kind: &EnergyKind,
        basis: Basis,
    ) -> Option<MissingCoefficient> {
        let request = request(self.inputs.plant, kind, self.period, basis, None);
        let of = plan.first().map(|(found, _)| found);
        let runs: Vec<Period> = plan.runs.iter().map(|run| run.period).collect();
        let of = of.or_else(|| plan.batches.first())?;
        Some(self.inputs.plant.coefficients.as_a_whole(&request, of, &runs))
    }
}

/// Parts in the making; one row of one batch is one part, however often it is used.
struct Parts<'a> {
    kind: &'a EnergyKind,
    used: Vec<Resolved>,
    sum: Number,
}

impl Parts<'_> {
    /// Shares that are no finite decimals are rounded in each part: the last takes what that leaves.
    fn settle(&mut self, whole: &Number) {
        let rest = whole - &self.sum;
        if rest.abs() > constant(SETTLED_MAX) {
            return;
        }
        if let Some(part) = self.used.last_mut().and_then(|one| one.part.as_mut()) {
            part.quantity = &part.quantity + &rest;
            self.sum = whole.clone();
        }
    }

    fn push(&mut self, found: Resolved, period: Period, batch: Option<&str>, quantity: &Number) {
        self.sum = &self.sum + quantity;
        let same = self.used.iter_mut().find(|one| {
            one.rows == found.rows
                && one.rule == found.rule
                && one.part.as_ref().is_some_and(|part| part.batch.as_deref() == batch)
        });
        if let Some(part) = same.and_then(|one| one.part.as_mut()) {
            part.quantity = &part.quantity + quantity;
            let ((first, after), (begin, end)) = (part.period.days(), period.days());
            part.period = Period::between(first.min(begin), after.max(end));
            return;
        }
        let unit: Unit = self.kind.unit;
        let batch = batch.map(str::to_owned);
        let part = Some(Part { period, batch, quantity: quantity.clone(), unit });
        self.used.push(Resolved { part, ..found });
    }
}
