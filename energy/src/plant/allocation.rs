//! What allocation keys (`[[allocation]]`) must agree on: what is divided is not counted where it is used, and no share is
//! counted twice. Must never divide.

use config::{Problem, Problems, Spanned};
use model::text;

use super::check::{duplicate, texts, unknown};
use super::{Allocation, CODE_PLANT, Plant, SubjectKind};
use crate::id::SubjectId;

/// Fills the plant's allocation keys, and compares them with its lines and with each other.
pub(super) fn check(plant: &mut Plant, drafts: &[Spanned<Allocation>], problems: &mut Problems) {
    for draft in drafts {
        names(plant, draft, problems);
        plant.allocations.push(draft.value.clone());
    }
    for draft in drafts {
        problems.0.extend(in_a_line(plant, draft).or_else(|| holds_lines(plant, draft)));
        problems.0.extend(divided_twice(plant, draft));
        problems.0.extend(named_twice(draft));
    }
}

/// The names of one key, and whether there is another one of the same equipment and kind.
fn names(plant: &Plant, draft: &Spanned<Allocation>, problems: &mut Problems) {
    let place = |text: &str| draft.clone().map(|_| text.to_owned());
    let allocation = &draft.value;
    if plant.kind(&allocation.energy_kind).is_none() {
        let known = texts(plant.kinds.iter().map(|kind| &kind.id));
        problems.push(unknown(&place(allocation.energy_kind.as_str()), "energy kind", &known));
    }
    let repeated = plant
        .allocations
        .iter()
        .any(|other| other.from == allocation.from && other.energy_kind == allocation.energy_kind);
    if repeated {
        problems.push(duplicate(&place(allocation.from.as_str()), "allocation key"));
    }
    let ends = allocation.shares.iter().map(|share| &share.to).chain([&allocation.from]);
    for subject in ends {
        if plant.subject(subject).is_none() {
            let known = texts(plant.subjects.iter().map(|subject| &subject.id));
            problems.push(unknown(&place(subject.as_str()), "subject", &known));
        }
    }
}

/// Its energy would be counted in the line's own meters and by the key once more.
fn in_a_line(plant: &Plant, draft: &Spanned<Allocation>) -> Option<Problem> {
    let from = &draft.value.from;
    let line = plant.lines().find(|line| plant.is_within(from, &line.id))?;
    let (whom, help) = if draft.value.shares.iter().any(|share| share.to == line.id) {
        ("it", "remove this share")
    } else {
        ("others", "take it out of the line, or remove this key")
    };
    let place =
        if line.id == *from { "is a line".to_owned() } else { format!("lies in `{}`", line.id) };
    let message =
        format!("`{from}` {place} and cannot be allocated to {whom}: its energy is counted there");
    Some(draft.problem(CODE_PLANT, message).help(help))
}

/// What the lines in it use would be shared out once more.
fn holds_lines(plant: &Plant, draft: &Spanned<Allocation>) -> Option<Problem> {
    let from = &draft.value.from;
    let help = text!(
        en: "name the shared equipment, or an area that holds such equipment alone",
        zh: "请写公用设备，或只含公用设备的车间"
    );
    if let Some(line) = plant.lines().find(|line| plant.is_within(&line.id, from)) {
        let line = &line.id;
        let message = text!(
            en: "`{from}` holds the line `{line}` and cannot be allocated: what the line uses itself would be shared out once more",
            zh: "`{from}` 内有产线 `{line}`，不能分摊：产线自身的用能会再次分摊"
        );
        return Some(draft.problem(CODE_PLANT, message).help(help));
    }
    let whole = plant.subject(from)?.kind == SubjectKind::Enterprise;
    whole.then(|| {
        let message = text!(
            en: "`{from}` is the enterprise and cannot be allocated: what is used in it is counted there",
            zh: "`{from}` 是企业整体，不能分摊：其中的用能已在各处计入"
        );
        draft.problem(CODE_PLANT, message).help(help)
    })
}

/// Equipment inside something that has a key for the same kind: both would share it out.
fn divided_twice(plant: &Plant, draft: &Spanned<Allocation>) -> Option<Problem> {
    let Allocation { from, energy_kind, .. } = &draft.value;
    let holder = plant.allocations.iter().find(|other| {
        other.energy_kind == *energy_kind
            && other.from != *from
            && plant.is_within(from, &other.from)
    })?;
    let holder = &holder.from;
    let message = text!(
        en: "`{from}` lies in `{holder}`, whose `{energy_kind}` is allocated too: it would be shared out twice",
        zh: "`{from}` 位于 `{holder}` 之内，而 `{holder}` 的 `{energy_kind}` 也在分摊：会重复分摊"
    );
    Some(draft.problem(CODE_PLANT, message).help(text!(
        en: "remove one of the two keys, or take `{from}` out of `{holder}`",
        zh: "请删去其中一个分摊，或将 `{from}` 移出 `{holder}`"
    )))
}

/// The second of two shares is more often a slip of a name than a sum of weights.
fn named_twice(draft: &Spanned<Allocation>) -> Option<Problem> {
    let Allocation { from, shares, .. } = &draft.value;
    let to: Vec<&SubjectId> = shares.iter().map(|share| &share.to).collect();
    let (_, twice) = to
        .iter()
        .enumerate()
        .find(|(at, to_this)| to.iter().take(*at).any(|before| before == *to_this))?;
    let message = text!(
        en: "the allocation key of `{from}` names `{twice}` twice",
        zh: "`{from}` 的分摊中 `{twice}` 出现两次"
    );
    Some(draft.problem(CODE_PLANT, message).help(text!(
        en: "correct one of the two names, or write one share with the sum of both weights",
        zh: "请更正其中一个名称，或合并为一项，权重相加"
    )))
}
