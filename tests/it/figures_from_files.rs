//! The figures of the worked examples from files, through `nengliu kpi`. Must never use a lake: all is declared.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tests::ours::figures::{Figures, row};
use tests::peers::python;
use tests::programs::{program, workspace_root};

fn example(name: &str) -> (PathBuf, Value) {
    let folder = workspace_root().join("examples").join(name);
    let expected = fs::read_to_string(folder.join("expected.json")).unwrap();
    (folder.join("plant.toml"), serde_json::from_str(&expected).unwrap())
}

/// A decimal without trailing zeros, as figures are written.
fn same_number(found: &Value, expected: &Value) {
    let plain = |value: &Value| {
        let text = value.as_str().unwrap_or_else(|| panic!("no number: {value}")).to_owned();
        if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            text
        }
    };
    assert_eq!(plain(found), plain(expected));
}

/// Table 1 of an example, every figure that its `expected.json` states.
fn check_table1(name: &str) {
    let (plant, expected) = example(name);
    let basis = expected["basis"].as_str().unwrap();
    let period = expected["period"].as_str().unwrap();
    let table =
        Figures { plant: &plant, lake: None }.table1(period, &basis.replace('_', "-")).unwrap();
    for wanted in expected["rows"].as_array().unwrap() {
        let kind = wanted["kind"].as_str().unwrap();
        let tce = &row(&table, kind).unwrap()["converted"][basis]["tce"];
        same_number(&tce["value"], &wanted["tce"]);
        assert_eq!(tce["basis"], basis);
        assert!(tce["coefficient_set"].as_str().is_some_and(|set| !set.is_empty()), "{tce:#}");
    }
    same_number(&table["totals"][basis]["value"], &expected["total"]);
    for (figure, wanted) in [
        ("output_value_intensity", &expected["output_value_intensity"]),
        ("value_added_intensity", &expected["value_added_intensity"]),
    ] {
        same_number(&table[figure][basis]["value"]["value"], wanted);
    }
}

#[test]
fn c1_a1_table_1_in_calorific_value_by_the_edition_of_2008() {
    check_table1("table1-c1-a1");
}

#[test]
fn c1_a2_table_1_in_equal_value_by_the_edition_of_2008() {
    check_table1("table1-c1-a2");
}

#[test]
fn c1_b1_table_1_in_calorific_value_by_the_edition_of_2020() {
    check_table1("table1-c1-b1");
}

#[test]
fn c1_b2_table_1_in_equal_value_by_the_edition_of_2020() {
    check_table1("table1-c1-b2");
}

#[test]
fn c1_b3_table_1_with_superheated_steam() {
    check_table1("table1-c1-b3");
}

#[test]
fn c1_c_table_1_of_the_c_vector() {
    check_table1("table1-c1-c");
}

/// Water of C1 C is in the example as the vector has it; its row alone is what differs.
#[test]
fn a_missing_equal_value_coefficient_is_named_and_the_rest_is_printed() {
    let (plant, expected) = example("table1-c1-a1");
    let figures = Figures { plant: &plant, lake: None };
    let ran = figures.kpi("table1", "2023", "both").unwrap();
    assert_eq!(ran.code, Some(9), "{ran:?}");
    let table: Value = serde_json::from_str(&ran.output).unwrap();
    same_number(&table["totals"]["equivalent"]["value"], &expected["total"]);
    assert_eq!(table["totals"]["equal_value"]["value"], Value::Null);
    let missing = table["missing_coefficients"].as_array().unwrap();
    assert!(!missing.is_empty());
    // The whole key, and what to add to the plant file.
    for word in ["electricity", "equal_value", "GB/T 2589", "2008", "[[coefficient]]"] {
        assert!(ran.errors.contains(word), "`{word}` is not in:\n{}", ran.errors);
    }
    // As text it is the same: the figures that are there, then what is missing.
    let text = figures.run(&["kpi", "table1", "--period", "2023"]).unwrap();
    assert_eq!(text.code, Some(9));
    assert!(text.output.contains("3,042.16"), "{}", text.output);
    let all = figures.run(&["kpi", "table1", "--period", "2023", "--digits", "all"]).unwrap();
    assert!(all.output.contains("3042.1564"), "{}", all.output);
}

