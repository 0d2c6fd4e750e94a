//! What the meters of a place counted, with everything that is to be said of their readings. Must never look at what was
//! declared.

use jiff::tz::TimeZone;
use model::{Language, Localized, Timestamp, text};

use super::{Inputs, MeterPart, Quantity};
use crate::index::cadence::Across;
use crate::index::{
    BoundSource, Class, Coverage, GapCause, Index, OWN_RATE_TIMES, PeriodEnergy, Verdict,
};
use crate::number::Number;
use crate::period::{Span, local_text};
use crate::plant::{EnergyKind, Meter, Replacement};

/// Open gaps that are named in the notes of a figure; `explain` has all of them.
const GAPS_NAMED_MAX: usize = 3;

impl Inputs<'_> {
    /// The sum of meters.
    pub(super) fn metered(&self, kind: &EnergyKind, meters: &[&Meter], span: Span) -> Quantity {
        let zone = &self.plant.time_zone;
        Quantity::sum(meters.iter().map(|meter| {
            let index = self.meters.index(&meter.id);
            let energy = index.map(|index| index.energy(span));
            let factor = kind.factor_from(meter.unit).unwrap_or_else(Number::zero);
            let known = energy.as_ref().and_then(|energy| energy.energy.as_ref());
            let not_used = index.map(|index| index.not_used().to_vec()).unwrap_or_default();
            let missing = known.is_none().then(|| {
                let found = energy.as_ref().and_then(|energy| energy.found);
                let found = found.map_or_else(String::new, |found| format!(": {found}"));
                let id = &meter.id;
                let begin = self.meters.absent.get(id).cloned().unwrap_or_else(
                    || text!(en: "no energy of meter `{id}`", zh: "计量表 `{id}` 无用量"),
                );
                let aside = not_used.iter().fold(found, |text, one| format!("{text}, {one}"));
                let (english, chinese) =
                    (begin.get(Language::English), begin.get(Language::Chinese));
                text!(en: "{english}{aside}", zh: "{chinese}{aside}")
            });
            Quantity {
                missing: missing.into_iter().collect(),
                value: known.map(|energy| energy * &factor),
                class: energy.as_ref().map_or(Class::Metered, |energy| energy.class),
                complete: energy.as_ref().is_some_and(|energy| energy.complete),
                coverage: energy
                    .as_ref()
                    .map_or(Coverage { covered: 0, expected: 1 }, |energy| energy.coverage),
                meters: vec![MeterPart {
                    meter: meter.id.clone(),
                    point: meter.point.value.clone(),
                    unit: meter.unit,
                    ratios: meter.ratios.clone(),
                    modulus: index.map_or(meter.modulus.map(Number::from), Index::modulus),
                    rise_per_hour_max: meter.rise_per_hour_max,
                    resets: meter.resets.as_ref().map(|resets| resets.interval),
                    replacements: replacements_in(meter, index, span),
                    segments: index.map(|index| index.segments(span)).unwrap_or_default(),
                    span,
                    factor,
                    energy,
                    not_used,
                    bound: index.and_then(Index::bound).cloned(),
                    put_aside: index.map(|index| index.put_aside(span)).unwrap_or_default(),
                    findings: index.map(|index| index.findings(span)).unwrap_or_default(),
                }],
                doubts: index
                    .map(|index| {
                        notes(index, &replacements_in(meter, Some(index), span), span, zone)
                    })
                    .into_iter()
                    .flatten()
                    .chain(self.behind(kind, meter, span))
                    .collect(),
                ..Quantity::unknown()
            }
        }))
    }
}

