//! What must be said beside a figure: what is missing, estimated, forecast or not counted, and the coefficient that an
//! auditor asks for. Must never compute.

use energy::Figure;
use energy::coefficient::{Basis, Evidence, Rule};
use energy::source::NotCounted;
use energy::tce::CoefficientUse;
use model::{Language, Localized, text};

use super::rows::Row;
use super::words;

/// Takes what the figures of a row say of themselves.
pub(super) fn of_figures(row: &mut Row) {
    let figures: Vec<(Option<Basis>, Figure)> = row
        .figure
        .iter()
        .map(|figure| (None, figure.clone()))
        .chain(row.on.iter().map(|one| (Some(one.basis), one.figure.clone())))
        .collect();
    for (basis, figure) in figures {
        for text in of_figure(&figure) {
            row.remark(basis, text);
        }
    }
}

/// Why a figure has no value, that a part of it is missing, and how it was found where that is neither by reading a
/// meter nor by a declaration: what is estimated must not look like what was read.
fn of_figure(figure: &Figure) -> Vec<Localized> {
    let mut all = figure.notes.clone();
    if figure.value.is_none() {
        return all;
    }
    if !figure.complete && all.is_empty() {
        all.push(text!(en: "a part is missing", zh: "部分数据缺失"));
    }
    all.extend(figure.class.and_then(words::class_remark));
    all
}

/// What was given too and does not count stays in sight (trap of metered and declared at once).
pub(super) fn not_counted(other: &NotCounted) -> Localized {
    let NotCounted { value, difference, reason, .. } = other;
    text!(
        en: "not counted: {value} (difference {difference}): {reason}",
        zh: "不计入：{value}（差值 {difference}）：{reason}",
    )
}

/// A coefficient with everything that it takes to audit a total made with it.
pub(super) fn coefficient(kind: &Localized, basis: Basis, used: &CoefficientUse) -> Localized {
    let mut en = format!(
        "{}, {}: {} kgce/{}",
        kind.get(Language::English),
        words::basis(basis).get(Language::English),
        used.kgce_per_unit,
        words::unit(used.unit.symbol(), Language::English),
    );
    let mut zh = format!(
        "{}{}系数 {} kgce/{}",
        kind.get(Language::Chinese),
        words::basis(basis).get(Language::Chinese),
        used.kgce_per_unit,
        used.unit,
    );
    let mut add = |text: Localized| {
        en = format!("{en}, {}", text.get(Language::English));
        zh = format!("{zh}，{}", text.get(Language::Chinese));
    };
    match &used.rule {
        Rule::Row | Rule::Mean => {}
        Rule::SingleValue => add(text!(en: "the one value of both bases", zh: "两种基准同一数值")),
        Rule::Enthalpy { steam_kj_per_kg, feed_kj_per_kg } => add(text!(
            en: "by enthalpy {steam_kj_per_kg} less feed water {feed_kj_per_kg} kJ/kg",
            zh: "按焓值 {steam_kj_per_kg} 减给水 {feed_kj_per_kg} kJ/kg",
        )),
        Rule::Excluded => {
            add(text!(en: "not converted by the site's rule", zh: "按本单位规则不折标"));
        }
    }
    if let Some(year) = used.data_year {
        add(text!(en: "data year {year}", zh: "数据年份 {year}"));
    }
    for notice in used.notices.iter().filter(|notice| !notice.is_empty()) {
        add(Localized::new(notice.as_str(), notice.as_str()));
    }
    if let Some(evidence) = used.evidence {
        add(self::evidence(evidence));
    }
    Localized::new(en, zh)
}

fn evidence(evidence: Evidence) -> Localized {
    match evidence {
        Evidence::Printed => text!(en: "evidence: printed document", zh: "证据：印刷本"),
        Evidence::Secondary => text!(en: "evidence: secondary source", zh: "证据：转引"),
        Evidence::Unverified => text!(en: "evidence: unverified", zh: "证据：未核实"),
        Evidence::Measured => text!(en: "evidence: measured", zh: "证据：实测"),
        Evidence::Assumed => text!(en: "evidence: assumed", zh: "证据：假定"),
        Evidence::Illustrative => text!(en: "evidence: illustrative", zh: "证据：示例"),
    }
}
