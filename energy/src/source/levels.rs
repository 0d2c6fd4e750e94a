//! Which of several statements about one quantity counts: of a meter and a declaration, of a subject and one inside it,
//! of a month and its year. Must never read a meter.

use super::{Inputs, NotCounted, Place, Quantity, SourceError};
use crate::fact::{Declared, Measure, Source};
use crate::id::SubjectId;
use crate::index::Class;
use crate::period::{Period, Span};
use crate::plant::EnergyKind;

/// A quantity and the subject that it is given for.
type Given<'a> = (&'a SubjectId, Quantity);

/// What is looked for.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) measure: &'a Measure,
    pub(super) kind: &'a EnergyKind,
    pub(super) period: Period,
}

impl Inputs<'_> {
    /// The quantity of places of which one holds all the others.
    pub(super) fn group(
        &self,
        wanted: Wanted<'_>,
        places: &[Place<'_>],
    ) -> Result<Quantity, SourceError> {
        if self.splits(wanted, places) {
            return self.by_month(wanted, places);
        }
        let mut given = Vec::new();
        for place in places {
            let alone = std::slice::from_ref(place);
            let quantity = if self.splits(wanted, alone) {
                self.by_month(wanted, alone)?
            } else {
                self.at(wanted, place)
            };
            given.push((place.subject, quantity));
        }
        self.one_level(wanted.measure, wanted.period, given)
    }

    /// Whether a year must be taken month by month: some months were declared and there are meters for the others.
    fn splits(&self, wanted: Wanted<'_>, places: &[Place<'_>]) -> bool {
        let declared = |place: &Place<'_>| {
            let found = self.facts.declared(place.subject, wanted.measure, wanted.period);
            found.map(|found| found.months_expected > 1)
        };
        places.iter().any(|place| !place.meters.is_empty())
            && places.iter().any(|place| declared(place) == Some(true))
            && places.iter().all(|place| declared(place) != Some(false))
    }

    /// Months that were declared one by one; the months between them as one span, so that no index inside it is needed.
    fn by_month(&self, wanted: Wanted<'_>, places: &[Place<'_>]) -> Result<Quantity, SourceError> {
        let Wanted { measure, period, .. } = wanted;
        let mut parts = Vec::new();
        let mut run: Option<Span> = None;
        for month in period.months() {
            let declared = |place: &Place<'_>| self.facts.declared(place.subject, measure, month);
            let span = month.span(&self.plant.time_zone);
            if places.iter().all(|place| declared(place).is_none()) {
                let from = run.map_or(span.from, |run| run.from);
                run = Some(Span { from, to: span.to });
                continue;
            }
            if let Some(run) = run.take() {
                parts.push(self.in_run(wanted, places, run)?);
            }
            let month = Wanted { period: month, ..wanted };
            let given = places.iter().map(|place| (place.subject, self.at(month, place)));
            parts.push(self.one_level(measure, month.period, given.collect())?);
        }
        if let Some(run) = run {
            parts.push(self.in_run(wanted, places, run)?);
        }
        Ok(Quantity::over_time(parts))
    }

    /// Months of which none was declared.
    fn in_run(
        &self,
        wanted: Wanted<'_>,
        places: &[Place<'_>],
        run: Span,
    ) -> Result<Quantity, SourceError> {
        let given = places.iter().map(|place| {
            let quantity = if place.meters.is_empty() {
                undeclared(wanted.measure, place)
            } else {
                self.metered(wanted.kind, &place.meters, run)
            };
            (place.subject, quantity)
        });
        self.one_level(wanted.measure, wanted.period, given.collect())
    }

    /// The quantity at one subject, without those inside it.
    fn at(&self, wanted: Wanted<'_>, place: &Place<'_>) -> Quantity {
        let Wanted { measure, kind, period } = wanted;
        let declared = self.facts.declared(place.subject, measure, period);
        if place.meters.is_empty() {
            let quantity = declared.map(|declared| Quantity::declared(&declared));
            return quantity.unwrap_or_else(|| undeclared(measure, place));
        }
        let metered = self.metered(kind, &place.meters, period.span(&self.plant.time_zone));
        choose(place.subject, period, metered, declared.as_ref())
    }

    /// Lets each quantity in once where a subject and one inside it both have it.
    fn one_level(
        &self,
        measure: &Measure,
        period: Period,
        given: Vec<Given<'_>>,
    ) -> Result<Quantity, SourceError> {
        let mut given = self.stated(given);
        let mut shown = Vec::new();
        while let Some((upper, lower)) = self.nested(&given) {
            let (lower, (id, mut over)) = (given[lower].0.clone(), given[upper].clone());
            let others = given.into_iter().filter(|(one, _)| *one != id);
            let (below, mut rest): (Vec<Given<'_>>, Vec<_>) =
                others.partition(|(one, _)| self.plant.is_within(one, id));
            let metered = below.iter().all(|(_, quantity)| quantity.declared.is_empty());
            if !metered || over.class != Class::Declared {
                let (measure, upper) = (measure.clone(), id.clone());
                return Err(SourceError::TwoLevels { measure, period, upper, lower });
            }
            let under = Quantity::sum(below.iter().map(|(_, quantity)| quantity.clone()));
            let reason = over.declared.iter().find_map(|fact| fact.override_reason.clone());
            // A declaration stands for what is inside as long as some of that is unknown.
            let unknown = under.value.is_none() || !over.meters.is_empty();
            if unknown && reason.is_none() {
                over.meters.extend(under.meters);
                over.not_counted.extend(under.not_counted);
                rest.push((id, over));
            } else {
                shown.extend(compare(id, period, &under, &over, reason.as_deref()));
                rest.extend(if reason.is_some() { vec![(id, over)] } else { below });
            }
            given = rest;
        }
        let mut sum = Quantity::sum(given.into_iter().map(|(_, quantity)| quantity));
        sum.not_counted.extend(shown);
        Ok(sum)
    }

    /// Without the subjects of which nothing is stated, where one that holds them or lies in them states it.
    fn stated<'a>(&self, given: Vec<Given<'a>>) -> Vec<Given<'a>> {
        let nothing = |quantity: &Quantity| {
            quantity.value.is_none() && quantity.meters.is_empty() && quantity.declared.is_empty()
        };
        let stated: Vec<&SubjectId> =
            given.iter().filter(|(_, one)| !nothing(one)).map(|(id, _)| *id).collect();
        let held = |id: &SubjectId| {
            let nested = |other: &&SubjectId| {
                self.plant.is_within(id, other) || self.plant.is_within(other, id)
            };
            stated.iter().any(nested)
        };
        given.into_iter().filter(|(id, quantity)| !nothing(quantity) || !held(id)).collect()
    }

    /// Positions of two quantities, one inside the other, of which one was declared, if only for a part of the time.
    fn nested(&self, given: &[Given<'_>]) -> Option<(usize, usize)> {
        let declared = |at: usize| !given[at].1.declared.is_empty();
        let pairs = (0..given.len()).flat_map(|a| (0..given.len()).map(move |b| (a, b)));
        pairs.into_iter().find(|&(upper, lower)| {
            upper != lower
                && self.plant.is_within(given[lower].0, given[upper].0)
                && (declared(upper) || declared(lower))
        })
    }
}

