//! Finding the one coefficient that a figure must use. Must never fall back to another edition, region, year or role.

use std::fmt;
use std::sync::Arc;

use model::{Language, Localized, Unit, text};
use serde::Serialize;

use super::partly::{InPart, differences, wanted_batch};
use super::{Basis, Coefficient, EnergyClass, Registry, Role, Use, YearRule, check};
use crate::number::Number;
use crate::period::Period;
use crate::plant::Conversion;

/// The full key of a coefficient.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Key {
    /// The rule set.
    pub rule_set: String,
    /// Its edition.
    pub edition: String,
    /// The energy kind.
    pub energy_kind: String,
    /// The role.
    pub role: Role,
    /// The region.
    pub region: String,
    /// The year of the data.
    pub data_year: i16,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "rule set `{}`, edition `{}`, energy kind `{}`, role `{}`, region `{}`, data year `{}`",
            self.rule_set, self.edition, self.energy_kind, self.role, self.region, self.data_year
        )
    }
}

/// A coefficient that is needed and not there. An error, never a default (INV-8).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("no coefficient for {key}: {reason}")]
pub struct MissingCoefficient {
    /// What was looked for.
    pub key: Key,
    /// Why nothing was found.
    pub reason: Localized,
    /// What to add to `plant.toml`, or to take out of it.
    pub add: String,
}

impl MissingCoefficient {
    /// The whole message.
    #[must_use]
    pub fn message(&self) -> Localized {
        let Self { key, reason, .. } = self;
        let (english, chinese) = (reason.get(Language::English), reason.get(Language::Chinese));
        text!(en: "no coefficient for {key}: {english}", zh: "缺少折标系数（{key}）：{chinese}")
    }
}

/// What a coefficient is needed for.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The rule set.
    pub rule_set: &'a str,
    /// Its edition.
    pub edition: &'a str,
    /// The energy kind in the table's words.
    pub energy_kind: &'a str,
    /// The plant's region.
    pub region: &'a str,
    /// The days on which it must hold.
    pub period: Period,
    /// The batch of the quantity, where it is of one.
    pub batch: Option<&'a str>,
}

/// How a coefficient was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// A row of the asked role.
    Row,
    /// A primary fuel, a medium or a secondary fuel with one printed value has that value on both bases.
    SingleValue,
    /// Steam by its enthalpy, kJ/kg, less that of its feed water, times the rule set's coefficient of heat.
    Enthalpy {
        /// Enthalpy of the steam, kJ/kg.
        steam_kj_per_kg: Number,
        /// Enthalpy of the feed water, kJ/kg; zero when gross.
        feed_kj_per_kg: Number,
    },
    /// The mean of several rows, each applied to its own part of the quantity; rounded, and multiplied with nothing.
    Mean,
    /// The site's rule set does not convert this kind.
    Excluded,
}

/// The part of a quantity that a coefficient was applied to, where there are several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Part {
    /// Its days.
    pub period: Period,
    /// Its batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<String>,
    /// How much, in `unit`.
    pub quantity: Number,
    /// The unit of the energy kind.
    pub unit: Unit,
}

/// A coefficient ready to be multiplied with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Resolved {
    /// On which basis.
    pub basis: Basis,
    /// Kilograms of coal equivalent per unit.
    pub kgce_per_unit: Number,
    /// The unit.
    pub unit: Unit,
    /// How it was found.
    pub rule: Rule,
    /// The class of its kind.
    pub class: EnergyClass,
    /// The rows it was made from; none when excluded.
    #[serde(serialize_with = "crate::serial::arcs")]
    pub rows: Vec<Arc<Coefficient>>,
    /// The factors that the site states between units of the kind, such as m³ and t of water.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conversions: Vec<Conversion>,
    /// The part of the quantity it was applied to; `None` for all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
}

impl Resolved {
    pub(super) fn of_row(basis: Basis, rule: Rule, row: Arc<Coefficient>) -> Self {
        Self {
            basis,
            kgce_per_unit: row.kgce_per_unit(),
            unit: row.unit,
            rule,
            class: row.class,
            rows: vec![row],
            conversions: Vec::new(),
            part: None,
        }
    }

    /// Not converted, by the site's rule.
    pub(crate) fn excluded(basis: Basis, unit: Unit, class: EnergyClass) -> Self {
        Self {
            basis,
            kgce_per_unit: Number::zero(),
            unit,
            rule: Rule::Excluded,
            class,
            rows: Vec::new(),
            conversions: Vec::new(),
            part: None,
        }
    }

    /// Everything beside the rows that changes a figure, as one line.
    pub(super) fn canonical(&self) -> String {
        let mut line = format!("{:?}\u{1f}{}\u{1f}{}", self.rule, self.kgce_per_unit, self.unit);
        for Conversion { from, to, factor } in &self.conversions {
            line = format!("{line}\u{1f}{from} = {factor} {to}");
        }
        line
    }
}

