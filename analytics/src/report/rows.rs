//! The one model of a table: rows in the order of the form with their figures, what must be said of them, and where they
//! come from. Text, CSV, JSON and workbook are written from it. Must never know how it is written.

use energy::coefficient::Basis;
use energy::{Figure, Number, Period};
use model::{CommitNumber, Language, Localized, text};

/// Which table it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// 表1 能源消耗统计表.
    Table1,
    /// 万元产值、工业增加值综合能耗.
    Intensity,
    /// 单位产品综合能耗.
    UnitProduct,
}

impl Form {
    /// Its name in commands.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Table1 => "table1",
            Self::Intensity => "intensity",
            Self::UnitProduct => "unit-product",
        }
    }

    /// Its title.
    #[must_use]
    pub fn title(self) -> Localized {
        match self {
            Self::Table1 => text!(en: "Table 1 Energy consumption", zh: "表1 能源消耗统计表"),
            Self::Intensity => {
                text!(en: "Energy per output value and value added", zh: "万元产值、增加值综合能耗")
            }
            Self::UnitProduct => {
                text!(en: "Energy per unit of product", zh: "单位产品综合能耗")
            }
        }
    }
}

/// A table of one period.
#[derive(Debug, Clone)]
pub struct Report {
    /// Which table.
    pub form: Form,
    /// The name of the enterprise.
    pub plant: String,
    /// The period.
    pub period: Period,
    /// The bases asked for.
    pub bases: &'static [Basis],
    /// The rows, in the order of the form.
    pub rows: Vec<Row>,
    /// The coefficient sets.
    pub sets: Vec<(Basis, String)>,
    /// Rule sets with their editions, `GB/T 2589-2020`.
    pub rule_sets: Vec<String>,
    /// The ingest commit up to which readings were taken.
    pub commit: Option<CommitNumber>,
    /// Every rule and coefficient with its document.
    pub sources: Vec<Localized>,
}

/// Which block of the table a row stands in; a rule divides the blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// A quantity of energy.
    Energy,
    /// A sum of energy.
    Total,
    /// What a sum consists of.
    Subtotal,
    /// Money, output, and what energy is divided by them.
    Value,
    /// Something of a product line.
    Line,
}

impl Part {
    /// Its word in files.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Energy => "energy",
            Self::Total => "total",
            Self::Subtotal => "subtotal",
            Self::Value => "value",
            Self::Line => "line",
        }
    }
}

/// One row of a table.
#[derive(Debug, Clone)]
pub struct Row {
    /// Its block.
    pub part: Part,
    /// 序号.
    pub number: Option<u32>,
    /// What it is, the same in every period: `electricity/purchased`.
    pub item: String,
    /// The line that it is of: id and name.
    pub line: Option<(String, String)>,
    /// Its name.
    pub name: Localized,
    /// 来源渠道: its word in files, and as printed.
    pub flow: Option<(&'static str, Localized)>,
    /// A figure that has no basis: a quantity, money, output.
    pub figure: Option<Figure>,
    /// Figures on each basis.
    pub on: Vec<OnBasis>,
    /// Where its figures come from, where that is not said by their class: `7 / 8`.
    pub origin: Option<Localized>,
    /// What must be said of it.
    pub remarks: Vec<Remark>,
}

/// A figure on a basis.
#[derive(Debug, Clone)]
pub struct OnBasis {
    /// The basis.
    pub basis: Basis,
    /// What it was converted with.
    pub coefficient: Coefficient,
    /// The figure.
    pub figure: Figure,
}

/// What a quantity is converted with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Coefficient {
    /// It is no conversion.
    None,
    /// There is none.
    Missing,
    /// Tonnes of coal equivalent per unit of the row.
    Used(Number),
}

/// What must be said of a row, on a basis or whatever the basis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// The basis; `None` for both.
    pub basis: Option<Basis>,
    /// The words.
    pub text: Localized,
}

impl Row {
    /// A row without figures.
    pub(super) fn new(part: Part, item: impl Into<String>, name: Localized) -> Self {
        Self {
            part,
            number: None,
            item: item.into(),
            line: None,
            name,
            flow: None,
            figure: None,
            on: Vec::new(),
            origin: None,
            remarks: Vec::new(),
        }
    }

    /// The figure on a basis.
    #[must_use]
    pub fn on(&self, basis: Basis) -> Option<&OnBasis> {
        self.on.iter().find(|one| one.basis == basis)
    }

    /// Whether it is taken off the total: what is sold, and what is left in stock.
    #[must_use]
    pub fn is_taken_off(&self) -> bool {
        let word = self.flow.as_ref().map(|(word, _)| *word);
        matches!(word, Some("exported" | "closing_stock"))
    }

    /// All figures.
    pub fn figures(&self) -> impl Iterator<Item = &Figure> {
        self.figure.iter().chain(self.on.iter().map(|one| &one.figure))
    }

    /// The figure that stands for the row: the one without a basis, else the one on that basis.
    #[must_use]
    pub fn main(&self, basis: Basis) -> Option<&Figure> {
        self.figure.as_ref().or_else(|| self.on(basis).map(|one| &one.figure))
    }

    /// What must be said of it in a table on these bases.
    pub fn remarks_on<'a>(&'a self, bases: &'a [Basis]) -> impl Iterator<Item = &'a Localized> {
        let shown = |one: &&Remark| one.basis.is_none_or(|basis| bases.contains(&basis));
        self.remarks.iter().filter(shown).map(|one| &one.text)
    }

    /// Adds what must be said, once.
    pub(super) fn remark(&mut self, basis: Option<Basis>, text: Localized) {
        let known = |one: &Remark| one.text == text && (one.basis.is_none() || one.basis == basis);
        if !self.remarks.iter().any(known) {
            self.remarks.push(Remark { basis, text });
        }
    }
}

impl Report {
    /// The title with plant and period, without a basis.
    #[must_use]
    pub fn heading(&self, language: Language) -> String {
        let period = super::words::period(self.period);
        [self.form.title().get(language), &self.plant, period.get(language)].join("  ")
    }

    /// Totals without a value.
    pub fn unknown_totals(&self) -> impl Iterator<Item = &Figure> {
        let totals = self.rows.iter().filter(|row| row.part == Part::Total);
        totals.flat_map(Row::figures).filter(|figure| figure.value.is_none())
    }

    /// Whether nothing at all is known of its period.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.rows.iter().flat_map(Row::figures).any(|figure| figure.value.is_some())
    }

    /// The lowest coverage of its figures.
    #[must_use]
    pub fn lowest_coverage(&self) -> Option<&str> {
        let figures = self.rows.iter().flat_map(Row::figures);
        let covered = figures.filter_map(|figure| {
            let coverage = figure.coverage?;
            Some((coverage, figure.coverage_percent.as_deref()?))
        });
        let lowest = covered.min_by(|(one, _), (other, _)| {
            // one.covered / one.expected against other.covered / other.expected
            (u128::from(one.covered) * u128::from(other.expected))
                .cmp(&(u128::from(other.covered) * u128::from(one.expected)))
        });
        lowest.map(|(_, percent)| percent)
    }
}
