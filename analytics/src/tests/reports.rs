//! Tables: what is partial, estimated, forecast or an example is marked beside the figure, in every form, and a table fits
//! its terminal in both languages.

use std::path::{Path, PathBuf};

use energy::{BasisChoice, Class};
use model::Language;

use crate::report::{self, Digits, Report, TextOptions, Traced};
use crate::{FigureService, KpiFigures, PlantFiles};

mod workbooks;

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
    plant.table1(None, "2023".parse().unwrap(), BasisChoice::Both).unwrap()
}

/// The figures of one kind of an example or of any plant file.
fn figures(plant: &Path, kind: &str, period: &str) -> KpiFigures {
    let plant = PlantFiles::load(plant).unwrap_or_else(|problems| panic!("{problems}"));
    let kind = crate::kpi(kind).unwrap();
    let answer = FigureService::new(None).figures(
        &plant,
        kind,
        period.parse().unwrap(),
        BasisChoice::Both,
        &contract::Cancel::default(),
    );
    KpiFigures::clone(&answer.unwrap().figures)
}

fn example(name: &str) -> PathBuf {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    examples.join(name).join("plant.toml")
}

fn text(report: &Report, language: Language, width: usize) -> String {
    let options = TextOptions { language, width, digits: Digits::Form, sources: false };
    report::text(report, options)
}

/// 100 t of coal in each of six months, the output value of the year.
fn half_a_year() -> energy::Table1 {
    let month = |month| format!("acme,2023-{month:02},purchased:raw_coal,100,t\n");
    let months = (1..=6).map(month).collect::<Vec<_>>().concat();
    table("", &format!("{months}acme,2023,gross_output_value,18500,万元\n"))
}

/// The line of a text that has these words.
fn line<'a>(text: &'a str, words: &str) -> &'a str {
    let found = text.lines().find(|line| line.contains(words));
    found.unwrap_or_else(|| panic!("no `{words}` in:\n{text}"))
}

/// The row of a text table, which begins with its number.
fn row<'a>(text: &'a str, words: &str) -> &'a str {
    let is_row = |line: &&str| {
        let number = line.split_whitespace().next().unwrap_or_default();
        number.parse::<u32>().is_ok() && line.contains(words)
    };
    text.lines().find(is_row).unwrap_or_else(|| panic!("no row `{words}` in:\n{text}"))
}

/// Whether a row ends in the mark of a footnote that has these words.
fn is_marked(text: &str, words_of_row: &str, words: &str) -> bool {
    // A footnote may take several lines.
    let whole = text.replace("\n   ", " ");
    let note = whole.lines().find(|line| line.contains(words) && line.contains(") "));
    let number = note.and_then(|note| note.split_once(") ")?.0.parse::<u32>().ok());
    let Some(number) = number else { return false };
    // `3)`, or `2-4)`.
    let marks =
        row(text, words_of_row).split_whitespace().filter_map(|word| word.strip_suffix(')'));
    let mut ranges = marks.filter_map(|mark| {
        let (first, last) = mark.split_once('-').unwrap_or((mark, mark));
        Some(first.parse::<u32>().ok()?..=last.parse::<u32>().ok()?)
    });
    ranges.any(|range| range.contains(&number))
}

#[test]
fn every_table_fits_its_terminal_in_both_languages() {
    for (name, kind) in [
        ("table1-c1-b2", "table1"),
        ("table1-c1-b2", "intensity"),
        ("unit-product", "unit-product"),
    ] {
        let figures = figures(&example(name), kind, "2023");
        for language in [Language::English, Language::Chinese] {
            for width in [80, 100, 160] {
                let text = text(&figures.report, language, width);
                for line in text.lines() {
                    let wide = report::width(line);
                    assert!(wide <= width, "{wide} columns of {width}: {line}");
                }
                let of = if language == Language::English { "en" } else { "zh" };
                insta::assert_snapshot!(format!("{kind}_{of}_{width}"), text);
            }
        }
    }
}

/// One language: no Chinese character but in what the plant itself is called, and in units that are explained.
#[test]
fn an_english_table_is_english() {
    let figures = figures(&example("table1-c1-b2"), "table1", "2023");
    let text = text(&figures.report, Language::English, 100);
    // What the plant itself is called stands in the title, and its kinds in footnotes.
    let own = |line: &str| line.contains("示例工厂") || line.contains("= 万");
    let is_note = |line: &str| {
        line.starts_with("   ") || line.split(' ').next().unwrap_or_default().ends_with(')')
    };
    for line in text.lines().filter(|line| !own(line) && !is_note(line)) {
        assert!(line.is_ascii(), "{line}");
    }
}

