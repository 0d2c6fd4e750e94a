//! The words of tables in both languages: sources, classes, bases, periods, units. Must never know a layout.

use energy::coefficient::{Basis, EnergyClass};
use energy::{Class, Period};
use model::{Language, Localized, text};

/// 当量值 or 等价值.
pub(super) fn basis(basis: Basis) -> Localized {
    match basis {
        Basis::Equivalent => text!(en: "calorific", zh: "当量值"),
        Basis::EqualValue => text!(en: "equal value", zh: "等价值"),
    }
}

/// The basis in a title.
pub(super) fn on_basis(basis: Basis) -> Localized {
    match basis {
        Basis::Equivalent => text!(en: "calorific basis", zh: "按当量值"),
        Basis::EqualValue => text!(en: "equal-value basis", zh: "按等价值"),
    }
}

/// 来源渠道.
pub(super) fn flow(flow: energy::fact::Flow) -> Localized {
    use energy::fact::Flow;
    match flow {
        Flow::Purchased => text!(en: "bought", zh: "外购"),
        Flow::Own => text!(en: "own", zh: "自产"),
        Flow::Exported => text!(en: "sold", zh: "外供"),
        Flow::Consumed => text!(en: "used", zh: "使用"),
        Flow::Generated => text!(en: "generated", zh: "自发"),
        Flow::OpeningStock => text!(en: "opening stock", zh: "期初库存"),
        Flow::ClosingStock => text!(en: "closing stock", zh: "期末库存"),
    }
}

/// A subtotal.
pub(super) fn energy_class(class: EnergyClass) -> Localized {
    match class {
        EnergyClass::Primary => text!(en: "primary", zh: "一次能源"),
        EnergyClass::Secondary => text!(en: "secondary", zh: "二次能源"),
        EnergyClass::Medium => text!(en: "energy-consumed media", zh: "耗能工质"),
    }
}

/// 来历: how the inputs of a figure were found.
pub(super) fn class(class: Class) -> Localized {
    match class {
        Class::Metered | Class::Rollover => text!(en: "metered", zh: "表计"),
        Class::Estimated => text!(en: "estimated", zh: "估算"),
        Class::Declared => text!(en: "typed", zh: "手填"),
        Class::Assumed => text!(en: "forecast", zh: "预计"),
        Class::Mixed => text!(en: "mixed", zh: "混合"),
    }
}

/// What must be said of a figure that is neither read nor typed.
pub(super) fn class_remark(class: Class) -> Option<Localized> {
    match class {
        Class::Rollover => {
            Some(text!(en: "through a rollover of the register", zh: "按计数器翻转推算"))
        }
        Class::Estimated => Some(text!(en: "estimated over a gap", zh: "缺口内为估算值")),
        Class::Mixed => Some(text!(
            en: "from several kinds of sources: see `nengliu explain`",
            zh: "多种来源合成，见 `nengliu explain`"
        )),
        Class::Metered | Class::Declared | Class::Assumed => None,
    }
}

/// A period: `2026年10月`, `2026-10`.
#[must_use]
pub fn period(period: Period) -> Localized {
    let zh = match period {
        Period::Year(year) => format!("{year}年"),
        Period::Month(year, month) => format!("{year}年{month}月"),
        Period::Day(day) => format!("{}年{}月{}日", day.year(), day.month(), day.day()),
        Period::Days(first, last) => match period.months().as_slice() {
            months @ [start, .., end] => match (quarter(months), start.days().0, end.days().0) {
                (Some(quarter), start, _) => format!("{}年{quarter}季度", start.year()),
                (None, start, end) if start.year() == end.year() => {
                    format!("{}年{}-{}月", start.year(), start.month(), end.month())
                }
                (None, start, end) => format!(
                    "{}年{}月至{}年{}月",
                    start.year(),
                    start.month(),
                    end.year(),
                    end.month()
                ),
            },
            _ => format!("{first}至{last}"),
        },
    };
    let en = match quarter(&period.months()) {
        Some(quarter) => format!("{}-Q{quarter}", period.year()),
        None => period.to_string().replace("..", " to "),
    };
    Localized::new(en, zh)
}

/// The number of the quarter that months are.
fn quarter(months: &[Period]) -> Option<i8> {
    let [first, _, last] = months else { return None };
    let (first, last) = (first.days().0, last.days().0);
    (first.year() == last.year() && first.month() % 3 == 1).then(|| last.month() / 3)
}

/// A unit: as printed in the Chinese form, or in powers of ten.
///
/// ```text
/// 万kWh → 10^4 kWh      tce/万元 → tce/10^4 CNY
/// ```
#[must_use]
pub(super) fn unit(unit: &str, language: Language) -> String {
    match language {
        Language::Chinese => unit.to_owned(),
        Language::English => {
            let mut text = unit.to_owned();
            for (chinese, english) in [
                ("件", "pcs"),
                ("个", "pcs"),
                ("套", "sets"),
                ("台", "units"),
                ("辆", "vehicles"),
                ("万元", "10^4 CNY"),
                ("亿元", "10^8 CNY"),
                ("元", "CNY"),
                ("万", "10^4 "),
                ("亿", "10^8 "),
            ] {
                text = text.replace(chinese, english);
            }
            text
        }
    }
}

/// The name of a kind: what the plant file says; in English its id where the plant file says it in Chinese.
pub(super) fn named(name: &str, id: &str) -> Localized {
    let en = if name.is_ascii() { name.to_owned() } else { from_id(id) };
    Localized::new(en, name)
}

/// `natural_gas` → `Natural gas`.
fn from_id(id: &str) -> String {
    let words = id.replace(['_', '-'], " ");
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_of_ten_thousand_have_an_english_form() {
        for (symbol, expected) in [
            ("万kWh", "10^4 kWh"),
            ("tce/万元", "tce/10^4 CNY"),
            ("万m3", "10^4 m3"),
            ("t", "t"),
            ("kWh/pcs", "kWh/pcs"),
        ] {
            assert_eq!(unit(symbol, Language::English), expected);
            assert_eq!(unit(symbol, Language::Chinese), symbol);
        }
    }

    #[test]
    fn periods_are_written_as_people_write_them() {
        for (text, english, chinese) in [
            ("2026", "2026", "2026年"),
            ("2026-10", "2026-10", "2026年10月"),
            ("2026-10-03", "2026-10-03", "2026年10月3日"),
            ("2026-Q3", "2026-Q3", "2026年3季度"),
            ("2026-01..2026-06", "2026-01 to 2026-06", "2026年1-6月"),
            ("2025-11..2026-01", "2025-11 to 2026-01", "2025年11月至2026年1月"),
        ] {
            let found = period(text.parse().unwrap());
            assert_eq!(found.get(Language::English), english);
            assert_eq!(found.get(Language::Chinese), chinese);
        }
    }

    #[test]
    fn kinds_have_a_name_in_each_language() {
        assert_eq!(named("天然气", "natural_gas").get(Language::English), "Natural gas");
        assert_eq!(named("天然气", "natural_gas").get(Language::Chinese), "天然气");
        assert_eq!(named("LPG", "lpg").get(Language::English), "LPG");
    }
}
