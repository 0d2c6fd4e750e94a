//! What a coefficient can be: by physics, by its role, by the known values of its kind. For one that it cannot be, which slip
//! explains it: another unit, another role, a digit.

use model::{Localized, Unit, text};

use super::check::Fault;
use super::heat::KJ_PER_KCAL;
use super::resolve::{is_a, needs_own_equal_value};
use super::{Coefficient, KJ_PER_KGCE, Registry, Role, ValueUnit, constant};
use crate::convert;
use crate::number::{Number, portion};

/// The least kilojoules that any edition counts as one kilogram of coal equivalent: 7000 × 4.1816, implied by the heat column of
/// GB/T 2589-2008 Annex A.
const KJ_PER_KGCE_LEAST: &str = "29271.2";
/// 当量值 of electricity as every edition of GB/T 2589 prints it, 860 ÷ 7000.
const ELECTRICITY_KGCE_PER_KWH: &str = "0.1229";
/// 当量值 of heat, GB/T 2589 Annex A.
const HEAT_KGCE_PER_MJ: &str = "0.03412";
/// Share of a value that the rounding of its printed digits may explain: `0.123` for 0.1229, never `0.12`.
const ROUNDING_SHARE_MAX: &str = "0.005";
/// 等价值 of electricity, kgce/kWh. Below: more than 68 % of the heat would have become electricity. Above: no national coal
/// rate since 1949 but the first few years was higher.
const ELECTRICITY_EQUAL_VALUE: (&str, &str) = ("0.18", "0.8");
/// How many times the heat contained may be spent to make heat or steam, or a secondary fuel.
const SPENT_TIMES_MAX: i64 = 2;
/// Steam, kgce/kg: 2 500 kJ/kg less feed water of 200 °C, up to the fixed 0.1286 of GB/T 2589-2008.
const STEAM: (&str, &str) = ("0.055", "0.135");
/// Steam by 等价值, kgce/kg: from its enthalpy up to twice that.
const STEAM_EQUAL_VALUE: (&str, &str) = ("0.08", "0.26");
/// A fuel that is counted in units of heat: its gross heat is up to 18 % above the net heat that counts (hydrogen).
const FUEL_BY_HEAT: (&str, &str) = ("0.84", "1.02");
/// Any fuel, kgce/kg: ash-rich waste to hydrogen (4.1).
const FUEL_BY_MASS: (&str, &str) = ("0.02", "4.5");
/// How far a value may lie below the least and above the greatest known value of its kind and role. Together less than the 10 of
/// a slipped digit.
const BELOW_KNOWN: &str = "3";
const ABOVE_KNOWN: i64 = 2;
/// Digits to which bounds are computed.
const BOUND_DIGITS: u32 = 12;
/// Most explanations that are offered.
const SLIPS_MAX: usize = 2;

/// Powers of ten by which a value is mistyped, and what the typed value then is.
const DIGITS: [(i64, &str, &str); 8] = [
    (-1, "10 times", " 10 倍"),
    (1, "a tenth of", "十分之一"),
    (-2, "100 times", " 100 倍"),
    (2, "a hundredth of", "百分之一"),
    (-3, "1000 times", " 1000 倍"),
    (3, "a thousandth of", "千分之一"),
    (-4, "10 000 times", " 10000 倍"),
    (4, "a ten-thousandth of", "万分之一"),
];
/// Units that heat values are taken for: given in the first, meant in the second, which is so many of the first.
const HEAT_UNITS: [(&str, &str, &str); 4] = [
    ("kJ", "MJ", "1000"),
    ("MJ", "kJ", "0.001"),
    ("kJ", "kcal", KJ_PER_KCAL),
    ("MJ", "kcal", "0.0041868"),
];
/// Units that coefficients are usually given in.
const USUAL: [(ValueUnit, Unit); 18] = [
    (ValueUnit::Kgce, Unit::KilowattHour),
    (ValueUnit::Tce, Unit::TenThousandKilowattHours),
    (ValueUnit::Tce, Unit::MegawattHour),
    (ValueUnit::Kgce, Unit::MegawattHour),
    (ValueUnit::Kgce, Unit::Megajoule),
    (ValueUnit::Tce, Unit::Gigajoule),
    (ValueUnit::Kgce, Unit::Gigajoule),
    (ValueUnit::Kgce, Unit::Kilogram),
    (ValueUnit::Kgce, Unit::Tonne),
    (ValueUnit::Tce, Unit::Kilogram),
    (ValueUnit::Kgce, Unit::CubicMetre),
    (ValueUnit::Tce, Unit::TenThousandCubicMetres),
    (ValueUnit::Tce, Unit::CubicMetre),
    (ValueUnit::Kgoe, Unit::KilowattHour),
    (ValueUnit::Kgoe, Unit::Kilogram),
    (ValueUnit::Kgoe, Unit::Tonne),
    (ValueUnit::Kgoe, Unit::CubicMetre),
    (ValueUnit::Kgoe, Unit::Megajoule),
];

