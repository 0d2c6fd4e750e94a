//! The page of a sheet: A4 landscape, one page wide, title block, notes, footer. Must never know a row.

use model::{Language, Localized, text};
use rust_xlsxwriter::{Format, Worksheet, XlsxError};

use super::super::layout::width;
use super::super::rows::Report;
use super::super::words;
use super::styles;

/// Excel's number of A4.
const A4: u8 = 9;
/// Small letters in one unit of a column's width.
const LETTERS_PER_UNIT: f64 = 1.1;
/// Points of one line of a note.
const NOTE_LINE_POINTS: f64 = 12.75;

/// Sets up a sheet that prints on one A4 page wide; on one page in all where it is a form.
pub(super) fn set_up(sheet: &mut Worksheet, footer: &str, one_page: bool, language: Language) {
    sheet.set_paper_size(A4).set_landscape();
    sheet.set_print_fit_to_pages(1, u16::from(one_page));
    sheet.set_margins(0.5, 0.5, 0.55, 0.65, 0.3, 0.3);
    sheet.set_print_center_horizontally(true);
    sheet.set_screen_gridlines(false);
    let page = text!(en: "Page &P of &N", zh: "第 &P 页　共 &N 页");
    // An ampersand begins a code in a footer.
    let footer = footer.replace('&', "&&");
    sheet.set_footer(format!("&L&8{footer}&R&8{}", page.get(language)));
}

/// What the figures are known by: coefficient sets, commit, lowest coverage.
pub(super) fn provenance(reports: &[&Report], language: Language) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut add = |text: Localized| {
        let text = text.get(language).to_owned();
        if !parts.contains(&text) {
            parts.push(text);
        }
    };
    for report in reports {
        for (basis, set) in &report.sets {
            let basis = words::basis(*basis);
            let (en, zh) = (basis.get(Language::English), basis.get(Language::Chinese));
            add(text!(en: "coefficient set ({en}) {set}", zh: "系数集（{zh}）{set}"));
        }
    }
    for report in reports {
        if let Some(commit) = report.commit {
            add(text!(en: "ingest commit {commit}", zh: "截至入库提交 {commit}"));
        }
        if let Some(lowest) = report.lowest_coverage() {
            let period = words::period(report.period);
            let (en, zh) = (period.get(Language::English), period.get(Language::Chinese));
            add(text!(en: "{en} lowest coverage {lowest} %", zh: "{zh}覆盖率最低 {lowest} %"));
        }
    }
    parts.join(if language == Language::Chinese { "；" } else { "; " })
}

/// Title, name of the enterprise, periods and code in the first two rows.
pub(super) fn title_block(
    sheet: &mut Worksheet,
    reports: &[&Report],
    last_column: u16,
    language: Language,
) -> Result<(), XlsxError> {
    let Some(first) = reports.first() else { return Ok(()) };
    merged(sheet, 0, 0, last_column, first.form.title().get(language), &styles::title())?;
    sheet.set_row_height(0, 27.75)?;
    let plain = styles::plain();
    let plant = &first.plant;
    let name = text!(en: "Enterprise: {plant}", zh: "填报单位（盖章）：{plant}");
    let periods: Vec<String> = reports
        .iter()
        .map(|report| words::period(report.period).get(language).to_owned())
        .collect();
    let periods = match periods.as_slice() {
        [first, .., last] => text!(en: "{first} and {last}", zh: "{first}、{last}"),
        [one] => text!(en: "{one}", zh: "{one}"),
        [] => text!(en: "", zh: ""),
    };
    let periods = match reports.len() {
        0..=2 => periods.get(language).to_owned(),
        count => {
            let (first, last) =
                (reports.first().map(|one| one.period), reports.last().map(|one| one.period));
            let named = |period: Option<energy::Period>| {
                period.map_or_else(String::new, |one| words::period(one).get(language).to_owned())
            };
            let (first, last) = (named(first), named(last));
            text!(en: "{first} to {last} ({count})", zh: "{first}至{last}（{count} 期）")
                .get(language)
                .to_owned()
        }
    };
    let code = text!(
        en: "Unified social credit code: __________________",
        zh: "统一社会信用代码：＿＿＿＿＿＿＿＿＿",
    );
    let (left, right) = (last_column / 3, last_column - last_column / 3 + 1);
    merged(sheet, 1, 0, left, name.get(language), &plain)?;
    let centre = styles::plain().set_align(rust_xlsxwriter::FormatAlign::Center);
    merged(sheet, 1, left + 1, right - 1, &periods, &centre)?;
    let end = styles::plain().set_align(rust_xlsxwriter::FormatAlign::Right);
    merged(sheet, 1, right, last_column, code.get(language), &end)?;
    sheet.set_row_height(1, 18.75)?;
    Ok(())
}

/// Lines across all columns: who signs, then notes.
pub(super) fn notes(
    sheet: &mut Worksheet,
    mut row: u32,
    last_column: u16,
    columns_wide: f64,
    language: Language,
    notes: &[String],
) -> Result<u32, XlsxError> {
    let signed = text!(
        en: "Responsible: ______________   Reviewed: ______________   Prepared: ______________   Phone: ______________   Date: ______________",
        zh: "单位负责人：＿＿＿＿＿＿＿　审核人：＿＿＿＿＿＿＿　填表人：＿＿＿＿＿＿＿　联系电话：＿＿＿＿＿＿＿＿　报出日期：＿＿＿＿年＿＿月＿＿日",
    );
    merged(sheet, row, 0, last_column, signed.get(language), &styles::plain())?;
    sheet.set_row_height(row, 24)?;
    for note in notes {
        row += 1;
        merged(sheet, row, 0, last_column, note, &styles::note())?;
        sheet.set_row_height(row, note_height(note, columns_wide))?;
    }
    Ok(row)
}

fn note_height(note: &str, columns_wide: f64) -> f64 {
    NOTE_LINE_POINTS * lines_of(note, columns_wide)
}

/// Lines that a small text takes in a column. A letter of 9 points takes less than a column's unit, which is that of 11
/// points; the rest is room for other fonts.
pub(super) fn lines_of(text: &str, columns_wide: f64) -> f64 {
    let lines = text.split('\n').map(|line| {
        let letters = u32::try_from(width(line)).unwrap_or(u32::MAX);
        (f64::from(letters) / (columns_wide * LETTERS_PER_UNIT)).ceil().max(1.0)
    });
    lines.sum()
}

/// A text in merged cells of one row; in one cell where there is nothing to merge.
pub(super) fn merged(
    sheet: &mut Worksheet,
    row: u32,
    first: u16,
    last: u16,
    text: &str,
    format: &Format,
) -> Result<(), XlsxError> {
    if last > first {
        sheet.merge_range(row, first, row, last, text, format)?;
    } else if first == last {
        sheet.write_string_with_format(row, first, text, format)?;
    }
    Ok(())
}
