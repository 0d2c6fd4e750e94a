//! What physics lets a plant file state: enthalpy of steam and water, density, heat per unit. Must never know a coefficient of
//! its own.

use config::{Problem, Spanned};
use model::unit::Dimension;
use model::{Decimal, Localized, Unit, text};

use super::{CODE_PLANT, Conversion, EnergyKind};
use crate::coefficient::{Registry, Role, bounds, constant};
use crate::convert;
use crate::number::{Number, portion};

/// Enthalpy of steam as it is delivered, kJ/kg.
///
/// # Source
/// IAPWS-97: 2 724.89 saturated at 3 bar, 3 333.47 at 38.2 bar and 450 °C, with room on either side.
const STEAM_KJ_PER_KG: (i64, i64) = (2_500, 3_600);
/// Enthalpy of feed water or condensate, kJ/kg: water of 5 °C to 250 °C (IAPWS-97).
const FEED_KJ_PER_KG: (i64, i64) = (20, 1_090);
/// Above it, kJ/kg, feed water is under pressure (107 °C): right for a power boiler, mostly a slip elsewhere.
const FEED_KJ_PER_KG_USUAL_MAX: i64 = 450;
/// Units that an enthalpy is read in by mistake, and how many kJ/kg one of them is.
const ENTHALPY_UNITS: [(&str, &str); 4] =
    [("kcal/kg", "4.1868"), ("MJ/kg", "1000"), ("kWh/t", "3.6"), ("kgce/t", "29.3076")];
/// How many normal cubic metres a cubic metre may be without a question: 0 °C against 20 °C is 7.3 %.
const NORMAL_VOLUME: (&str, &str) = ("0.9", "1.1");

/// Densities, kg/m³, by the words that names of coefficients begin with.
///
/// # Source
/// Handbook values at 0 to 20 °C and 101 kPa, a tenth wider; water up to 150 °C.
const DENSITIES: &[(&str, &str, &str)] = &[
    ("fresh_water", "910", "1010"),
    ("softened_water", "910", "1010"),
    ("deaerated_water", "910", "1010"),
    ("circulating_water", "950", "1030"),
    ("gasoline", "680", "790"),
    ("kerosene", "740", "850"),
    ("diesel", "780", "900"),
    ("fuel_oil", "830", "1060"),
    ("crude_oil", "740", "1020"),
    ("residual_oil", "880", "1100"),
    ("coal_tar", "1000", "1300"),
    ("methanol_fuel", "770", "830"),
    ("ethanol_fuel", "770", "830"),
    ("crude_benzol", "840", "920"),
    ("lng", "400", "490"),
    ("natural_gas", "0.6", "1.0"),
    ("oilfield_gas", "0.6", "1.1"),
    ("gasfield_gas", "0.6", "1.0"),
    ("hydrogen_fuel", "0.075", "0.095"),
    ("oxygen", "1.2", "1.5"),
    ("nitrogen", "1.05", "1.35"),
    ("compressed_air", "1.1", "1.4"),
    ("carbon_dioxide", "1.7", "2.1"),
];
/// Any gas, and any liquid or solid; nothing lies between them at the pressures of a works.
const GAS: (&str, &str) = ("0.05", "3");
const CONDENSED: (&str, &str) = ("300", "2500");

fn number(found: &Spanned<Decimal>) -> Number {
    Number::from(found.value)
}

fn within(value: &Number, (low, high): (i64, i64)) -> bool {
    Number::from(low) <= *value && *value <= Number::from(high)
}

/// A reading of the number in another unit that would fit.
fn in_another_unit(value: &Number, ends: (i64, i64), key: &str) -> Option<Localized> {
    let (unit, kj) = ENTHALPY_UNITS
        .into_iter()
        .map(|(unit, factor)| (unit, value * &constant(factor)))
        .find(|(_, kj)| within(kj, ends))?;
    let kj = kj.rounded(2);
    Some(text!(
        en: "`{value}` looks like {unit}, which is {kj} kJ/kg: write `{key} = {kj}`",
        zh: "`{value}` 似以 {unit} 计，折合 {kj} kJ/kg：请写 `{key} = {kj}`",
    ))
}

