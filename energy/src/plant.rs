//! The plant as `plant.toml` describes it: subjects, energy kinds, meters, products, allocation keys, and the site's own
//! coefficients. Must never hold a reading or a fact.

mod allocation;
mod check;
mod conversion;
pub(crate) mod flows;
pub mod keys;
mod kind;
mod meter;
mod nesting;
mod physical;
mod place;
mod read;
mod row;
mod strike;

pub use read::INTERPOLATION_MAX_MOST;

use config::{Problem, Problems, SourceFile, Spanned};
use jiff::tz::TimeZone;
use model::{Decimal, Localized, PlaceInSite, PointId, Timestamp, Unit, text};
use serde::Serialize;

use crate::coefficient::{EnergyClass, Registry, words};
use crate::id::{KindId, MeterId, ProductId, SubjectId};
use crate::index::DailyFalls;
use crate::number::Number;
use crate::resets::{ResetInterval, Resets};
use crate::source::Meters;

pub(crate) const CODE_PLANT: &str = "EN-C101";
pub(crate) const CODE_REFERENCE: &str = "EN-C102";
pub(crate) const CODE_DUPLICATE: &str = "EN-C103";
pub(crate) const CODE_UNIT: &str = "EN-C104";
pub(crate) const CODE_COEFFICIENT: &str = "EN-C105";
const CODE_POINT: &str = "EN-C106";
const CODE_RESETS: &str = "EN-C107";
const CODE_PLACE: &str = "EN-C108";
pub(crate) const CODE_FLOW: &str = "EN-C121";
const CODE_NESTED: &str = "EN-C122";

words! {
    /// What a subject is.
    SubjectKind {
        /// The whole enterprise; there is one.
        Enterprise "enterprise",
        /// A site.
        Site "site",
        /// A workshop.
        Area "area",
        /// A production line.
        Line "line",
        /// Equipment.
        Equipment "equipment",
    }
}

words! {
    /// What a meter's energy is to the subject it stands at.
    MeterRole {
        /// Purchased; enters the subject's and the enterprise's total.
        Incoming "incoming",
        /// Part of what another meter counts, used here.
        Sub "sub",
        /// Made on site from energy that is counted already; shown, enters no total.
        Own "own",
        /// Own primary energy (PV, wind, hydro); enters the total.
        Generated "generated",
        /// Sold; taken off the total.
        Export "export",
    }
}

words! {
    /// Which of the sources of a kind its export is taken off.
    ExportSource {
        /// Own primary energy, such as the surplus of PV.
        Generated "generated",
        /// What was made on site from other energy, such as electricity of a CHP plant.
        Own "own",
        /// What was bought and sold on.
        Purchased "purchased",
    }
}

words! {
    /// What becomes of a kind in coal equivalent.
    Treatment {
        /// Converted by its coefficient.
        Annex "annex",
        /// Not converted by the site's rule set (water of some public institutions).
        Excluded "excluded",
    }
}

words! {
    /// How steam is converted.
    SteamRule {
        /// By the edition's fixed value.
        Fixed "fixed",
        /// By enthalpy times the coefficient of heat.
        Enthalpy "enthalpy",
        /// By the value agreed with the supplier, entered as a coefficient of the site.
        Contract "contract",
    }
}

/// What a figure can be about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Subject {
    /// Its name in files.
    pub id: SubjectId,
    /// What it is.
    pub kind: SubjectKind,
    /// Its display name.
    pub name: String,
    /// The subject it is a part of; `None` for the enterprise alone.
    pub parent: Option<SubjectId>,
    /// Where it stands in its site, as `gateway.toml` says it of a device.
    #[serde(skip)]
    pub place: Option<Spanned<PlaceInSite>>,
}

