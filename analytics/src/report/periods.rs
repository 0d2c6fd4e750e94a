//! One form in several periods side by side, as text, and two of them compared. Must never compute a figure of a period.

use energy::coefficient::Basis;
use energy::{Figure, FigureValue};
use model::{Localized, text};
use serde_json::{Value, json};

use super::across::{Across, across, compared};
use super::digits::{self, Digits, Scale, grouped};
use super::footnotes::{Footnotes, hanging};
use super::layout::{Align, Cell, Column, Layout, Line};
use super::rows::{Part, Report};
use super::text::TextOptions;
use super::words;

/// Columns of text before the periods, about.
const FIXED_WIDTH: usize = 46;
/// Columns of text that a period takes, about.
const PERIOD_WIDTH: usize = 13;

/// A table for each basis with a column for each period; as many periods a table as the width holds. With `compare`, of two
/// periods, the difference and how much that is of the first.
#[must_use]
pub fn text_of_periods(reports: &[&Report], options: TextOptions, compare: bool) -> String {
    let Some(first) = reports.first() else { return String::new() };
    let most = (options.width.saturating_sub(FIXED_WIDTH) / PERIOD_WIDTH).max(2);
    let rows = across(reports);
    let mut blocks = Vec::new();
    for basis in first.bases {
        for from in (0..reports.len()).step_by(most) {
            let to = reports.len().min(from + most);
            let writing = Writing { reports, from, to, basis: *basis, options, compare };
            blocks.push(writing.table(&rows));
        }
    }
    blocks.join("\n")
}

/// The differences of two periods: exact quotients, `null` where nothing can be compared.
#[must_use]
pub fn comparison(before: &Report, after: &Report) -> Value {
    let rows = across(&[before, after]);
    let of = |row: &Across<'_>, basis: Option<Basis>| {
        let figure = |at: usize| {
            let row = row.each.get(at).copied().flatten()?;
            match basis {
                Some(basis) => row.on(basis).map(|on| &on.figure),
                None => row.figure.as_ref(),
            }
        };
        let (before, after) = (figure(0)?, figure(1)?);
        let found = compared(before, after).ok();
        let ratio = |ratio: &energy::Ratio| digits::exact(&FigureValue::Ratio(ratio.clone()));
        Some(json!({
            "before": before.name,
            "after": after.name,
            "unit": after.unit,
            "difference": found.as_ref().map(|one| ratio(&one.difference)),
            "percent": found.as_ref().and_then(|one| one.percent.as_ref().map(ratio)),
            "why_not": compared(before, after).err().map(|why| why.to_string()),
        }))
    };
    let each = rows.iter().flat_map(|row| {
        let bases = after.bases.iter().map(|basis| Some(*basis));
        std::iter::once(None).chain(bases).filter_map(|basis| of(row, basis)).collect::<Vec<_>>()
    });
    Value::Array(each.collect())
}

struct Writing<'a> {
    reports: &'a [&'a Report],
    from: usize,
    to: usize,
    basis: Basis,
    options: TextOptions,
    compare: bool,
}

