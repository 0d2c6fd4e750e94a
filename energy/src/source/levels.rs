//! Which of several statements about one quantity counts: of a meter and a declaration, of a subject and one inside it,
//! of a month and its year. Must never read a meter.

use model::{Localized, text};

use super::months::Months;
use super::{Inputs, NotCounted, Place, Quantity, SourceError};
use crate::fact::{Declared, Flow, Measure, Source};
use crate::id::SubjectId;
use crate::index::{Class, Coverage};
use crate::number::Number;
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
        let mut run_months = 0;
        let mut months = Months::default();
        for month in period.months() {
            let declared = |place: &Place<'_>| self.facts.declared(place.subject, measure, month);
            let span = month.span(&self.plant.time_zone);
            if places.iter().all(|place| declared(place).is_none()) {
                let from = run.map_or(span.from, |run| run.from);
                run = Some(Span { from, to: span.to });
                run_months += 1;
                continue;
            }
            if let Some(run) = run.take() {
                let part = self.in_run(wanted, places, run)?;
                months.add(std::mem::take(&mut run_months), &part, run, &self.plant.time_zone);
                parts.push(part);
            }
            let month = Wanted { period: month, ..wanted };
            let given = places.iter().map(|place| (place.subject, self.at(month, place)));
            let part = self.one_level(measure, month.period, given.collect())?;
            months.add(1, &part, span, &self.plant.time_zone);
            parts.push(part);
        }
        if let Some(run) = run {
            let part = self.in_run(wanted, places, run)?;
            months.add(run_months, &part, run, &self.plant.time_zone);
            parts.push(part);
        }
        let mut quantity = Quantity::over_time(parts);
        quantity.coverage = months.coverage;
        quantity.doubts.extend(months.note());
        Ok(quantity)
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
                undeclared(wanted.measure, wanted.period, place)
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
            return quantity.unwrap_or_else(|| undeclared(measure, period, place));
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
            if !metered || !matches!(over.class, Class::Declared | Class::Assumed) {
                let (measure, upper) = (measure.clone(), id.clone());
                return Err(SourceError::TwoLevels { measure, period, upper, lower });
            }
            let under = Quantity::sum(below.iter().map(|(_, quantity)| quantity.clone()));
            let choice = choice(&under, &over);
            let beside = not_counted(id, period, &under, &over, &choice);
            if choice.counted == Source::Declared {
                over.not_counted.extend(beside);
                over.doubts.extend(choice.doubt);
            } else if over.meters.is_empty() {
                shown.extend(beside);
                rest.extend(below);
                given = rest;
                continue;
            }
            // A declaration that stands for the subject's own meter stands for what is inside as well.
            over.meters.extend(under.meters);
            over.not_counted.extend(under.not_counted);
            rest.push((id, over));
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

/// A subject that has declarations of other periods alone, or for a stock of other days.
fn undeclared(measure: &Measure, period: Period, place: &Place<'_>) -> Quantity {
    let subject = place.subject;
    match measure {
        Measure::Energy(Flow::OpeningStock, _) => {
            return Quantity::missing(text!(
                en: "`{measure}` of `{subject}` at the beginning of {period} is not given: state it, 0 where there was none",
                zh: "未填写 `{subject}` {period} 期初的 `{measure}`：请填写，无库存时填 0"
            ));
        }
        Measure::Energy(Flow::ClosingStock, _) => {
            return Quantity::missing(text!(
                en: "`{measure}` of `{subject}` at the end of {period} is not given: state it, 0 where none is left",
                zh: "未填写 `{subject}` {period} 期末的 `{measure}`：请填写，无库存时填 0"
            ));
        }
        _ => {}
    }
    Quantity::missing(text!(
        en: "`{measure}` of `{subject}` is declared for other periods",
        zh: "`{subject}` 的 `{measure}` 只填报了其他时段"
    ))
}

/// Which of two sources of one quantity counts, and why the other does not.
struct Choice {
    counted: Source,
    /// Why the other is put aside.
    reason: Localized,
    /// What is doubtful in the one that counts.
    doubt: Option<Localized>,
}

/// How many times a declaration may be what the reading of a part of the time suggests, or the reverse, before it is
/// doubted: a slip of 10 or of 10 000 is found, a season is not.
const TIMES_MAX: i64 = 5;
/// Least slots of a reading that suggests anything: a day of them.
const SUGGESTING_SLOTS_MIN: u64 = 96;

