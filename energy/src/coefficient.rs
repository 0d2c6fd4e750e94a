//! Coefficients of conversion to coal equivalent: dated rows, kept as data, several rule sets at the same time. Must
//! never hold a default of its own.
//!
//! The rows of the shipped table were taken from secondary sources, not from printed standards; each says so in its
//! `evidence`. No 等价 row for electricity, heat or steam of GB/T 2589 is shipped: it is a dated number per authority.

mod check;
mod heat;
mod import;
mod partly;
mod plausible;
mod resolve;

use std::sync::Arc;

use config::{Problems, SourceFile};
use jiff::civil::Date;
use model::Unit;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::number::Number;

pub(crate) use check::{Fault, check};
pub use heat::HEAT_VALUE_DIGITS;
pub(crate) use heat::{FromHeat, from_heat};
pub(crate) use plausible::bounds;
pub use resolve::{Key, MissingCoefficient, Part, Request, Resolved, Rule};

/// Kilojoules in one kilogram of coal equivalent, 7000 × 4.1868, as GB/T 2589-2020 counts.
pub const KJ_PER_KGCE: &str = "29307.6";
/// Kilograms of coal equivalent that one kilogram of oil equivalent is taken as; the exact 1 ÷ 0.7 is no finite decimal.
pub const KGCE_PER_KGOE: &str = "1.4286";
const ID_HEX_DIGITS: usize = 12;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// The word in files.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// All words, for messages.
            pub const WORDS: &'static [&'static str] = &[$($text,)*];
        }

        impl std::str::FromStr for $name {
            type Err = crate::coefficient::WordError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($text => Ok(Self::$variant),)*
                    _ => Err(crate::coefficient::WordError {
                        text: text.to_owned(),
                        expected: Self::WORDS,
                    }),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.word())
            }
        }
    };
}
pub(crate) use words;

/// A word that is not one of a few.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not known here: expected one of {}", expected.join(", "))]
pub struct WordError {
    /// What was given.
    pub text: String,
    /// What may stand here.
    pub expected: &'static [&'static str],
}

words! {
    /// Which of its two meanings a figure in coal equivalent has.
    Basis {
        /// 当量值, calorific: the heat contained.
        Equivalent "equivalent",
        /// 等价值, equal value: the energy spent to make it.
        EqualValue "equal_value",
    }
}

words! {
    /// What a coefficient is.
    Role {
        /// 当量值.
        Equivalent "equivalent",
        /// 等价值.
        EqualValue "equal_value",
        /// 耗能工质, energy to produce; enters both totals.
        Medium "medium",
        /// Coal per kWh generated.
        CoalRateGross "coal_rate_gross",
        /// Coal per kWh supplied to the grid; always higher than gross.
        CoalRateNet "coal_rate_net",
    }
}

words! {
    /// Which subtotal a kind belongs to.
    EnergyClass {
        /// 一次能源.
        Primary "primary",
        /// 二次能源.
        Secondary "secondary",
        /// 耗能工质.
        Medium "medium",
    }
}

words! {
    /// Which coal rate a 等价 value was taken from.
    CoalRateKind {
        /// Gross generation, 发电.
        Gross "gross",
        /// Net supply, 供电.
        Net "net",
    }
}

words! {
    /// How far a row can be believed.
    Evidence {
        /// Read in the printed document.
        Printed "printed",
        /// Reported by a published secondary source.
        Secondary "secondary",
        /// Not confirmed.
        Unverified "unverified",
        /// Measured, with a certificate.
        Measured "measured",
        /// An assumption, for a forecast.
        Assumed "assumed",
        /// An example's own value (示例); never for a report.
        Illustrative "illustrative",
    }
}

words! {
    /// What a coefficient's value counts.
    ValueUnit {
        /// Kilograms of coal equivalent.
        Kgce "kgce",
        /// Tonnes of coal equivalent.
        Tce "tce",
        /// Kilograms of oil equivalent.
        Kgoe "kgoe",
    }
}

impl ValueUnit {
    /// Kilograms of coal equivalent in one of it.
    pub(crate) fn kgce(self) -> Number {
        match self {
            Self::Kgce => Number::from(1),
            Self::Tce => Number::from(1000),
            Self::Kgoe => constant(KGCE_PER_KGOE),
        }
    }
}

words! {
    /// Whether a shipped row may be used.
    Use {
        /// It resolves.
        Resolves "resolves",
        /// It is listed for reference only: a site that wants it enters it as a row of its own.
        Reference "reference",
    }
}

/// One row of a coefficient table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Coefficient {
    /// The rule set, `GB/T 2589`.
    pub rule_set: String,
    /// Its edition, `2020`.
    pub edition: String,
    /// The energy kind in the table's words, `raw_coal`.
    pub energy_kind: String,
    /// Its Chinese name.
    pub zh_name: String,
    /// Its class.
    pub class: EnergyClass,
    /// What the value is.
    pub role: Role,
    /// The value, or the lower end of a range.
    pub value: Number,
    /// The upper end of a range.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_max: Option<Number>,
    /// What the value counts.
    pub value_unit: ValueUnit,
    /// Per what.
    pub unit: Unit,
    /// The heat value printed with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heat_value: Option<Number>,
    /// The upper end of the heat value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heat_value_max: Option<Number>,
    /// Its unit, `kJ/kg`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heat_unit: Option<String>,
    /// Where `value` was computed from `heat_value`: the rule set's kilojoules in one kgce. `None` where it was stated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kj_per_kgce: Option<Number>,
    /// The region it holds in; `None` for everywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The batch whose facts it belongs to; `None` for all others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<String>,
    /// The year its data are of; `None` when it is not dated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_year: Option<i16>,
    /// The document it stands in.
    pub notice: String,
    /// For values from a coal rate: which.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coal_rate_kind: Option<CoalRateKind>,
    /// First day it holds.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "crate::serial::option_text"
    )]
    pub valid_from: Option<Date>,
    /// Last day it holds.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "crate::serial::option_text"
    )]
    pub valid_to: Option<Date>,
    /// How far it can be believed.
    pub evidence: Evidence,
    /// Whether it may be used.
    #[serde(rename = "use")]
    pub usage: Use,
    /// Why a rule was overridden, where one was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub override_reason: Option<String>,
    /// A remark.
    pub note: String,
    /// `file:line` it was read from.
    pub place: String,
    /// Whether the site entered it.
    pub site: bool,
}

