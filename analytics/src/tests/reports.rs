//! Grids: what is partial, estimated or an example is marked beside the figure, in every form.

use energy::Class;

use crate::PlantFiles;
use crate::report::{self, Cell, Grid};

const HEAD: &str = r#"
[plant]
name = "示例工厂"
enterprise = "acme"
time_zone = "Asia/Shanghai"
rule_set = "GB/T 2589"
edition = "2020"
facts = ["facts.csv"]

[[energy_kind]]
id = "raw_coal"
name = "原煤"
unit = "t"
"#;
const ELECTRICITY: &str = r#"
[[energy_kind]]
id = "electricity"
name = "电力"
unit = "万kWh"

[[coefficient]]
energy_kind = "electricity"
role = "equal_value"
value = 3.00
value_unit = "tce"
unit = "万kWh"
region = "CN"
data_year = 2022
coal_rate_kind = "gross"
notice = "某公告2023年第1号"
evidence = "assumed"
"#;

fn table(sections: &str, facts: &str) -> energy::Table1 {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plant.toml");
    std::fs::write(&path, format!("{HEAD}{sections}")).unwrap();
    let facts = format!("subject,period,measure,value,unit\n{facts}");
    std::fs::write(folder.path().join("facts.csv"), facts).unwrap();
    let plant = PlantFiles::load(&path).unwrap_or_else(|problems| panic!("{problems}"));
    plant.table1(None, "2023".parse().unwrap(), energy::BasisChoice::Both).unwrap()
}

/// 100 t of coal in each of six months, the output value of the year.
fn half_a_year() -> energy::Table1 {
    let month = |month| format!("acme,2023-{month:02},purchased:raw_coal,100,t\n");
    let months = (1..=6).map(month).collect::<Vec<_>>().concat();
    table("", &format!("{months}acme,2023,gross_output_value,18500,万元\n"))
}

/// The row that begins so, by the names of the columns.
fn cell<'a>(grid: &'a Grid, row: &str, column: &str) -> &'a Cell {
    let at = grid.header.iter().position(|name| name.starts_with(column)).unwrap();
    let row = grid.rows.iter().find(|cells| cells[0].shown().starts_with(row));
    &row.unwrap_or_else(|| panic!("no row `{row:?}`"))[at]
}

#[test]
fn a_figure_of_half_a_year_says_so_beside_its_value() {
    let table = half_a_year();
    for (grid, rows) in [
        (report::intensity(&table), ["综合能耗", "万元产值综合能耗"]),
        (report::table1(&table), ["综合能耗", "万元产值综合能耗"]),
    ] {
        for row in rows {
            assert_eq!(cell(&grid, row, "覆盖率").shown(), "50.0 %", "{row}");
            assert_ne!(cell(&grid, row, "说明").shown(), "", "{row}");
        }
        assert_eq!(cell(&grid, "工业总产值", "覆盖率").shown(), "100.0 %");
        assert_eq!(cell(&grid, "工业总产值", "说明").shown(), "");
        let (text, csv) = (report::text(&grid), report::csv(&grid).unwrap());
        assert!(text.contains("50.0 %"), "{text}");
        assert!(String::from_utf8(csv).unwrap().contains("50.0 %"));
    }
    assert_eq!(cell(&report::table1(&table), "原煤", "覆盖率").shown(), "50.0 %");
}

#[test]
fn what_is_estimated_or_mixed_does_not_look_like_what_was_read() {
    let mut table = half_a_year();
    for (class, word) in [
        (Class::Estimated, Some("estimated")),
        (Class::Rollover, Some("rollover")),
        (Class::Mixed, Some("mixed")),
        (Class::Metered, None),
    ] {
        table.rows[0].quantity.class = Some(class);
        let grid = report::table1(&table);
        let note = cell(&grid, "原煤", "说明").shown();
        let words = ["estimated", "rollover", "mixed"];
        for other in words {
            assert_eq!(note.contains(other), word == Some(other), "{note}");
        }
    }
}

#[test]
fn a_coefficient_is_printed_with_its_year_its_document_and_its_evidence() {
    let grid = report::table1(&table(ELECTRICITY, "acme,2023,purchased:electricity,850,万kWh\n"));
    let expected = "电力 等价值 equal_value: 3000 kgce/万kWh, 数据年份 data year 2022, \
                    某公告2023年第1号, 证据 evidence assumed";
    assert!(grid.notes.iter().any(|note| note == expected), "{:#?}", grid.notes);
    let note = cell(&grid, "电力", "说明").shown();
    assert!(note.contains("系数为假定值 assumed coefficient"), "{note}");
    let both = "原煤 等价值 equal_value: 0.7143 kgce/kg, 单一值 single_value: the one value of both bases, ";
    let coal = report::table1(&half_a_year()).notes;
    assert!(coal.iter().any(|note| note.starts_with(both)), "{coal:#?}");
}

#[test]
fn csv_begins_with_the_mark_that_excel_needs_and_can_be_read_again() {
    let grid = report::intensity(&half_a_year());
    let csv = report::csv(&grid).unwrap();
    let text = csv.strip_prefix("\u{feff}".as_bytes()).unwrap();
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text);
    let header: Vec<&str> = reader.headers().unwrap().iter().collect();
    assert_eq!(header, grid.header);
    assert_eq!(reader.records().count(), grid.rows.len() + 1 + grid.notes.len());
}

#[test]
fn facts_that_excel_saved_in_gbk_say_how_to_save_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plant.toml");
    std::fs::write(&path, HEAD).unwrap();
    // 电力 in GBK.
    let gbk =
        b"subject,period,measure,value,unit,note\nacme,2023,purchased:raw_coal,1,t,\xb5\xe7\xc1\xa6\n";
    std::fs::write(folder.path().join("facts.csv"), gbk).unwrap();
    let told = PlantFiles::load(&path).unwrap_err().to_string();
    assert!(told.contains("is not UTF-8 text") && told.contains("CSV UTF-8"), "{told}");
}
