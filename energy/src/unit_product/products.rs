//! The energy of a line that makes several products, divided among them by weight × qualified output (折合系数 × 合格产量).
//! Must never divide what is not stated.
//!
//! 90 tce, 2 000 t of weight 1 and 500 t of weight 2 → 60 and 30 tce.

use model::{Localized, text};

use super::making::{Making, Outputs};
use super::{LineKind, ProductPart};
use crate::figure::Figure;
use crate::made::SHARE_DIGITS;
use crate::number::{Number, portion};
use crate::plant::{Product, Subject};
use crate::table1::per_basis;
use crate::tce::PerBasis;

/// Weight × qualified output of one product, of those up to it, and of all.
struct Worth {
    own: Number,
    before: Number,
    all: Number,
}

impl Worth {
    /// Its part of a number, as the difference of running totals, so that all parts sum to the whole exactly.
    fn part(&self, number: &Number) -> Option<Number> {
        let digits = SHARE_DIGITS.max(number.places());
        let upto = |running: &Number| portion(number, running, &self.all, digits);
        Some(upto(&(&self.before + &self.own))? - upto(&self.before)?)
    }
}

impl Making<'_> {
    /// Divides the energy of a line, and its kinds, among its products.
    ///
    /// # Source
    /// GB/T 2589-2020 6.5: where the energy of each product is not measured, it is divided in proportion of output.
    pub(super) fn parts(
        &mut self,
        base: &str,
        line: &Subject,
        made: &[&Product],
        kinds: &[LineKind],
        energy: &PerBasis<Figure>,
        lacking: &[Localized],
    ) -> Vec<ProductPart> {
        let mut outputs = Vec::new();
        for product in made {
            let base = format!("{base}/product/{}", product.id);
            outputs.push(self.outputs(&base, line, product));
        }
        let worths = worths(made, &outputs);
        let mut parts = Vec::new();
        for (at, (product, outputs)) in made.iter().zip(outputs).enumerate() {
            let base = format!("{base}/product/{}", product.id);
            let worth = worths.as_ref().map(|worths| &worths[at]);
            let energy = per_basis(self.on, self.basis, |on| {
                let whole = energy.get(on.basis).expect("each basis asked for has a total");
                self.share(format!("{base}/energy/{}", on.basis), whole, worth)
            });
            let mut per_kind = Vec::new();
            for kind in kinds {
                let name = format!("{base}/{}", kind.kind);
                let part = self.share(format!("{name}/quantity"), &kind.quantity, worth);
                per_kind.push(self.sheet.quotient(name, &part, &outputs.qualified));
            }
            let product = self.per_product(&base, product, outputs, &energy, lacking);
            parts.push(ProductPart { product, energy, kinds: per_kind });
        }
        parts
    }

    /// One product's part of a figure of the line, or why there is none.
    fn share(&mut self, name: String, whole: &Figure, worth: Result<&Worth, &Localized>) -> Figure {
        let part = worth.ok().and_then(|worth| worth.part(whole.exact()?));
        let formula = match worth {
            Ok(Worth { own, all, .. }) => {
                let part = part.as_ref().map_or_else(|| "–".to_owned(), Number::to_string);
                format!("{} × {own} ÷ {all} = {part} {}", whole.text(), whole.unit)
            }
            Err(why) => why.to_string(),
        };
        let mut figure = self.sheet.part(name, whole, part, formula);
        if let Err(why) = worth {
            self.sheet.remark(&mut figure, why.clone());
        }
        figure
    }
}

/// What each product weighs, or why that is not known.
fn worths(made: &[&Product], outputs: &[Outputs]) -> Result<Vec<Worth>, Localized> {
    let mut known = Vec::new();
    for (product, outputs) in made.iter().zip(outputs) {
        let output = Some(&outputs.qualified).filter(|figure| figure.complete);
        let Some(output) = output.and_then(Figure::exact) else {
            let id = &product.id;
            return Err(text!(
                en: "the energy of the line is not divided: `qualified_output:{id}` is missing, or is declared for a part; 0 where none was made",
                zh: "产线能耗未分摊：缺少 `qualified_output:{id}` 或只填报了部分时段；没有生产时填 0"
            ));
        };
        known.push((*product, output));
    }
    let making = known.iter().filter(|(_, output)| output.is_positive()).count();
    let unweighed: Vec<&str> = known
        .iter()
        .filter(|(product, _)| product.weight.is_none())
        .map(|(product, _)| product.id.as_str())
        .collect();
    if making > 1 && !unweighed.is_empty() {
        let names = unweighed.join("`, `");
        return Err(text!(
            en: "the line makes several products, and its energy is not divided among them: state `weight` in the `[[product]]` of `{names}`",
            zh: "该产线生产多种产品，能耗未分摊：请在 `{names}` 的 `[[product]]` 中写折合系数 `weight`"
        ));
    }
    if making == 0 {
        return Err(text!(
            en: "the energy of the line is not divided: no product was made",
            zh: "产线能耗未分摊：没有合格产量"
        ));
    }
    let own = |(product, output): &(&Product, &Number)| match &product.weight {
        Some(weight) => weight * *output,
        None => (*output).clone(),
    };
    let all: Number = known.iter().map(own).sum();
    let mut before = Number::zero();
    let worths = known.iter().map(|one| {
        let worth = Worth { own: own(one), before: before.clone(), all: all.clone() };
        before = &before + &worth.own;
        worth
    });
    Ok(worths.collect())
}