/// Whether the equal value of a kind is never its calorific value: electricity, heat and steam.
pub(super) fn needs_own_equal_value(energy_kind: &str) -> bool {
    ["electricity", "heat", "steam"].iter().any(|word| is_a(energy_kind, word))
}

/// `steam_low_pressure, steam` → true
pub(super) fn is_a(energy_kind: &str, word: &str) -> bool {
    energy_kind.strip_prefix(word).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
}

impl Registry {
    /// The coefficient of a kind on a basis.
    ///
    /// # Source
    /// GB/T 2589-2020 3.8 and 3.9 (当量值, 等价值) as restated by the platform standard; the single-value rule is ours.
    pub fn resolve(
        &self,
        request: &Request<'_>,
        basis: Basis,
    ) -> Result<Resolved, Box<MissingCoefficient>> {
        let mut missing = None;
        for (role, rule) in roles(request.energy_kind, basis) {
            let key = self.key(request, *role);
            match self.row(&key, request) {
                Ok(row) => return Ok(Resolved::of_row(basis, rule.clone(), row)),
                Err(no_row) if missing.is_none() || no_row.decides() => {
                    let enough = no_row.decides();
                    missing = Some((key, no_row));
                    if enough {
                        break;
                    }
                }
                Err(_) => {}
            }
        }
        let (key, no_row) = missing.expect("there is at least one role, and it gave a reason");
        Err(Box::new(self.missing(key, no_row)))
    }

    /// The coefficient that the site itself states, for a kind that is converted by a value agreed with its supplier.
    pub fn resolve_agreed(
        &self,
        request: &Request<'_>,
        basis: Basis,
    ) -> Result<Resolved, Box<MissingCoefficient>> {
        let found = self.resolve(request, basis)?;
        if found.rows.iter().all(|row| row.site) {
            return Ok(found);
        }
        let role = match basis {
            Basis::Equivalent => Role::Equivalent,
            Basis::EqualValue => Role::EqualValue,
        };
        let reason = text!(
            en: "the steam rule is `contract`, the value agreed with the supplier; the plant file has none, and the edition's own is not taken instead",
            zh: "蒸汽规则为 `contract`，即与供方商定的数值；工厂文件中没有，且不以版本自带值代替",
        );
        Err(Box::new(self.missing(self.key(request, role), NoRow::Unfit { reason })))
    }

    /// Steam by enthalpy: (h − h₀) kJ/kg × the calorific coefficient of heat, per kg of steam.
    pub fn resolve_enthalpy(
        &self,
        request: &Request<'_>,
        steam_kj_per_kg: &Number,
        feed_kj_per_kg: &Number,
    ) -> Result<Resolved, Box<MissingCoefficient>> {
        let heat = self.resolve(&Request { energy_kind: "heat", ..*request }, Basis::Equivalent)?;
        let per_kj = crate::convert::factor(Unit::Kilojoule, heat.unit)
            .map(|factor| &factor * &heat.kgce_per_unit);
        let Some(per_kj) = per_kj else {
            let key = self.key(&Request { energy_kind: "heat", ..*request }, Role::Equivalent);
            let unit = heat.unit;
            let reason = text!(
                en: "its row is per {unit}, expected per MJ or GJ",
                zh: "其单位为 {unit}，应为 MJ 或 GJ",
            );
            return Err(Box::new(self.missing(key, NoRow::Unfit { reason })));
        };
        Ok(Resolved {
            kgce_per_unit: &(steam_kj_per_kg - feed_kj_per_kg) * &per_kj,
            unit: Unit::Kilogram,
            rule: Rule::Enthalpy {
                steam_kj_per_kg: steam_kj_per_kg.clone(),
                feed_kj_per_kg: feed_kj_per_kg.clone(),
            },
            class: EnergyClass::Secondary,
            ..heat
        })
    }

    pub(super) fn key(&self, request: &Request<'_>, role: Role) -> Key {
        let year = request.period.year();
        let set = self.rule_set(request.rule_set, request.edition);
        let data_year = match (role, set.map(|set| set.year_rule)) {
            (Role::EqualValue, Some(YearRule::Previous)) => year - 1,
            _ => year,
        };
        Key {
            rule_set: request.rule_set.to_owned(),
            edition: request.edition.to_owned(),
            energy_kind: request.energy_kind.to_owned(),
            role,
            region: request.region.to_owned(),
            data_year,
        }
    }

    /// The rows of the site that a key asks for, whether or not they fit.
    pub(super) fn site_rows(&self, key: &Key) -> Vec<&Arc<Coefficient>> {
        self.rows.iter().filter(|row| row.site && same_kind(row, key)).collect()
    }