#[test]
fn c5_unit_product_energy_with_a_shared_compressor() {
    let (plant, expected) = example("unit-product");
    let figures = Figures { plant: &plant, lake: None };
    let ran = figures.kpi("unit-product", expected["period"].as_str().unwrap(), "both").unwrap();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let found: Value = serde_json::from_str(&ran.output).unwrap();
    let bases = ["equivalent", "equal_value"];
    for wanted in expected["lines"].as_array().unwrap() {
        let line = by(&found["lines"], "line", &wanted["line"]);
        for basis in bases {
            same_number(&line["tce"][basis]["value"], &wanted["tce"][basis]);
            if let Some(per_product) = wanted.get("per_product") {
                let ratio = &line["product"]["energy_per_product"][basis]["value"];
                same_number(&ratio["value"], &per_product[basis]);
            }
        }
        for physical in wanted["physical"].as_array().into_iter().flatten() {
            let kind = by(&line["kinds"], "kind", &physical["kind"]);
            same_number(&kind["per_product"]["value"]["value"], &physical["per_product"]);
            assert_eq!(kind["per_product"]["unit"], physical["unit"]);
        }
    }
    for basis in bases {
        same_number(&found["undistributed"][basis]["value"], &expected["undistributed"][basis]);
        same_number(&found["totals"][basis]["value"], &expected["total"][basis]);
    }
}

fn by<'a>(list: &'a Value, key: &str, wanted: &Value) -> &'a Value {
    let found = list.as_array().unwrap().iter().find(|entry| entry[key] == *wanted);
    found.unwrap_or_else(|| panic!("no `{key}` {wanted} in {list:#}"))
}

/// The energy per 10k yuan of an example, in all four forms.
#[test]
fn intensity_is_the_same_as_text_json_csv_and_workbook() {
    let (plant, expected) = example("table1-c1-b2");
    let figures = Figures { plant: &plant, lake: None };
    let whole = |arguments: &[&str]| {
        let arguments = [&["kpi", "intensity", "--period", "2023"], arguments].concat();
        let ran = figures.run(&arguments).unwrap();
        assert_eq!(ran.code, Some(0), "{ran:?}");
        ran.output
    };
    let json: Value = serde_json::from_str(&whole(&["--format", "json"])).unwrap();
    assert_eq!(json["schema"], "nengliu.kpi.v1");
    let ratio = &json["output_value_intensity"]["equal_value"]["value"];
    same_number(&ratio["value"], &expected["output_value_intensity"]);
    let exact = |name: &str| ratio[name].as_str().unwrap().parse::<f64>().unwrap();
    let exact = exact("numerator") / exact("denominator");

    let text = whole(&["--basis", "equal-value", "--lang", "zh"]);
    let line = text.lines().find(|line| line.trim_start().starts_with("4 万元产值综合能耗"));
    let line = line.unwrap_or_else(|| panic!("{text}"));
    assert!(line.contains("0.2371 tce/万元") && line.contains("100.0 %"), "{line}");

    let csv = whole(&["--format", "csv"]);
    let csv = csv.strip_prefix('\u{feff}').expect("Excel takes it for GBK without this mark");
    let begin = "table1/2023/output_value_intensity/equal_value,";
    let line = csv.lines().find(|line| line.starts_with(begin)).unwrap();
    let cells: Vec<&str> = line.split(',').collect();
    let value: f64 = cells[9].parse().unwrap();
    assert!((value - exact).abs() < 1e-12, "{line}");
    assert_eq!((cells[10], cells[12]), ("tce/万元", "100.0"));

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("intensity.xlsx");
    assert_eq!(whole(&["--lang", "zh", "--output", path.to_str().unwrap()]), "");
    let book = workbook(&path);
    let cells = &book["sheets"][0]["cells"];
    let at = row_of(cells, ("C", "万元产值综合能耗"), ("D", "等价值"));
    let number = cells[format!("F{at}")]["value"].as_f64().unwrap();
    assert!((number - exact).abs() < 1e-12, "{cells:#}");
    assert_eq!(cells[format!("F{at}")]["format"], "#,##0.0000");
}

