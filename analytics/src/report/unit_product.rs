//! Unit-product energy as a grid. Must never compute.
//!
//! # Source
//! T/ZJREA draft, Table 2: output, physical use per unit product, comprehensive energy per unit product; both bases.

use energy::Figure;
use energy::unit_product::{Line, UnitProduct};

use super::grid::{Cell, Grid};
use super::table1::basis_name;

/// Unit-product energy as a grid: one row a figure.
#[must_use]
pub fn unit_products(products: &UnitProduct) -> Grid {
    let header =
        ["产线 line", "指标 figure", "数值 value", "单位 unit", "覆盖率 coverage", "说明 note"];
    let mut rows: Vec<Vec<Cell>> =
        products.lines.iter().flat_map(|line| line_rows(line, products)).collect();
    for basis in products.basis.bases() {
        let sums = [
            ("未分摊 undistributed", &products.undistributed),
            ("企业合计 enterprise", &products.totals),
        ];
        for (name, figures) in sums {
            let figure = figures.get(*basis);
            rows.extend(
                figure.map(|figure| {
                    figure_row("", &format!("{name} ({})", basis_name(*basis)), figure)
                }),
            );
        }
    }
    let mut notes = Vec::new();
    for basis in products.basis.bases() {
        if let Some(set) = products.coefficient_sets.get(*basis) {
            notes.push(format!("{}: 折标系数集 coefficient set {set}", basis_name(*basis)));
        }
    }
    if let Some(commit) = products.commit {
        notes.push(format!("截至入库提交 as of ingest commit {commit}"));
    }
    notes.extend(
        products
            .missing_coefficients
            .iter()
            .map(|missing| format!("缺少系数 missing coefficient: {missing}")),
    );
    Grid {
        title: format!("单位产品综合能耗 unit-product energy · {}", products.period),
        header: header.map(str::to_owned).to_vec(),
        rows,
        notes,
    }
}

fn line_rows(line: &Line, products: &UnitProduct) -> Vec<Vec<Cell>> {
    let mut rows = Vec::new();
    for kind in &line.kinds {
        rows.push(figure_row(&line.name, &kind.name, &kind.quantity));
        let per_product = kind.per_product.as_ref();
        rows.extend(
            per_product
                .map(|figure| figure_row(&line.name, &format!("单位产品{}", kind.name), figure)),
        );
    }
    for basis in products.basis.bases() {
        let figure = line.tce.get(*basis);
        let name = format!("综合能耗 ({})", basis_name(*basis));
        rows.extend(figure.map(|figure| figure_row(&line.name, &name, figure)));
    }
    let parts = line.products.iter().map(|part| &part.product);
    for product in line.product.iter().chain(parts) {
        let name = format!("合格产量 qualified output: {}", product.name);
        rows.push(figure_row(&line.name, &name, &product.qualified_output));
        for basis in products.basis.bases() {
            let figure = product.energy_per_product.get(*basis);
            let of =
                if line.products.is_empty() { String::new() } else { format!("{} ", product.name) };
            let name = format!("{of}单位产品综合能耗 ({})", basis_name(*basis));
            rows.extend(figure.map(|figure| figure_row(&line.name, &name, figure)));
        }
    }
    rows
}

fn figure_row(line: &str, name: &str, figure: &Figure) -> Vec<Cell> {
    vec![
        Cell::text(line),
        Cell::text(name),
        Cell::figure(figure),
        Cell::text(&figure.unit),
        Cell::coverage(figure),
        Cell::notes([figure]),
    ]
}
