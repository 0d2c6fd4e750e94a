//! What people write in a sheet, read as what is meant: numbers and periods as Excel leaves them, subjects and measures by
//! their Chinese names. What could mean two things is refused, with what to write instead.

use config::nearest;
use jiff::civil::Date;
use model::{Localized, text};

use super::{Flow, Measure};
use crate::id::SubjectId;
use crate::number::Number;
use crate::period::Period;
use crate::plant::Plant;

/// Chinese words of a measure and its word in files, longer ones first where one begins another.
const MEASURE_WORDS: &[(&str, &str)] = &[
    ("合格品产量", "qualified_output"),
    ("合格产量", "qualified_output"),
    ("期初库存", "opening_stock"),
    ("年初库存", "opening_stock"),
    ("期末库存", "closing_stock"),
    ("年末库存", "closing_stock"),
    ("自发", "generated"),
    ("外购", "purchased"),
    ("购入", "purchased"),
    ("购进", "purchased"),
    ("消费", "consumed"),
    ("消耗", "consumed"),
    ("自产", "own"),
    ("外供", "exported"),
    ("外销", "exported"),
    ("转供", "exported"),
    ("产量", "output"),
];
/// Chinese names of the measures that need no kind and no product.
const MONEY_WORDS: &[(&str, &str)] = &[
    ("工业总产值", "gross_output_value"),
    ("总产值", "gross_output_value"),
    ("产值", "gross_output_value"),
    ("工业增加值", "value_added"),
    ("增加值", "value_added"),
];
/// English words that are none of a measure, with the one that is.
const SYNONYMS: &[(&str, &str)] = &[
    ("bought", "purchased"),
    ("purchase", "purchased"),
    ("import", "purchased"),
    ("imported", "purchased"),
    ("used", "consumed"),
    ("consumption", "consumed"),
    ("sold", "exported"),
    ("export", "exported"),
    ("made", "output"),
    ("produced", "output"),
    ("production", "output"),
];
const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// Full-width digits, letters and signs as ASCII, and the minus sign as a hyphen.
///
/// `２０２５，１．５` → `2025,1.5`
pub(super) fn half_width(text: &str) -> String {
    let plain = |c: char| match c {
        '\u{FF01}'..='\u{FF5E}' => {
            u32::from(c).checked_sub(0xFEE0).and_then(char::from_u32).unwrap_or(c)
        }
        '\u{2212}' => '-',
        '\u{3000}' | '\u{A0}' => ' ',
        other => other,
    };
    text.chars().map(plain).collect::<String>().trim().to_owned()
}

/// A period as it stands in a sheet: also `2025年`, `2025年1月`, `2025/1`, `2025-1`, `202501`, and `2025/1/1` and `Jan-25`,
/// which Excel makes of `2025-01`. A fact is never of a day, so the first of a month is the month.
pub(super) fn period(written: &str) -> Option<Period> {
    let text = half_width(written);
    if let Ok(period) = text.parse() {
        return Some(period);
    }
    let (year, month) = chinese(&text)
        .or_else(|| slashes(&text))
        .or_else(|| six_digits(&text))
        .or_else(|| month_name(&text))?;
    let period = month.map_or(format!("{year:04}"), |month| format!("{year:04}-{month:02}"));
    period.parse().ok()
}

/// `2025年`, `2025年1月`, `2025年01月份`
fn chinese(text: &str) -> Option<(u16, Option<u8>)> {
    let (year, rest) = text.split_once('年')?;
    let rest = rest.trim();
    if rest.is_empty() || rest == "度" {
        return Some((digits(year, 4..=4)?, None));
    }
    let month = rest.strip_suffix('份').unwrap_or(rest).strip_suffix('月')?;
    Some((digits(year, 4..=4)?, Some(digits(month, 1..=2)?)))
}