/// A subject that has declarations of other periods alone.
fn undeclared(measure: &Measure, place: &Place<'_>) -> Quantity {
    Quantity::missing(format!("`{measure}` of `{}` is declared for other periods", place.subject))
}

/// Trap 25: metered enters the total, unless the declaration says why it overrides it.
fn choose(
    subject: &SubjectId,
    period: Period,
    metered: Quantity,
    declared: Option<&Declared<'_>>,
) -> Quantity {
    let Some(declared) = declared.map(Quantity::declared) else { return metered };
    if metered.value.is_none() {
        let meters = metered.meters;
        return Quantity { meters, ..declared };
    }
    let reason = declared.declared.iter().find_map(|fact| fact.override_reason.clone());
    let shown = compare(subject, period, &metered, &declared, reason.as_deref());
    let counted = if reason.is_some() { declared } else { metered };
    Quantity { not_counted: shown.into_iter().collect(), ..counted }
}

/// The source that does not count, with its difference from the one that does.
fn compare(
    subject: &SubjectId,
    period: Period,
    metered: &Quantity,
    declared: &Quantity,
    override_reason: Option<&str>,
) -> Option<NotCounted> {
    let (source, counted, other, reason) = match override_reason {
        None => (Source::Declared, metered, declared, "metered, and not overridden".to_owned()),
        Some(reason) => (Source::Metered, declared, metered, format!("overridden: {reason}")),
    };
    let (counted, value) = (counted.value.as_ref()?, other.value.clone()?);
    let difference = &value - counted;
    Some(NotCounted { source, subject: subject.clone(), period, value, difference, reason })
}
