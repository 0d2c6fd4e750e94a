//! What sections of a plant file must agree on: names that exist, units that convert, trees without circles. Must never
//! read TOML.

use std::collections::BTreeSet;
use std::fmt::Display;

use config::{Problem, Problems, Spanned, meant};
use model::{PlaceInSite, Unit};

use super::kind::KindDraft;
use super::meter::MeterDraft;
use super::place::{self, PlaceDraft};
use super::strike::{self, StrikeDraft};
use super::{
    Allocation, CODE_DUPLICATE, CODE_PLANT, CODE_REFERENCE, CODE_UNIT, EnergyKind, Plant, Product,
    Subject, SubjectKind, Treatment, physical,
};
use super::{allocation, flows, nesting};
use crate::id::SubjectId;

/// All sections, each read, none compared.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) subjects: Vec<SubjectDraft>,
    pub(super) kinds: Vec<KindDraft>,
    pub(super) meters: Vec<MeterDraft>,
    pub(super) products: Vec<Spanned<Product>>,
    pub(super) allocations: Vec<Spanned<Allocation>>,
    pub(super) strikes: Vec<StrikeDraft>,
}

/// A subject whose references are not checked yet.
pub(super) struct SubjectDraft {
    pub(super) id: Spanned<SubjectId>,
    pub(super) kind: SubjectKind,
    pub(super) name: String,
    pub(super) parent: Spanned<SubjectId>,
    pub(super) place: Option<Spanned<PlaceInSite>>,
}

/// Compares all sections and fills the plant.
pub(super) fn all(plant: &mut Plant, draft: Draft, problems: &mut Problems) {
    let ids: Vec<Spanned<SubjectId>> =
        draft.subjects.iter().map(|subject| subject.id.clone()).collect();
    subjects(plant, draft.subjects, problems);
    let makers = kinds(plant, draft.kinds, problems);
    meters(plant, &draft.meters, problems);
    nesting::check(plant, &draft.meters, problems);
    strike::check(plant, draft.strikes, problems);
    products(plant, draft.products, problems);
    allocation::check(plant, &draft.allocations, problems);
    nested_lines(plant, &ids, problems);
    flows::check(plant, &makers, &draft.meters, problems);
}

/// The energy of a line inside another would be counted in both.
fn nested_lines(plant: &Plant, places: &[Spanned<SubjectId>], problems: &mut Problems) {
    let lines: Vec<&Subject> = plant.lines().collect();
    for inner in &lines {
        for outer in lines.iter().filter(|outer| outer.id != inner.id) {
            if plant.is_within(&inner.id, &outer.id) {
                let message = format!(
                    "line `{}` lies in line `{}`: what is divided among lines would be counted twice",
                    inner.id, outer.id
                );
                let place = places.iter().find(|id| id.value == inner.id);
                let problem = match place {
                    Some(id) => id.problem(CODE_PLANT, message),
                    None => Problem::new(CODE_PLANT, message),
                };
                problems
                    .push(problem.help("give one of them the kind `area`, or another `parent`"));
            }
        }
    }
}

pub(super) fn unknown<T: Display>(found: &Spanned<T>, what: &str, known: &[String]) -> Problem {
    let name = found.value.to_string();
    let problem = found.problem(CODE_REFERENCE, format!("there is no {what} `{name}`"));
    if known.is_empty() {
        return problem.help(format!("this file has no {what}"));
    }
    let words: Vec<&str> = known.iter().map(String::as_str).collect();
    problem.help(meant(&name, &words, "known here:"))
}

pub(super) fn texts<T: Display>(ids: impl Iterator<Item = T>) -> Vec<String> {
    ids.map(|id| id.to_string()).collect()
}

pub(super) fn duplicate<T: Display>(found: &Spanned<T>, what: &str) -> Problem {
    found
        .problem(CODE_DUPLICATE, format!("there is another {what} `{}` above", found.value))
        .help("remove one of the two, or correct its name")
}