/// What is wrong with an enthalpy of steam.
pub(super) fn steam(found: &Spanned<Decimal>) -> Option<Problem> {
    let value = number(found);
    if within(&value, STEAM_KJ_PER_KG) {
        return None;
    }
    let (low, high) = STEAM_KJ_PER_KG;
    let message = text!(
        en: "`steam_kj_per_kg`: steam holds {low} to {high} kJ/kg, found `{value}`",
        zh: "`steam_kj_per_kg`：蒸汽焓值在 {low} 至 {high} kJ/kg 之间，实为 `{value}`",
    );
    let help = in_another_unit(&value, STEAM_KJ_PER_KG, "steam_kj_per_kg").unwrap_or_else(|| {
        text!(
            en: "take it from a steam table, for the pressure and temperature of delivery",
            zh: "请按供汽压力和温度从蒸汽表查取",
        )
    });
    Some(found.problem(CODE_PLANT, message).help(help))
}

/// What is wrong with, or unusual in, an enthalpy of feed water.
pub(super) fn feed_water(found: &Spanned<Decimal>) -> Option<Problem> {
    let value = number(found);
    let usual = (FEED_KJ_PER_KG.0, FEED_KJ_PER_KG_USUAL_MAX);
    if within(&value, usual) {
        return None;
    }
    let (low, high) = FEED_KJ_PER_KG;
    let help = in_another_unit(&value, usual, "feed_kj_per_kg").unwrap_or_else(|| {
        text!(
            en: "water of 20 °C holds 84 kJ/kg, of 80 °C 335 kJ/kg, of 104 °C 436 kJ/kg",
            zh: "20 °C 水为 84 kJ/kg，80 °C 为 335 kJ/kg，104 °C 为 436 kJ/kg",
        )
    });
    if within(&value, FEED_KJ_PER_KG) {
        let message = text!(
            en: "`feed_kj_per_kg`: `{value}` kJ/kg is feed water above 107 °C, under pressure",
            zh: "`feed_kj_per_kg`：`{value}` kJ/kg 相当于 107 °C 以上的承压给水",
        );
        return Some(found.problem(CODE_PLANT, message).help(help).warning());
    }
    let message = text!(
        en: "`feed_kj_per_kg`: feed water holds {low} to {high} kJ/kg, found `{value}`",
        zh: "`feed_kj_per_kg`：给水焓值在 {low} 至 {high} kJ/kg 之间，实为 `{value}`",
    );
    Some(found.problem(CODE_PLANT, message).help(help))
}

/// What is wrong with a factor that a site states between two units.
pub(super) fn conversion(
    kind: &EnergyKind,
    stated: &Spanned<Conversion>,
    registry: &Registry,
) -> Option<Problem> {
    let Conversion { from, to, factor } = &stated.value;
    if let Some(exact) = convert::factor(*from, *to) {
        if exact == *factor {
            return None;
        }
        let message = text!(
            en: "`conversion`: 1 {from} is {exact} {to}, whatever is measured; found `{factor}`",
            zh: "`conversion`：1 {from} 恒为 {exact} {to}，实为 `{factor}`",
        );
        let help = text!(
            en: "remove it: units of one dimension convert by themselves",
            zh: "请删去：同量纲单位自动换算",
        );
        return Some(stated.problem(CODE_PLANT, message).help(help));
    }
    let (problem, inverse) = judge(kind, stated, registry)?;
    let help = if inverse {
        text!(
            en: "the other way round it would fit: exchange `from` and `to`",
            zh: "反过来则合理：请对调 `from` 与 `to`",
        )
    } else {
        text!(
            en: "`factor` is how many `{to}` one `{from}` is",
            zh: "`factor` 为 1 `{from}` 折合多少 `{to}`",
        )
    };
    Some(problem.help(help))
}

