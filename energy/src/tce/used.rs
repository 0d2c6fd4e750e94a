//! A coefficient with all that it takes to audit a figure made with it: value, year, document, evidence, and what it was
//! computed from. Must never print.

use model::{Localized, Unit, text};
use serde::Serialize;

use crate::coefficient::{Basis, Coefficient, Evidence, Resolved, Role, Rule};
use crate::id::KindId;
use crate::number::Number;
use crate::period::Period;
use crate::plant::Conversion as Stated;

/// A coefficient as it is printed beside a figure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CoefficientUse {
    /// Kilograms of coal equivalent per `unit`; rounded where `rule` is [`Rule::Mean`].
    pub kgce_per_unit: Number,
    /// Per what.
    pub unit: Unit,
    /// How it was found.
    pub rule: Rule,
    /// Documents it stands in, each once.
    pub notices: Vec<String>,
    /// The year of its data, where it is dated.
    pub data_year: Option<i16>,
    /// How far it can be believed; of several rows the most doubtful.
    pub evidence: Option<Evidence>,
    /// The measured heat value it was computed from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heat: Option<HeatUse>,
    /// The factors that the site states between units of the kind.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conversions: Vec<Stated>,
    /// Each row with its own quantity, where there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<PartUse>,
}

/// A measured heat value and the constant that divides it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeatUse {
    /// The net heat value.
    pub heat_value: Number,
    /// Its unit, `MJ/kg`.
    pub heat_unit: String,
    /// The rule set's kilojoules in one kgce.
    pub kj_per_kgce: Number,
}

/// One of several rows, and the part of the quantity that it was applied to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartUse {
    /// The days.
    pub period: Period,
    /// The batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<String>,
    /// How much, in `quantity_unit`.
    pub quantity: Number,
    /// The unit of the energy kind.
    pub quantity_unit: Unit,
    /// Kilograms of coal equivalent per `unit`.
    pub kgce_per_unit: Number,
    /// Per what.
    pub unit: Unit,
    /// The document.
    pub notice: String,
    /// How far it can be believed.
    pub evidence: Option<Evidence>,
}

/// The coefficient of an energy kind on a basis, for the foot of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KindCoefficient {
    /// The kind.
    pub kind: KindId,
    /// Its name.
    pub name: String,
    /// The basis.
    pub basis: Basis,
    /// The coefficient.
    pub coefficient: CoefficientUse,
}

impl From<&Resolved> for CoefficientUse {
    fn from(resolved: &Resolved) -> Self {
        let heat = resolved.rows.iter().find_map(|row| heat(row));
        Self {
            kgce_per_unit: resolved.kgce_per_unit.clone(),
            unit: resolved.unit,
            rule: resolved.rule.clone(),
            notices: notices(std::slice::from_ref(resolved)),
            data_year: resolved.rows.iter().find_map(|row| row.data_year),
            evidence: evidence(std::slice::from_ref(resolved)),
            heat,
            conversions: resolved.conversions.clone(),
            parts: Vec::new(),
        }
    }
}

fn heat(row: &Coefficient) -> Option<HeatUse> {
    Some(HeatUse {
        heat_value: row.heat_value.clone()?,
        heat_unit: row.heat_unit.clone()?,
        kj_per_kgce: row.kj_per_kgce.clone()?,
    })
}

fn notices(all: &[Resolved]) -> Vec<String> {
    let mut once: Vec<String> = Vec::new();
    for row in all.iter().flat_map(|one| &one.rows) {
        if !once.contains(&row.notice) {
            once.push(row.notice.clone());
        }
    }
    once
}

/// The most doubtful of all rows.
fn evidence(all: &[Resolved]) -> Option<Evidence> {
    let doubt = |evidence: &Evidence| match evidence {
        Evidence::Printed => 0,
        Evidence::Measured => 1,
        Evidence::Secondary => 2,
        Evidence::Unverified => 3,
        Evidence::Assumed => 4,
        Evidence::Illustrative => 5,
    };
    all.iter().flat_map(|one| &one.rows).map(|row| row.evidence).max_by_key(doubt)
}

impl CoefficientUse {
    /// Of several rows; `mean` is what they come to per `unit`.
    pub(super) fn mean(mean: Number, unit: Unit, all: &[Resolved]) -> Self {
        let years: Vec<Option<i16>> =
            all.iter().flat_map(|one| &one.rows).map(|row| row.data_year).collect();
        let one_year = years.windows(2).all(|pair| pair.first() == pair.get(1));
        let parts = all.iter().filter_map(|one| {
            let part = one.part.clone()?;
            Some(PartUse {
                period: part.period,
                batch: part.batch,
                quantity: part.quantity,
                quantity_unit: part.unit,
                kgce_per_unit: one.kgce_per_unit.clone(),
                unit: one.unit,
                notice: one.rows.first().map(|row| row.notice.clone()).unwrap_or_default(),
                evidence: evidence(std::slice::from_ref(one)),
            })
        });
        Self {
            kgce_per_unit: mean,
            unit,
            rule: Rule::Mean,
            notices: notices(all),
            data_year: years.first().copied().flatten().filter(|_| one_year),
            evidence: evidence(all),
            heat: None,
            conversions: all.first().map(|one| one.conversions.clone()).unwrap_or_default(),
            parts: parts.collect(),
        }
    }
}

/// What must be said of every figure that such a coefficient went into: a 等价值 with its year and document, and evidence
/// that is no evidence.
///
/// # Source
/// GB/T 2589: the equal value of electricity is a dated number per authority; without them a total cannot be audited.
pub(super) fn carried(name: &str, basis: Basis, all: &[Resolved]) -> Vec<Localized> {
    let mut notes: Vec<Localized> = Vec::new();
    for one in all {
        for row in &one.rows {
            let own = basis == Basis::EqualValue && row.role == Role::EqualValue;
            let doubtful = matches!(
                row.evidence,
                Evidence::Unverified | Evidence::Assumed | Evidence::Illustrative
            );
            if own || doubtful {
                let note = note(name, one, row);
                if !notes.contains(&note) {
                    notes.push(note);
                }
            }
        }
    }
    notes
}

fn note(name: &str, one: &Resolved, row: &Coefficient) -> Localized {
    let (value, value_unit, unit, notice) = (&row.value, row.value_unit, row.unit, &row.notice);
    let (kind, kind_chinese) = match row.role {
        Role::EqualValue => ("equal value (等价值)", "等价值"),
        _ => ("coefficient", "折标系数"),
    };
    let heat = if row.energy_kind == "heat" && matches!(one.rule, Rule::Enthalpy { .. }) {
        " (heat)"
    } else {
        ""
    };
    let year = row.data_year.map_or_else(String::new, |year| format!(", data year {year}"));
    let year_chinese = row.data_year.map_or_else(String::new, |year| format!("，数据年份 {year}"));
    let (doubt, doubt_chinese) = match row.evidence {
        Evidence::Printed | Evidence::Secondary | Evidence::Measured => ("", ""),
        Evidence::Unverified => (", unverified", "，未核实"),
        Evidence::Assumed => (", assumed", "，假定值"),
        Evidence::Illustrative => (", illustrative: not for a report", "，示例值，不可用于上报"),
    };
    text!(
        en: "{kind} of {name}{heat}: {value} {value_unit}/{unit}{year}, {notice}{doubt}",
        zh: "{name}{kind_chinese}：{value} {value_unit}/{unit}{year_chinese}，{notice}{doubt_chinese}",
    )
}
