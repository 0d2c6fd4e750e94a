//! Reads the site's `[[coefficient]]` rows and checks each against the energy kinds of the plant. Must never resolve one.
//!
//! A row that no energy kind of the plant can use is a problem that names the key: it would be ignored, and the shipped value
//! taken in its place.

use config::{Problem, Problems, Spanned, Table, meant};
use model::{Unit, text};

use super::read::{Defaults, optional_positive, optional_word, positive, text_or, unit, word};
use super::{CODE_COEFFICIENT, CODE_PLANT, EnergyKind, Plant, SteamRule};
use crate::coefficient::{
    Coefficient, EnergyClass, Fault, FromHeat, Registry, Role, Use, ValueUnit, check, constant,
    from_heat,
};
use crate::convert;
use crate::number::Number;
use crate::period::YEAR_MIN;

/// Share by which the printed digits of two coefficients may differ.
const CONTAINED_SLACK: &str = "0.002";
/// 当量值 of heat, GB/T 2589 Annex A: 0.03412 kgce/MJ.
const KGCE_PER_KJ: &str = "0.00003412";

/// Reads one `[[coefficient]]`.
pub(super) fn coefficient(
    table: &mut Table,
    defaults: &Defaults,
    shipped: &Registry,
    problems: &mut Problems,
) -> Option<(Table, Coefficient)> {
    let whole = table.clone();
    let rule_set = text_or(table, "rule_set", defaults.rule_set.as_ref(), problems);
    let edition = text_or(table, "edition", defaults.edition.as_ref(), problems);
    let energy_kind = table.required::<String>("energy_kind", problems);
    let name = table.or("name", String::new(), problems);
    let class = optional_word::<EnergyClass>(table, "class", problems);
    let role = word::<Role>(table, "role", problems);
    let set = rule_set.as_deref().zip(edition.as_deref());
    let amount = amount(table, set, shipped, problems);
    let batch = table.optional::<String>("batch", problems);
    let region = table.optional::<String>("region", problems);
    let data_year = data_year(table, problems);
    let notice = table.required::<String>("notice", problems);
    let coal_rate_kind = optional_word(table, "coal_rate_kind", problems);
    let valid_from = date(table, "valid_from", problems);
    let valid_to = date(table, "valid_to", problems);
    let evidence = word(table, "evidence", problems);
    let override_reason = table.optional::<String>("override_reason", problems);
    let note = table.or("note", String::new(), problems);
    let (role, amount) = (role?, amount?);
    let usual =
        if role.value == Role::Medium { EnergyClass::Medium } else { EnergyClass::Secondary };
    let row = Coefficient {
        rule_set: rule_set?,
        edition: edition?,
        energy_kind: energy_kind?.value,
        zh_name: name,
        class: class.map_or(usual, |class| class.value),
        value: amount.value,
        value_max: None,
        value_unit: amount.value_unit,
        unit: amount.unit,
        heat_value: amount.heat_value,
        heat_value_max: None,
        heat_unit: amount.heat_unit,
        kj_per_kgce: amount.kj_per_kgce,
        batch: batch.map(|batch| batch.value),
        region: region.map(|region| region.value),
        data_year,
        notice: notice?.value,
        coal_rate_kind: coal_rate_kind.map(|kind| kind.value),
        valid_from,
        valid_to,
        evidence: evidence?.value,
        usage: Use::Resolves,
        override_reason: override_reason.map(|reason| reason.value),
        note,
        place: place(&role),
        role: role.value,
        site: true,
    };
    Some((whole, row))
}

/// What a row says of its size.
struct Amount {
    value: Number,
    value_unit: ValueUnit,
    unit: Unit,
    heat_value: Option<Number>,
    heat_unit: Option<String>,
    kj_per_kgce: Option<Number>,
}

