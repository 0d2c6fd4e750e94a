//! The meters of the plant and its products: what each counts and in which steps.

use model::Unit;

use super::source::{Machine, Source};

/// A meter: a register of one energy kind.
#[derive(Debug, PartialEq, Eq)]
pub struct Meter {
    /// Name of its device.
    pub id: &'static str,
    /// The metric of its register.
    pub metric: &'static str,
    /// The energy kind, as the demo's `plant.toml` names it.
    pub energy_kind: &'static str,
    /// Unit of the register.
    pub unit: Unit,
    /// The register's last digit, as a power of ten: -2 for 0.01.
    pub exponent: i8,
    /// Whether it is a purchase of the whole plant: a row of Table 1.
    pub incoming: bool,
    pub(super) sources: &'static [Source],
}

/// A product and where it is made.
#[derive(Debug, PartialEq, Eq)]
pub struct Product {
    /// Its name in `plant.toml`.
    pub id: &'static str,
    /// Of hundred thousand pieces so many pass inspection.
    pub(crate) good_per_100_000: i64,
    /// What a piece is worth, in 0.01 元.
    pub(crate) price_cents: i64,
    pub(super) sources: &'static [Source],
}

const fn electricity(id: &'static str, incoming: bool, sources: &'static [Source]) -> Meter {
    Meter {
        id,
        metric: "e_import",
        energy_kind: "electricity",
        unit: Unit::KilowattHour,
        exponent: -2,
        incoming,
        sources,
    }
}

/// The meters that serve their register over OPC UA, the main meter first.
pub const METERS: &[Meter] = &[
    electricity(
        "meter-main",
        true,
        &[
            Source::Machine(Machine::A1),
            Source::Machine(Machine::A2),
            Source::AuxiliaryA,
            Source::Machine(Machine::B1),
            Source::Machine(Machine::B2),
            Source::AuxiliaryB,
            Source::Furnace,
            Source::Compressor,
            Source::BoilerHouse,
            Source::Office,
        ],
    ),
    electricity(
        "meter-line-a",
        false,
        &[Source::Machine(Machine::A1), Source::Machine(Machine::A2), Source::AuxiliaryA],
    ),
    electricity(
        "meter-line-b",
        false,
        &[Source::Machine(Machine::B1), Source::Machine(Machine::B2), Source::AuxiliaryB],
    ),
    electricity("meter-furnace", false, &[Source::Furnace]),
    electricity("meter-compressor", false, &[Source::Compressor]),
    electricity("meter-boiler", false, &[Source::BoilerHouse]),
    electricity("meter-office", false, &[Source::Office]),
    Meter {
        id: "meter-gas",
        metric: "v_total",
        energy_kind: "natural_gas",
        unit: Unit::CubicMetre,
        exponent: -2,
        incoming: true,
        sources: &[Source::Gas],
    },
    Meter {
        id: "meter-steam",
        metric: "m_total",
        energy_kind: "steam",
        unit: Unit::Tonne,
        exponent: -3,
        incoming: true,
        sources: &[Source::PurchasedSteam],
    },
    Meter {
        id: "meter-own-steam",
        metric: "m_total",
        energy_kind: "steam",
        unit: Unit::Tonne,
        exponent: -3,
        incoming: false,
        sources: &[Source::OwnSteam],
    },
    Meter {
        id: "meter-water",
        metric: "v_total",
        energy_kind: "water",
        unit: Unit::CubicMetre,
        exponent: -3,
        incoming: true,
        sources: &[Source::Water],
    },
];

/// The products, one a line.
pub const PRODUCTS: &[Product] = &[
    Product {
        id: "shaft",
        good_per_100_000: 98_900,
        price_cents: 18_600,
        sources: &[Source::Parts(Machine::A1), Source::Parts(Machine::A2)],
    },
    Product {
        id: "housing",
        good_per_100_000: 97_600,
        price_cents: 42_500,
        sources: &[Source::Parts(Machine::B1), Source::Parts(Machine::B2)],
    },
];

impl Meter {
    /// The meter of a device.
    #[must_use]
    pub fn of(id: &str) -> Option<&'static Self> {
        METERS.iter().find(|meter| meter.id == id)
    }

    /// Whether it counts what is made on site from energy that is counted already.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.sources == [Source::OwnSteam]
    }

    pub(crate) const fn sources(&self) -> &'static [Source] {
        self.sources
    }
}
