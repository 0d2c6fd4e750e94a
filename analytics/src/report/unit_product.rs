//! Unit-product energy as rows. Must never compute.
//!
//! # Source
//! T/ZJREA draft, Table 2: output, physical use per unit product, comprehensive energy per unit product; both bases.

use energy::Figure;
use energy::tce::PerBasis;
use energy::unit_product::{Line, LineKind, UnitProduct};
use model::{Language, Localized, text};

use super::remarks;
use super::rows::{Form, Part, Report, Row};
use super::table1::{on_bases, sets};
use super::words;

/// Unit-product energy: one row a figure, line by line.
#[must_use]
pub fn unit_products(products: &UnitProduct, plant: &str) -> Report {
    let mut rows: Vec<Row> = products.lines.iter().flat_map(line_rows).collect();
    let sums: [(&str, Localized, &PerBasis<Figure>); 2] = [
        (
            "undistributed",
            text!(en: "Not distributed to lines", zh: "未分摊到产线"),
            &products.undistributed,
        ),
        (
            "total",
            text!(en: "Total energy of the enterprise", zh: "企业综合能耗"),
            &products.totals,
        ),
    ];
    rows.extend(sums.map(|(item, name, figures)| Row {
        on: on_bases(figures),
        origin: Some(text!(en: "computed", zh: "计算")),
        ..Row::new(Part::Total, item, name)
    }));
    for (number, row) in (1..).zip(&mut rows) {
        row.number = Some(number);
        remarks::of_figures(row);
    }
    Report {
        form: Form::UnitProduct,
        plant: plant.to_owned(),
        period: products.period,
        bases: products.basis.bases(),
        rows,
        sets: sets(&products.coefficient_sets),
        rule_sets: Vec::new(),
        commit: products.commit,
        sources: sources(products),
    }
}

fn line_rows(line: &Line) -> Vec<Row> {
    let row = |item: &str, name: Localized| Row {
        line: Some((line.line.to_string(), line.name.clone())),
        ..Row::new(Part::Line, item, name)
    };
    let mut rows = Vec::new();
    for kind in &line.kinds {
        let name = words::named(&kind.name, kind.kind.as_str());
        let mut used = row(&format!("{}/quantity", kind.kind), name.clone());
        used.figure = Some(kind.quantity.clone());
        rows.push(used);
        rows.extend(per_product(kind, &name).map(|(item, name, figure)| {
            let made = row(&item, name);
            Row { figure: Some(figure.clone()), origin: Some(quotient()), ..made }
        }));
    }
    let mut energy = row("energy", text!(en: "Energy", zh: "综合能耗"));
    energy.on = on_bases(&line.tce);
    energy.origin = Some(text!(en: "computed", zh: "计算"));
    rows.push(energy);
    let several = !line.products.is_empty();
    let parts = line.products.iter().map(|part| &part.product);
    for product in line.product.iter().chain(parts) {
        let (id, made) = (&product.product, &product.name);
        let item = |name: &str| if several { format!("{id}/{name}") } else { name.to_owned() };
        let name = text!(en: "Qualified output {made}", zh: "合格产量 {made}");
        let mut output = row(&item("qualified_output"), name);
        output.figure = Some(product.qualified_output.clone());
        rows.push(output);
        let name = if several {
            text!(en: "Energy per {made}", zh: "单位{made}综合能耗")
        } else {
            text!(en: "Energy per product", zh: "单位产品综合能耗")
        };
        let mut per_product = row(&item("energy_per_product"), name);
        per_product.on = on_bases(&product.energy_per_product);
        per_product.origin = Some(quotient());
        rows.push(per_product);
    }
    rows
}

fn quotient() -> Localized {
    text!(en: "quotient", zh: "相除")
}

fn per_product<'a>(
    kind: &'a LineKind,
    name: &Localized,
) -> Option<(String, Localized, &'a Figure)> {
    let figure = kind.per_product.as_ref()?;
    let (en, zh) = (name.get(Language::English), name.get(Language::Chinese));
    let name = text!(en: "{en} per product", zh: "单位产品{zh}");
    Some((format!("{}/per_product", kind.kind), name, figure))
}

fn sources(products: &UnitProduct) -> Vec<Localized> {
    let mut all: Vec<Localized> = Vec::new();
    for basis in products.basis.bases() {
        for kind in products.lines.iter().flat_map(|line| &line.kinds) {
            let used = kind.converted.get(*basis).and_then(|cell| cell.coefficient.as_ref());
            let name = words::named(&kind.name, kind.kind.as_str());
            let text = used.map(|used| remarks::coefficient(&name, *basis, used));
            all.extend(text.filter(|text| !all.contains(text)));
        }
    }
    let missing = products.missing_coefficients.iter();
    all.extend(
        missing
            .map(|missing| text!(en: "missing coefficient: {missing}", zh: "缺少系数：{missing}")),
    );
    all
}