/// An energy kind and how it is converted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnergyKind {
    /// Its name in files.
    pub id: KindId,
    /// Its display name, 电力.
    pub name: String,
    /// The unit that its quantities are computed and printed in.
    pub unit: Unit,
    /// Its class.
    pub class: EnergyClass,
    /// The rule set of its coefficient.
    pub rule_set: String,
    /// The edition.
    pub edition: String,
    /// Its name in the coefficient table.
    pub coefficient: String,
    /// Whether it is converted.
    pub treatment: Treatment,
    /// For steam: by which rule.
    pub steam: Option<Steam>,
    /// Factors that the site states between units of different dimensions, such as m³ and t of water.
    pub conversions: Vec<Conversion>,
    /// What export is taken off, where the plant file states it.
    pub exported_from: Option<ExportSource>,
    /// The equipment whose energy it is made from, where the plant file states it; empty where nothing that is counted
    /// made it, such as recovered waste heat.
    pub made_by: Option<Vec<SubjectId>>,
}

/// The steam rule with its numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Steam {
    /// Which rule.
    pub rule: SteamRule,
    /// Enthalpy of the steam, kJ/kg.
    pub steam_kj_per_kg: Number,
    /// Enthalpy of the feed water, kJ/kg; zero where gross.
    pub feed_kj_per_kg: Number,
}

/// A stated factor: one `from` is `factor` `to`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Conversion {
    /// From.
    pub from: Unit,
    /// To.
    pub to: Unit,
    /// How many.
    pub factor: Number,
}

/// A point that is a cumulative register of one energy kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meter {
    /// Its name in files.
    pub id: MeterId,
    /// The point whose samples are its readings, with its place in the plant file.
    pub point: Spanned<PointId>,
    /// What it counts.
    pub energy_kind: KindId,
    /// Where.
    pub subject: SubjectId,
    /// What its energy is there.
    pub role: MeterRole,
    /// The meter that counts this one's energy too.
    pub parent: Option<MeterId>,
    /// Whether it counts nothing of another meter although its subject lies in a metered one.
    pub independent: bool,
    /// Unit of the register times the ratio.
    pub unit: Unit,
    /// The reading, in `unit` before the ratio, at which the register starts again from zero.
    pub modulus: Option<Decimal>,
    /// The most that the energy can rise in an hour, in `unit` after the ratio.
    pub rise_per_hour_max: Option<Decimal>,
    /// When its register is set back to zero by the calendar; a fall at another time is an open gap.
    pub resets: Option<Resets>,
    /// Whether readings of Uncertain quality count too.
    pub accept_uncertain: bool,
    /// By what readings are multiplied, from when; sorted, the first without a time.
    pub ratios: Vec<RatioChange>,
    /// Replacements, sorted by time.
    pub replacements: Vec<Replacement>,
    /// Times whose readings are put aside.
    pub strikes: Vec<Strike>,
}

/// Readings of a time that are put aside, as a `[[strike]]` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Strike {
    /// First instant.
    #[serde(serialize_with = "crate::serial::text")]
    pub from: Timestamp,
    /// First instant after it.
    #[serde(serialize_with = "crate::serial::text")]
    pub to: Timestamp,
    /// Why.
    pub reason: String,
}

/// A ratio and when it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RatioChange {
    /// Since when; `None` for ever.
    #[serde(serialize_with = "crate::serial::option_text")]
    pub from: Option<Timestamp>,
    /// Current transformer times voltage transformer.
    pub ratio: Decimal,
}

/// A meter was exchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Replacement {
    /// When.
    #[serde(serialize_with = "crate::serial::text")]
    pub at: Timestamp,
    /// Last index of the old meter.
    pub old_final: Decimal,
    /// First index of the new one.
    pub new_initial: Decimal,
}

/// A product, made on one line.
///
/// A line that makes several divides its energy by `weight` × qualified output: 2 000 t of weight 1 and 500 t of weight 2
/// get two thirds and one third.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Product {
    /// Its name in files.
    pub id: ProductId,
    /// Its display name.
    pub name: String,
    /// What its output is counted in.
    pub unit: Unit,
    /// The line that makes it.
    pub line: SubjectId,
    /// What one unit of output counts among the products of its line (折合系数); `None` where it is not stated.
    #[doc(alias = "conversion coefficient")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<Number>,
}