/// What openpyxl, which is not ours, reads of a workbook.
fn workbook(path: &Path) -> Value {
    python::json(python::script("read_workbook.py").unwrap().arg(path)).unwrap()
}

/// The first row of a sheet in which one column begins so, and another says this.
fn row_of(cells: &Value, (column, begin): (&str, &str), (other, text): (&str, &str)) -> u32 {
    let rows = cells.as_object().unwrap().iter().filter_map(|(at, cell)| {
        let at: u32 = at.strip_prefix(column)?.parse().ok()?;
        let begins = cell["value"].as_str().is_some_and(|found| found.starts_with(begin));
        (begins && cells[format!("{other}{at}")]["value"] == text).then_some(at)
    });
    rows.min().unwrap_or_else(|| panic!("no row `{begin}` in {cells:#}"))
}

/// O5, the printed form: one A4 page, numbers as numbers, formulas that give what was computed, the trace behind it.
#[test]
fn the_workbook_of_table_1_can_be_handed_in() {
    let (plant, expected) = example("table1-c1-b2");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("表1.xlsx");
    let figures = Figures { plant: &plant, lake: None };
    let arguments = ["kpi", "table1", "--period", "2023", "--lang", "zh", "-o"];
    let ran = figures.run(&[&arguments[..], &[path.to_str().unwrap()]].concat()).unwrap();
    assert_eq!((ran.code, ran.output.as_str()), (Some(0), ""), "{ran:?}");
    assert!(ran.errors.contains("已写入") && ran.errors.contains("表1.xlsx"), "{ran:?}");
    let book = workbook(&path);
    let [form, trace] = [0, 1].map(|at| &book["sheets"][at]);
    assert_eq!([&form["name"], &trace["name"]], ["表1", "溯源"]);
    for (sheet, high) in [(form, 1), (trace, 0)] {
        let page = ["paper", "orientation", "fit_to_page", "fit_to_width", "fit_to_height"];
        let page: Vec<&Value> = page.iter().map(|key| &sheet[key]).collect();
        let a4 = serde_json::json!([9, "landscape", true, 1, high]);
        assert_eq!(serde_json::json!(page), a4);
    }
    assert_eq!([&form["frozen"], &trace["frozen"]], ["C5", "D4"]);
    // Columns that hold what stands in them, and together no more than a page.
    let widths = form["widths"].as_object().unwrap().values();
    let widths: Vec<f64> = widths.filter_map(Value::as_f64).collect();
    assert!(widths.iter().all(|width| (6.0..30.0).contains(width)), "{widths:?}");
    assert!(widths.iter().sum::<f64>() < 140.0, "{widths:?}");
    check_form(&form["cells"], expected["total"].as_str().unwrap());

    // One row for each figure, linked to the form.
    let cells = &trace["cells"];
    let at = row_of(cells, ("N", "table1/2023/total/equal_value"), ("D", "等价值"));
    let link = cells[format!("E{at}")]["value"].as_str().unwrap();
    assert!(link.starts_with("='表1'!G"), "{link}");
    assert!(cells[format!("H{at}")]["value"].as_str().unwrap().contains(" = 4386.255576 tce"));
    let known =
        serde_json::json!({ "created": "2024-01-01T00:00:00", "title": "表1 能源消耗统计表" });
    assert_eq!(book["properties"], known);
}

