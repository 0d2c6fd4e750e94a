//! Which values of a point are plausible: what its profile states with `min` and `max`, else what follows with certainty
//! from its unit and metric. A limit is there to tell a wrong byte order, register or profile from a reading, never to
//! tell a high reading from a low one: each is far beyond what an enterprise measures.

use model::unit::Dimension;
use model::{Decimal, Localized, PointKind, Unit, text};

const fn decimal(mantissa: i64, exponent: i8) -> Decimal {
    Decimal { mantissa, exponent }
}

/// Highest voltage. The highest lines that exist carry 1.1 MV; a meter behind a voltage transformer shows less.
const VOLTS_MAX: Decimal = decimal(1, 6);
/// Largest current. Electric arc furnaces take up to about 100 kA; only pot lines of smelters take more, and their profile
/// states it.
const AMPERES_MAX: Decimal = decimal(1, 5);
/// Frequencies of a mains of 50 or 60 Hz. Generators trip between 47 and 63 Hz; a drive's output is no mains.
const HERTZ: (Decimal, Decimal) = (decimal(45, 0), decimal(65, 0));
/// Largest power. The largest power station has 22.5 GW.
const WATTS_MAX: Decimal = decimal(1, 11);
/// Largest reading of a register of energy: 10^12 kWh, a tenth of what China uses in a year.
const ENERGY_JOULES_MAX: Decimal = decimal(36, 17);
/// The same of reactive and apparent energy, in varh and `VAh`.
const ENERGY_VOLT_AMPERE_HOURS_MAX: Decimal = decimal(1, 15);
/// Absolute zero, and hotter than any process: plasma torches reach 30 000 °C.
const CELSIUS: (Decimal, Decimal) = (decimal(-27_315, -2), decimal(1, 5));

/// Metrics that are the frequency of the mains. `f_out` of a drive is none.
const MAINS_FREQUENCIES: &[&str] = &[
    "f",
    "f_grid",
    "f_l1",
    "f_l2",
    "f_l3",
    "f_mains",
    "freq",
    "frequency",
    "grid_frequency",
    "mains_frequency",
];
/// How the name of a power factor begins, as a whole word: `pf`, `pf_total`.
const POWER_FACTORS: &[&str] = &["pf", "power_factor", "cos_phi", "cosphi"];

/// The values of a point that are plausible, in its unit. A value outside is delivered with quality Uncertain, and is no
/// energy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PlausibleRange {
    /// The smallest.
    pub min: Option<Decimal>,
    /// The largest.
    pub max: Option<Decimal>,
    /// Whether 0 is plausible whatever the limits: the frequency of a mains that is switched off.
    pub or_zero: bool,
}

impl PlausibleRange {
    /// What is certain of a point whose profile states nothing; `counts_down`: its scale is negative.
    ///
    /// `u_l1` in `kV` → 0 to 1000; `e_import` in `kWh` → 0 to 10^12; `flow` in `m3/h` → anything
    #[must_use]
    pub fn of(metric: &str, unit: Unit, kind: PointKind, counts_down: bool) -> Self {
        let limits = match kind {
            PointKind::State => return Self::default(),
            PointKind::Counter => counter_limits(unit.dimension()),
            PointKind::Gauge => gauge_limits(metric, unit.dimension()),
        };
        let in_unit = |base: Decimal| divided(base, unit.factor());
        let min = limits.0.and_then(in_unit);
        let max = limits.1.and_then(in_unit);
        let or_zero = unit.dimension() == Dimension::Frequency;
        if counts_down && kind == PointKind::Counter {
            return Self { min: max.and_then(negated), max: min.and_then(negated), or_zero };
        }
        Self { min, max, or_zero }
    }

    /// As people read it, thousands apart: `0 to 1 000 000`.
    #[must_use]
    pub fn shown(&self) -> Localized {
        let grouped = |limit: Decimal| model::rounded::grouped(&limit.to_string());
        let limits = match (self.min.map(grouped), self.max.map(grouped)) {
            (Some(min), Some(max)) => text!(en: "{min} to {max}", zh: "{min} 至 {max}"),
            (Some(min), None) => text!(en: "at least {min}", zh: "不小于 {min}"),
            (None, Some(max)) => text!(en: "at most {max}", zh: "不大于 {max}"),
            (None, None) => text!(en: "what can be measured", zh: "可测量的值"),
        };
        if !self.or_zero {
            return limits;
        }
        Localized::join([&limits, &text!(en: ", or 0", zh: "，或 0")], "")
    }

    /// Whether there is a limit at all.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        self.min.is_some() || self.max.is_some()
    }
}

impl std::fmt::Display for PlausibleRange {
    /// `0 to 1000000`, `at least 0`, `45 to 65, or 0`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.min, self.max) {
            (Some(min), Some(max)) => write!(f, "{min} to {max}")?,
            (Some(min), None) => write!(f, "at least {min}")?,
            (None, Some(max)) => write!(f, "at most {max}")?,
            (None, None) => return f.write_str("anything"),
        }
        if self.or_zero { f.write_str(", or 0") } else { Ok(()) }
    }
}