/// What one unit may be, in kilograms of coal equivalent.
pub(crate) struct Bounds {
    low: Number,
    high: Number,
    /// The one printed value, where physics fixes it; a value may then differ by the rounding of its own digits.
    fixed: Option<Number>,
}

impl Bounds {
    fn between(ends: (&str, &str), scale: &Number) -> Self {
        let (low, high) = (&constant(ends.0) * scale, &constant(ends.1) * scale);
        Self { low, high, fixed: None }
    }

    /// Whether `kgce`, known to within `rounding`, lies inside.
    pub(crate) fn admit(&self, kgce: &Number, rounding: &Number) -> bool {
        if self.fixed.is_none() {
            return self.low <= *kgce && *kgce <= self.high;
        }
        let most = kgce * &constant(ROUNDING_SHARE_MAX);
        let rounding = rounding.min(&most);
        kgce + rounding >= self.low && kgce - rounding <= self.high
    }

    fn admit_row(&self, row: &Coefficient) -> bool {
        self.admit(&row.kgce_per_unit(), &(&row.value.half_last_digit() * &row.value_unit.kgce()))
    }
}

/// What is wrong with the size of a site's value, and what would fit.
pub(super) fn implausible(row: &Coefficient, registry: &Registry) -> Option<Fault> {
    let bounds = row_bounds(row, registry).filter(|bounds| row.site && !bounds.admit_row(row))?;
    if row.kj_per_kgce.is_some() {
        return by_heat(row, &bounds);
    }
    let Coefficient { value, value_unit, unit, role, energy_kind, .. } = row;
    let shown = |kgce: &Number| shown(&in_value_unit(kgce, *value_unit));
    let (low, high) = (shown(&bounds.low), shown(&bounds.high));
    let message = if let Some(fixed) = &bounds.fixed {
        let fixed = shown(fixed);
        text!(
            en: "`value`: the calorific value (当量值) of {energy_kind} is fixed by physics, {fixed} {value_unit}/{unit}; found `{value}`",
            zh: "`value`：{energy_kind} 的当量值由物理确定，为 {fixed} {value_unit}/{unit}，实为 `{value}`",
        )
    } else {
        text!(
            en: "`value`: as `{role}`, {energy_kind} is {low} to {high} {value_unit}/{unit}; found `{value}`",
            zh: "`value`：{energy_kind} 作为 `{role}` 应在 {low} 至 {high} {value_unit}/{unit} 之间，实为 `{value}`",
        )
    };
    let slips = slips(row, registry);
    let fault = Fault::new(message);
    Some(if slips.is_empty() {
        fault.help(compare())
    } else {
        fault.help(Localized::join(&slips, "; "))
    })
}

fn compare() -> Localized {
    text!(
        en: "compare `value`, `value_unit` and `unit` with the document that `notice` names",
        zh: "请将 `value`、`value_unit`、`unit` 与 `notice` 所列文件核对",
    )
}