/// A declared key by which the energy of shared equipment is divided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Allocation {
    /// The shared equipment.
    pub from: SubjectId,
    /// Which energy of it.
    pub energy_kind: KindId,
    /// Who gets how much, by weight.
    pub shares: Vec<Share>,
}

/// One part of an allocation key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Share {
    /// Who gets it.
    pub to: SubjectId,
    /// Its weight among all.
    pub weight: Number,
}

/// A checked plant file.
#[derive(Debug, Clone)]
pub struct Plant {
    /// The plant's display name.
    pub name: String,
    /// The IANA zone in which its days begin.
    pub time_zone: TimeZone,
    /// The region whose dated coefficients hold.
    pub region: String,
    /// The enterprise as a subject.
    pub enterprise: SubjectId,
    /// The site of what lies in no subject of the kind `site`, as `gateway.toml` names it.
    pub site: Option<SubjectId>,
    /// Longest gap between two readings over which an index is interpolated at the end of a period, in microseconds.
    pub interpolation_max_micros: i64,
    /// All subjects, the enterprise first.
    pub subjects: Vec<Subject>,
    /// All energy kinds, in the order of the file, which is that of Table 1.
    pub kinds: Vec<EnergyKind>,
    /// All meters.
    pub meters: Vec<Meter>,
    /// All products.
    pub products: Vec<Product>,
    /// All allocation keys.
    pub allocations: Vec<Allocation>,
    /// CSV files of declared facts, as written, relative to the plant file.
    pub fact_files: Vec<String>,
    /// The shipped coefficients and the site's own.
    pub coefficients: Registry,
    /// What is doubtful but not wrong.
    pub warnings: Problems,
}

impl Plant {
    /// Reads and checks a plant file.
    ///
    /// # Errors
    /// All problems of the file at once, each with its place.
    pub fn read(file: &std::sync::Arc<SourceFile>) -> Result<Self, Problems> {
        read::plant(file)
    }

    /// The meters whose point `known` does not know, as problems in their places, with the names of points that are `near`.
    #[must_use]
    pub fn check_points(
        &self,
        known: impl Fn(&PointId) -> bool,
        near: impl Fn(&PointId) -> Vec<String>,
    ) -> Problems {
        let unknown = self.meters.iter().filter(|meter| !known(&meter.point.value));
        Problems(unknown.map(|meter| unknown_point(meter, &near(&meter.point.value))).collect())
    }

    /// The meters whose point holds `other` than numbers, as problems in their places.
    #[must_use]
    pub fn check_values(&self, other: impl Fn(&PointId) -> Option<&'static str>) -> Problems {
        let wrong = self.meters.iter().filter_map(|meter| {
            let (id, point) = (&meter.id, &meter.point);
            let values = other(&point.value)?;
            let message =
                format!("meter `{id}`: point `{}` holds {values}, it is no meter", point.value);
            let help = "name a point of `kind = \"counter\"`; `nengliu-gateway status` shows them";
            Some(point.problem(CODE_POINT, message).help(help))
        });
        Problems(wrong.collect())
    }

    /// The meters whose point `known` does not know, each with the reason why it has no energy.
    #[must_use]
    pub fn never_read(&self, known: impl Fn(&PointId) -> bool) -> Vec<(MeterId, Localized)> {
        let unknown = self.meters.iter().filter(|meter| !known(&meter.point.value));
        unknown.map(|meter| (meter.id.clone(), never_read(meter))).collect()
    }

    /// Names each meter once whose register falls to near zero at the same time on several days, which leaves an open gap
    /// each time, with the setting that makes resets of them.
    #[must_use]
    pub fn check_resets(&self, meters: &Meters) -> Problems {
        let falling = self.meters.iter().filter_map(|meter| {
            let falls = meters.index(&meter.id)?.daily_falls(&self.time_zone)?;
            Some(daily_falls(meter, &falls, &self.time_zone))
        });
        Problems(falling.collect())
    }

