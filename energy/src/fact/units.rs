//! What the value of a fact is in the unit of its measure.

use config::suggested;
use model::{Localized, Unit, text};

use super::Measure;
use super::import::CODE_REFERENCE;
use crate::number::Number;
use crate::plant::{Conversion, EnergyKind, Plant};

const CODE_UNIT: &str = "EN-C305";
/// The money of the statistical forms.
const MONEY: &str = "万元";
/// Units of money, with the power of ten of 万元 that one of it is.
const MONEYS: &[(&str, i64)] = &[(MONEY, 0), ("元", -4), ("千元", -1), ("百万元", 2), ("亿元", 4)];

/// Why a measure cannot be counted in a unit.
pub(super) struct Unfit {
    pub(super) code: &'static str,
    pub(super) message: Localized,
    pub(super) help: Localized,
}

/// How many of the measure's own unit one `unit` is.
pub(super) fn factor(plant: &Plant, measure: &Measure, unit: &str) -> Result<Number, Unfit> {
    let own = match measure {
        Measure::Energy(_, id) => {
            let Some(kind) = plant.kind(id) else {
                let known: Vec<_> = plant.kinds.iter().map(|kind| kind.id.as_str()).collect();
                return Err(unknown(("energy kind", "能源品种"), id.as_str(), &known));
            };
            let written = Unit::written(unit);
            let factor = written.and_then(|unit| kind.factor_from(unit));
            return factor.ok_or_else(|| {
                let back =
                    written.and_then(|unit| Some((unit, kind.only_backwards(unit, kind.unit)?)));
                let found = unfit(measure, kind.unit.symbol(), unit);
                match back {
                    Some((unit, stated)) => {
                        Unfit { help: turned_round(kind, unit, stated), ..found }
                    }
                    None => found,
                }
            });
        }
        Measure::Output(id) | Measure::QualifiedOutput(id) => {
            let found = plant.products.iter().find(|product| product.id == *id);
            let known: Vec<_> = plant.products.iter().map(|product| product.id.as_str()).collect();
            found.ok_or_else(|| unknown(("product", "产品"), id.as_str(), &known))?.unit
        }
        Measure::GrossOutputValue | Measure::ValueAdded => {
            let money = MONEYS.iter().find(|(name, _)| *name == unit.trim());
            let factor = money.map(|(_, power)| Number::new(1, *power));
            return factor.ok_or_else(|| unfit(measure, MONEY, unit));
        }
    };
    let found = Unit::written(unit).and_then(|unit| crate::convert::factor(unit, own));
    found.ok_or_else(|| unfit(measure, own.symbol(), unit))
}

fn unfit(measure: &Measure, own: &str, found: &str) -> Unfit {
    let message = text!(
        en: "`unit`: `{measure}` is counted in `{own}`, and `{found}` does not convert exactly into it",
        zh: "`unit`：`{measure}` 以 `{own}` 计，`{found}` 不能精确换算",
    );
    let help = match measure {
        Measure::Energy(..) => text!(
            en: "give it in `{own}`, or state a `conversion` for this energy kind in the plant file",
            zh: "请用 `{own}` 填写，或在工厂文件中为该能源品种写明 `conversion`",
        ),
        _ => text!(en: "give it in `{own}`", zh: "请用 `{own}` 填写"),
    };
    Unfit { code: CODE_UNIT, message, help }
}

/// The conversion that is there goes the other way, and 1 ÷ its factor has no end.
fn turned_round(kind: &EnergyKind, unit: Unit, stated: &Conversion) -> Localized {
    let (own, Conversion { from, to, factor }) = (kind.unit, stated);
    text!(
        en: "the `conversion` of 1 {from} as {factor} {to} cannot be turned round exactly: give it in `{own}`, or add one with `from = \"{unit}\", to = \"{own}\"`",
        zh: "已有的 `conversion`（1 {from} 折 {factor} {to}）无法精确反算：请用 `{own}` 填写，或另写一条 `from = \"{unit}\", to = \"{own}\"`",
    )
}

fn unknown((what, zh): (&str, &str), found: &str, known: &[&str]) -> Unfit {
    let message = text!(
        en: "there is no {what} `{found}` in the plant file",
        zh: "工厂文件中没有{zh} `{found}`",
    );
    let help = if known.is_empty() {
        text!(en: "it has no {what}", zh: "其中没有任何{zh}")
    } else {
        suggested(found, known, &text!(en: "known here:", zh: "已有："))
    };
    Unfit { code: CODE_REFERENCE, message, help }
}
