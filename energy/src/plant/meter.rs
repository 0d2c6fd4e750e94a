//! Reads `[[meter]]` with its ratios and replacements. Must never look at another section.

use config::{Problems, Spanned, Table};
use model::{Decimal, PointId, Timestamp};

use super::read::{Defaults, id, optional_id, optional_positive, optional_word, unit, word};
use super::{CODE_PLANT, Meter, MeterRole, RatioChange, Replacement};
use crate::id::{KindId, MeterId, SubjectId};
use crate::resets::{ResetInterval, Resets};

/// A meter whose references are not checked yet.
pub(super) struct MeterDraft {
    pub(super) meter: Meter,
    pub(super) id: Spanned<MeterId>,
    pub(super) energy_kind: Spanned<KindId>,
    pub(super) subject: Spanned<SubjectId>,
    pub(super) parent: Option<Spanned<MeterId>>,
    pub(super) unit: Spanned<model::Unit>,
    /// Whether its role is one that there is.
    pub(super) has_role: bool,
}

/// Reads one `[[meter]]`.
pub(super) fn meter(
    table: &mut Table,
    defaults: &Defaults,
    problems: &mut Problems,
) -> Option<MeterDraft> {
    let point = table.required::<String>("point", problems).and_then(|text| {
        match PointId::new(text.value.clone()) {
            Ok(point) => Some(text.map(|_| point)),
            Err(wrong) => {
                problems.push(text.problem(CODE_PLANT, format!("`point`: {wrong}")));
                None
            }
        }
    });
    let name = optional_id::<MeterId>(table, "id", problems);
    let energy_kind = id::<KindId>(table, "energy_kind", problems);
    let subject = optional_id::<SubjectId>(table, "subject", problems);
    let role = word::<MeterRole>(table, "role", problems);
    let unit = unit(table, "unit", problems);
    let parent = optional_id::<MeterId>(table, "parent", problems);
    let independent = table.or("independent", false, problems);
    let modulus = optional_positive(table, "modulus", problems).map(|found| found.value);
    let rise = optional_positive(table, "rise_per_hour_max", problems).map(|found| found.value);
    let resets = optional_word::<ResetInterval>(table, "resets", problems)
        .map(|found| Resets { interval: found.value, time_zone: defaults.time_zone.clone() });
    let accept_uncertain = table.or("accept_uncertain", false, problems);
    let ratios = ratios(table, problems);
    let replacements = replacements(table, problems);
    let (point, energy_kind, unit) = (point?, energy_kind?, unit?);
    let has_role = role.is_some();
    // A wrong role is said once; the meter is there all the same.
    let role = role.map_or(MeterRole::Sub, |role| role.value);
    let by_point = |point: &Spanned<PointId>| {
        let id = MeterId::new(point.value.as_str()).expect("a point id may name a meter");
        point.clone().map(|_| id)
    };
    let id = name.unwrap_or_else(|| by_point(&point));
    let subject = subject.unwrap_or_else(|| point.clone().map(|_| defaults.enterprise.clone()));
    let meter = Meter {
        id: id.value.clone(),
        point,
        energy_kind: energy_kind.value.clone(),
        subject: subject.value.clone(),
        role,
        parent: parent.as_ref().map(|parent| parent.value.clone()),
        independent,
        unit: unit.value,
        modulus,
        rise_per_hour_max: rise,
        resets,
        accept_uncertain,
        ratios,
        replacements,
        strikes: Vec::new(),
    };
    Some(MeterDraft { meter, id, energy_kind, subject, parent, unit, has_role })
}

fn ratios(table: &mut Table, problems: &mut Problems) -> Vec<RatioChange> {
    let mut ratios = Vec::new();
    for mut entry in table.tables("ratio", problems) {
        let from = entry.optional::<Timestamp>("from", problems).map(|found| found.value);
        let ct = optional_positive(&mut entry, "ct", problems).map_or(Decimal::ONE, |ct| ct.value);
        let pt = optional_positive(&mut entry, "pt", problems).map_or(Decimal::ONE, |pt| pt.value);
        match ct.checked_mul(pt) {
            Some(ratio) => ratios.push(RatioChange { from, ratio }),
            None => problems.push(entry.problem(CODE_PLANT, "`ct` × `pt` is too large a number")),
        }
        entry.finish(problems);
    }
    if ratios.is_empty() {
        return vec![RatioChange { from: None, ratio: Decimal::ONE }];
    }
    ratios.sort_by_key(|change| change.from);
    let repeated = ratios.windows(2).any(|pair| matches!(pair, [a, b] if a.from == b.from));
    if ratios.first().is_some_and(|first| first.from.is_some()) || repeated {
        let message = "`meter.ratio`: expected exactly one without `from`, for the beginning, and \
                       no `from` twice";
        problems.push(table.problem(CODE_PLANT, message));
    }
    ratios
}

fn replacements(table: &mut Table, problems: &mut Problems) -> Vec<Replacement> {
    let mut replacements = Vec::new();
    for mut entry in table.tables("replacement", problems) {
        let at = entry.required::<Timestamp>("at", problems);
        let old_final = entry.required::<Decimal>("old_final", problems);
        let new_initial = entry.required::<Decimal>("new_initial", problems);
        entry.finish(problems);
        if let (Some(at), Some(old_final), Some(new_initial)) = (at, old_final, new_initial) {
            replacements.push(Replacement {
                at: at.value,
                old_final: old_final.value,
                new_initial: new_initial.value,
            });
        }
    }
    replacements.sort_by_key(|replacement| replacement.at);
    if replacements.windows(2).any(|pair| matches!(pair, [a, b] if a.at == b.at)) {
        let message = "`meter.replacement`: two replacements have the same `at`";
        problems.push(table.problem(CODE_PLANT, message));
    }
    replacements
}
