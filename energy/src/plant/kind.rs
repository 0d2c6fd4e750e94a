//! Reads `[[energy_kind]]`. Must never resolve a coefficient.

use config::{Problems, Spanned, Table};
use model::{Decimal, text};

use super::read::{Defaults, id, optional_positive, optional_word, positive, text_or, unit};
use super::{CODE_PLANT, Conversion, EnergyKind, Steam, SteamRule, Treatment, physical};
use crate::coefficient::EnergyClass;
use crate::id::{KindId, SubjectId};
use crate::number::Number;

/// A kind whose class may still have to be found in the coefficient table.
pub(super) struct KindDraft {
    pub(super) kind: EnergyKind,
    pub(super) class: Option<EnergyClass>,
    pub(super) id: Spanned<KindId>,
    pub(super) unit: Spanned<model::Unit>,
    pub(super) conversions: Vec<Spanned<Conversion>>,
    pub(super) made_by: Option<Spanned<Vec<SubjectId>>>,
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
    let stated = conversions.iter().map(|one| one.value.clone()).collect();
    let exported_from = optional_word(table, "exported_from", problems).map(|found| found.value);
    let made_by = made_by(table, problems);
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
        conversions: stated,
        exported_from,
        made_by: made_by.as_ref().map(|found| found.value.clone()),
        id: id.value.clone(),
    };
    Some(KindDraft { kind, class, id, unit, conversions, made_by })
}

fn made_by(table: &mut Table, problems: &mut Problems) -> Option<Spanned<Vec<SubjectId>>> {
    let names = table.optional::<Vec<String>>("made_by", problems)?;
    let mut ids = Vec::new();
    for name in &names.value {
        match SubjectId::new(name) {
            Ok(id) => ids.push(id),
            Err(wrong) => problems.push(names.problem(CODE_PLANT, format!("`made_by`: {wrong}"))),
        }
    }
    Some(names.map(|_| ids))
}

fn steam(table: &mut Table, problems: &mut Problems) -> Option<Steam> {
    let rule = optional_word::<SteamRule>(table, "steam_rule", problems);
    let has_steam = table.has("steam_kj_per_kg");
    let steam = optional_positive(table, "steam_kj_per_kg", problems);
    let feed = optional_positive(table, "feed_kj_per_kg", problems);
    let rule = rule?;
    let enthalpy = rule.value == SteamRule::Enthalpy;
    if enthalpy == has_steam {
        problems.0.extend(steam.iter().filter_map(physical::steam));
        problems.0.extend(feed.iter().filter_map(physical::feed_water));
    } else {
        let (message, help) = if enthalpy {
            (
                text!(
                    en: "`steam_rule` `enthalpy` needs `steam_kj_per_kg`, the enthalpy of the steam in kJ/kg",
                    zh: "`steam_rule` 为 `enthalpy` 时须有 `steam_kj_per_kg`，即蒸汽焓值，单位 kJ/kg",
                ),
                text!(
                    en: "add it from a steam table, for the pressure and temperature of delivery",
                    zh: "请按供汽压力和温度从蒸汽表查取",
                ),
            )
        } else {
            (
                text!(
                    en: "`steam_kj_per_kg` belongs to `steam_rule` `enthalpy` only",
                    zh: "`steam_kj_per_kg` 仅用于 `steam_rule` 为 `enthalpy` 时",
                ),
                text!(en: "remove one of the two", zh: "请删去其一"),
            )
        };
        problems.push(rule.problem(CODE_PLANT, message).help(help));
    }
    let number = |found: Option<Spanned<Decimal>>| {
        found.map_or_else(Number::zero, |found| Number::from(found.value))
    };
    let (steam_kj_per_kg, feed_kj_per_kg) = (number(steam), number(feed));
    Some(Steam { rule: rule.value, steam_kj_per_kg, feed_kj_per_kg })
}

fn conversions(table: &mut Table, problems: &mut Problems) -> Vec<Spanned<Conversion>> {
    let mut conversions = Vec::new();
    for mut entry in table.tables("conversion", problems) {
        let from = unit(&mut entry, "from", problems);
        let to = unit(&mut entry, "to", problems);
        let factor = positive(&mut entry, "factor", problems);
        entry.finish(problems);
        if let (Some(from), Some(to), Some(factor)) = (from, to, factor) {
            conversions.push(factor.map(|factor| Conversion {
                from: from.value,
                to: to.value,
                factor: Number::from(factor),
            }));
        }
    }
    conversions
}