/// The same for a value that was computed from its heat value.
fn by_heat(row: &Coefficient, bounds: &Bounds) -> Option<Fault> {
    let kj = row.kj_per_kgce.as_ref()?;
    let (heat, heat_unit) = (row.heat_value.as_ref()?, row.heat_unit.as_deref()?);
    let (kind, unit, value) = (&row.energy_kind, row.unit, shown(&row.value));
    let (low, high) = (shown(&bounds.low), shown(&bounds.high));
    let fault = Fault::new(text!(
        en: "`heat_value`: {heat} {heat_unit} ÷ {kj} kJ/kgce is {value} kgce/{unit}; {kind} is {low} to {high}",
        zh: "`heat_value`：{heat} {heat_unit} ÷ {kj} kJ/kgce 为 {value} kgce/{unit}，{kind} 应在 {low} 至 {high} 之间",
    ));
    let fits = |factor: &Number| bounds.admit(&(&row.value * factor), &Number::zero());
    let (energy, per) = heat_unit.split_once('/')?;
    let other =
        HEAT_UNITS.iter().find(|(from, _, factor)| *from == energy && fits(&constant(factor)));
    if let Some((_, to, _)) = other {
        return Some(fault.help(text!(
            en: "`{heat}` would fit in {to}/{per}: correct `heat_unit`",
            zh: "`{heat}` 若以 {to}/{per} 计则合理：请更正 `heat_unit`",
        )));
    }
    let digit = DIGITS.into_iter().find(|(shift, ..)| fits(&Number::new(1, *shift)));
    let digit = digit.map(|(shift, english, chinese)| slipped(heat, shift, english, chinese));
    Some(fault.help(digit.unwrap_or_else(|| {
        text!(
            en: "compare it with the certificate; it is the net heat value as received",
            zh: "请与化验单核对；应为收到基低位发热量",
        )
    })))
}

/// `0.7143` would fit: `7.143` is 10 times that.
fn slipped(value: &Number, shift: i64, english: &str, chinese: &str) -> Localized {
    let fitting = value * &Number::new(1, shift);
    text!(
        en: "`{fitting}` would fit: `{value}` is {english} that",
        zh: "`{fitting}` 合理：`{value}` 是它的{chinese}",
    )
}

fn in_value_unit(kgce: &Number, unit: ValueUnit) -> Number {
    match unit {
        ValueUnit::Kgce => kgce.clone(),
        ValueUnit::Tce => kgce * &constant("0.001"),
        // 1 kgoe is 1 ÷ 0.7 kgce, near enough for a message.
        ValueUnit::Kgoe => kgce * &constant("0.7"),
    }
}