impl Coefficient {
    /// Kilograms of coal equivalent per [`Coefficient::unit`]; for a range, of its lower end.
    #[must_use]
    pub fn kgce_per_unit(&self) -> Number {
        &self.value * &self.value_unit.kgce()
    }

    /// Everything that changes a figure, as one line; the place and the remark do not.
    fn canonical(&self) -> String {
        let option = |value: Option<String>| value.unwrap_or_default();
        // Only where they are given, so that the sets of rows without them keep their names.
        let day = |name: &str, day: Option<Date>| day.map(|day| format!("{name} {day}"));
        let more = [
            day("from", self.valid_from),
            day("to", self.valid_to),
            self.batch.as_ref().map(|batch| format!("batch {batch}")),
            self.kj_per_kgce.as_ref().map(|kj| format!("{kj} kJ/kgce")),
        ];
        let more = more.into_iter().flatten();
        let always = [
            self.rule_set.clone(),
            self.edition.clone(),
            self.energy_kind.clone(),
            self.role.to_string(),
            self.value.to_string(),
            self.value_unit.to_string(),
            self.unit.to_string(),
            option(self.region.clone()),
            option(self.data_year.map(|year| year.to_string())),
            self.notice.clone(),
            option(self.coal_rate_kind.map(|kind| kind.to_string())),
            self.evidence.to_string(),
            option(self.override_reason.clone()),
        ];
        always.into_iter().chain(more).collect::<Vec<_>>().join("\u{1f}")
    }
}

pub(crate) fn constant(text: &str) -> Number {
    text.parse().expect("constants of ours are decimal numbers")
}

/// How a rule set counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RuleSet {
    name: String,
    edition: String,
    kj_per_kgce: Number,
    kj_per_kgoe: Option<Number>,
    year_rule: YearRule,
}

words! {
    /// Which year's data a 等价 value of a period is taken from.
    YearRule {
        /// The period's own year.
        Current "current",
        /// The year before.
        Previous "previous",
    }
}

/// All coefficient rows that a plant can use: the shipped ones and its own.
#[derive(Debug, Clone)]
pub struct Registry {
    rows: Vec<Arc<Coefficient>>,
    rule_sets: Vec<RuleSet>,
}

impl Registry {
    /// The rows that are shipped.
    #[must_use]
    pub fn shipped() -> Self {
        let rows = SourceFile::new(
            "energy/data/coefficients.csv",
            include_str!("../data/coefficients.csv"),
        );
        let sets =
            SourceFile::new("energy/data/rule_sets.csv", include_str!("../data/rule_sets.csv"));
        let mut problems = Problems::default();
        let rule_sets = import::rule_sets(&sets, &mut problems);
        let rows = import::coefficients(&rows, &mut problems);
        debug_assert_eq!(problems, Problems::default(), "the shipped tables are in order");
        Self { rows: rows.into_iter().map(Arc::new).collect(), rule_sets }
    }

    /// The same with rows of the site; where one of them fits a key, shipped rows do not count.
    #[must_use]
    pub fn with_site_rows(mut self, rows: Vec<Coefficient>) -> Self {
        self.rows.extend(rows.into_iter().map(Arc::new));
        self
    }

    /// All rows, the shipped ones first.
    #[must_use]
    pub fn rows(&self) -> &[Arc<Coefficient>] {
        &self.rows
    }

    pub(crate) fn rule_set(&self, rule_set: &str, edition: &str) -> Option<&RuleSet> {
        self.rule_sets.iter().find(|set| set.name == rule_set && set.edition == edition)
    }

    /// Rule sets and editions that have rows, for messages.
    pub(crate) fn editions(&self) -> Vec<(&str, &str)> {
        let mut editions: Vec<_> =
            self.rows.iter().map(|row| (row.rule_set.as_str(), row.edition.as_str())).collect();
        editions.sort_unstable();
        editions.dedup();
        editions
    }
}

/// Short hash of the coefficients and rules that a figure used. Changing a row makes another set; none is ever edited.
#[must_use]
pub fn set_id<'a>(resolved: impl IntoIterator<Item = &'a Resolved>) -> String {
    let mut lines: Vec<String> = resolved
        .into_iter()
        .flat_map(|one| {
            let rows = one.rows.iter().map(|row| row.canonical());
            rows.chain([one.canonical()])
        })
        .collect();
    lines.sort_unstable();
    lines.dedup();
    let hash = Sha256::digest(lines.join("\n").as_bytes());
    let digit =
        |four: u8| char::from_digit(u32::from(four), 16).expect("four bits are a hex digit");
    let hex = hash.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]);
    format!("cs-{}", hex.take(ID_HEX_DIGITS).collect::<String>())
}

#[cfg(test)]
mod tests;