fn subjects(plant: &mut Plant, drafts: Vec<SubjectDraft>, problems: &mut Problems) {
    let (mut parents, mut places) = (Vec::new(), Vec::new());
    for SubjectDraft { id, kind, name, parent, place } in drafts {
        if plant.subject(&id.value).is_some() {
            problems.push(duplicate(&id, "subject"));
            continue;
        }
        if kind == SubjectKind::Enterprise {
            let message = "there is one enterprise, named by `plant.enterprise`";
            let help = "choose another `kind`: site, area, line or equipment";
            problems.push(id.problem(CODE_PLANT, message).help(help));
        }
        let parent_id = Some(parent.value.clone());
        plant.subjects.push(Subject {
            id: id.value.clone(),
            kind,
            name,
            parent: parent_id,
            place: place.clone(),
        });
        places.push(PlaceDraft { subject: id.clone(), place });
        parents.push((id, parent));
    }
    let mut rooted: BTreeSet<&SubjectId> = BTreeSet::from([&plant.enterprise]);
    // Each round reaches one level further down; what is never reached hangs in a circle.
    while let Some((id, _)) = parents
        .iter()
        .find(|(id, parent)| rooted.contains(&parent.value) && !rooted.contains(&id.value))
    {
        rooted.insert(&id.value);
    }
    for (id, parent) in &parents {
        if plant.subject(&parent.value).is_none() {
            let known = texts(plant.subjects.iter().map(|subject| &subject.id));
            problems.push(unknown(parent, "subject", &known));
        } else if !rooted.contains(&id.value) {
            let message = format!("subject `{}` does not lie in the enterprise", id.value);
            let help = format!("its `parent`s must lead up to `{}`", plant.enterprise);
            problems.push(parent.problem(CODE_REFERENCE, message).help(help));
        }
    }
    let hanging: BTreeSet<SubjectId> = parents
        .iter()
        .filter(|(id, _)| !rooted.contains(&id.value))
        .map(|(id, _)| id.value.clone())
        .collect();
    // The walk up the tree must end, even in a file with problems.
    for subject in plant.subjects.iter_mut().filter(|subject| hanging.contains(&subject.id)) {
        subject.parent = Some(plant.enterprise.clone());
    }
    place::check(plant, &places, problems);
}

/// Words that stand in the names of figures where a kind's would.
const RESERVED_KINDS: &[&str] = &[
    "energy",
    "equal_value",
    "equivalent",
    "gross_output_value",
    "output",
    "output_value_intensity",
    "product",
    "qualified_output",
    "subtotal",
    "total",
    "total_without_generated",
    "value_added",
    "value_added_intensity",
];

/// Fills the plant's kinds, and hands back where the file states what makes which.
fn kinds(
    plant: &mut Plant,
    drafts: Vec<KindDraft>,
    problems: &mut Problems,
) -> Vec<Spanned<Vec<SubjectId>>> {
    let mut makers = Vec::new();
    for KindDraft { mut kind, class, id, unit, conversions, made_by } in drafts {
        if RESERVED_KINDS.contains(&kind.id.as_str()) {
            let message = format!("an energy kind cannot be called `{}`: figures are", kind.id);
            let help = "choose another `id`, and name its coefficient with `coefficient`";
            problems.push(id.problem(CODE_PLANT, message).help(help));
        }
        if plant.kind(&kind.id).is_some() {
            problems.push(duplicate(&id, "energy kind"));
            continue;
        }
        let rows = plant.coefficients.rows();
        let named = || rows.iter().filter(|row| row.energy_kind == kind.coefficient);
        let own = named().find(|row| row.rule_set == kind.rule_set && row.edition == kind.edition);
        let known = own.or_else(|| named().next());
        kind.class = class.or(known.map(|row| row.class)).unwrap_or(kind.class);
        let editions = plant.coefficients.editions();
        if !editions.contains(&(kind.rule_set.as_str(), kind.edition.as_str())) {
            let message = format!(
                "energy kind `{}`: no coefficient has rule set `{}` and edition `{}`",
                kind.id, kind.rule_set, kind.edition
            );
            let known: Vec<String> =
                editions.iter().map(|(set, edition)| format!("`{set}` `{edition}`")).collect();
            let problem = id.problem(CODE_REFERENCE, message);
            problems.push(problem.help(format!("known: {}", known.join(", "))));
        }
        let registry = &plant.coefficients;
        let wrong = conversions.iter().filter_map(|one| physical::conversion(&kind, one, registry));
        problems.0.extend(wrong);
        if kind.treatment == Treatment::Annex {
            coefficient_units(plant, &kind, &unit, problems);
        }
        makers.extend(made_by);
        plant.kinds.push(kind);
    }
    makers
}