/// The value as stated; or, of a row with a heat value alone, computed from it with the constant of its rule set.
fn amount(
    table: &mut Table,
    set: Option<(&str, &str)>,
    shipped: &Registry,
    problems: &mut Problems,
) -> Option<Amount> {
    let computed = !table.has("value") && table.has("heat_value");
    let value = if computed { None } else { positive(table, "value", problems) };
    let value_unit = optional_word::<ValueUnit>(table, "value_unit", problems);
    let unit = unit(table, "unit", problems);
    let heat = optional_positive(table, "heat_value", problems);
    let heat_unit = table.optional::<String>("heat_unit", problems);
    if let (true, Some(heat), None) = (computed, &heat, &heat_unit) {
        let message = text!(
            en: "`heat_value` without `heat_unit`: expected for example `heat_unit = \"kJ/kg\"`",
            zh: "`heat_value` 缺少 `heat_unit`：例如 `heat_unit = \"kJ/kg\"`",
        );
        problems.push(heat.problem(CODE_COEFFICIENT, message));
    }
    let unit = unit?.value;
    let heat_value = heat.as_ref().map(|heat| Number::from(heat.value));
    let value_unit = value_unit.map_or(ValueUnit::Kgce, |found| found.value);
    let stated = Amount {
        value: Number::zero(),
        value_unit,
        unit,
        heat_value: heat_value.clone(),
        heat_unit: heat_unit.as_ref().map(|unit| unit.value.clone()),
        kj_per_kgce: None,
    };
    if !computed {
        return Some(Amount { value: Number::from(value?.value), ..stated });
    }
    match from_heat(&heat_value?, &heat_unit?.value, unit, set?, shipped) {
        Ok(FromHeat { kgce_per_unit, kj_per_kgce }) => Some(Amount {
            value: kgce_per_unit,
            value_unit: ValueUnit::Kgce,
            kj_per_kgce: Some(kj_per_kgce),
            ..stated
        }),
        Err(fault) => {
            problems.push(told(heat?.problem(CODE_COEFFICIENT, fault.message.clone()), fault));
            None
        }
    }
}

fn told(problem: Problem, fault: Fault) -> Problem {
    let compare = || {
        text!(
            en: "compare the row with the document that its `notice` names",
            zh: "请将该行与 `notice` 所列文件核对",
        )
    };
    problem.help(fault.help.unwrap_or_else(compare))
}

fn data_year(table: &mut Table, problems: &mut Problems) -> Option<i16> {
    let found = table.optional::<u16>("data_year", problems)?;
    let year = i16::try_from(found.value).ok().filter(|year| (YEAR_MIN..2200).contains(year));
    if year.is_none() {
        let value = found.value;
        let message = text!(
            en: "`data_year`: expected a year from {YEAR_MIN} to 2199, found `{value}`",
            zh: "`data_year`：应为 {YEAR_MIN} 至 2199 的年份，实为 `{value}`",
        );
        problems.push(found.problem(CODE_PLANT, message));
    }
    year
}

fn place<T>(spanned: &Spanned<T>) -> String {
    let (line, _) = spanned.file.line_column(spanned.span.start);
    format!("{}:{line}", spanned.file.name)
}

fn date(
    table: &mut Table,
    key: &'static str,
    problems: &mut Problems,
) -> Option<jiff::civil::Date> {
    let found = table.optional::<config::Item>(key, problems)?;
    let parsed = match &found.value {
        config::Item::Time(text) | config::Item::Text(text) => text.parse().ok(),
        _ => None,
    };
    if parsed.is_none() {
        let value = found.value.describe();
        let message = text!(
            en: "`{key}`: expected a day such as `2024-01-31`, found {value}",
            zh: "`{key}`：应为日期，如 `2024-01-31`，实为 {value}",
        );
        problems.push(found.problem(CODE_PLANT, message));
    }
    parsed
}

/// The shipped rows with the site's, each checked.
pub(super) fn registry(rows: &[(Table, Coefficient)], problems: &mut Problems) -> Registry {
    let shipped = Registry::shipped();
    for (table, row) in rows {
        for fault in check(row, &shipped) {
            problems.push(told(table.problem(CODE_COEFFICIENT, fault.message.clone()), fault));
        }
    }
    shipped.with_site_rows(rows.iter().map(|(_, row)| row.clone()).collect())
}

/// Names the rows that no energy kind of the plant can use, with the key that keeps them from it, and each 等价值 below what
/// its unit contains.
pub(super) fn fit(plant: &Plant, rows: &[(Table, Coefficient)], problems: &mut Problems) {
    for (table, row) in rows {
        // A value that is wrong by itself is said once.
        let sound = || check(row, &plant.coefficients).is_empty();
        let fault = unused(plant, row)
            .or_else(|| role_of_kind(plant, row))
            .or_else(|| below_contained(plant, row).filter(|_| sound()));
        if let Some(fault) = fault {
            problems.push(told(table.problem(CODE_COEFFICIENT, fault.message.clone()), fault));
        }
    }
}