/// Trap 25: metered enters the total, unless the declaration says why it overrides it, or is complete while the reading
/// is not: a bill of the month is better than a meter that was read for a day of it.
///
/// | metered | declared | counts |
/// |--|--|--|
/// | 100, complete | 103 | 100 |
/// | 100, complete | 103, `override_reason` | 103 |
/// | 4 for a part | 103, complete | 103 |
/// | 4 for a part | 8 for a part | 4 |
/// | 4 for a part | 103, forecast | 4 |
/// | unknown | 103 | 103 |
fn choice(metered: &Quantity, declared: &Quantity) -> Choice {
    let reason = declared.declared.iter().find_map(|fact| fact.override_reason.clone());
    if let Some(reason) = reason {
        let reason = text!(en: "overridden: {reason}", zh: "以填报为准：{reason}");
        return Choice { counted: Source::Declared, reason, doubt: None };
    }
    // What is expected stands for nothing that was read.
    let better = declared.complete && !metered.complete && declared.class != Class::Assumed;
    if metered.value.is_none() || better {
        let share = metered.coverage.percent();
        let reason = text!(
            en: "read for {share} % of the time alone, while the declaration is of all of it",
            zh: "仅读到 {share} % 的时段，而填报为全期"
        );
        let doubt = doubt(metered, declared);
        return Choice { counted: Source::Declared, reason, doubt };
    }
    let reason = text!(en: "metered, and not overridden", zh: "以计量为准，未写 `override_reason`");
    Choice { counted: Source::Metered, reason, doubt: None }
}

/// Whether a declaration of all of the time fits what was read in a part of it.
fn doubt(metered: &Quantity, declared: &Quantity) -> Option<Localized> {
    let (part, whole) = metered.value.as_ref().zip(declared.value.as_ref())?;
    if part > whole {
        return Some(text!(
            en: "less than what was read in a part of the time, {part}: check the declaration",
            zh: "小于部分时段的读数 {part}：请核对填报值"
        ));
    }
    let Coverage { covered, expected } = metered.coverage;
    if covered < SUGGESTING_SLOTS_MIN || !part.is_positive() {
        return None;
    }
    // part ÷ (covered ÷ expected) against the whole, without a division.
    let slots = |count: u64| Number::new(i128::from(count), 0);
    let (suggested, stated) = (part * &slots(expected), whole * &slots(covered));
    let times = Number::from(TIMES_MAX);
    (stated > &suggested * &times || suggested > &stated * &times).then(|| {
        text!(
            en: "more than {TIMES_MAX} times off what the reading of a part of the time suggests, {part} in {covered} of {expected} quarters of an hour: check the declaration and its unit",
            zh: "与部分时段读数（{expected} 个刻钟中的 {covered} 个，合计 {part}）推算的用量相差 {TIMES_MAX} 倍以上：请核对填报值及其单位"
        )
    })
}

/// The quantity of a subject that has both a meter and a declaration.
fn choose(
    subject: &SubjectId,
    period: Period,
    metered: Quantity,
    declared: Option<&Declared<'_>>,
) -> Quantity {
    let Some(declared) = declared.map(Quantity::declared) else { return metered };
    let choice = choice(&metered, &declared);
    let shown = not_counted(subject, period, &metered, &declared, &choice);
    match choice.counted {
        Source::Metered => Quantity { not_counted: shown, ..metered },
        Source::Declared => Quantity {
            meters: metered.meters,
            doubts: choice.doubt.into_iter().collect(),
            not_counted: shown,
            ..declared
        },
    }
}

/// The source that does not count, with its difference from the one that does.
fn not_counted(
    subject: &SubjectId,
    period: Period,
    metered: &Quantity,
    declared: &Quantity,
    choice: &Choice,
) -> Vec<NotCounted> {
    let (source, counted, other) = match choice.counted {
        Source::Metered => (Source::Declared, metered, declared),
        Source::Declared => (Source::Metered, declared, metered),
    };
    let Some((counted, value)) = counted.value.as_ref().zip(other.value.clone()) else {
        return Vec::new();
    };
    let (subject, difference, reason) = (subject.clone(), &value - counted, choice.reason.clone());
    vec![NotCounted { source, subject, period, value, difference, reason }]
}