/// The kind's unit must convert exactly into that of its coefficient, whichever role.
fn coefficient_units(
    plant: &Plant,
    kind: &EnergyKind,
    unit: &Spanned<Unit>,
    problems: &mut Problems,
) {
    let rows = plant.coefficients.rows().iter().filter(|row| {
        row.rule_set == kind.rule_set
            && row.edition == kind.edition
            && row.energy_kind == kind.coefficient
    });
    let mut units: Vec<Unit> = rows.map(|row| row.unit).collect();
    if kind.steam.as_ref().is_some_and(|steam| steam.rule == super::SteamRule::Enthalpy) {
        units.push(Unit::Kilogram);
    }
    units.dedup();
    for wanted in units {
        if kind.factor(kind.unit, wanted).is_none() {
            let message = format!(
                "energy kind `{}`: its unit `{}` does not convert exactly into `{wanted}`, the \
                 unit of its coefficient",
                kind.id, unit.value
            );
            problems.push(unit.problem(CODE_UNIT, message).help(stated(kind.unit, wanted)));
        }
    }
}

fn stated(from: Unit, to: Unit) -> String {
    format!(
        "choose another unit, or state a factor: `conversion = [{{ from = \"{from}\", to = \"{to}\", factor = … }}]`"
    )
}

fn meters(plant: &mut Plant, drafts: &[MeterDraft], problems: &mut Problems) {
    for draft in drafts {
        if plant.meter(&draft.id.value).is_some() {
            problems.push(duplicate(&draft.id, "meter"));
            continue;
        }
        if plant.meters.iter().any(|meter| meter.point.value == draft.meter.point.value) {
            problems.push(duplicate(&draft.meter.point, "meter of the point"));
        }
        if plant.subject(&draft.subject.value).is_none() {
            let known = texts(plant.subjects.iter().map(|subject| &subject.id));
            problems.push(unknown(&draft.subject, "subject", &known));
        }
        match plant.kind(&draft.energy_kind.value) {
            None => {
                let known = texts(plant.kinds.iter().map(|kind| &kind.id));
                problems.push(unknown(&draft.energy_kind, "energy kind", &known));
            }
            Some(kind) if kind.factor_from(draft.unit.value).is_none() => {
                let message = format!(
                    "meter `{}`: its unit `{}` does not convert exactly into `{}`, the unit of \
                     energy kind `{}`",
                    draft.id.value, draft.unit.value, kind.unit, kind.id
                );
                let problem = draft.unit.problem(CODE_UNIT, message);
                problems.push(problem.help(stated(draft.unit.value, kind.unit)));
            }
            Some(_) => {}
        }
        plant.meters.push(draft.meter.clone());
    }
    for draft in drafts {
        if let Some(parent) = &draft.parent {
            meter_parent(plant, draft, parent, problems);
        }
    }
}

fn meter_parent(
    plant: &Plant,
    draft: &MeterDraft,
    parent: &Spanned<crate::id::MeterId>,
    problems: &mut Problems,
) {
    let Some(found) = plant.meter(&parent.value) else {
        let known = texts(plant.meters.iter().map(|meter| &meter.id));
        problems.push(unknown(parent, "meter", &known));
        return;
    };
    if found.energy_kind != draft.energy_kind.value {
        let message = format!(
            "meter `{}` counts `{}`, its parent `{}` counts `{}`",
            draft.id.value, draft.energy_kind.value, found.id, found.energy_kind
        );
        let help = "a meter and its parent count the same energy: correct one of the two";
        problems.push(parent.problem(CODE_REFERENCE, message).help(help));
    }
    let mut above = Some(found);
    // As many steps as there are meters: a longer way goes in a circle.
    for _ in 0..plant.meters.len() {
        above = above.and_then(|meter| plant.meter(meter.parent.as_ref()?));
    }
    if above.is_some() {
        let message = format!("meter `{}` is its own parent in a circle", draft.id.value);
        let help = "the main meter has no `parent`: remove it there";
        problems.push(parent.problem(CODE_REFERENCE, message).help(help));
    }
}

fn products(plant: &mut Plant, drafts: Vec<Spanned<Product>>, problems: &mut Problems) {
    for draft in drafts {
        let line = draft.clone().map(|product| product.line);
        if plant.products.iter().any(|product| product.id == draft.value.id) {
            problems.push(duplicate(&draft.clone().map(|product| product.id), "product"));
        } else if plant.subject(&line.value).is_none() {
            let known = texts(plant.subjects.iter().map(|subject| &subject.id));
            problems.push(unknown(&line, "subject", &known));
        }
        plant.products.push(draft.value);
    }
}