/// At most five digits after the point: bounds are no exact numbers.
fn shown(number: &Number) -> String {
    let text = number.rounded(5);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn row_bounds(row: &Coefficient, registry: &Registry) -> Option<Bounds> {
    bounds(&row.energy_kind, row.role, row.unit, registry)
}

/// What one `unit` of a kind may be in a role; `None` where nothing is known.
pub(crate) fn bounds(
    energy_kind: &str,
    role: Role,
    unit: Unit,
    registry: &Registry,
) -> Option<Bounds> {
    let kilojoules = convert::factor(unit, Unit::Kilojoule);
    let kilograms = convert::factor(unit, Unit::Kilogram);
    let steam = kilograms.as_ref().filter(|_| is_a(energy_kind, "steam"));
    match (role, kilojoules, steam) {
        (Role::Equivalent, Some(kj), _) if needs_own_equal_value(energy_kind) => {
            Some(heat_contained(unit, &kj))
        }
        (Role::Equivalent, Some(kj), _) => {
            Some(Bounds::between(FUEL_BY_HEAT, &quotient(&kj, KJ_PER_KGCE)))
        }
        (Role::Equivalent, None, Some(kg)) => Some(Bounds::between(STEAM, kg)),
        (Role::EqualValue, Some(kj), _) if is_a(energy_kind, "electricity") => {
            Some(Bounds::between(ELECTRICITY_EQUAL_VALUE, &quotient(&kj, "3600")))
        }
        (Role::EqualValue, Some(kj), _) if needs_own_equal_value(energy_kind) => {
            let least = heat_contained(unit, &kj);
            let high = &least.high * &Number::from(SPENT_TIMES_MAX);
            // The printed digits of the calorific value itself are no value below it.
            Some(Bounds { low: &least.low * &constant("0.998"), high, fixed: None })
        }
        (Role::EqualValue, None, Some(kg)) => Some(Bounds::between(STEAM_EQUAL_VALUE, kg)),
        _ => known(energy_kind, role, unit, registry).or_else(|| {
            // Of a kind that has shipped values in other roles, it is the role that is wrong.
            let unheard =
                registry.rows.iter().all(|row| row.site || row.energy_kind != energy_kind);
            let mass = kilograms.filter(|_| role == Role::Equivalent && unheard)?;
            Some(Bounds::between(FUEL_BY_MASS, &mass))
        }),
    }
}

/// 当量值 of electricity and heat: the heat contained in one unit, by whichever constant.
fn heat_contained(unit: Unit, kj: &Number) -> Bounds {
    let printed = match convert::factor(unit, Unit::KilowattHour) {
        Some(kwh) => &kwh * &constant(ELECTRICITY_KGCE_PER_KWH),
        None => &(kj * &constant("0.001")) * &constant(HEAT_KGCE_PER_MJ),
    };
    Bounds {
        low: quotient(kj, KJ_PER_KGCE),
        high: quotient(kj, KJ_PER_KGCE_LEAST),
        fixed: Some(printed),
    }
}

fn quotient(number: &Number, divisor: &str) -> Number {
    let found = portion(number, &Number::from(1), &constant(divisor), BOUND_DIGITS);
    found.expect("a constant of ours is not zero")
}

/// Around the shipped values of the kind in the same role; a 等价值 also around what is contained.
fn known(energy_kind: &str, role: Role, unit: Unit, registry: &Registry) -> Option<Bounds> {
    let same_role =
        |found: Role| found == role || (role == Role::EqualValue && found == Role::Equivalent);
    let shipped = registry
        .rows
        .iter()
        .filter(|row| !row.site && row.energy_kind == energy_kind && same_role(row.role));
    let mut ends: Vec<Number> = Vec::new();
    for row in shipped {
        let Some(scale) = convert::factor(unit, row.unit) else { continue };
        let upper = row.value_max.as_ref().map(|max| max * &row.value_unit.kgce());
        ends.extend(
            [Some(row.kgce_per_unit()), upper].into_iter().flatten().map(|end| &end * &scale),
        );
    }
    let low = quotient(ends.iter().min()?, BELOW_KNOWN);
    let high = ends.iter().max()? * &Number::from(ABOVE_KNOWN);
    Some(Bounds { low, high, fixed: None })
}

/// Which slips turn a plausible value into this one.
fn slips(row: &Coefficient, registry: &Registry) -> Vec<Localized> {
    let fits = |changed: &Coefficient| {
        row_bounds(changed, registry).is_some_and(|bounds| bounds.admit_row(changed))
    };
    let value = &row.value;
    let mut found = Vec::new();
    let same_dimension = |unit: Unit| unit.dimension() == row.unit.dimension();
    let unit = USUAL.iter().find(|(value_unit, unit)| {
        same_dimension(*unit)
            && fits(&Coefficient { value_unit: *value_unit, unit: *unit, ..row.clone() })
    });
    found.extend(unit.map(|(value_unit, unit)| {
        text!(
            en: "`{value}` would fit in {value_unit} per {unit}: write `value_unit = \"{value_unit}\"` and `unit = \"{unit}\"`",
            zh: "`{value}` 若以 {value_unit}/{unit} 计则合理：请写 `value_unit = \"{value_unit}\"`、`unit = \"{unit}\"`",
        )
    }));
    let roles = [Role::Equivalent, Role::EqualValue, Role::Medium];
    let other = roles
        .iter()
        .find(|role| **role != row.role && fits(&Coefficient { role: **role, ..row.clone() }));
    found.extend(other.map(|role| {
        text!(
            en: "`{value}` would fit as `{role}`: correct `role`",
            zh: "`{value}` 作为 `{role}` 则合理：请更正 `role`",
        )
    }));
    for (shift, english, chinese) in DIGITS {
        let shifted = value * &Number::new(1, shift);
        if fits(&Coefficient { value: shifted, ..row.clone() }) {
            found.push(slipped(value, shift, english, chinese));
        }
    }
    found.truncate(SLIPS_MAX);
    found
}
