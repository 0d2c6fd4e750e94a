//! The figures of one line: its kinds, its energy, and what it makes. Must never find a use.

use model::{Localized, text};

use super::uses::{Allocated, Counted, LineUse, Through};
use super::within::Within;
use super::{Line, LineKind, LineProduct, base};
use crate::fact::Measure;
use crate::figure::Figure;
use crate::number::{Number, Ratio};
use crate::plant::{EnergyKind, Product, Subject};
use crate::sheet::{Measured, Sheet, TCE, Term};
use crate::source::{Inputs, Quantity};
use crate::table1::{Cell, declared, per_basis};
use crate::tce::{BasisChoice, Converter, PerBasis};

/// Digits after the point of a key's share in percent.
const SHARE_PERCENT_DIGITS: u32 = 1;

pub(super) struct Making<'a> {
    pub(super) inputs: &'a Inputs<'a>,
    pub(super) converter: &'a Converter<'a>,
    pub(super) on: &'a PerBasis<Measured>,
    pub(super) basis: BasisChoice,
    pub(super) sheet: &'a mut Sheet,
}

/// What a line made of a product.
pub(super) struct Outputs {
    pub(super) qualified: Figure,
    all: Figure,
    doubt: Option<Localized>,
}

impl<'a> Making<'a> {
    pub(super) fn line(&mut self, line: &Subject, uses: Vec<LineUse<'a>>) -> Line {
        let base = format!("{}/{}", base(self.sheet.period), line.id);
        let plant = self.inputs.plant;
        let made: Vec<&Product> =
            plant.products.iter().filter(|product| product.line == line.id).collect();
        let one = if let [product] = made.as_slice() { Some(*product) } else { None };
        let outputs = one.map(|product| self.outputs(&base, line, product));
        let lacking: Vec<Localized> = uses.iter().flat_map(|one| one.lacking.clone()).collect();
        let qualified = outputs.as_ref().map(|outputs| outputs.qualified.clone());
        let kinds: Vec<LineKind> =
            uses.into_iter().map(|one| self.kind(&base, line, one, qualified.as_ref())).collect();
        let tce = per_basis(self.on, self.basis, |on| {
            let terms: Vec<Term<'_>> = kinds
                .iter()
                .filter_map(|kind| {
                    let figure = kind.converted.get(on.basis)?.counted()?;
                    Some(Term { figure, minus: false })
                })
                .collect();
            let name = format!("{base}/energy/{}", on.basis);
            let mut figure = self.sheet.sum(name, TCE, Some(on), &terms);
            self.sheet.lacks(&mut figure, &lacking);
            figure
        });
        let product = one
            .zip(outputs)
            .map(|(product, outputs)| self.per_product(&base, product, outputs, &tce, &lacking));
        let products = if product.is_some() || made.is_empty() {
            Vec::new()
        } else {
            self.parts(&base, line, &made, &kinds, &tce, &lacking)
        };
        let (line, name) = (line.id.clone(), line.name.clone());
        Line { line, name, kinds, tce, product, products }
    }

    /// Energy per qualified product.
    pub(super) fn per_product(
        &mut self,
        base: &str,
        product: &Product,
        outputs: Outputs,
        energy: &PerBasis<Figure>,
        lacking: &[Localized],
    ) -> LineProduct {
        let Outputs { qualified, all, doubt } = outputs;
        let energy_per_product = per_basis(self.on, self.basis, |on| {
            let over = energy.get(on.basis).expect("each basis asked for has a total");
            let name = format!("{base}/{}", on.basis);
            let mut figure = self.sheet.quotient(name, over, &qualified);
            for note in lacking.iter().chain(&doubt) {
                self.sheet.remark(&mut figure, note.clone());
            }
            figure
        });
        LineProduct {
            product: product.id.clone(),
            name: product.name.clone(),
            qualified_output: qualified,
            output: all,
            energy_per_product,
        }
    }

    pub(super) fn outputs(&mut self, base: &str, line: &Subject, product: &Product) -> Outputs {
        let mut one = |measure: Measure, name: &str| {
            let name = format!("{base}/{name}");
            declared(self.sheet, self.inputs, &line.id, &measure, name, product.unit.symbol())
        };
        let mut qualified = one(Measure::QualifiedOutput(product.id.clone()), "qualified_output");
        let all = one(Measure::Output(product.id.clone()), "output");
        let more = qualified.exact().zip(all.exact()).is_some_and(|(good, all)| good > all);
        // A year's good output against the output of some months says nothing.
        let doubt = (more && all.complete).then(|| {
            let (good, made) = (qualified.text(), all.text());
            text!(
                en: "qualified output, {good}, is more than output, {made}: check both",
                zh: "合格产量 {good} 大于总产量 {made}：请核对"
            )
        });
        if let Some(doubt) = &doubt {
            self.sheet.remark(&mut qualified, doubt.clone());
        }
        Outputs { qualified, all, doubt }
    }

