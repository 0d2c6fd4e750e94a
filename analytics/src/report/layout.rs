//! Columns of text within a width of the terminal. Must never know what the cells mean.
//!
//! Widths are those of a terminal that shows East Asian ambiguous characters in two columns, so that a line fits every
//! terminal.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Narrowest column that a text is wrapped into.
const WRAPPED_MIN: usize = 8;

/// Where the text of a cell stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
    /// Decimal points in one column.
    Point,
}

/// A column.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) head: String,
    pub(super) align: Align,
    /// Spaces before it.
    pub(super) gap: usize,
    /// When it gives way in a narrow terminal: the highest first, 0 never.
    pub(super) gives_way: u8,
}

/// A line.
#[derive(Debug, Clone)]
pub(super) enum Line {
    /// Across all columns.
    Rule,
    /// A cell for each column.
    Cells(Vec<Cell>),
    /// A text from the second column on.
    Free(String),
}

/// A cell.
#[derive(Debug, Clone, Default)]
pub(super) struct Cell {
    pub(super) text: String,
    /// Whether it may reach into the next cell, which is empty.
    pub(super) reaches: bool,
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self { text, reaches: false }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

/// A table of text.
#[derive(Debug, Clone, Default)]
pub(super) struct Layout {
    pub(super) columns: Vec<Column>,
    pub(super) lines: Vec<Line>,
}

/// Columns of a terminal that a text takes at most.
#[must_use]
pub fn width(text: &str) -> usize {
    text.width_cjk()
}

/// The two sides of a decimal point; the right one has the point.
fn sides(text: &str) -> (&str, &str) {
    let begins = text.trim_start_matches(['-', '+']).starts_with(|c: char| c.is_ascii_digit());
    match text.find('.').filter(|_| begins).and_then(|at| text.split_at_checked(at)) {
        Some(sides) => sides,
        None => (text, ""),
    }
}

fn is_number(text: &str) -> bool {
    text.trim_start_matches(['-', '+']).starts_with(|c: char| c.is_ascii_digit())
}

/// What a column needs: its whole width, and that of fractions in it.
#[derive(Clone, Copy, Default)]
struct Need {
    whole: usize,
    fraction: usize,
    other: usize,
}

impl Need {
    fn width(self) -> usize {
        (self.whole + self.fraction).max(self.other)
    }
}

impl Layout {
    /// The table within a width: columns that give way are left out, then the widest text is wrapped. Returns the lines,
    /// the heads of what was left out, and the width of the whole table.
    pub(super) fn fitted(mut self, most: usize) -> (Vec<String>, Vec<String>, usize) {
        let mut left_out = Vec::new();
        let whole = self.total(&self.needs());
        loop {
            let needs = self.needs();
            let total = self.total(&needs);
            if total <= most {
                return (self.drawn(&needs, total), left_out, whole);
            }
            let gives_way = self.columns.iter().map(|column| column.gives_way).max().unwrap_or(0);
            let at = self.columns.iter().position(|column| column.gives_way == gives_way);
            let Some(at) = at.filter(|_| gives_way > 0) else {
                let wrapped = self.wrapped(&needs, total - most);
                let needs = wrapped.needs();
                let total = wrapped.total(&needs);
                return (wrapped.drawn(&needs, total), left_out, whole);
            };
            left_out.push(self.without(at));
        }
    }

    fn without(&mut self, at: usize) -> String {
        for line in &mut self.lines {
            if let Line::Cells(cells) = line
                && at < cells.len()
            {
                cells.remove(at);
            }
        }
        self.columns.remove(at).head
    }