#[test]
fn a_figure_of_half_a_year_says_so_beside_its_value() {
    let table = half_a_year();
    for report in [report::intensity(&table), report::table1(&table)] {
        let text = text(&report, Language::English, 100);
        for name in ["Total energy", "Energy per output value"] {
            assert!(row(&text, name).contains("50.0 %"), "{text}");
            assert!(is_marked(&text, name, "part of its inputs is missing"), "{text}");
        }
        assert!(row(&text, "Gross output value").contains("100.0 %"), "{text}");
        assert!(!is_marked(&text, "Gross output value", "part of its inputs"), "{text}");
        let csv = String::from_utf8(report::csv(&[&report]).unwrap()).unwrap();
        let quotient = line(&csv, "/output_value_intensity/equivalent");
        assert!(quotient.contains(",50.0,"), "{quotient}");
        assert!(quotient.contains("part of its inputs is missing"), "{quotient}");
    }
    let text = text(&report::table1(&table), Language::English, 100);
    assert!(row(&text, "Raw coal").contains("50.0 %"), "{text}");
}

/// Unknown is neither zero nor an empty cell.
#[test]
fn what_is_unknown_is_called_missing() {
    let table = table(ELECTRICITY, "acme,2023,purchased:raw_coal,100,t\n");
    let report = report::table1(&table);
    let english = text(&report, Language::English, 100);
    assert!(row(&english, "Total energy").contains("missing"), "{english}");
    let chinese = text(&report, Language::Chinese, 100);
    assert!(row(&chinese, "综合能耗").contains('缺'), "{chinese}");
    assert_eq!(report.unknown_totals().count(), 2, "one a basis");
}

#[test]
fn what_is_estimated_or_mixed_does_not_look_like_what_was_read() {
    let mut table = half_a_year();
    for (class, word) in [
        (Class::Estimated, Some("estimated over a gap")),
        (Class::Rollover, Some("rollover of the register")),
        (Class::Mixed, Some("several kinds of sources")),
        (Class::Metered, None),
    ] {
        table.rows[0].quantity.class = Some(class);
        let text = text(&report::table1(&table), Language::English, 100);
        for other in
            ["estimated over a gap", "rollover of the register", "several kinds of sources"]
        {
            assert_eq!(is_marked(&text, "Raw coal", other), word == Some(other), "{text}");
        }
    }
}

/// fig-12, in every table and format: an equal value without its coefficient cannot be audited.
#[test]
fn an_equal_value_has_its_coefficient_with_year_and_document_beside_it() {
    let table = table(ELECTRICITY, "acme,2023,purchased:electricity,850,万kWh\n");
    for report in [report::table1(&table), report::intensity(&table)] {
        let name = "Total energy";
        let text = text(&report, Language::English, 100);
        let equal_value = text.split("equal-value basis").nth(1).unwrap();
        let words = "data year 2022, 某公告2023年第1号, assumed";
        assert!(is_marked(equal_value, name, words), "{text}");
        let csv = String::from_utf8(report::csv(&[&report]).unwrap()).unwrap();
        assert!(csv.contains("data year 2022, 某公告2023年第1号"), "{csv}");
    }
}

#[test]
fn unit_product_figures_have_the_coefficients_of_their_equal_values_beside_them() {
    let figures = figures(&example("unit-product"), "unit-product", "2023");
    let text = text(&figures.report, Language::Chinese, 100);
    let equal_value = text.split("按等价值").nth(1).unwrap();
    for name in ["单位产品综合能耗", "企业综合能耗"] {
        assert!(is_marked(equal_value, name, "数据年份 2023"), "{text}");
        assert!(is_marked(equal_value, name, "示例值，不可用于上报"), "{text}");
    }
    let calorific = text.split("按等价值").next().unwrap();
    assert!(!calorific.contains("示例值"), "{text}");
    let csv = String::from_utf8(report::csv(&[&figures.report]).unwrap()).unwrap();
    let quotient = line(&csv, "unit-product/2023/line-a/equal_value");
    assert!(quotient.contains("illustrative: not for a report"), "{quotient}");
}

/// O14: a reader of CSV gets one row a figure, numbers as numbers.
#[test]
fn csv_is_one_header_and_one_row_a_figure() {
    let figures = figures(&example("table1-c1-b2"), "table1", "2023");
    let csv = report::csv(&[&figures.report]).unwrap();
    let text = csv.strip_prefix("\u{feff}".as_bytes()).expect("Excel takes it for GBK without");
    let mut reader = csv::Reader::from_reader(text);
    let header = reader.headers().unwrap().clone();
    let at = |name: &str| header.iter().position(|column| column == name).unwrap();
    let mut count = 0;
    for record in reader.records() {
        let record = record.unwrap();
        count += 1;
        for column in ["value", "coverage_percent"] {
            let cell = &record[at(column)];
            assert!(cell.is_empty() || cell.parse::<f64>().is_ok(), "{record:?}");
        }
        assert!(record[at("figure")].starts_with("table1/2023/"), "{record:?}");
    }
    let expected = figures.report.rows.iter().flat_map(report::Row::figures).count();
    assert_eq!(count, expected);
    // Exact, not as the form prints it.
    let text = String::from_utf8_lossy(&csv);
    let total = line(&text, "table1/2023/total/equal_value,");
    let expected = std::fs::read_to_string(example("table1-c1-b2").with_file_name("expected.json"));
    let expected: serde_json::Value = serde_json::from_str(&expected.unwrap()).unwrap();
    assert_eq!(total.split(',').nth(9), expected["total"].as_str());
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
