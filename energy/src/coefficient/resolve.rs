//! Finding the one coefficient that a figure must use. Must never fall back to another edition, region, year or role.

use std::fmt;
use std::sync::Arc;

use jiff::civil::Date;
use model::Unit;
use serde::Serialize;

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
    pub reason: String,
    /// What to add to `plant.toml`, or to take out of it.
    pub add: String,
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
    /// The period of the figure.
    pub period: Period,
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
    /// The site's rule set does not convert this kind.
    Excluded,
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
}

impl Resolved {
    /// Not converted, by the site's rule.
    pub(crate) fn excluded(basis: Basis, unit: Unit, class: EnergyClass) -> Self {
        let (rule, kgce_per_unit) = (Rule::Excluded, Number::zero());
        Self { basis, kgce_per_unit, unit, rule, class, rows: Vec::new(), conversions: Vec::new() }
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
        let roles: &[(Role, Rule)] = match basis {
            Basis::Equivalent => &[(Role::Equivalent, Rule::Row), (Role::Medium, Rule::Row)],
            Basis::EqualValue if needs_own_equal_value(request.energy_kind) => {
                &[(Role::EqualValue, Rule::Row)]
            }
            Basis::EqualValue => &[
                (Role::EqualValue, Rule::Row),
                (Role::Equivalent, Rule::SingleValue),
                (Role::Medium, Rule::SingleValue),
            ],
        };
        let mut missing = None;
        for (role, rule) in roles {
            let key = self.key(request, *role);
            match self.row(&key, request.period) {
                Ok(row) => {
                    return Ok(Resolved {
                        basis,
                        kgce_per_unit: row.kgce_per_unit(),
                        unit: row.unit,
                        rule: rule.clone(),
                        class: row.class,
                        rows: vec![row],
                        conversions: Vec::new(),
                    });
                }
                Err(no_row) if missing.is_none() || no_row.some_fit() => {
                    let enough = no_row.some_fit();
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
        let reason = "the steam rule is `contract`, the value agreed with the supplier; the plant \
                      file has none, and the edition's own is not taken instead";
        let reason = reason.to_owned();
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
            let reason = format!("its row is per {}, expected per MJ or GJ", heat.unit);
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

    fn key(&self, request: &Request<'_>, role: Role) -> Key {
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

    /// The one row of a key.
    fn row(&self, key: &Key, period: Period) -> Result<Arc<Coefficient>, NoRow> {
        let fits = |row: &&Arc<Coefficient>| {
            same_kind(row, key)
                && row.region.as_ref().is_none_or(|region| *region == key.region)
                && row.data_year.is_none_or(|year| year == key.data_year)
                && holds(row, period.days())
                && (row.site || row.usage == Use::Resolves)
        };
        let mut found: Vec<_> = self.rows.iter().filter(fits).collect();
        if found.iter().any(|row| row.site) {
            found.retain(|row| row.site);
        }
        match found.as_slice() {
            [] => Err(NoRow::None { reason: self.others(key) }),
            [row] => match &row.value_max {
                None => Ok(Arc::clone(row)),
                Some(max) => Err(NoRow::Unfit {
                    reason: format!(
                        "`{}` prints a range, {} to {max} {}/{}; a range never resolves by itself",
                        row.notice, row.value, row.value_unit, row.unit
                    ),
                }),
            },
            several => {
                let places = several.iter().map(|row| row.place.clone()).collect();
                Err(NoRow::Several { places })
            }
        }
    }

    /// What exists beside the key, so that nobody wonders why it is not taken.
    fn others(&self, key: &Key) -> String {
        let mut others: Vec<String> = self
            .rows
            .iter()
            .filter(|row| same_kind(row, key))
            .map(|row| {
                let region = row.region.as_deref().unwrap_or("any");
                let year = row.data_year.map_or_else(|| "any".to_owned(), |year| year.to_string());
                let reference =
                    if row.usage == Use::Reference { ", for reference only" } else { "" };
                let from = row.valid_from.map(|day| format!(", from {day}")).unwrap_or_default();
                let to = row.valid_to.map(|day| format!(", until {day}")).unwrap_or_default();
                format!("region `{region}`, data year `{year}`{from}{to}{reference}")
            })
            .collect();
        others.dedup();
        if others.is_empty() {
            "no row has this rule set, edition, kind and role, and none is shipped as a default"
                .to_owned()
        } else {
            format!("rows exist for {}; another row is never taken instead", others.join("; "))
        }
    }

    fn missing(&self, key: Key, no_row: NoRow) -> MissingCoefficient {
        let reason = match no_row {
            NoRow::None { reason } | NoRow::Unfit { reason } => reason,
            NoRow::Several { places } => {
                let places = places.join(" and ");
                let reason = format!("more than one row fits: {places}");
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
             {dated}value = …  # kgce per {unit}\nunit = \"{unit}\"\n\
             notice = \"…\"  # authority, document, date\nevidence = \"printed\"\n",
            key.rule_set, key.edition, key.energy_kind, key.role
        );
        MissingCoefficient { key, reason, add }
    }
}

/// Why a key has no one row.
enum NoRow {
    /// No row fits.
    None { reason: String },
    /// One fits, and cannot be used.
    Unfit { reason: String },
    /// More than one fits.
    Several { places: Vec<String> },
}

impl NoRow {
    /// A range or two rows that fit are worth more to the reader than "none".
    fn some_fit(&self) -> bool {
        !matches!(self, Self::None { .. })
    }
}

fn same_kind(row: &Coefficient, key: &Key) -> bool {
    row.rule_set == key.rule_set
        && row.edition == key.edition
        && row.energy_kind == key.energy_kind
        && row.role == key.role
}

/// Whether a row holds on every day of a period.
fn holds(row: &Coefficient, (first, after): (Date, Date)) -> bool {
    row.valid_from.is_none_or(|from| from <= first)
        && row.valid_to.is_none_or(|to| after <= to.tomorrow().unwrap_or(to))
}
