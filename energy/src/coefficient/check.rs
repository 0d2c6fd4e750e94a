//! Import checks of one coefficient row: what real sheets got wrong. Must never change a row.

use model::{Localized, Unit, text};

use super::heat::{kilojoules, no_heat_unit};
use super::plausible::implausible;
use super::{CoalRateKind, Coefficient, KJ_PER_KGCE, Registry, Role, ValueUnit, constant};
use crate::number::Number;

/// How far `heat ÷ kgce constant` may lie from the printed coefficient, beside the rounding of the printed digits.
const IMPLIED_TOLERANCE: &str = "0.002";

/// One thing that is wrong with a row, and what to do where that is more than to compare it with its document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) message: Localized,
    pub(crate) help: Option<Localized>,
}

impl Fault {
    pub(crate) fn new(message: Localized) -> Self {
        Self { message, help: None }
    }

    pub(crate) fn help(self, help: Localized) -> Self {
        Self { help: Some(help), ..self }
    }
}

/// What is wrong with a row; empty when nothing is.
pub(crate) fn check(row: &Coefficient, registry: &Registry) -> Vec<Fault> {
    let mut wrong = Vec::new();
    let upper = row.value_max.as_ref().unwrap_or(&row.value);
    if !row.value.is_positive() || upper < &row.value {
        let value = &row.value;
        wrong.push(Fault::new(text!(
            en: "`value`: expected a number above zero, found `{value}`",
            zh: "`value`：应为大于零的数，实为 `{value}`",
        )));
    }
    wrong.extend(net_rate(row));
    wrong.extend(undated(row));
    wrong.extend(implied(row, registry));
    wrong.extend(implausible(row, registry));
    if let (Some(from), Some(to)) = (row.valid_from, row.valid_to)
        && to < from
    {
        wrong.push(Fault::new(text!(
            en: "`valid_to` {to} lies before `valid_from` {from}",
            zh: "`valid_to` {to} 早于 `valid_from` {from}",
        )));
    }
    wrong
}

/// An equal value is taken from gross generation; a net rate is always higher.
fn net_rate(row: &Coefficient) -> Option<Fault> {
    let net = row.coal_rate_kind == Some(CoalRateKind::Net);
    (row.role == Role::EqualValue && net && row.override_reason.is_none()).then(|| {
        Fault::new(text!(
            en: "an `equal_value` cannot come from a net coal rate (供电): expected a gross rate (发电), or `override_reason` with the reason",
            zh: "`equal_value` 不能取自供电煤耗：应为发电煤耗，否则用 `override_reason` 写明理由",
        ))
    })
}

/// The equal value of electricity and heat is a dated number per authority. A sector standard that fixes one by law
/// (GB 30251-2024 6.1.5) is shipped without a date; a site's row never is.
fn undated(row: &Coefficient) -> Option<Fault> {
    let dated = matches!(row.energy_kind.as_str(), "electricity" | "heat");
    let open = row.region.is_none() || row.data_year.is_none();
    (row.site && row.role == Role::EqualValue && dated && open).then(|| {
        let kind = &row.energy_kind;
        Fault::new(text!(
            en: "an `equal_value` of {kind} is a dated number per authority: expected `region` and `data_year`",
            zh: "{kind} 的 `equal_value` 是主管部门按年公布的数值：须有 `region` 和 `data_year`",
        ))
    })
}

/// `k = heat ÷ kgce constant` of the rule set, within the tolerance plus the rounding of the printed digits.
fn implied(row: &Coefficient, registry: &Registry) -> Vec<Fault> {
    let unit = row.unit;
    let Some(heat_unit) = &row.heat_unit else { return Vec::new() };
    let Some(kj) = kilojoules(heat_unit, unit) else {
        return row.heat_value.iter().map(|heat| no_heat_unit(heat, heat_unit, unit)).collect();
    };
    let set = registry.rule_set(&row.rule_set, &row.edition);
    let per_value = match row.value_unit {
        ValueUnit::Kgoe => {
            set.and_then(|set| set.kj_per_kgoe.clone()).unwrap_or_else(|| constant("41868"))
        }
        ValueUnit::Kgce | ValueUnit::Tce => {
            let kgce = set.map_or_else(|| constant(KJ_PER_KGCE), |set| set.kj_per_kgce.clone());
            if row.value_unit == ValueUnit::Tce { &kgce * &Number::from(1000) } else { kgce }
        }
    };
    let value_unit = row.value_unit;
    let ends = [
        (Some(&row.value), row.heat_value.as_ref()),
        (row.value_max.as_ref(), row.heat_value_max.as_ref()),
    ];
    ends.into_iter()
        .filter_map(|(value, heat)| Some((value?, heat?)))
        .filter_map(|(value, heat)| {
            let from_heat = heat * &kj;
            let from_value = value * &per_value;
            let digits =
                &(&value.half_last_digit() * &per_value) + &(&heat.half_last_digit() * &kj);
            let allowed = &(&from_heat * &constant(IMPLIED_TOLERANCE)) + &digits;
            ((&from_heat - &from_value).abs() > allowed).then(|| {
                Fault::new(text!(
                    en: "`heat_value` {heat} {heat_unit} does not fit `value` {value} {value_unit}/{unit}: they are {from_heat} and {from_value} kJ/{unit}",
                    zh: "`heat_value` {heat} {heat_unit} 与 `value` {value} {value_unit}/{unit} 不符：分别为 {from_heat} 和 {from_value} kJ/{unit}",
                ))
            })
        })
        .collect()
}

/// The unit that the known rows of a kind are given per.
pub(super) fn usual_unit(registry: &Registry, energy_kind: &str) -> Option<Unit> {
    registry.rows.iter().find(|row| row.energy_kind == energy_kind).map(|row| row.unit)
}