fn by_enthalpy(kind: &EnergyKind) -> bool {
    kind.steam.as_ref().is_some_and(|steam| steam.rule == SteamRule::Enthalpy)
}

/// The energy kinds that look for rows of this name. Steam by enthalpy looks for heat.
fn looking<'a>(plant: &'a Plant, row: &Coefficient) -> impl Iterator<Item = &'a EnergyKind> {
    let name = row.energy_kind.clone();
    plant
        .kinds
        .iter()
        .filter(move |kind| kind.coefficient == name || (name == "heat" && by_enthalpy(kind)))
}

fn unused(plant: &Plant, row: &Coefficient) -> Option<Fault> {
    let Coefficient { energy_kind, rule_set, edition, .. } = row;
    let Some(kind) = looking(plant, row).next() else {
        let fault = Fault::new(text!(
            en: "`energy_kind`: no energy kind of this plant is converted by `{energy_kind}`",
            zh: "`energy_kind`：本厂没有按 `{energy_kind}` 折标的能源品种",
        ));
        if let Some(kind) = plant.kinds.iter().find(|kind| kind.id.as_str() == energy_kind) {
            let (id, name) = (&kind.id, &kind.coefficient);
            return Some(fault.help(text!(
                en: "energy kind `{id}` is converted by `{name}`: write `energy_kind = \"{name}\"`",
                zh: "能源品种 `{id}` 按 `{name}` 折标：请写 `energy_kind = \"{name}\"`",
            )));
        }
        let known: Vec<&str> = plant.kinds.iter().map(|kind| kind.coefficient.as_str()).collect();
        return Some(fault.help(meant(energy_kind, &known, "converted here:").into()));
    };
    let same = |kind: &EnergyKind| kind.rule_set == *rule_set && kind.edition == *edition;
    if !looking(plant, row).any(same) {
        let (id, set, wanted) = (&kind.id, &kind.rule_set, &kind.edition);
        let key = if set == rule_set { "edition" } else { "rule_set" };
        let fault = Fault::new(text!(
            en: "`{key}`: energy kind `{id}` is converted by `{set}`, edition `{wanted}`; this row is of `{rule_set}`, edition `{edition}`",
            zh: "`{key}`：能源品种 `{id}` 按 `{set}` 版本 `{wanted}` 折标，该行属于 `{rule_set}` 版本 `{edition}`",
        ));
        return Some(fault.help(text!(
            en: "correct the row, or give the energy kind this `rule_set` and `edition`",
            zh: "请更正该行，或为该能源品种写上此 `rule_set` 和 `edition`",
        )));
    }
    let region = row.region.as_ref().filter(|region| **region != plant.region)?;
    let own = &plant.region;
    let fault = Fault::new(text!(
        en: "`region`: the region of the plant is `{own}`, found `{region}`",
        zh: "`region`：本厂地区为 `{own}`，实为 `{region}`",
    ));
    Some(fault.help(text!(
        en: "write `region = \"{own}\"` here, or `region = \"{region}\"` in `[plant]`",
        zh: "请在此写 `region = \"{own}\"`，或在 `[plant]` 写 `region = \"{region}\"`",
    )))
}