impl Writing<'_> {
    fn say(&self, text: &Localized) -> String {
        text.get(self.options.language).to_owned()
    }

    fn table(&self, rows: &[Across<'_>]) -> String {
        let shown = self.reports.get(self.from..self.to).unwrap_or_default();
        let Some(first) = shown.first() else { return String::new() };
        let periods: Vec<String> =
            shown.iter().map(|one| self.say(&words::period(one.period))).collect();
        let title = [
            self.say(&first.form.title()),
            first.plant.clone(),
            self.say(&words::on_basis(self.basis)),
        ];
        let mut columns = vec![
            self.column(&text!(en: "No", zh: "序号"), Align::Right, 0),
            self.column(&text!(en: "Figure", zh: "指标"), Align::Left, 1),
            self.column(&text!(en: "Unit", zh: "单位"), Align::Left, 2),
        ];
        columns.extend(periods.into_iter().map(|head| Column {
            head,
            align: Align::Point,
            gap: 2,
            gives_way: 0,
        }));
        if self.compare {
            columns.push(self.column(&text!(en: "Change", zh: "增减"), Align::Point, 2));
            columns.push(self.column(&text!(en: "Change %", zh: "增减率"), Align::Right, 2));
        }
        columns.push(Column { head: String::new(), align: Align::Left, gap: 1, gives_way: 0 });
        let mut footnotes = Footnotes::default();
        let mut lines = Vec::new();
        let mut part = rows.first().map(|one| one.row.part);
        for row in rows.iter().filter(|one| one.row.part != Part::Subtotal) {
            if part != Some(row.row.part) {
                lines.push(Line::Rule);
                part = Some(row.row.part);
            }
            lines.push(Line::Cells(self.row(row, &mut footnotes)));
        }
        let (table, ..) = Layout { columns, lines }.fitted(self.options.width);
        let mut text = vec![title.join("  "), String::new()];
        text.extend(table);
        text.push(String::new());
        text.extend(footnotes.lines(self.options.width));
        let sets = shown.iter().flat_map(|one| &one.sets).filter(|(basis, _)| *basis == self.basis);
        let mut sets: Vec<&str> = sets.map(|(_, set)| set.as_str()).collect();
        sets.dedup();
        let sets = sets.join(", ");
        let sets = self.say(&text!(en: "Coefficient sets {sets}", zh: "系数集 {sets}"));
        text.extend(hanging("", &sets, self.options.width));
        text.join("\n") + "\n"
    }

    fn column(&self, head: &Localized, align: Align, gap: usize) -> Column {
        Column { head: self.say(head), align, gap, gives_way: 0 }
    }

    fn row(&self, row: &Across<'_>, footnotes: &mut Footnotes) -> Vec<Cell> {
        let figures: Vec<Option<&Figure>> =
            row.each.iter().map(|one| one.and_then(|one| one.main(self.basis))).collect();
        let newest = figures.iter().rev().flatten().find(|figure| figure.value.is_some());
        let scale =
            newest.or_else(|| figures.iter().flatten().next()).map(|one| digits::scale(one));
        let unit = scale.as_ref().map_or("", |scale| &scale.unit);
        let mut cells = vec![
            Cell::from(row.number.map_or_else(String::new, |number| number.to_string())),
            Cell::from(self.name(row)),
            Cell::from(words::unit(unit, self.options.language)),
        ];
        for figure in figures.get(self.from..self.to).unwrap_or_default() {
            cells.push(Cell::from(self.value(*figure, scale.as_ref())));
        }
        let mut marks = self.remarks(row);
        if self.compare {
            let (rise, percent) = self.change(&figures, scale.as_ref(), &mut marks);
            cells.push(Cell::from(rise));
            cells.push(Cell::from(percent));
        }
        cells.push(Cell::from(footnotes.marks(marks.iter().map(String::as_str))));
        cells
    }

    fn name(&self, row: &Across<'_>) -> String {
        let line = row.row.line.as_ref().map(|(_, name)| name.clone());
        let flow = row.row.flow.as_ref().map(|(_, name)| self.say(name));
        let parts = [line, Some(self.say(&row.row.name)), flow];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }

    fn value(&self, figure: Option<&Figure>, scale: Option<&Scale>) -> String {
        let Some((figure, scale)) = figure.zip(scale) else { return String::new() };
        match digits::printed_in(figure, scale, self.options.digits) {
            None => self.say(&text!(en: "missing", zh: "缺")),
            Some(printed) if self.options.digits == Digits::All => printed.number,
            Some(printed) => grouped(&printed.number),
        }
    }

    /// What must be said of a row in the periods shown, with the period.
    fn remarks(&self, row: &Across<'_>) -> Vec<String> {
        let each = row.each.iter().zip(self.reports).skip(self.from).take(self.to - self.from);
        let said = each.flat_map(|(one, report)| {
            let period = self.say(&words::period(report.period));
            let bases = std::slice::from_ref(&self.basis);
            let texts = one.iter().flat_map(|one| one.remarks_on(bases)).map(|text| self.say(text));
            texts.map(move |text| format!("{period}: {text}")).collect::<Vec<_>>()
        });
        said.collect()
    }

    /// The difference and its share; where the two cannot be compared, why.
    fn change(
        &self,
        figures: &[Option<&Figure>],
        scale: Option<&Scale>,
        marks: &mut Vec<String>,
    ) -> (String, String) {
        let [Some(before), Some(after)] = figures else { return Default::default() };
        let found = match compared(before, after) {
            Ok(found) => found,
            Err(why) => {
                let why = self.say(&why);
                if !why.is_empty() {
                    marks.push(why);
                }
                return Default::default();
            }
        };
        let printed = scale.and_then(|scale| {
            let printed = digits::printed_in(after, scale, Digits::Form)?;
            let places = printed.number.split_once('.').map_or(0, |(_, fraction)| fraction.len());
            digits::rounded_in(&found.difference, scale, u32::try_from(places).ok()?)
        });
        let rise = printed.map_or_else(String::new, |rise| signed(&grouped(&rise)));
        let percent = found.percent.map(|percent| format!("{} %", signed(&percent.rounded(1))));
        (rise, percent.unwrap_or_default())
    }
}

/// `+1.5`; zero has no sign.
fn signed(number: &str) -> String {
    let is_zero = number.chars().all(|c| !c.is_ascii_digit() || c == '0');
    match (is_zero, number.strip_prefix('-')) {
        (true, Some(zero)) => zero.to_owned(),
        (true, None) | (false, Some(_)) => number.to_owned(),
        (false, None) => format!("+{number}"),
    }
}