    fn needs(&self) -> Vec<Need> {
        let mut needs: Vec<Need> = self
            .columns
            .iter()
            .map(|column| Need { other: width(&column.head), ..Need::default() })
            .collect();
        let cells = || {
            self.lines.iter().filter_map(|line| match line {
                Line::Cells(cells) => Some(cells),
                Line::Rule | Line::Free(_) => None,
            })
        };
        for row in cells() {
            for ((cell, need), column) in row.iter().zip(&mut needs).zip(&self.columns) {
                if column.align == Align::Point && is_number(&cell.text) {
                    let (whole, fraction) = sides(&cell.text);
                    need.whole = need.whole.max(width(whole));
                    need.fraction = need.fraction.max(width(fraction));
                } else if !cell.reaches {
                    need.other = need.other.max(width(&cell.text));
                }
            }
        }
        // A text that reaches into the next column widens its own where both are too narrow.
        for row in cells() {
            for (at, cell) in row.iter().enumerate().filter(|(_, cell)| cell.reaches) {
                let next = self.columns.get(at + 1).zip(needs.get(at + 1));
                let next = next.map_or(0, |(column, need)| column.gap + need.width());
                if let Some(need) = needs.get_mut(at) {
                    need.other = need.other.max(width(&cell.text).saturating_sub(next));
                }
            }
        }
        needs
    }

    fn total(&self, needs: &[Need]) -> usize {
        let gaps = self.columns.iter().skip(1).map(|column| column.gap).sum::<usize>();
        needs.iter().map(|need| need.width()).sum::<usize>() + gaps
    }

    /// The widest column of words made narrower, its texts on several lines.
    fn wrapped(self, needs: &[Need], excess: usize) -> Self {
        let words = self.columns.iter().zip(needs).enumerate();
        let words = words.filter(|(_, (column, _))| column.align == Align::Left);
        let Some((at, need)) =
            words.map(|(at, (_, need))| (at, need.width())).max_by_key(|(_, width)| *width)
        else {
            return self;
        };
        let most = need.saturating_sub(excess).max(WRAPPED_MIN);
        let mut lines = Vec::new();
        for line in self.lines {
            let Line::Cells(mut cells) = line else {
                lines.push(line);
                continue;
            };
            let parts = cells.get(at).map(|cell| wrap(&cell.text, most)).unwrap_or_default();
            let mut parts = parts.into_iter();
            if let Some(cell) = cells.get_mut(at) {
                *cell = Cell::from(parts.next().unwrap_or_default());
            }
            let columns = cells.len();
            lines.push(Line::Cells(cells));
            for part in parts {
                let mut more = vec![Cell::default(); columns];
                if let Some(cell) = more.get_mut(at) {
                    *cell = Cell::from(part);
                }
                lines.push(Line::Cells(more));
            }
        }
        Self { columns: self.columns, lines }
    }

    fn drawn(&self, needs: &[Need], total: usize) -> Vec<String> {
        let heads = self.columns.iter().map(|column| Cell::from(column.head.clone()));
        let heads: Vec<Cell> = heads.collect();
        let rule = "-".repeat(total);
        let mut lines = vec![self.line(&heads, needs), rule.clone()];
        let indent = self.columns.get(1).map_or(0, |column| column.gap)
            + needs.first().map_or(0, |need| need.width());
        for line in &self.lines {
            match line {
                Line::Rule => lines.push(rule.clone()),
                Line::Cells(cells) => lines.push(self.line(cells, needs)),
                Line::Free(text) => {
                    let room = total.saturating_sub(indent).max(WRAPPED_MIN);
                    let parts = wrap(text, room);
                    lines.extend(parts.iter().map(|part| format!("{}{part}", " ".repeat(indent))));
                }
            }
        }
        lines
    }

