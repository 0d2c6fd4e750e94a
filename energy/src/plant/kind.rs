//! Reads `[[energy_kind]]` and the site's `[[coefficient]]` rows. Must never resolve a coefficient.

use config::{Problems, Spanned, Table};
use model::Decimal;

use super::read::{Defaults, id, optional_positive, optional_word, positive, unit, word};
use super::{CODE_COEFFICIENT, CODE_PLANT, Conversion, EnergyKind, Steam, SteamRule, Treatment};
use crate::coefficient::{Coefficient, EnergyClass, Registry, Role, Use, ValueUnit, check};
use crate::id::KindId;
use crate::number::Number;

/// A kind whose class may still have to be found in the coefficient table.
pub(super) struct KindDraft {
    pub(super) kind: EnergyKind,
    pub(super) class: Option<EnergyClass>,
    pub(super) id: Spanned<KindId>,
    pub(super) unit: Spanned<model::Unit>,
}

/// Reads one `[[energy_kind]]`.
pub(super) fn energy_kind(
    table: &mut Table,
    defaults: &Defaults,
    problems: &mut Problems,
) -> Option<KindDraft> {
    let id = id::<KindId>(table, "id", problems);
    let name = table.optional::<String>("name", problems);
    let unit = unit(table, "unit", problems);
    let class = optional_word(table, "class", problems).map(|class| class.value);
    let coefficient = table.optional::<String>("coefficient", problems);
    let rule_set = text_or(table, "rule_set", defaults.rule_set.as_ref(), problems);
    let edition = text_or(table, "edition", defaults.edition.as_ref(), problems);
    let treatment = optional_word(table, "treatment", problems);
    let steam = steam(table, problems);
    let conversions = conversions(table, problems);
    let (id, unit) = (id?, unit?);
    let kind = EnergyKind {
        name: name.map_or_else(|| id.value.to_string(), |name| name.value),
        unit: unit.value,
        class: EnergyClass::Secondary,
        rule_set: rule_set?,
        edition: edition?,
        coefficient: coefficient.map_or_else(|| id.value.to_string(), |found| found.value),
        treatment: treatment.map_or(Treatment::Annex, |found| found.value),
        steam,
        conversions,
        id: id.value.clone(),
    };
    Some(KindDraft { kind, class, id, unit })
}

fn text_or(
    table: &mut Table,
    key: &'static str,
    default: Option<&String>,
    problems: &mut Problems,
) -> Option<String> {
    match default {
        Some(default) => Some(table.or(key, default.clone(), problems)),
        None => table.required(key, problems).map(|found| found.value),
    }
}

fn steam(table: &mut Table, problems: &mut Problems) -> Option<Steam> {
    let rule = optional_word::<SteamRule>(table, "steam_rule", problems);
    let number = |found: Option<Spanned<Decimal>>| {
        found.map_or_else(Number::zero, |found| Number::from(found.value))
    };
    let has_steam = table.has("steam_kj_per_kg");
    let steam_kj_per_kg = number(optional_positive(table, "steam_kj_per_kg", problems));
    let feed_kj_per_kg = number(optional_positive(table, "feed_kj_per_kg", problems));
    let rule = rule?;
    let enthalpy = rule.value == SteamRule::Enthalpy;
    if enthalpy != has_steam {
        let (message, help) = if enthalpy {
            (
                "`steam_rule` `enthalpy` needs `steam_kj_per_kg`, the enthalpy of the steam in kJ/kg",
                "add it from a steam table, for the pressure and temperature of delivery",
            )
        } else {
            ("`steam_kj_per_kg` belongs to `steam_rule` `enthalpy` only", "remove one of the two")
        };
        problems.push(rule.problem(CODE_PLANT, message).help(help));
    } else if enthalpy && steam_kj_per_kg <= feed_kj_per_kg {
        let message = "`feed_kj_per_kg` is not below `steam_kj_per_kg`";
        let help = "both are in kJ/kg, and steam holds more than the water that it is made of";
        problems.push(rule.problem(CODE_PLANT, message).help(help));
    }
    Some(Steam { rule: rule.value, steam_kj_per_kg, feed_kj_per_kg })
}

