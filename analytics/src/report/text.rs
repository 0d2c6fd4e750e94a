//! A table as text for people: one language, one basis a table where a terminal is narrow, footnotes on the rows, sources
//! on demand. Must never compute a figure.

use energy::coefficient::Basis;
use energy::{Figure, Number};
use model::{Language, Localized, text};

use super::digits::{self, Digits, grouped};
use super::footnotes::{Footnotes, hanging};
use super::layout::{Align, Cell, Column, Layout, Line};
use super::rows::{Coefficient, Form, Part, Report, Row};
use super::words;

/// Columns of a terminal from which on both bases stand side by side.
pub const BOTH_BASES_WIDTH: usize = 120;

/// How a table is written.
#[derive(Debug, Clone, Copy)]
pub struct TextOptions {
    /// In which language.
    pub language: Language,
    /// Most columns of a line.
    pub width: usize,
    /// How many digits.
    pub digits: Digits,
    /// Whether every rule and coefficient is written below the tables.
    pub sources: bool,
}

impl TextOptions {
    /// In English within 100 columns.
    #[must_use]
    pub const fn for_logs() -> Self {
        Self { language: Language::English, width: 100, digits: Digits::Form, sources: false }
    }
}

/// The tables of a report, each with its footnotes: one for each basis, or one for both where there is room.
#[must_use]
pub fn text(report: &Report, options: TextOptions) -> String {
    let together = report.form == Form::Table1 && options.width >= BOTH_BASES_WIDTH;
    let tables: Vec<&[Basis]> =
        if together { vec![report.bases] } else { report.bases.chunks(1).collect() };
    let mut blocks: Vec<String> = tables
        .into_iter()
        .map(|bases| Writing { report, bases, options, footnotes: Footnotes::default() }.table())
        .collect();
    if options.sources && !report.sources.is_empty() {
        let all = report.sources.iter();
        let lines = all.flat_map(|one| hanging("- ", one.get(options.language), options.width));
        let head = text!(en: "Sources", zh: "出处").get(options.language).to_owned();
        blocks.push(std::iter::once(head).chain(lines).collect::<Vec<_>>().join("\n") + "\n");
    }
    blocks.join("\n")
}

struct Writing<'a> {
    report: &'a Report,
    bases: &'a [Basis],
    options: TextOptions,
    footnotes: Footnotes,
}