    fn line(&self, cells: &[Cell], needs: &[Need]) -> String {
        let mut text = String::new();
        // Where the next column begins, and what a cell that reaches further has taken of it.
        let mut begin = 0;
        for (at, (cell, (column, need))) in
            cells.iter().zip(self.columns.iter().zip(needs)).enumerate()
        {
            if at > 0 {
                begin += column.gap;
            }
            let room = need.width();
            let before = match column.align {
                Align::Left => 0,
                Align::Point if is_number(&cell.text) => {
                    let (whole, _) = sides(&cell.text);
                    (room - need.fraction).saturating_sub(width(whole))
                }
                Align::Right | Align::Point => room.saturating_sub(width(&cell.text)),
            };
            if !cell.text.is_empty() {
                let here = width(&text);
                text.push_str(&" ".repeat((begin + before).saturating_sub(here)));
                text.push_str(&cell.text);
            }
            begin += room;
        }
        text
    }
}

/// A text in lines of at most so many columns: broken at spaces, and between Chinese characters.
pub(super) fn wrap(text: &str, most: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut taken = 0;
    for piece in pieces(text) {
        let wide = width(piece);
        let trimmed = piece.trim_end();
        if taken > 0 && taken + width(trimmed) > most {
            lines.push(line.trim_end().to_owned());
            line = String::new();
            taken = 0;
        }
        if width(trimmed) > most {
            // A word longer than a line, such as a path.
            for letter in piece.chars() {
                let wide = letter.width_cjk().unwrap_or(0);
                if taken > 0 && taken + wide > most {
                    lines.push(std::mem::take(&mut line));
                    taken = 0;
                }
                line.push(letter);
                taken += wide;
            }
        } else {
            line.push_str(piece);
            taken += wide;
        }
    }
    if !line.trim_end().is_empty() || lines.is_empty() {
        lines.push(line.trim_end().to_owned());
    }
    lines
}

/// What a line may be broken between: words with the spaces after them, and single Chinese characters with the
/// punctuation after them.
fn pieces(text: &str) -> Vec<&str> {
    let mut breaks = vec![0];
    let mut before: Option<char> = None;
    for (at, letter) in text.char_indices() {
        if let Some(before) = before {
            let after_space = before == ' ' && letter != ' ';
            let chinese = (is_wide(before) || is_wide(letter))
                && letter != ' '
                && !"，。；：！？、）」”)".contains(letter)
                && !"（「“(".contains(before);
            if after_space || chinese {
                breaks.push(at);
            }
        }
        before = Some(letter);
    }
    breaks.push(text.len());
    breaks.windows(2).filter_map(|pair| text.get(*pair.first()?..*pair.get(1)?)).collect()
}

fn is_wide(letter: char) -> bool {
    letter.width().unwrap_or(0) == 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(head: &str, align: Align, gives_way: u8) -> Column {
        Column { head: head.to_owned(), align, gap: 2, gives_way }
    }

    fn layout() -> Layout {
        let columns = vec![
            column("No", Align::Right, 0),
            column("Energy", Align::Left, 0),
            column("Quantity", Align::Point, 0),
            column("Share", Align::Right, 1),
        ];
        let row = |cells: [&str; 4]| Line::Cells(cells.map(Cell::from).into());
        let lines = vec![
            row(["1", "Raw coal of the mine", "306.40", "62.9 %"]),
            row(["2", "电力", "9.9411", "3.5 %"]),
            Line::Rule,
            Line::Free("of which: primary 1, secondary 2, media 3, and more of it".to_owned()),
        ];
        Layout { columns, lines }
    }

    #[test]
    fn decimal_points_stand_in_one_column() {
        let (lines, left_out, _) = layout().fitted(80);
        assert!(left_out.is_empty());
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn a_narrow_table_leaves_columns_out_then_wraps() {
        let (lines, left_out, _) = layout().fitted(30);
        assert_eq!(left_out, ["Share"]);
        assert!(lines.iter().all(|line| width(line) <= 30), "{lines:#?}");
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn texts_are_broken_at_spaces_and_between_chinese_characters() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("天然气系数，示例值", 8), ["天然气系", "数，示例", "值"]);
        assert_eq!(wrap("/a/very/long/path", 6), ["/a/ver", "y/long", "/path"]);
        assert_eq!(wrap("", 6), [""]);
    }
}