/// `2025/1`, `2025/01`, `2025/1/1`, `2025-1`
fn slashes(text: &str) -> Option<(u16, Option<u8>)> {
    let parts: Vec<&str> = text.split(['/', '-']).collect();
    match parts.as_slice() {
        [year, month] => Some((digits(year, 4..=4)?, Some(digits(month, 1..=2)?))),
        [year, month, "1" | "01"] if text.contains('/') => {
            Some((digits(year, 4..=4)?, Some(digits(month, 1..=2)?)))
        }
        _ => None,
    }
}

/// `202501`
fn six_digits(text: &str) -> Option<(u16, Option<u8>)> {
    let (year, month) = text.split_at_checked(4)?;
    Some((digits(year, 4..=4)?, Some(digits(month, 2..=2)?)))
}

/// `Jan-25`, in which Excel writes the years 1930 to 2029 with two digits; `Jan-2025`
fn month_name(text: &str) -> Option<(u16, Option<u8>)> {
    let (name, year) = text.split_once(['-', ' '])?;
    let name = name.to_ascii_lowercase();
    let month = MONTHS.iter().position(|month| *month == name)?;
    let year: u16 = digits(year, 2..=2)
        .map(|year: u16| if year < 30 { 2000 + year } else { 1900 + year })
        .or_else(|| digits(year, 4..=4))?;
    Some((year, Some(u8::try_from(month + 1).ok()?)))
}