/// What a reader of the figure must know about the readings of a meter.
fn notes(
    index: &Index,
    replacements: &[Replacement],
    span: Span,
    zone: &TimeZone,
) -> Vec<Localized> {
    let meter = index.meter();
    let of_meter = |note: &Localized| {
        let (english, chinese) = (note.get(Language::English), note.get(Language::Chinese));
        text!(en: "meter `{meter}`: {english}", zh: "计量表 `{meter}`：{chinese}")
    };
    let mut notes: Vec<Localized> =
        index.findings(span).iter().map(|one| of_meter(&one.note(zone))).collect();
    notes.extend(index.ratio_notes(span, zone).iter().map(of_meter));
    let unit = index.unit();
    for one in index.across(&span.months_begin(zone)) {
        let (from, to) = (local_text(one.from, zone), local_text(one.to, zone));
        let energy = &one.energy;
        notes.push(text!(
            en: "meter `{meter}`: {energy} {unit} between the readings at {from} and {to} are in this figure and in that of no month",
            zh: "计量表 `{meter}`：{from} 与 {to} 两次读数之间的 {energy} {unit} 计入本期，但不属于任何一个月",
        ));
    }
    let energy = index.energy(span);
    for one in replacements {
        let Some(typed) = index.typed(one.at).filter(|typed| is_much(typed, &energy, span)) else {
            continue;
        };
        let at = local_text(one.at, zone);
        let (from, to) = (local_text(typed.from, zone), local_text(typed.to, zone));
        let (counted, old, new) = (&typed.energy, one.old_final, one.new_initial);
        notes.push(text!(
            en: "meter `{meter}`: {counted} {unit} from the reading at {from} to that at {to} rest on the indexes typed for the replacement at {at} ({old}, then {new})",
            zh: "计量表 `{meter}`：{from} 至 {to} 的 {counted} {unit} 取决于 {at} 换表所填表码（旧表止码 {old}，新表起码 {new}）",
        ));
    }
    // Where nothing is known, the readings that there are were named already.
    let known = energy.energy.is_some();
    let mut gaps = energy.open_gaps;
    gaps.retain(|gap| known || gap.cause == GapCause::Implausible);
    notes.extend(gaps.iter().take(GAPS_NAMED_MAX).map(|gap| of_meter(&gap.note(zone))));
    let more = gaps.len().saturating_sub(GAPS_NAMED_MAX);
    if more > 0 {
        notes.push(text!(
            en: "meter `{meter}`: {more} more open gaps, which `nengliu explain` names",
            zh: "计量表 `{meter}`：另有 {more} 处缺口，见 `nengliu explain`",
        ));
    }
    let mut implausible = gaps.iter().filter(|gap| gap.cause == GapCause::Implausible);
    let bound = index.bound().filter(|bound| bound.source != BoundSource::Stated);
    if let (Some(_), Some(bound)) = (implausible.next(), bound) {
        let most = &bound.per_hour;
        let why = match (&bound.own_rate, bound.source) {
            (Some(own), BoundSource::OwnRates) => text!(
                en: "{OWN_RATE_TIMES} times {own}, what it reaches otherwise",
                zh: "为其通常最大值 {own} 的 {OWN_RATE_TIMES} 倍",
            ),
            _ => text!(en: "as for any meter", zh: "通用上限"),
        };
        let (why_en, why_zh) = (why.get(Language::English), why.get(Language::Chinese));
        notes.push(text!(
            en: "meter `{meter}`: more than {most} {unit} in an hour is not taken for energy ({why_en}); if it can count more, state `rise_per_hour_max`",
            zh: "计量表 `{meter}`：每小时超过 {most} {unit} 不计入用量（{why_zh}）；若确有可能，请填写 `rise_per_hour_max`",
        ));
    }
    notes
}

/// Whether what rests on typed indexes is more than 1 % of a figure, by energy or by time: a slipped digit that the bound
/// allows may hide in it.
fn is_much(typed: &Across, energy: &PeriodEnergy, span: Span) -> bool {
    let hundred = Number::from(100);
    let by_energy = energy.energy.as_ref().is_some_and(|whole| &typed.energy * &hundred > *whole);
    by_energy || typed.to.micros_since(typed.from) > span.to.micros_since(span.from) / 100
}

/// The replacements that count in a time, each where it counts.
fn replacements_in(meter: &Meter, index: Option<&Index>, span: Span) -> Vec<Replacement> {
    let everywhere = Span { from: Timestamp::MIN, to: Timestamp::MAX };
    let findings = index.map(|index| index.findings(everywhere)).unwrap_or_default();
    let counts = |one: &Replacement| {
        let finding = findings.iter().find(|finding| finding.typed == one.at);
        match finding.map(|finding| (finding.verdict, finding.placed)) {
            Some((Verdict::NotApplied, _)) => None,
            Some((_, Some(at))) => Some(Replacement { at, ..*one }),
            _ => Some(*one),
        }
    };
    let inside = |one: &Replacement| span.from <= one.at && one.at <= span.to;
    meter.replacements.iter().filter_map(counts).filter(inside).collect()
}