/// A row whose role is never asked for, because its kind is looked for in another.
fn role_of_kind(plant: &Plant, row: &Coefficient) -> Option<Fault> {
    let Coefficient { energy_kind, role, .. } = row;
    let other = match role {
        Role::CoalRateGross | Role::CoalRateNet => {
            let fault = Fault::new(text!(
                en: "`role`: a coal rate by itself converts nothing, found `{role}`",
                zh: "`role`：煤耗本身不用于折标，实为 `{role}`",
            ));
            return Some(fault.help(text!(
                en: "write `role = \"equal_value\"` and `coal_rate_kind = \"gross\"`",
                zh: "请写 `role = \"equal_value\"` 和 `coal_rate_kind = \"gross\"`",
            )));
        }
        Role::EqualValue => return None,
        Role::Equivalent => Role::Medium,
        Role::Medium => Role::Equivalent,
    };
    let of_kind = || plant.coefficients.rows().iter().filter(|one| one.energy_kind == *energy_kind);
    let shipped = |role: Role| of_kind().any(|one| !one.site && one.role == role);
    let both = of_kind().any(|one| one.site && one.role == other);
    if (shipped(other) && !shipped(*role)) || both {
        let fault = Fault::new(text!(
            en: "`role`: `{energy_kind}` is looked for as `{other}`, found `{role}`",
            zh: "`role`：`{energy_kind}` 按 `{other}` 查找，实为 `{role}`",
        ));
        return Some(fault.help(text!(
            en: "`medium` is for energy-consumed media such as water and compressed air, `equivalent` for fuels, heat and electricity",
            zh: "`medium` 用于水、压缩空气等耗能工质，`equivalent` 用于燃料、热力和电力",
        )));
    }
    let kind = looking(plant, row).next().filter(|kind| kind.coefficient == *energy_kind)?;
    let all = looking(plant, row).all(by_enthalpy);
    (*role == Role::Equivalent && all).then(|| {
        let id = &kind.id;
        let fault = Fault::new(text!(
            en: "`role`: energy kind `{id}` is converted by its enthalpy: this `equivalent` row would not be used",
            zh: "`role`：能源品种 `{id}` 按焓值折标，该 `equivalent` 行不会被使用",
        ));
        fault.help(text!(
            en: "remove the row, or write `steam_rule = \"contract\"` in the energy kind",
            zh: "请删去该行，或在该能源品种写 `steam_rule = \"contract\"`",
        ))
    })
}

/// What it takes to make a unit is never less than what the unit contains.
fn below_contained(plant: &Plant, row: &Coefficient) -> Option<Fault> {
    if row.role != Role::EqualValue {
        return None;
    }
    let (place, contained) = contained(plant, row)?;
    let rounding = &row.value.half_last_digit() * &row.value_unit.kgce();
    let slack = &(&contained * &constant(CONTAINED_SLACK)) + &rounding;
    if &row.kgce_per_unit() + &slack >= contained {
        return None;
    }
    let (found, unit) = (row.kgce_per_unit(), row.unit);
    let fault = Fault::new(text!(
        en: "`value`: {found} kgce/{unit} as `equal_value` is less than the unit contains, {contained} kgce/{unit} ({place})",
        zh: "`value`：等价值 {found} kgce/{unit} 小于当量值 {contained} kgce/{unit}（{place}）",
    ));
    Some(fault.help(text!(
        en: "an equal value is the energy spent to make it: compare both with their documents",
        zh: "等价值为获得单位能源所消耗的能量，不会小于当量值：请核对两者出处",
    )))
}

/// The calorific value of the kind in the row's unit, and where it stands.
fn contained(plant: &Plant, row: &Coefficient) -> Option<(String, Number)> {
    let per_unit = |unit: Unit| convert::factor(row.unit, unit);
    let enthalpy = looking(plant, row).filter(|kind| by_enthalpy(kind)).find_map(|kind| {
        let steam = kind.steam.as_ref()?;
        let kj = &steam.steam_kj_per_kg - &steam.feed_kj_per_kg;
        let kgce = &(&kj * &constant(KGCE_PER_KJ)) * &per_unit(Unit::Kilogram)?;
        Some((format!("{kj} kJ/kg"), kgce))
    });
    let overlap = |one: &Coefficient| {
        one.batch == row.batch
            && one.valid_from.zip(row.valid_to).is_none_or(|(from, to)| from <= to)
            && row.valid_from.zip(one.valid_to).is_none_or(|(from, to)| from <= to)
    };
    let rows = plant.coefficients.rows().iter().rev().filter(|one| {
        one.energy_kind == row.energy_kind
            && (&one.rule_set, &one.edition) == (&row.rule_set, &row.edition)
            && one.role == Role::Equivalent
            && (!one.site || overlap(one))
    });
    // The site's own before the shipped one.
    let row = rows
        .filter_map(|one| Some((one.place.clone(), &one.kgce_per_unit() * &per_unit(one.unit)?)));
    enthalpy.or_else(|| row.into_iter().next())
}