fn digits<T: std::str::FromStr>(text: &str, length: std::ops::RangeInclusive<usize>) -> Option<T> {
    let text = text.trim();
    let plain = length.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

/// What to write instead of a period that is none.
pub(super) fn period_help(written: &str) -> Localized {
    let text = half_width(written);
    let is_date = text.parse::<Date>().is_ok()
        || text.split('/').count() == 3
        || digits::<u32>(&text, 5..=5).is_some();
    if is_date {
        text!(
            en: "a fact is of a year or a month, such as `2025` or `2025-01`; where Excel has made a date of it, format the column as Text and type it again",
            zh: "事实按年或月填写，例如 `2025` 或 `2025-01`；如果是 Excel 自动改成了日期，请先把该列设为“文本”格式再重新输入"
        )
    } else {
        text!(
            en: "write a year or a month, such as `2025`, `2025-01`, `2025/1` or `2025年1月`",
            zh: "请填写年或月，例如 `2025`、`2025-01`、`2025/1` 或 `2025年1月`"
        )
    }
}

/// A number with ASCII or full-width digits.
pub(super) fn number(written: &str) -> Option<Number> {
    half_width(written).parse().ok()
}

/// What to write instead of a number that is none.
pub(super) fn number_help(written: &str) -> Option<Localized> {
    let text = half_width(written);
    let without: String = text.chars().filter(|c| !matches!(c, ',' | ' ' | '\'' | '’')).collect();
    let is_number = |text: &str| text.parse::<Number>().is_ok();
    if without != text && is_number(&without) {
        return Some(text!(
            en: "write it without separators between thousands, `{without}` if that is meant; a decimal point is `.`",
            zh: "不要使用千位分隔符，如为该数值请写 `{without}`；小数点用 `.`"
        ));
    }
    if text.strip_suffix('%').is_some_and(|number| is_number(number.trim())) {
        return Some(text!(
            en: "a share is not a quantity: write the quantity itself",
            zh: "百分比不是数量，请填写数量本身"
        ));
    }
    let power = text.split_once(['e', 'E']);
    if power.is_some_and(|(digits, power)| is_number(digits) && is_number(power)) {
        return Some(text!(
            en: "Excel has shortened the number and lost digits: format the column as Number, type the number again and save",
            zh: "Excel 用科学计数法截短了数字：请把该列设为“数值”格式，重新输入后保存"
        ));
    }
    let end = text.find(|c: char| !(c.is_ascii_digit() || "+-.".contains(c))).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let unit = unit.trim();
    if is_number(digits) && !unit.is_empty() {
        return Some(text!(
            en: "write `{digits}` here and `{unit}` in the column `unit`, as in `万kWh`",
            zh: "此处只写 `{digits}`，`{unit}` 写在“单位”列，例如 `万kWh`"
        ));
    }
    if matches!(text.as_str(), "-" | "--" | "/" | "—" | "——" | "无" | "n/a" | "N/A" | "null" | "NA")
    {
        return Some(text!(
            en: "what is not known has no row: delete the row, or write 0 where the quantity is zero",
            zh: "未知的数据不填：请删除该行；数量确为零时填 0"
        ));
    }
    None
}

/// A subject by id, or by its name where only one has it.
pub(super) fn subject(plant: &Plant, written: &str) -> Option<SubjectId> {
    let by_id = plant.subjects.iter().find(|one| one.id.as_str() == written);
    let mut named = plant.subjects.iter().filter(|one| one.name == written);
    let by_name = named.next().filter(|_| named.next().is_none());
    by_id.or(by_name).map(|one| one.id.clone())
}

/// A measure as in files, or by the Chinese names of flow, energy kind and product: `外购:电力`, `外购电力`, `钢材产量`,
/// `工业总产值`.
pub(super) fn measure(plant: &Plant, written: &str) -> Option<Measure> {
    if let Ok(measure) = written.parse() {
        return Some(measure);
    }
    let text = half_width(written);
    if let Some((_, word)) = MONEY_WORDS.iter().find(|(zh, _)| *zh == text) {
        return word.parse().ok();
    }
    let word_of = |part: &str| {
        let found = MEASURE_WORDS.iter().find(|(zh, en)| *zh == part || *en == part);
        found.map(|(_, word)| *word)
    };
    let mut found: Vec<String> = Vec::new();
    if let Some((word, name)) = text.split_once(':') {
        let id = word_of(word.trim()).and_then(|word| named(plant, word, name.trim()));
        found.extend(id);
    } else {
        for (zh, word) in MEASURE_WORDS {
            let rest = text.strip_prefix(zh).or_else(|| {
                text.strip_suffix('量').unwrap_or(&text).strip_suffix(zh).or(text.strip_suffix(zh))
            });
            found.extend(
                rest.and_then(|rest| named(plant, word, rest.trim_matches(['-', '_', ' ', '、']))),
            );
        }
    }
    found.sort_unstable();
    found.dedup();
    match found.as_slice() {
        [one] => one.parse().ok(),
        _ => None,
    }
}

/// `word:id` of the one energy kind or product of that id or name.
fn named(plant: &Plant, word: &str, name: &str) -> Option<String> {
    let pairs: Vec<(&str, &str)> = if is_output(word) {
        plant.products.iter().map(|one| (one.id.as_str(), one.name.as_str())).collect()
    } else {
        plant.kinds.iter().map(|one| (one.id.as_str(), one.name.as_str())).collect()
    };
    let by_id = pairs.iter().find(|(id, _)| *id == name);
    let mut by_name = pairs.iter().filter(|(_, one)| *one == name);
    let by_name = by_name.next().filter(|_| by_name.next().is_none());
    by_id.or(by_name).map(|(id, _)| format!("{word}:{id}"))
}

fn is_output(word: &str) -> bool {
    matches!(word, "output" | "qualified_output")
}

/// The measure that was probably meant by a text that is none.
pub(super) fn measure_meant(plant: &Plant, written: &str) -> Option<String> {
    let text = half_width(written).to_ascii_lowercase();
    if let Some((word, name)) = text.split_once(':')
        && let Some((_, meant)) = SYNONYMS.iter().find(|(synonym, _)| *synonym == word)
    {
        return named(plant, meant, name).or_else(|| Some(format!("{meant}:{name}")));
    }
    let mut known: Vec<String> = ["gross_output_value", "value_added"].map(str::to_owned).to_vec();
    for word in Flow::WORDS {
        known.extend(plant.kinds.iter().map(|kind| format!("{word}:{}", kind.id)));
    }
    for word in ["output", "qualified_output"] {
        known.extend(plant.products.iter().map(|product| format!("{word}:{}", product.id)));
    }
    for zh in ["外购", "消费", "自产", "外供"] {
        known.extend(plant.kinds.iter().map(|kind| format!("{zh}:{}", kind.name)));
    }
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    nearest(&text, &known).map(str::to_owned)
}