fn conversions(table: &mut Table, problems: &mut Problems) -> Vec<Conversion> {
    let mut conversions = Vec::new();
    for mut entry in table.tables("conversion", problems) {
        let from = unit(&mut entry, "from", problems);
        let to = unit(&mut entry, "to", problems);
        let factor = positive(&mut entry, "factor", problems);
        entry.finish(problems);
        if let (Some(from), Some(to), Some(factor)) = (from, to, factor) {
            let factor = Number::from(factor.value);
            conversions.push(Conversion { from: from.value, to: to.value, factor });
        }
    }
    conversions
}

/// Reads one `[[coefficient]]`.
pub(super) fn coefficient(
    table: &mut Table,
    defaults: &Defaults,
    problems: &mut Problems,
) -> Option<(Table, Coefficient)> {
    let whole = table.clone();
    let rule_set = text_or(table, "rule_set", defaults.rule_set.as_ref(), problems);
    let edition = text_or(table, "edition", defaults.edition.as_ref(), problems);
    let energy_kind = table.required::<String>("energy_kind", problems);
    let name = table.or("name", String::new(), problems);
    let class = optional_word::<EnergyClass>(table, "class", problems);
    let role = word::<Role>(table, "role", problems);
    let value = positive(table, "value", problems);
    let value_unit = optional_word::<ValueUnit>(table, "value_unit", problems);
    let unit = unit(table, "unit", problems);
    let heat_value = optional_positive(table, "heat_value", problems);
    let heat_unit = table.optional::<String>("heat_unit", problems);
    let region = table.optional::<String>("region", problems);
    let data_year = table.optional::<u16>("data_year", problems);
    let notice = table.required::<String>("notice", problems);
    let coal_rate_kind = optional_word(table, "coal_rate_kind", problems);
    let valid_from = date(table, "valid_from", problems);
    let valid_to = date(table, "valid_to", problems);
    let evidence = word(table, "evidence", problems);
    let override_reason = table.optional::<String>("override_reason", problems);
    let note = table.or("note", String::new(), problems);
    let role = role?;
    let medium = role.value == Role::Medium;
    let class = class.map(|class| class.value);
    let row = Coefficient {
        rule_set: rule_set?,
        edition: edition?,
        energy_kind: energy_kind?.value,
        zh_name: name,
        class: class.unwrap_or(if medium { EnergyClass::Medium } else { EnergyClass::Secondary }),
        value: Number::from(value?.value),
        value_max: None,
        value_unit: value_unit.map_or(ValueUnit::Kgce, |found| found.value),
        unit: unit?.value,
        heat_value: heat_value.map(|heat| Number::from(heat.value)),
        heat_value_max: None,
        heat_unit: heat_unit.map(|unit| unit.value),
        region: region.map(|region| region.value),
        data_year: data_year.and_then(|year| i16::try_from(year.value).ok()),
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
        let message = format!(
            "`{key}`: expected a day such as `2024-01-31`, found {}",
            found.value.describe()
        );
        problems.push(found.problem(CODE_PLANT, message));
    }
    parsed
}

/// The shipped rows with the site's, each checked.
pub(super) fn registry(rows: Vec<(Table, Coefficient)>, problems: &mut Problems) -> Registry {
    let shipped = Registry::shipped();
    for (table, row) in &rows {
        for wrong in check(row, &shipped) {
            let help = "compare the row with the document that its `notice` names";
            problems.push(table.problem(CODE_COEFFICIENT, wrong).help(help));
        }
    }
    shipped.with_site_rows(rows.into_iter().map(|(_, row)| row).collect())
}
