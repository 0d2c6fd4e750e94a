//! Import checks of one coefficient row: what real sheets got wrong. Must never change a row.

use model::Unit;

use super::{CoalRateKind, Coefficient, KJ_PER_KGCE, Registry, Role, ValueUnit, constant};
use crate::convert;
use crate::number::Number;

/// How far `heat ÷ kgce constant` may lie from the printed coefficient, beside the rounding of the printed digits.
const IMPLIED_TOLERANCE: &str = "0.002";
/// How far a value may lie outside the shipped values of its kind: less than the 10 of a slipped digit, the 41.87 of
/// kgoe in an MJ column or the 1000 of kg for t.
const PLAUSIBLE_FACTOR: i64 = 5;

/// What is wrong with a row, in words; empty when nothing is.
pub(crate) fn check(row: &Coefficient, registry: &Registry) -> Vec<String> {
    let mut wrong = Vec::new();
    let upper = row.value_max.as_ref().unwrap_or(&row.value);
    if !row.value.is_positive() || upper < &row.value {
        wrong.push(format!("`value`: expected a number above zero, found `{}`", row.value));
    }
    wrong.extend(net_rate(row));
    wrong.extend(undated(row));
    wrong.extend(implied(row, registry));
    wrong.extend(implausible(row, registry));
    if let (Some(from), Some(to)) = (row.valid_from, row.valid_to)
        && to < from
    {
        wrong.push(format!("`valid_to` {to} lies before `valid_from` {from}"));
    }
    wrong
}

/// An equal value is taken from gross generation; a net rate is always higher.
fn net_rate(row: &Coefficient) -> Option<String> {
    let net = row.coal_rate_kind == Some(CoalRateKind::Net);
    (row.role == Role::EqualValue && net && row.override_reason.is_none()).then(|| {
        "an `equal_value` cannot come from a net coal rate (供电): expected a gross rate (发电), or \
         `override_reason` with the reason"
            .to_owned()
    })
}

/// The equal value of electricity and heat is a dated number per authority. A sector standard that fixes one by law
/// (GB 30251-2024 6.1.5) is shipped without a date; a site's row never is.
fn undated(row: &Coefficient) -> Option<String> {
    let dated = matches!(row.energy_kind.as_str(), "electricity" | "heat");
    let open = row.region.is_none() || row.data_year.is_none();
    (row.site && row.role == Role::EqualValue && dated && open).then(|| {
        format!(
            "an `equal_value` of {} is a dated number per authority: expected `region` and \
             `data_year`",
            row.energy_kind
        )
    })
}

/// `k = heat ÷ kgce constant` of the rule set, within the tolerance plus the rounding of the printed digits.
fn implied(row: &Coefficient, registry: &Registry) -> Vec<String> {
    let Some(heat_unit) = &row.heat_unit else { return Vec::new() };
    let Some(kj) = kilojoules(heat_unit, row.unit) else {
        return vec![format!(
            "`heat_unit`: expected energy per unit such as `kJ/{}`, found `{heat_unit}`",
            row.unit
        )];
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
                format!(
                    "`heat_value` {heat} {heat_unit} does not fit `value` {value} {}/{}: they are \
                     {} and {} kJ/{}",
                    row.value_unit, row.unit, from_heat, from_value, row.unit
                )
            })
        })
        .collect()
}

/// Kilojoules per `unit` that one of `heat_unit` is.
fn kilojoules(heat_unit: &str, unit: Unit) -> Option<Number> {
    let (energy, per) = heat_unit.split_once('/')?;
    let energy = convert::factor(energy.parse().ok()?, Unit::Kilojoule)?;
    let per: Unit = per.parse().ok()?;
    Some(&energy * &convert::factor(unit, per)?)
}

fn implausible(row: &Coefficient, registry: &Registry) -> Option<String> {
    if !row.site {
        return None;
    }
    let kgce = row.kgce_per_unit();
    let known: Vec<Number> = registry
        .rows
        .iter()
        .filter(|known| !known.site && known.energy_kind == row.energy_kind)
        .filter_map(|known| Some(&known.kgce_per_unit() * &convert::factor(row.unit, known.unit)?))
        .collect();
    let (low, high) = (known.iter().min()?, known.iter().max()?);
    let factor = Number::from(PLAUSIBLE_FACTOR);
    (&kgce * &factor < *low || kgce > high * &factor).then(|| {
        format!(
            "`value`: {kgce} kgce/{} is far from the known values of {} ({low} to {high}): check \
             `value_unit` and `unit`",
            row.unit, row.energy_kind
        )
    })
}

/// The unit that the known rows of a kind are given per.
pub(super) fn usual_unit(registry: &Registry, energy_kind: &str) -> Option<Unit> {
    registry.rows.iter().find(|row| row.energy_kind == energy_kind).map(|row| row.unit)
}