fn check_form(cells: &Value, expected_total: &str) {
    assert_eq!(cells["A1"]["value"], "表1 能源消耗统计表");
    let heads = ["A3", "B3", "C3", "F3", "G3", "D4", "E4"].map(|at| &cells[at]["value"]);
    assert_eq!(heads, ["序号", "能源种类", "来源渠道", "单位", "2023年", "当量值", "等价值"]);
    let at = row_of(cells, ("B", "电力"), ("C", "外购"));
    let number = |column: &str| cells[format!("{column}{at}")]["value"].as_f64();
    assert_eq!(["D", "E", "G"].map(number), [Some(1.229), Some(3.0), Some(850.0)]);
    assert_eq!(cells[format!("G{at}")]["format"], "#,##0.0000");
    let at = row_of(cells, ("C", "等价值"), ("F", "tce"));
    let total = &cells[format!("G{at}")];
    assert_eq!(total["value"], "=SUMPRODUCT($E$5:$E$9,G$5:G$9)");
    assert_eq!(total["cached"].as_f64(), expected_total.parse().ok());
    assert_eq!(total["format"], "#,##0.00_0_0");
    let at = row_of(cells, ("C", "等价值"), ("F", "tce/万元"));
    let quotient = cells[format!("G{at}")]["value"].as_str().unwrap();
    assert_eq!(quotient, "=IF(G12>0,G11/G12,\"\")");
}

/// O4: README printed a table that no command prints.
#[test]
fn the_table_of_readme_is_one_that_a_command_prints() {
    let root = workspace_root();
    for (readme, language) in [("README.md", "en"), ("README.zh-CN.md", "zh")] {
        let text = fs::read_to_string(root.join(readme)).unwrap();
        let line =
            text.lines().find(|line| line.starts_with("nengliu kpi table1 --plant examples/"));
        let arguments = line.unwrap_or_else(|| panic!("no command in {readme}"));
        let printed = text.split(arguments).nth(1).and_then(|rest| rest.split("```").nth(2));
        let printed = printed.unwrap().trim();
        let mut command = std::process::Command::new(program("nengliu").unwrap());
        command.current_dir(&root).args(arguments.split_whitespace().skip(1));
        let output = command.args(["--lang", language]).output().unwrap();
        let output = String::from_utf8(output.stdout).unwrap();
        assert!(output.starts_with(printed), "{readme} is not what is printed:\n{output}");
    }
}

/// Two years, the second with 10 % more coal and output value at other prices.
fn two_years(folder: &Path, base: &str) -> PathBuf {
    let plant = folder.join("plant.toml");
    let text = "[plant]\nname = \"T\"\nenterprise = \"acme\"\ntime_zone = \"Asia/Shanghai\"\n\
                rule_set = \"GB/T 2589\"\nedition = \"2020\"\nfacts = [\"facts.csv\"]\n\
                [[energy_kind]]\nid = \"raw_coal\"\nname = \"原煤\"\nunit = \"t\"\n";
    fs::write(&plant, text).unwrap();
    let months = |year: i32, tonnes: i32| -> String {
        let month = |month| format!("acme,{year}-{month:02},purchased:raw_coal,{tonnes},t,\n");
        (1..=12).map(month).collect()
    };
    let facts = format!(
        "subject,period,measure,value,unit,price_base\n{}{}\
         acme,2022,gross_output_value,18500,万元,2020\nacme,2023,gross_output_value,25000,万元,{base}\n",
        months(2022, 100),
        months(2023, 110),
    );
    fs::write(folder.join("facts.csv"), facts).unwrap();
    plant
}

