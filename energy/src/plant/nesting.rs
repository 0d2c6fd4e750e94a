//! Meters behind one another: a meter inside a metered subject says which meter counts its energy too, or that none
//! does. Otherwise the same energy would be counted twice.
//!
//! `main` (incoming, at `acme`) and `line-a` (incoming, at `line-a` inside `acme`) → a problem, until `line-a` has
//! `parent = "main"` or `independent = true`.

use config::{Problem, Problems, Spanned};
use model::text;

use super::meter::MeterDraft;
use super::{CODE_NESTED, Meter, MeterRole, Plant};
use crate::id::MeterId;

/// Compares all meters with each other.
pub(super) fn check(plant: &Plant, drafts: &[MeterDraft], problems: &mut Problems) {
    for draft in drafts.iter().filter(|draft| draft.has_role) {
        let meter = &draft.meter;
        match &draft.parent {
            Some(parent) if meter.independent => problems.push(contradiction(draft, parent)),
            Some(parent) => {
                let above = plant.meter(&parent.value);
                let wrong = above.filter(|above| !lies_behind(meter.role, above.role));
                problems.0.extend(wrong.map(|above| not_behind(meter, parent, above)));
            }
            None if !meter.independent => {
                let above = plant.meters.iter().find(|above| counts_too(plant, above, meter));
                problems.0.extend(above.map(|above| counted_twice(draft, above)));
            }
            None => {}
        }
        if meter.role == MeterRole::Sub && meter.subject == plant.enterprise {
            problems.push(sub_of_the_whole(draft));
        }
    }
}

/// Roles of which a subject has one quantity: what comes in and what is used inside are the same energy.
fn same_energy(one: MeterRole, other: MeterRole) -> bool {
    let used = |role| matches!(role, MeterRole::Incoming | MeterRole::Sub);
    one == other || (used(one) && used(other))
}

/// Whether the subjects say that `above` counts the energy of a meter without a parent.
fn counts_too(plant: &Plant, above: &Meter, meter: &Meter) -> bool {
    let inside = above.subject != meter.subject && plant.is_within(&meter.subject, &above.subject);
    // Two feeders of one subject are two meters of the same role there; a sub-meter is never a second feeder.
    let beside = above.subject == meter.subject
        && (above.role, meter.role) == (MeterRole::Incoming, MeterRole::Sub);
    above.id != meter.id
        && above.energy_kind == meter.energy_kind
        && same_energy(above.role, meter.role)
        && (inside || beside)
}

/// Whether a meter of one role can lie behind one of another: a meter behind PV counts a part of what PV made.
fn lies_behind(role: MeterRole, above: MeterRole) -> bool {
    let of_a_source = matches!(above, MeterRole::Own | MeterRole::Generated);
    same_energy(role, above) || (role == MeterRole::Sub && of_a_source)
}

fn counted_twice(draft: &MeterDraft, above: &Meter) -> Problem {
    let Meter { id, subject, energy_kind, .. } = &draft.meter;
    let (upper, holder) = (&above.id, &above.subject);
    let message = text!(
        en: "meter `{id}` stands at `{subject}`, and meter `{upper}` counts `{energy_kind}` of all of `{holder}`: its energy would be counted twice",
        zh: "计量表 `{id}` 位于 `{subject}`，而计量表 `{upper}` 计量整个 `{holder}` 的 `{energy_kind}`：其能量会被重复计入"
    );
    draft.id.problem(CODE_NESTED, message).help(text!(
        en: "write `parent = \"{upper}\"` if that meter counts its energy too, else `independent = true`",
        zh: "如果该表也计量了它的能量，请写 `parent = \"{upper}\"`，否则写 `independent = true`"
    ))
}

fn contradiction(draft: &MeterDraft, parent: &Spanned<MeterId>) -> Problem {
    let (id, upper) = (&draft.meter.id, &parent.value);
    let message = text!(
        en: "meter `{id}` has `parent = \"{upper}\"` and `independent = true`: it cannot be both",
        zh: "计量表 `{id}` 同时写了 `parent = \"{upper}\"` 和 `independent = true`，二者矛盾"
    );
    parent.problem(CODE_NESTED, message).help(text!(
        en: "keep `parent` if `{upper}` counts its energy too",
        zh: "如果 `{upper}` 也计量了它的能量，只保留 `parent`"
    ))
}

fn not_behind(meter: &Meter, parent: &Spanned<MeterId>, above: &Meter) -> Problem {
    let (id, role, upper, upper_role) = (&meter.id, meter.role, &above.id, above.role);
    let message = text!(
        en: "meter `{id}` has the role `{role}` and cannot lie behind `{upper}`, whose role is `{upper_role}`: a parent counts the energy of the meter too",
        zh: "计量表 `{id}` 的 `role` 是 `{role}`，不能位于 `{upper}`（`role` 为 `{upper_role}`）之后：上级表应同时计量下级表的能量"
    );
    parent.problem(CODE_NESTED, message).help(text!(
        en: "remove `parent`, or correct one of the two roles",
        zh: "去掉 `parent`，或更正其中一个 `role`"
    ))
}

fn sub_of_the_whole(draft: &MeterDraft) -> Problem {
    let (id, enterprise) = (&draft.meter.id, &draft.meter.subject);
    let message = text!(
        en: "meter `{id}` has the role `sub` and stands at `{enterprise}`, the enterprise itself: no line or equipment gets its energy",
        zh: "计量表 `{id}` 的 `role` 是 `sub`，却位于企业 `{enterprise}` 本身：没有产线或设备得到它的能量"
    );
    let help = text!(
        en: "state the `subject` that uses the energy, or another `role`",
        zh: "用 `subject` 写明用能对象，或改用其他 `role`"
    );
    draft.id.problem(CODE_NESTED, message).help(help).warning()
}