    /// The one row of a key. Where the site has rows, one of them must fit: the shipped one is never taken in the place of one
    /// that fits in part (INV-8).
    fn row(&self, key: &Key, request: &Request<'_>) -> Result<Arc<Coefficient>, NoRow> {
        let site = self.site_rows(key);
        let fits =
            |row: &Coefficient, batch| differences(row, key, request.period, batch).is_empty();
        let found: Vec<&Arc<Coefficient>> = if site.is_empty() {
            let shipped = self
                .rows
                .iter()
                .filter(|row| row.usage == Use::Resolves && same_kind(row, key) && fits(row, None));
            shipped.collect()
        } else {
            let batch = wanted_batch(&site, request);
            site.iter().copied().filter(|row| fits(row, batch)).collect()
        };
        match found.as_slice() {
            [] if site.is_empty() => Err(NoRow::None { reason: self.others(key) }),
            [] => Err(NoRow::Part(self.in_part(key, request))),
            [row] => match &row.value_max {
                None => Ok(Arc::clone(row)),
                Some(max) => {
                    let Coefficient { notice, value, value_unit, unit, .. } = row.as_ref();
                    Err(NoRow::Unfit {
                        reason: text!(
                            en: "`{notice}` prints a range, {value} to {max} {value_unit}/{unit}; a range never resolves by itself",
                            zh: "`{notice}` 给出的是范围 {value} 至 {max} {value_unit}/{unit}，须由本单位取定",
                        ),
                    })
                }
            },
            several => {
                let places = several.iter().map(|row| row.place.clone()).collect();
                Err(NoRow::Several { places })
            }
        }
    }

    /// What exists beside the key, so that nobody wonders why it is not taken.
    fn others(&self, key: &Key) -> Localized {
        let mut others: Vec<String> = self
            .rows
            .iter()
            .filter(|row| same_kind(row, key))
            .map(|row| {
                let region = row.region.as_deref().unwrap_or("any");
                let year = row.data_year.map_or_else(|| "any".to_owned(), |year| year.to_string());
                let reference =
                    if row.usage == Use::Reference { ", for reference only" } else { "" };
                format!("region `{region}`, data year `{year}`{reference}")
            })
            .collect();
        others.dedup();
        let others = others.join("; ");
        if others.is_empty() {
            text!(
                en: "no row has this rule set, edition, kind and role, and none is shipped as a default",
                zh: "没有该规则集、版本、品种和类别的数据，也没有自带默认值",
            )
        } else {
            text!(
                en: "rows exist for {others}; another row is never taken instead",
                zh: "已有：{others}；不会以其他行代替",
            )
        }
    }

    fn missing(&self, key: Key, no_row: NoRow) -> MissingCoefficient {
        let (reason, keys) = match no_row {
            NoRow::None { reason } | NoRow::Unfit { reason } => (reason, String::new()),
            NoRow::Part(part) => (part.reason, part.keys),
            NoRow::Several { places } => {
                let places = places.join(" and ");
                let reason = text!(
                    en: "more than one row fits: {places}",
                    zh: "有多行符合：{places}",
                );
                let add = format!("# keep one of the rows {places}, and take the others out\n");
                return MissingCoefficient { key, reason, add };
            }
        };
        let unit = check::usual_unit(self, &key.energy_kind).map_or("kg", Unit::symbol);
        let dated = if key.role == Role::EqualValue {
            let rate =
                if key.energy_kind == "electricity" { "coal_rate_kind = \"gross\"\n" } else { "" };
            format!("region = \"{}\"\ndata_year = {}\n{rate}", key.region, key.data_year)
        } else {
            String::new()
        };
        let add = format!(
            "# add to the plant file, with the value that your authority states\n[[coefficient]]\nrule_set = \"{}\"\nedition = \"{}\"\nenergy_kind = \"{}\"\nrole = \"{}\"\n\
             {dated}{keys}value = …  # kgce per {unit}\nunit = \"{unit}\"\n\
             notice = \"…\"  # authority, document, date\nevidence = \"printed\"\n",
            key.rule_set, key.edition, key.energy_kind, key.role
        );
        MissingCoefficient { key, reason, add }
    }
}

/// The roles that a kind is looked for in on a basis, in their order, and by which rule.
pub(super) fn roles(energy_kind: &str, basis: Basis) -> &'static [(Role, Rule)] {
    match basis {
        Basis::Equivalent => &[(Role::Equivalent, Rule::Row), (Role::Medium, Rule::Row)],
        Basis::EqualValue if needs_own_equal_value(energy_kind) => &[(Role::EqualValue, Rule::Row)],
        Basis::EqualValue => &[
            (Role::EqualValue, Rule::Row),
            (Role::Equivalent, Rule::SingleValue),
            (Role::Medium, Rule::SingleValue),
        ],
    }
}

/// Why a key has no one row.
enum NoRow {
    /// No row fits.
    None { reason: Localized },
    /// The site has rows, and none of them fits whole.
    Part(InPart),
    /// One fits, and cannot be used.
    Unfit { reason: Localized },
    /// More than one fits.
    Several { places: Vec<String> },
}

impl NoRow {
    /// A range, two rows that fit or one that fits in part are worth more to the reader than "none", and no other role is
    /// looked for.
    fn decides(&self) -> bool {
        !matches!(self, Self::None { .. })
    }
}

fn same_kind(row: &Coefficient, key: &Key) -> bool {
    row.rule_set == key.rule_set
        && row.edition == key.edition
        && row.energy_kind == key.energy_kind
        && row.role == key.role
}
