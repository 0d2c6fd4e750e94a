//! A coefficient from a measured heat value: k = net heat value ÷ the heat of one kgce by the rule set. Must never be used for a
//! heat value that a standard prints: its coefficient is printed beside it (electricity is 0.1229, not 3600 ÷ 29307.6).

use model::{Unit, text};

use super::check::Fault;
use super::{Registry, constant};
use crate::convert;
use crate::number::{Number, portion};

/// Digits after the point of a coefficient that is computed from a heat value.
pub const HEAT_VALUE_DIGITS: u32 = 12;
/// Kilojoules of one kilocalorie (international table): 7000 of them are the 29 307.6 kJ of one kgce.
pub(super) const KJ_PER_KCAL: &str = "4.1868";

/// A coefficient that was computed.
pub(crate) struct FromHeat {
    /// Kilograms of coal equivalent per unit, to [`HEAT_VALUE_DIGITS`].
    pub(crate) kgce_per_unit: Number,
    /// The constant of the rule set, kilojoules per kgce.
    pub(crate) kj_per_kgce: Number,
}

/// `20.93, MJ/kg, kg, GB/T 2589 2020` → `20930 ÷ 29307.6 = 0.714149230916 kgce/kg`
pub(crate) fn from_heat(
    heat_value: &Number,
    heat_unit: &str,
    unit: Unit,
    (rule_set, edition): (&str, &str),
    registry: &Registry,
) -> Result<FromHeat, Fault> {
    let Some(kj) = kilojoules(heat_unit, unit) else {
        return Err(no_heat_unit(heat_value, heat_unit, unit));
    };
    let Some(set) = registry.rule_set(rule_set, edition) else {
        let named = |set: &super::RuleSet| format!("`{}` `{}`", set.name, set.edition);
        let known = registry.rule_sets.iter().map(named).collect::<Vec<_>>().join(", ");
        let fault = Fault::new(text!(
            en: "`heat_value`: how many kJ are one kgce by rule set `{rule_set}`, edition `{edition}`, is not known",
            zh: "`heat_value`：规则集 `{rule_set}` 版本 `{edition}` 的 1 千克标准煤热值未知",
        ));
        return Err(fault.help(text!(
            en: "give `value` too, or use one of the known rule sets: {known}",
            zh: "请同时填写 `value`，或使用已知的规则集：{known}",
        )));
    };
    let kgce = portion(&(heat_value * &kj), &Number::from(1), &set.kj_per_kgce, HEAT_VALUE_DIGITS);
    let kgce_per_unit = kgce.expect("the constants of rule sets are not zero");
    Ok(FromHeat { kgce_per_unit, kj_per_kgce: set.kj_per_kgce.clone() })
}

/// Kilojoules per `unit` that one of `heat_unit` is.
pub(super) fn kilojoules(heat_unit: &str, unit: Unit) -> Option<Number> {
    let (energy, per) = heat_unit.split_once('/')?;
    let energy = convert::factor(energy.parse().ok()?, Unit::Kilojoule)?;
    let per: Unit = per.parse().ok()?;
    Some(&energy * &convert::factor(unit, per)?)
}

/// Laboratories report kcal/kg (大卡) too. Which calorie is meant decides the third digit, so a person converts it.
pub(super) fn no_heat_unit(heat_value: &Number, heat_unit: &str, unit: Unit) -> Fault {
    let fault = Fault::new(text!(
        en: "`heat_unit`: expected energy per unit such as `kJ/{unit}`, found `{heat_unit}`",
        zh: "`heat_unit`：应为单位热量，如 `kJ/{unit}`，实为 `{heat_unit}`",
    ));
    match heat_unit.split_once('/') {
        Some(("kcal" | "cal" | "大卡" | "千卡" | "卡", per)) => {
            let kj = heat_value * &constant(KJ_PER_KCAL);
            fault.help(text!(
                en: "{heat_value} {heat_unit} × {KJ_PER_KCAL} is `heat_value = {kj}` with `heat_unit = \"kJ/{per}\"`",
                zh: "{heat_value} {heat_unit} × {KJ_PER_KCAL}，即 `heat_value = {kj}`，`heat_unit = \"kJ/{per}\"`",
            ))
        }
        _ => fault.help(text!(
            en: "write `kJ/{unit}` or `MJ/{unit}`; it is the net heat value as received",
            zh: "请写 `kJ/{unit}` 或 `MJ/{unit}`；应为收到基低位发热量",
        )),
    }
}
