//! What the plant file says about where a kind comes from and goes: what makes it, what its export is taken off. Facts
//! say more of it, see [`crate::flows`].

use config::{Problem, Problems, Spanned};
use model::text;

use super::check::{texts, unknown};
use super::meter::MeterDraft;
use super::{CODE_FLOW, EnergyKind, ExportSource, MeterRole, Plant};
use crate::coefficient::EnergyClass;
use crate::id::SubjectId;

/// Checks `made_by` of all kinds, and the meters of their flows.
pub(super) fn check(
    plant: &Plant,
    makers: &[Spanned<Vec<SubjectId>>],
    drafts: &[MeterDraft],
    problems: &mut Problems,
) {
    for by in makers {
        for (at, maker) in by.value.iter().enumerate() {
            let place = by.clone().map(|_| maker.clone());
            if plant.subject(maker).is_none() {
                let known = texts(plant.subjects.iter().map(|subject| &subject.id));
                problems.push(unknown(&place, "subject", &known));
                continue;
            }
            let mut inside = plant.lines().filter(|line| line.id != *maker);
            let line = inside.find(|line| plant.is_within(&line.id, maker));
            problems.0.extend(line.map(|line| holds_a_line(&place, &line.id)));
            let others = by.value.iter().enumerate().filter(|(other, _)| *other != at);
            let holder = others.map(|(_, other)| other).find(|other| plant.is_within(maker, other));
            problems.0.extend(holder.map(|holder| made_twice(&place, holder)));
        }
    }
    for draft in drafts.iter().filter(|draft| draft.meter.role == MeterRole::Generated) {
        let kind = plant.kind(&draft.meter.energy_kind);
        if let Some(kind) = kind.filter(|kind| kind.class == EnergyClass::Medium) {
            let (message, help) = no_primary_energy(kind);
            problems.push(draft.energy_kind.problem(CODE_FLOW, message).help(help));
        }
    }
    for kind in &plant.kinds {
        let draft = |role| {
            drafts
                .iter()
                .find(move |one| one.meter.role == role && one.meter.energy_kind == kind.id)
        };
        let (generated, own) = (draft(MeterRole::Generated), draft(MeterRole::Own));
        if let (None, Some(_), Some(_), Some(export)) =
            (kind.exported_from, generated, own, draft(MeterRole::Export))
        {
            let (message, help) = source_needed(kind);
            problems.push(export.energy_kind.problem(CODE_FLOW, message).help(help));
        }
    }
}

fn holds_a_line(maker: &Spanned<SubjectId>, line: &SubjectId) -> Problem {
    let id = &maker.value;
    let message = text!(
        en: "`made_by`: `{id}` holds the line `{line}`, so its energy is not that of what makes this kind alone",
        zh: "`made_by`：`{id}` 内有产线 `{line}`，其能量不只用于生产该能源"
    );
    maker.problem(CODE_FLOW, message).help(text!(
        en: "name the equipment, such as the boiler or the compressor",
        zh: "请写具体设备，如锅炉、空压机"
    ))
}

fn made_twice(maker: &Spanned<SubjectId>, holder: &SubjectId) -> Problem {
    let id = &maker.value;
    let message = text!(
        en: "`made_by`: `{id}` lies in `{holder}`, which is named too: its energy would be counted twice",
        zh: "`made_by`：`{id}` 位于同时列出的 `{holder}` 之内，其能量会被重复计入"
    );
    maker.problem(CODE_FLOW, message).help(text!(en: "name one of the two", zh: "只写其中一个"))
}

/// A kind of class medium has a coefficient of the energy that it took to make it, which is counted where it was used.
///
/// # Source
/// GB/T 2589: energy-consumed media (耗能工质) made on site are not converted.
pub(crate) fn no_primary_energy(kind: &EnergyKind) -> (model::Localized, model::Localized) {
    let id = &kind.id;
    (
        text!(
            en: "`generated:{id}`: an energy-consumed medium is no primary energy, and what it took to make it is counted already",
            zh: "`generated:{id}`：耗能工质不是一次能源，自产所耗能源已经计入"
        ),
        text!(en: "write `own:{id}`, role `own`", zh: "请写 `own:{id}`，`role` 为 `own`"),
    )
}

/// Nobody knows which of two sources was exported.
pub(crate) fn source_needed(kind: &EnergyKind) -> (model::Localized, model::Localized) {
    let id = &kind.id;
    let words = ExportSource::WORDS.join("`, `");
    (
        text!(
            en: "`{id}` has `generated`, `own` and exported quantities, and it is not stated what the export is taken off",
            zh: "`{id}` 既有 `generated` 又有 `own`，还有外供量，但未说明外供来自哪一项"
        ),
        text!(
            en: "write `exported_from` in this `[[energy_kind]]`, one of `{words}`",
            zh: "在该 `[[energy_kind]]` 中写 `exported_from`，取值 `{words}` 之一"
        ),
    )
}