/// The problem, and whether the inverse of the factor would be none.
fn judge(
    kind: &EnergyKind,
    stated: &Spanned<Conversion>,
    registry: &Registry,
) -> Option<(Problem, bool)> {
    let Conversion { from, to, factor } = &stated.value;
    let found = |message: Localized| stated.problem(CODE_PLANT, message);
    let reversed = Conversion { from: *to, to: *from, factor: factor.clone() };
    let name = &kind.coefficient;
    match (from.dimension(), to.dimension()) {
        (Dimension::Volume, Dimension::Volume) => {
            let ends = (constant(NORMAL_VOLUME.0), constant(NORMAL_VOLUME.1));
            (*factor < ends.0 || *factor > ends.1).then(|| {
                let message = text!(
                    en: "`conversion`: 1 {from} as {factor} {to} is more than the 7.3 % between 0 °C and 20 °C",
                    zh: "`conversion`：1 {from} 折 {factor} {to}，超出 0 °C 与 20 °C 之间的 7.3 %",
                );
                (found(message).warning(), false)
            })
        }
        (Dimension::Mass, Dimension::Volume) | (Dimension::Volume, Dimension::Mass) => {
            let ranges = densities(name);
            let fits = |one: &Conversion| {
                density(one).is_some_and(|(mass, volume)| {
                    ranges.iter().any(|(low, high)| {
                        &constant(low) * &volume <= mass && mass <= &constant(high) * &volume
                    })
                })
            };
            (!fits(&stated.value)).then(|| {
                let ranges: Vec<String> =
                    ranges.iter().map(|(low, high)| format!("{low}–{high}")).collect();
                let ranges = ranges.join(" / ");
                let message = text!(
                    en: "`conversion`: 1 {from} as {factor} {to} is no density of {name}, {ranges} kg/m³",
                    zh: "`conversion`：1 {from} 折 {factor} {to} 不符合 {name} 的密度 {ranges} kg/m³",
                );
                (found(message), fits(&reversed))
            })
        }
        (Dimension::Energy, _) | (_, Dimension::Energy) => {
            let fits = |one: &Conversion| heat_fits(name, one, registry) != Some(false);
            (!fits(&stated.value)).then(|| {
                let message = text!(
                    en: "`conversion`: 1 {from} as {factor} {to} is far from the heat that {name} holds",
                    zh: "`conversion`：1 {from} 折 {factor} {to} 与 {name} 的热值相差过大",
                );
                (found(message), fits(&reversed))
            })
        }
        _ => None,
    }
}

fn densities(name: &str) -> Vec<(&'static str, &'static str)> {
    let of_kind = DENSITIES.iter().filter(|(word, ..)| name.starts_with(word));
    let found: Vec<_> = of_kind.map(|(_, low, high)| (*low, *high)).collect();
    if found.is_empty() { vec![GAS, CONDENSED] } else { found }
}

/// Kilograms and cubic metres that a factor sets equal.
fn density(one: &Conversion) -> Option<(Number, Number)> {
    let Conversion { from, to, factor } = one;
    if to.dimension() == Dimension::Mass {
        let mass = factor * &convert::factor(*to, Unit::Kilogram)?;
        return Some((mass, cubic_metres(*from)?));
    }
    Some((convert::factor(*from, Unit::Kilogram)?, factor * &cubic_metres(*to)?))
}

fn cubic_metres(unit: Unit) -> Option<Number> {
    if unit == Unit::NormalCubicMetre {
        return Some(Number::from(1));
    }
    convert::factor(unit, Unit::CubicMetre)
}

/// Whether the heat that a factor gives a unit is one that the kind may hold; `None` where nothing is known of it.
fn heat_fits(name: &str, one: &Conversion, registry: &Registry) -> Option<bool> {
    let Conversion { from, to, factor } = one;
    let (unit, over, under) = if to.dimension() == Dimension::Energy {
        (*from, factor * &convert::factor(*to, Unit::Kilojoule)?, Number::from(1))
    } else {
        (*to, convert::factor(*from, Unit::Kilojoule)?, factor.clone())
    };
    let kj_per_kgce = constant(crate::coefficient::KJ_PER_KGCE);
    let kgce = portion(&over, &Number::from(1), &(&under * &kj_per_kgce), 12)?;
    let known = bounds(name, Role::Equivalent, unit, registry)?;
    Some(known.admit(&kgce, &Number::zero()))
}