    fn kind(
        &mut self,
        base: &str,
        line: &Subject,
        one: LineUse<'a>,
        qualified: Option<&Figure>,
    ) -> LineKind {
        let kind = one.kind;
        let within = Within::of(self.inputs, self.sheet.period, &line.id, &one);
        let unit = kind.unit.symbol();
        let base = format!("{base}/{}", kind.id);
        let own = one.own.map(|own| self.sheet.quantity(format!("{base}/own"), unit, own));
        let allocated = one.allocated.into_iter();
        let allocated: Vec<Figure> =
            allocated.map(|share| self.allocated(&base, line, kind, share)).collect();
        let through = one.through.into_iter();
        let through: Vec<Figure> = through.map(|share| self.through(&base, kind, share)).collect();
        let figures = own.iter().chain(&allocated).chain(&through);
        let terms: Vec<Term<'_>> = figures.map(|figure| Term { figure, minus: false }).collect();
        let mut quantity = self.sheet.sum(format!("{base}/quantity"), unit, None, &terms);
        let (counted, converted) = match one.counted {
            Counted::Nothing => (None, PerBasis { equivalent: None, equal_value: None }),
            Counted::All => (None, self.converted(&base, kind, &within, &quantity)),
            Counted::Part(amount, formula) => {
                let name = format!("{base}/counted");
                let part = self.sheet.part(name, &quantity, amount, formula);
                let converted = self.converted(&base, kind, &within, &part);
                (Some(part), converted)
            }
        };
        for note in one.remarks.into_iter().chain(one.lacking) {
            self.sheet.remark(&mut quantity, note);
        }
        let per_product =
            qualified.map(|under| self.sheet.quotient(base.clone(), &quantity, under));
        LineKind {
            kind: kind.id.clone(),
            name: kind.name.clone(),
            own,
            allocated,
            through,
            quantity,
            counted,
            converted,
            per_product,
        }
    }

    fn converted(
        &mut self,
        base: &str,
        kind: &EnergyKind,
        within: &Within<'_>,
        quantity: &Figure,
    ) -> PerBasis<Cell> {
        per_basis(self.on, self.basis, |on| {
            let within = |part| within.quantity(part);
            let made = self.converter.convert(kind, on.basis, quantity.exact(), &within);
            let name = format!("{base}/{}", on.basis);
            let tce = self.sheet.converted(name, quantity, on, &made);
            Cell { coefficient: made.printed, tce_per_unit: made.tce_per_unit, tce }
        })
    }

    fn allocated(
        &mut self,
        base: &str,
        line: &Subject,
        kind: &EnergyKind,
        Allocated { key, whole, part }: Allocated<'_>,
    ) -> Figure {
        let all: Number = key.shares.iter().map(|share| &share.weight).sum();
        let mine: Number =
            key.shares.iter().filter(|share| share.to == line.id).map(|share| &share.weight).sum();
        // Weights of which one has a digit too many, 400 and 60, look like any others; their percent do not.
        let percent = Ratio::new(&mine * &Number::from(100), all.clone())
            .map_or_else(|| "–".to_owned(), |share| share.rounded(SHARE_PERCENT_DIGITS));
        let unit = kind.unit.symbol();
        let text = |value: Option<&Number>| value.map_or_else(|| "–".to_owned(), Number::to_string);
        let formula = format!(
            "{} {unit} of `{}` × {mine} ÷ {all} ({percent} %) = {} {unit}",
            text(whole.value.as_ref()),
            key.from,
            text(part.as_ref())
        );
        let name = format!("{base}/allocated/{}", key.from);
        let figure = self.sheet.quantity(name, unit, Quantity { value: part, ..whole });
        self.sheet.formula(&figure.name, formula);
        figure
    }

    fn through(&mut self, base: &str, kind: &EnergyKind, share: Through) -> Figure {
        let Through { made, whole, part, formula, .. } = share;
        let (name, unit) = (format!("{base}/through/{made}"), kind.unit.symbol());
        let figure = self.sheet.quantity(name, unit, Quantity { value: part, ..whole });
        self.sheet.formula(&figure.name, formula);
        figure
    }
}