    /// A subject by name.
    #[must_use]
    pub fn subject(&self, id: &SubjectId) -> Option<&Subject> {
        self.subjects.iter().find(|subject| subject.id == *id)
    }

    /// An energy kind by name.
    #[must_use]
    pub fn kind(&self, id: &KindId) -> Option<&EnergyKind> {
        self.kinds.iter().find(|kind| kind.id == *id)
    }

    /// A meter by name.
    #[must_use]
    pub fn meter(&self, id: &MeterId) -> Option<&Meter> {
        self.meters.iter().find(|meter| meter.id == *id)
    }

    /// Lines, and whatever else makes a product or gets a share of shared equipment.
    pub fn lines(&self) -> impl Iterator<Item = &Subject> {
        let gets = |id: &SubjectId| {
            self.allocations.iter().any(|key| key.shares.iter().any(|share| share.to == *id))
        };
        let makes = |id: &SubjectId| self.products.iter().any(|product| product.line == *id);
        let line =
            move |one: &&Subject| one.kind == SubjectKind::Line || makes(&one.id) || gets(&one.id);
        self.subjects.iter().filter(line)
    }

    /// Whether `part` is `whole` or lies in it.
    #[must_use]
    pub fn is_within(&self, part: &SubjectId, whole: &SubjectId) -> bool {
        let mut at = self.subject(part);
        // Parents are checked to form a tree, so the walk ends at the enterprise.
        while let Some(subject) = at {
            if subject.id == *whole {
                return true;
            }
            at = subject.parent.as_ref().and_then(|parent| self.subject(parent));
        }
        false
    }
}

/// Why a meter has no readings: nobody ever announced its point.
fn never_read(meter: &Meter) -> Localized {
    let (id, point) = (&meter.id, &meter.point.value);
    text!(
        en: "meter `{id}`: no point `{point}` has been read so far",
        zh: "计量表 `{id}`：尚未读到测点 `{point}`",
    )
}

fn unknown_point(meter: &Meter, near: &[String]) -> Problem {
    let help = if near.is_empty() {
        text!(
            en: "compare with the points of the gateway (`nengliu-gateway status`), or wait for its first samples",
            zh: "请与网关的测点核对（`nengliu-gateway status`），或等待其首次采样",
        )
    } else {
        let names = near.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        text!(
            en: "read so far are, the nearest first: {names}; correct `point`, or wait for its first samples",
            zh: "已读到的相近测点：{names}；请更正 `point`，或等待其首次采样",
        )
    };
    meter.point.problem(CODE_POINT, never_read(meter)).help(help)
}

fn daily_falls(meter: &Meter, falls: &DailyFalls, zone: &TimeZone) -> Problem {
    let DailyFalls { time, at_midnight } = falls;
    let at = if *at_midnight { "midnight".to_owned() } else { time.strftime("%H:%M").to_string() };
    let message = format!(
        "meter `{}`: its register falls to near zero at about {at} on more than one day; each fall is an open gap",
        meter.id
    );
    let zone = zone.iana_name().unwrap_or("the plant's time zone");
    let help = match (&meter.resets, at_midnight) {
        (None, true) => {
            "if it is set back to zero each midnight, write `resets = \"daily\"` in this `[[meter]]`".to_owned()
        }
        (Some(resets), true) if resets.interval == ResetInterval::Monthly => {
            "it is set back each day: write `resets = \"daily\"`".to_owned()
        }
        (Some(_), true) => "read it at least every 15 minutes: what lies between two readings further apart \
                           around midnight is not known"
            .to_owned(),
        _ => format!(
            "a daily reset counts within 5 minutes of midnight in {zone}: set the clock of the meter, or read a register of it \
             that is never set back"
        ),
    };
    meter.point.problem(CODE_RESETS, message).help(help).warning()
}

#[cfg(test)]
mod tests;