/// fig-13: a rise of prices is no saving of energy.
#[test]
fn periods_are_compared_and_intensities_of_other_price_bases_are_not() {
    for (base, compared) in [("2020", true), ("current", false)] {
        let folder = tempfile::tempdir().unwrap();
        let plant = two_years(folder.path(), base);
        let figures = Figures { plant: &plant, lake: None };
        let arguments = ["kpi", "table1", "--period", "2023", "--compare", "2022"];
        let of = |more: &[&str]| figures.run(&[&arguments[..], more].concat()).unwrap().output;
        let text = of(&["--basis", "equivalent"]);
        let row = |name: &str| {
            let found = text.lines().find(|line| line.contains(name) && line.contains('.'));
            let words = found.unwrap_or_else(|| panic!("{text}")).split_whitespace();
            words.collect::<Vec<_>>().join(" ")
        };
        assert!(row("Raw coal").contains("+120.00 +10.0 %"), "{text}");
        assert!(row("Total energy").contains("+85.72 +10.0 %"), "{text}");
        assert_eq!(row("Energy per output value").contains("-18.6 %"), compared, "{text}");
        assert_eq!(text.contains("not compared, the price bases differ"), !compared, "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
        let json: Value = serde_json::from_str(&of(&["--format", "json"])).unwrap();
        assert_eq!(json["periods"].as_array().map(Vec::len), Some(2));
        let rows = json["comparison"].as_array().unwrap();
        let of_coal = by(&json["comparison"], "after", &"table1/2023/raw_coal/quantity".into());
        assert_eq!((&of_coal["difference"], &of_coal["percent"]), (&"120".into(), &"10".into()));
        let quotient = "table1/2023/output_value_intensity/equivalent";
        let quotient = rows.iter().find(|row| row["after"] == quotient).unwrap();
        assert_eq!(quotient["difference"].is_string(), compared, "{quotient}");
        assert_eq!(quotient["why_not"].is_string(), !compared, "{quotient}");
    }
}

/// The parts of a year are computed each by itself and add up to it.
#[test]
fn a_year_is_printed_month_by_month_and_a_period_without_data_is_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let plant = two_years(folder.path(), "2020");
    let figures = Figures { plant: &plant, lake: None };
    let run = |arguments: &[&str]| figures.run(&[&["kpi", "table1"], arguments].concat()).unwrap();
    let csv = run(&["--period", "2023", "--by", "quarter", "--format", "csv"]).output;
    let quarters: Vec<&str> =
        csv.lines().filter(|line| line.contains("/raw_coal/quantity,")).collect();
    assert_eq!(quarters.len(), 4, "{csv}");
    assert!(quarters.iter().all(|line| line.split(',').nth(9) == Some("330")), "{csv}");
    let text = run(&["--period", "2023", "--by", "month", "--lang", "zh"]).output;
    for month in ["2023年1月", "2023年6月", "2023年12月"] {
        assert!(text.contains(month), "{text}");
    }
    let path = folder.path().join("months.xlsx");
    let ran =
        run(&["--period", "2023", "--by", "month", "--lang", "zh", "-o", path.to_str().unwrap()]);
    assert!(ran.errors.contains("months.xlsx"), "{ran:?}");
    let cells = &workbook(&path)["sheets"][0]["cells"];
    let at = row_of(cells, ("B", "原煤"), ("C", "外购"));
    assert_eq!(cells[format!("R{at}")]["value"].as_f64(), Some(110.0), "the twelfth month");
    let none = run(&["--period", "2031"]);
    assert_eq!((none.code, none.output.as_str()), (Some(11), ""), "{none:?}");
    assert!(none.errors.contains("EN-K005") && none.errors.lines().count() <= 3, "{none:?}");
}

