//! The same rows in several periods: what belongs to what, and the difference. Must never compute a figure of a period.

use energy::fact::PriceBase;
use energy::{Figure, FigureValue, Number, Ratio};
use model::{Language, Localized, text};

use super::rows::{Part, Report, Row};

/// One row of the form in several periods.
#[derive(Debug, Clone)]
pub(super) struct Across<'a> {
    /// The row where it is first.
    pub(super) row: &'a Row,
    /// 序号 in the table of all periods.
    pub(super) number: Option<u32>,
    /// The row in each period; `None` where the period has no such row.
    pub(super) each: Vec<Option<&'a Row>>,
}

/// The rows of all periods, in the order of the form.
pub(super) fn across<'a>(reports: &[&'a Report]) -> Vec<Across<'a>> {
    let key = |row: &Row| (row.line.as_ref().map(|(id, _)| id.clone()), row.item.clone());
    let mut rows: Vec<Across<'a>> = Vec::new();
    for (at, report) in reports.iter().enumerate() {
        let mut after = 0;
        for row in &report.rows {
            let known = rows.iter().position(|known| key(known.row) == key(row));
            let place = known.unwrap_or_else(|| {
                rows.insert(after, Across { row, number: None, each: vec![None; reports.len()] });
                after
            });
            if let Some(slot) = rows.get_mut(place).and_then(|known| known.each.get_mut(at)) {
                *slot = Some(row);
            }
            after = place + 1;
        }
    }
    let numbered = rows.iter_mut().filter(|one| one.row.part != Part::Subtotal);
    for (number, row) in (1..).zip(numbered) {
        row.number = Some(number);
    }
    rows
}

/// The difference of two values, and how much that is of the first one in percent; exact until printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) difference: Ratio,
    /// `None` where the first value is not above zero.
    pub(super) percent: Option<Ratio>,
}

/// `after − before` of two figures, or why they are not compared.
pub(super) fn compared(before: &Figure, after: &Figure) -> Result<Difference, Localized> {
    if before.price_base != after.price_base {
        let stated = |base: Option<PriceBase>| {
            base.map_or_else(|| text!(en: "not stated", zh: "未说明"), PriceBase::text)
        };
        let (before, after) = (stated(before.price_base), stated(after.price_base));
        let (en, zh) = (Language::English, Language::Chinese);
        let (before_en, before_zh) = (before.get(en), before.get(zh));
        let (after_en, after_zh) = (after.get(en), after.get(zh));
        return Err(text!(
            en: "not compared, the price bases differ: {before_en}; {after_en}",
            zh: "价格基准不同，不作比较：{before_zh}；{after_zh}",
        ));
    }
    let values = before.value.as_ref().zip(after.value.as_ref());
    let found = values.and_then(|(before, after)| difference(before, after));
    found.ok_or_else(|| text!(en: "", zh: ""))
}

/// `after − before`.
fn difference(before: &FigureValue, after: &FigureValue) -> Option<Difference> {
    let ((over, under), (over_before, under_before)) = (fraction(after), fraction(before));
    let rise = (&over * &under_before) - (&over_before * &under);
    let base = &over_before * &under;
    let sign_is_known = under.is_positive() && under_before.is_positive();
    Some(Difference {
        percent: (base.is_positive() && sign_is_known)
            .then(|| Ratio::new(&rise * &Number::from(100), base))
            .flatten(),
        difference: Ratio::new(rise, &under * &under_before)?,
    })
}

fn fraction(value: &FigureValue) -> (Number, Number) {
    match value {
        FigureValue::Exact(number) => (number.clone(), Number::from(1)),
        FigureValue::Ratio(ratio) => (ratio.numerator().clone(), ratio.denominator().clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number {
        text.parse().unwrap()
    }

    #[test]
    fn differences_are_exact() {
        let exact = |text| FigureValue::Exact(number(text));
        let found = difference(&exact("80"), &exact("100")).unwrap();
        assert_eq!(found.difference.rounded(2), "20.00");
        assert_eq!(found.percent.unwrap().rounded(1), "25.0");
        let ratio =
            |over, under| FigureValue::Ratio(Ratio::new(number(over), number(under)).unwrap());
        let found = difference(&ratio("1", "3"), &ratio("2", "3")).unwrap();
        assert_eq!(found.difference.rounded(4), "0.3333");
        assert_eq!(found.percent.unwrap().rounded(1), "100.0");
    }

    /// "−150 % less" of a loss would say nothing.
    #[test]
    fn nothing_is_a_percentage_of_zero_or_less() {
        let exact = |text| FigureValue::Exact(number(text));
        for before in ["0", "-20"] {
            let found = difference(&exact(before), &exact("10")).unwrap();
            assert_eq!(found.percent, None, "{before}");
        }
    }
}