/// In base units of the dimension.
type Limits = (Option<Decimal>, Option<Decimal>);

/// A register that only grows begins at 0.
fn counter_limits(dimension: Dimension) -> Limits {
    let max = match dimension {
        Dimension::Energy => Some(ENERGY_JOULES_MAX),
        Dimension::ReactiveEnergy | Dimension::ApparentEnergy => Some(ENERGY_VOLT_AMPERE_HOURS_MAX),
        _ => None,
    };
    (Some(Decimal::ZERO), max)
}

fn gauge_limits(metric: &str, dimension: Dimension) -> Limits {
    let within = |max: Decimal| (negated(max), Some(max));
    match dimension {
        Dimension::Voltage => (Some(Decimal::ZERO), Some(VOLTS_MAX)),
        Dimension::Current => within(AMPERES_MAX),
        Dimension::Power | Dimension::ReactivePower | Dimension::ApparentPower => within(WATTS_MAX),
        Dimension::Temperature => (Some(CELSIUS.0), Some(CELSIUS.1)),
        Dimension::Frequency if MAINS_FREQUENCIES.contains(&metric) => {
            (Some(HERTZ.0), Some(HERTZ.1))
        }
        Dimension::Ratio if is_power_factor(metric) => within(Decimal::ONE),
        _ => (None, None),
    }
}

fn is_power_factor(metric: &str) -> bool {
    let rest = POWER_FACTORS.iter().find_map(|name| metric.strip_prefix(name));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
}

fn negated(number: Decimal) -> Option<Decimal> {
    Some(Decimal { mantissa: number.mantissa.checked_neg()?, ..number })
}

/// The exact quotient; nothing where it is no decimal. Each limit above is one of each unit of its dimension.
fn divided(number: Decimal, by: Decimal) -> Option<Decimal> {
    let (number, by) = (number.normalized(), by.normalized());
    let exponent = number.exponent.checked_sub(by.exponent)?;
    let whole = number.mantissa.checked_rem(by.mantissa)? == 0;
    whole.then(|| Decimal { mantissa: number.mantissa / by.mantissa, exponent }.normalized())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_certain_of_a_unit_and_a_metric() {
        let check = |metric: &str, unit: &str, kind, expected: &str| {
            let range = PlausibleRange::of(metric, unit.parse().unwrap(), kind, false);
            assert_eq!(range.to_string(), expected, "{metric} in {unit}");
        };
        let (gauge, counter) = (PointKind::Gauge, PointKind::Counter);
        check("u_l1", "V", gauge, "0 to 1000000");
        check("u_l12", "kV", gauge, "0 to 1000");
        check("i_l1", "A", gauge, "-100000 to 100000");
        check("i_l1", "kA", gauge, "-100 to 100");
        check("f", "Hz", gauge, "45 to 65, or 0");
        check("frequency", "Hz", gauge, "45 to 65, or 0");
        check("f_out", "Hz", gauge, "anything");
        check("pf_total", "1", gauge, "-1 to 1");
        check("pf", "%", gauge, "-100 to 100");
        check("pfc_stages", "1", gauge, "anything");
        check("p_total", "kW", gauge, "-100000000 to 100000000");
        check("q_total", "var", gauge, "-100000000000 to 100000000000");
        check("t_zone1", "°C", gauge, "-273.15 to 100000");
        check("flow", "m3/h", gauge, "anything");
        check("o2", "%", gauge, "anything");
        check("e_import", "kWh", counter, "0 to 1000000000000");
        check("e_import", "万kWh", counter, "0 to 100000000");
        check("e_import", "Wh", counter, "0 to 1000000000000000");
        check("er_import", "kvarh", counter, "0 to 1000000000000");
        check("v_total", "m3", counter, "at least 0");
        check("running_time", "h", counter, "at least 0");
        check("state", "1", PointKind::State, "anything");
    }

    #[test]
    fn a_meter_that_counts_the_other_way_round_counts_down_from_zero() {
        let range = |unit| PlausibleRange::of("e", unit, PointKind::Counter, true).to_string();
        assert_eq!(range(Unit::KilowattHour), "-1000000000000 to 0");
        assert_eq!(range(Unit::CubicMetre), "at most 0");
    }

    /// A limit that is no decimal of some unit would be left out without a word.
    #[test]
    fn each_limit_is_exact_in_each_unit_of_its_dimension() {
        for unit in Unit::ALL {
            for (kind, metric) in
                [(PointKind::Counter, "e"), (PointKind::Gauge, "f"), (PointKind::Gauge, "pf")]
            {
                let limits = match kind {
                    PointKind::Counter => counter_limits(unit.dimension()),
                    _ => gauge_limits(metric, unit.dimension()),
                };
                let range = PlausibleRange::of(metric, *unit, kind, false);
                let is_kept = (range.min.is_some(), range.max.is_some());
                assert_eq!(is_kept, (limits.0.is_some(), limits.1.is_some()), "{metric} in {unit}");
            }
        }
    }
}