/// O14: the name of the file says the format; what contradicts it is refused.
#[test]
fn the_output_file_chooses_the_format() {
    let (plant, _) = example("table1-c1-b2");
    let folder = tempfile::tempdir().unwrap();
    let figures = Figures { plant: &plant, lake: None };
    let run = |name: &str, more: &[&str]| {
        let path = folder.path().join(name);
        let arguments = ["kpi", "table1", "--period", "2023", "-o", path.to_str().unwrap()];
        let ran = figures.run(&[&arguments[..], more].concat()).unwrap();
        (ran, fs::read(path).unwrap_or_default())
    };
    for (name, begin) in [
        ("t.xlsx", &b"PK"[..]),
        ("t.CSV", "\u{feff}figure,".as_bytes()),
        ("t.json", b"{"),
        ("t.txt", b"Table 1"),
        ("t.out", b"Table 1"),
    ] {
        let (ran, bytes) = run(name, &[]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(bytes.starts_with(begin), "{name}");
        assert!(ran.errors.contains(&format!("{name}` (")), "{ran:?}");
    }
    let (ran, bytes) = run("u.xlsx", &["--format", "csv"]);
    assert_eq!((ran.code, bytes.len()), (Some(3), 0), "{ran:?}");
    assert!(ran.errors.contains("EN-C023"), "{ran:?}");
}

/// Six months of coal and the output of a year: a figure, marked as what it is in every form.
#[test]
fn an_intensity_of_half_a_year_of_energy_is_marked() {
    let folder = tempfile::tempdir().unwrap();
    let plant = folder.path().join("plant.toml");
    let text = "[plant]\nenterprise = \"acme\"\ntime_zone = \"Asia/Shanghai\"\n\
                rule_set = \"GB/T 2589\"\nedition = \"2020\"\nfacts = [\"facts.csv\"]\n\
                [[energy_kind]]\nid = \"raw_coal\"\nunit = \"t\"\n";
    fs::write(&plant, text).unwrap();
    let months = (1..=6).map(|month| format!("acme,2023-{month:02},purchased:raw_coal,100,t\n"));
    let facts = format!(
        "subject,period,measure,value,unit\n{}acme,2023,gross_output_value,18500,万元\n",
        months.collect::<Vec<_>>().concat()
    );
    fs::write(folder.path().join("facts.csv"), facts).unwrap();
    let figures = Figures { plant: &plant, lake: None };
    for table in ["intensity", "table1"] {
        for format in ["text", "csv"] {
            let arguments = ["kpi", table, "--period", "2023", "--format", format];
            let ran = figures.run(&arguments).unwrap();
            let mut lines = ran.output.lines();
            let is_row = |line: &&str| {
                line.contains("Energy per output value  ")
                    || line.starts_with("table1/2023/output_value_intensity/")
            };
            let line = lines.find(|line| is_row(line) && line.contains("50.0"));
            let line = line.unwrap_or_else(|| panic!("{ran:?}"));
            let marked = line.contains("missing") || line.trim_end().ends_with(')');
            assert!(marked && ran.output.contains("part of its inputs is missing"), "{line}");
        }
    }
}

#[test]
fn explain_puts_the_numbers_into_the_formula() {
    let (plant, expected) = example("table1-c1-a1");
    let figures = Figures { plant: &plant, lake: None };
    let ran = figures.run(&["explain", "table1/2023/electricity/equivalent"]).unwrap();
    assert_eq!((ran.code, ran.errors.as_str()), (Some(0), ""));
    let electricity = expected["rows"].as_array().unwrap();
    let electricity = by_kind(electricity, "electricity")["tce"].as_str().unwrap();
    for words in [
        format!("table1/2023/electricity/equivalent = {electricity} tce"),
        format!("× 0.1229 kgce/kWh ÷ 1000 = {electricity} tce"),
        "GB/T 2589 2008 · ".to_owned(),
        "evidence ".to_owned(),
        "declared     purchased:electricity 2023 = 850 万kWh (".to_owned(),
    ] {
        assert!(ran.output.contains(&words), "no `{words}` in:\n{}", ran.output);
    }
}

fn by_kind<'a>(rows: &'a [Value], kind: &str) -> &'a Value {
    rows.iter().find(|row| row["kind"] == kind).unwrap()
}

#[test]
fn explain_names_the_coefficient_that_is_missing_and_what_to_add() {
    let (plant, _) = example("table1-c1-a1");
    let figures = Figures { plant: &plant, lake: None };
    let ran = figures.run(&["explain", "table1/2023/electricity/equal_value"]).unwrap();
    assert_eq!(ran.code, Some(9), "{ran:?}");
    for word in ["EN-K002", "energy kind `electricity`, role `equal_value`", "[[coefficient]]"] {
        assert!(ran.errors.contains(word), "no `{word}` in:\n{}", ran.errors);
    }
    assert!(!ran.errors.contains("steam"), "this figure needs none of steam:\n{}", ran.errors);
    let json = figures.run(&["explain", "table1/2023/total/equal_value", "--json"]).unwrap();
    assert_eq!(json.code, Some(9));
    let json: Value = serde_json::from_str(&json.output).unwrap();
    let missing = json["missing_coefficients"].as_array().unwrap();
    assert!(missing.iter().any(|one| one["key"]["energy_kind"] == "electricity"), "{missing:#?}");
}