impl Writing<'_> {
    fn say(&self, text: &Localized) -> String {
        text.get(self.options.language).to_owned()
    }

    fn table(mut self) -> String {
        let bases = self.bases.iter().map(|basis| self.say(&words::on_basis(*basis)));
        let bases: Vec<String> = bases.collect();
        let title = format!(
            "{}  {}",
            self.report.heading(self.options.language),
            bases.join(self.say(&text!(en: " and ", zh: "、")).as_str())
        );
        let layout = match self.report.form {
            Form::Table1 => self.table1(),
            Form::Intensity | Form::UnitProduct => self.list(),
        };
        let (table, left_out, needed) = layout.fitted(self.options.width);
        let mut lines = vec![title, String::new()];
        lines.extend(table);
        lines.push(String::new());
        let notes = self.footnotes.lines(self.options.width);
        let units = self.units();
        let gap = (!notes.is_empty() || !units.is_empty()).then(String::new);
        lines.extend(notes);
        lines.extend(units);
        lines.extend(gap);
        lines.extend(hanging("", &self.provenance(), self.options.width));
        if !left_out.is_empty() {
            let columns = left_out.join(", ");
            let text = text!(
                en: "Not shown for lack of width: {columns} (--width {needed})",
                zh: "宽度不足，未列：{columns}（--width {needed}）",
            );
            lines.extend(hanging("", &self.say(&text), self.options.width));
        }
        lines.join("\n") + "\n"
    }

    fn column(&self, head: &Localized, align: Align, gap: usize, gives_way: u8) -> Column {
        Column { head: self.say(head), align, gap, gives_way }
    }

    fn table1(&mut self) -> Layout {
        let both = self.bases.len() > 1;
        let mut columns = vec![
            self.column(&text!(en: "No", zh: "序号"), Align::Right, 0, 0),
            self.column(&text!(en: "Energy", zh: "能源"), Align::Left, 1, 0),
            self.column(&text!(en: "Source", zh: "来源"), Align::Left, 2, 0),
            self.column(&text!(en: "Quantity", zh: "数量"), Align::Point, 2, 0),
            self.column(&text!(en: "Unit", zh: "单位"), Align::Left, 1, 0),
        ];
        for basis in self.bases {
            let of = if both { self.say(&words::basis(*basis)) } else { String::new() };
            let one = |name: Localized| {
                let head = format!("{} {of}", self.say(&name)).trim_end().to_owned();
                Column { head, align: Align::Point, gap: 1, gives_way: 0 }
            };
            columns.push(one(text!(en: "tce/unit", zh: "折标系数")));
            columns.push(one(text!(en: "tce", zh: "tce")));
        }
        if !both {
            columns.push(self.column(&text!(en: "Share", zh: "占比"), Align::Right, 1, 3));
        }
        columns.push(self.column(&text!(en: "Cover", zh: "覆盖率"), Align::Right, 2, 1));
        columns.push(self.column(&text!(en: "From", zh: "来历"), Align::Left, 1, 2));
        columns.push(Column { head: String::new(), align: Align::Left, gap: 1, gives_way: 0 });
        let mut lines = Vec::new();
        let mut part = Part::Energy;
        let report = self.report;
        for row in report.rows.iter().filter(|row| row.part != Part::Subtotal) {
            if row.part != part {
                lines.push(Line::Rule);
                part = row.part;
            }
            let cells = self.table1_row(row);
            lines.push(Line::Cells(cells));
            if row.item == "total" {
                lines.extend(self.subtotals());
            }
        }
        Layout { columns, lines }
    }

    fn table1_row(&mut self, row: &Row) -> Vec<Cell> {
        let both = self.bases.len() > 1;
        let is_total = row.part == Part::Total;
        let mut marks: Vec<String> =
            row.remarks_on(self.bases).map(|text| self.say(text)).collect();
        if row.item == "total" {
            marks.insert(0, self.say(&self.how_the_total_is_made()));
        }
        let marks = self.footnotes.marks(marks.iter().map(String::as_str));
        // A row with one figure has it in the column of quantities; a total, in that of tonnes.
        let single = self.bases.first().filter(|_| !both && !is_total);
        let quantity = row.figure.as_ref().or_else(|| row.on(*single?).map(|one| &one.figure));
        let any = quantity.or_else(|| row.on.first().map(|one| &one.figure));
        let (shown, unit) = self.number_and_unit(quantity, any);
        let mut cells = vec![
            Cell::from(row.number.map_or_else(String::new, |number| number.to_string())),
            Cell { text: self.say(&row.name), reaches: row.flow.is_none() },
            Cell::from(row.flow.as_ref().map_or_else(String::new, |(_, name)| self.say(name))),
            Cell::from(shown),
            Cell::from(unit),
        ];
        for basis in self.bases {
            let on = row.on(*basis).filter(|_| both || row.figure.is_some() || is_total);
            cells.push(Cell::from(match on.map(|one| &one.coefficient) {
                Some(Coefficient::Used(used)) => digits::coefficient(used, self.options.digits),
                Some(Coefficient::Missing) => self.missing(),
                None if row.part == Part::Energy => self.say(&not_counted()),
                Some(Coefficient::None) | None => String::new(),
            }));
            let figure = on.map(|one| &one.figure);
            cells.push(Cell::from(figure.map_or_else(String::new, |one| self.number(one))));
        }
        if !both {
            cells.push(Cell::from(self.share(row)));
        }
        cells.push(Cell::from(self.coverage(row)));
        cells.push(Cell::from(self.origin(row)));
        cells.push(Cell::from(marks));
        cells
    }

    /// What the total consists of.
    fn subtotals(&self) -> Vec<Line> {
        let parts: Vec<&Row> =
            self.report.rows.iter().filter(|row| row.part == Part::Subtotal).collect();
        if parts.is_empty() {
            return Vec::new();
        }
        let line = |basis: &Basis| {
            let each = parts.iter().filter_map(|row| {
                let figure = &row.on(*basis)?.figure;
                Some(format!("{} {}", self.say(&row.name), self.number(figure)))
            });
            let each: Vec<String> = each.collect();
            let (english, chinese) = (each.join(", "), each.join("  "));
            let of = if self.bases.len() > 1 {
                format!(" ({})", self.say(&words::basis(*basis)))
            } else {
                String::new()
            };
            let text = text!(en: "of which{of} {english}", zh: "其中{of} {chinese}");
            Line::Free(self.say(&text))
        };
        self.bases.iter().map(line).collect()
    }

    /// Figures one below the other.
    fn list(&mut self) -> Layout {
        let has_lines = self.report.rows.iter().any(|row| row.line.is_some());
        let mut columns = vec![self.column(&text!(en: "No", zh: "序号"), Align::Right, 0, 0)];
        if has_lines {
            columns.push(self.column(&text!(en: "Line", zh: "产线"), Align::Left, 1, 0));
        }
        columns.extend([
            self.column(
                &text!(en: "Figure", zh: "指标"),
                Align::Left,
                1 + usize::from(has_lines),
                0,
            ),
            self.column(&text!(en: "Value", zh: "数值"), Align::Point, 2, 0),
            self.column(&text!(en: "Unit", zh: "单位"), Align::Left, 1, 0),
            self.column(&text!(en: "Cover", zh: "覆盖率"), Align::Right, 2, 1),
            self.column(&text!(en: "From", zh: "来历"), Align::Left, 1, 2),
            Column { head: String::new(), align: Align::Left, gap: 1, gives_way: 0 },
        ]);
        let mut lines = Vec::new();
        let mut line: Option<Option<&str>> = None;
        let report = self.report;
        for row in &report.rows {
            let here = row.line.as_ref().map(|(id, _)| id.as_str());
            let begins = line != Some(here);
            if begins && line.is_some() {
                lines.push(Line::Rule);
            }
            line = Some(here);
            let marks: Vec<String> =
                row.remarks_on(self.bases).map(|text| self.say(text)).collect();
            let figure = self.bases.first().and_then(|basis| row.main(*basis));
            let (shown, unit) = self.number_and_unit(figure, figure);
            let mut cells =
                vec![Cell::from(row.number.map_or_else(String::new, |number| number.to_string()))];
            if has_lines {
                let name = row.line.as_ref().filter(|_| begins);
                cells.push(Cell::from(name.map_or_else(String::new, |(_, name)| name.clone())));
            }
            cells.extend([
                Cell::from(self.say(&row.name)),
                Cell::from(shown),
                Cell::from(unit),
                Cell::from(self.coverage(row)),
                Cell::from(self.origin(row)),
                Cell::from(self.footnotes.marks(marks.iter().map(String::as_str))),
            ]);
            lines.push(Line::Cells(cells));
        }
        Layout { columns, lines }
    }

    fn missing(&self) -> String {
        self.say(&text!(en: "missing", zh: "缺"))
    }

    fn number(&self, figure: &Figure) -> String {
        self.number_and_unit(Some(figure), None).0
    }

    /// The number of a figure, and its unit or that of another.
    fn number_and_unit(&self, figure: Option<&Figure>, other: Option<&Figure>) -> (String, String) {
        let unit = figure.or(other).map_or("", |figure| &figure.unit);
        let printed = figure.and_then(|figure| digits::printed(figure, self.options.digits));
        let unit = words::unit(
            printed.as_ref().map_or(unit, |printed| &printed.unit),
            self.options.language,
        );
        match (figure, printed) {
            (None, _) => (String::new(), unit),
            (Some(_), None) => (self.missing(), unit),
            (Some(_), Some(printed)) => {
                let number = match self.options.digits {
                    Digits::Form => grouped(&printed.number),
                    Digits::All => printed.number,
                };
                (number, unit)
            }
        }
    }

    /// The share of a row in the total, of the first basis shown.
    fn share(&self, row: &Row) -> String {
        let total = self.report.rows.iter().find(|row| row.item == "total");
        let basis = self.bases.first().filter(|_| self.bases.len() == 1);
        let tonnes = |row: &Row| -> Option<Number> {
            row.on(*basis?).and_then(|one| one.figure.exact().cloned())
        };
        let (Some(part), Some(whole)) = (tonnes(row), total.and_then(tonnes)) else {
            return String::new();
        };
        let is_taken_off = row.is_taken_off();
        match row.part {
            Part::Total if row.item == "total" => "100 %".to_owned(),
            Part::Energy => digits::percent(&part, &whole)
                .map(|share| format!("{}{share} %", if is_taken_off { "-" } else { "" }))
                .unwrap_or_default(),
            _ => String::new(),
        }
    }

    fn coverage(&self, row: &Row) -> String {
        let figure = self.bases.first().and_then(|basis| row.main(*basis));
        let percent = figure.and_then(|figure| figure.coverage_percent.as_deref());
        percent.map_or_else(String::new, |percent| format!("{percent} %"))
    }

    fn origin(&self, row: &Row) -> String {
        let figure = self.bases.first().and_then(|basis| row.main(*basis));
        let Some(figure) = figure.filter(|figure| figure.value.is_some()) else {
            return String::new();
        };
        let origin = row.origin.clone().or_else(|| figure.class.map(words::class));
        origin.map_or_else(String::new, |origin| self.say(&origin))
    }

    /// The formula of the total in words, with the rows that are in it.
    fn how_the_total_is_made(&self) -> Localized {
        let counted = |sold: bool| {
            let rows = self.report.rows.iter().filter(|row| {
                let is_sold = row.is_taken_off();
                row.part == Part::Energy && !row.on.is_empty() && is_sold == sold
            });
            ranges(rows.filter_map(|row| row.number))
        };
        let (added, taken_off) = (counted(false), counted(true));
        let (en, zh) = if taken_off.is_empty() {
            (String::new(), String::new())
        } else {
            (format!(" less rows {taken_off}"), format!(" 减序号 {taken_off}"))
        };
        text!(
            en: "sum of quantity x tce/unit, rows {added}{en}; added unrounded, then rounded to 0.01",
            zh: "综合能耗 = 序号 {added} 的数量 x 折标系数之和{zh}，以未修约值相加，末位修约到 0.01",
        )
    }

    /// What the units of powers of ten are in the form.
    fn units(&self) -> Vec<String> {
        if self.options.language == Language::Chinese {
            return Vec::new();
        }
        let mut units: Vec<String> = Vec::new();
        for unit in self.report.rows.iter().flat_map(Row::figures).map(|one| &one.unit) {
            for part in unit.split('/').filter(|part| !part.is_ascii()) {
                let same = format!("{} = {part}", words::unit(part, Language::English));
                if !units.contains(&same) {
                    units.push(same);
                }
            }
        }
        if units.is_empty() {
            return Vec::new();
        }
        hanging("   ", &format!("{}, as printed in the form", units.join(", ")), self.options.width)
    }

    /// Coefficient sets, commit, coverage: what a figure is known by.
    fn provenance(&self) -> String {
        let rules = self.report.rule_sets.join(", ");
        let mut parts: Vec<String> = Vec::new();
        let sets = self.report.sets.iter().filter(|(basis, _)| self.bases.contains(basis));
        for (basis, set) in sets {
            let set = if self.bases.len() > 1 {
                format!("{set} {}", self.say(&words::basis(*basis)))
            } else {
                set.clone()
            };
            let text = if rules.is_empty() {
                text!(en: "Coefficient set {set}", zh: "系数集 {set}")
            } else {
                text!(en: "Coefficient set {set} ({rules})", zh: "系数集 {set}（{rules}）")
            };
            parts.push(self.say(&text));
        }
        if let Some(commit) = self.report.commit {
            parts.push(self.say(&text!(en: "Ingest commit {commit}", zh: "入库提交 {commit}")));
        }
        if let Some(lowest) = self.report.lowest_coverage() {
            let text = text!(en: "Lowest coverage {lowest} %", zh: "覆盖率最低 {lowest} %");
            parts.push(self.say(&text));
        }
        parts.join("  ")
    }
}

fn not_counted() -> Localized {
    text!(en: "not counted", zh: "不计入")
}

/// `1-5, 7`.
fn ranges(numbers: impl IntoIterator<Item = u32>) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    let text = |(first, last): (u32, u32)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    ranges.into_iter().map(text).collect::<Vec<_>>().join(", ")
}
