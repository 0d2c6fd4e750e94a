//! Workbooks as Excel saves them, and as nobody should.

use rust_xlsxwriter::{Format, Workbook, Worksheet};

use super::*;

fn saved(fill: impl FnOnce(&mut Workbook)) -> Vec<u8> {
    let mut workbook = Workbook::new();
    fill(&mut workbook);
    workbook.save_to_buffer().unwrap()
}

fn one_sheet(fill: impl FnOnce(&mut Worksheet)) -> Vec<u8> {
    saved(|workbook| fill(workbook.add_worksheet().set_name("表").unwrap()))
}

fn read(bytes: &[u8]) -> (Vec<Arc<SourceFile>>, Problems) {
    let mut problems = Problems::default();
    let files = sheets("facts.xlsx", bytes, &mut problems);
    (files, problems)
}

#[test]
fn a_sheet_is_csv_whose_bytes_know_their_cells() {
    let bytes = one_sheet(|sheet| {
        let month = Format::new().set_num_format("yyyy-mm");
        sheet.write(0, 0, "对象").unwrap().write(0, 2, "数值, \"m³\"").unwrap();
        sheet.write(2, 0, "#1机组").unwrap().write(2, 2, 0.1 + 0.2).unwrap();
        sheet.write(3, 1, 1_234_567.125).unwrap().write(3, 2, "two\nlines").unwrap();
        sheet
            .write_with_format(
                4,
                1,
                rust_xlsxwriter::ExcelDateTime::from_ymd(2025, 1, 1).unwrap(),
                &month,
            )
            .unwrap();
        sheet.write(4, 2, true).unwrap().write(4, 3, -2).unwrap();
    });
    let (files, problems) = read(&bytes);
    assert_eq!(problems.to_string(), "");
    let [file] = files.as_slice() else { panic!("{files:?}") };
    let expected =
        "对象,,\"数值, \"\"m³\"\"\"\n\n\"#1机组\",,0.3\n,1234567.125,two lines\n,2025/1/1,TRUE,-2";
    assert_eq!(file.text, expected);
    let place = |text: &str| file.place(file.text.find(text).unwrap());
    assert_eq!(place("对象"), "facts.xlsx 表!A1");
    assert_eq!(place("\"数值"), "facts.xlsx 表!C1");
    assert_eq!(place("0.3"), "facts.xlsx 表!C3");
    assert_eq!(place("-2"), "facts.xlsx 表!D5");
    assert_eq!(file.row_place(file.text.find(",1234567").unwrap()), "facts.xlsx 表!A4");
}

#[test]
fn sheets_aside_hidden_and_empty_are_no_facts() {
    let bytes = saved(|workbook| {
        for name in ["2024", "#说明", "空"] {
            let sheet = workbook.add_worksheet().set_name(name).unwrap();
            if name != "空" {
                sheet.write(0, 0, name).unwrap();
            }
        }
        workbook.add_worksheet().set_name("藏").unwrap().set_hidden(true).write(0, 0, "x").unwrap();
    });
    let (files, problems) = read(&bytes);
    assert_eq!(files.iter().map(|file| file.text.as_str()).collect::<Vec<_>>(), ["2024"]);
    assert!(!problems.is_fatal());
    assert!(problems.to_string().contains("sheet `藏` is hidden and not read"), "{problems}");
}

#[test]
fn a_cell_without_a_value_is_named() {
    let bytes = one_sheet(|sheet| {
        let date = Format::new().set_num_format("yyyy-mm-dd hh:mm");
        sheet.write(0, 0, "a").unwrap();
        let formula = rust_xlsxwriter::Formula::new("=1/0").set_result("#DIV/0!");
        sheet.write_formula(1, 1, formula).unwrap();
        let time = rust_xlsxwriter::ExcelDateTime::from_ymd(2025, 1, 1)
            .unwrap()
            .and_hms(7, 30, 0)
            .unwrap();
        sheet.write_with_format(2, 0, &time, &date).unwrap();
    });
    let (_, problems) = read(&bytes);
    let told = problems.to_string();
    assert!(
        told.contains(
            "EN-C003 facts.xlsx 表!A3: expected a text or a number, found a date with a time"
        ),
        "{told}"
    );
}

#[test]
fn numbers_have_the_digits_that_excel_shows() {
    for (number, expected) in [
        (0.0, "0"),
        (1.0, "1"),
        (-1200.5, "-1200.5"),
        (347.681_162_304_574_99, "347.681162304575"),
        (1e15, "1000000000000000"),
        (1.2e-7, "0.00000012"),
        (123_456_789_012_345.0, "123456789012345"),
        (0.1 + 0.7, "0.8"),
        (1e300, &format!("1{}", "0".repeat(300))),
    ] {
        assert_eq!(plain(number), expected);
    }
    assert_eq!([0, 25, 26, 701, 702].map(letters), ["A", "Z", "AA", "ZZ", "AAA"]);
}

#[test]
fn a_value_behind_the_last_column_is_refused() {
    let last = u16::try_from(COLUMNS_MAX).unwrap();
    let at = |column: u16| {
        read(&one_sheet(|sheet| {
            sheet.write(1_048_575, column, 1).unwrap();
        }))
    };
    let (files, problems) = at(last - 1);
    assert_eq!((files.len(), problems.to_string().as_str()), (1, ""));
    assert_eq!(files[0].place(files[0].text.len() - 1), "facts.xlsx 表!BL1048576");
    let (files, problems) = at(last);
    assert!(files.is_empty());
    assert!(problems.to_string().contains("a value in BM1048576, behind column BL"), "{problems}");
}

#[test]
fn what_unpacks_to_more_than_is_needed_is_not_unpacked() {
    let mut bytes = one_sheet(|sheet| {
        sheet.write(0, 0, 1).unwrap();
    });
    // The size that the first part states in the archive's list of parts: 24 bytes behind its mark.
    let mark = bytes.windows(4).position(|four| four == b"PK\x01\x02").unwrap();
    bytes[mark + 24..mark + 28].copy_from_slice(&u32::MAX.to_le_bytes());
    let (files, problems) = read(&bytes);
    assert!(files.is_empty());
    assert!(problems.to_string().contains("it unpacks to more than 256 MiB"), "{problems}");
}

/// A workbook that was cut or has wrong bytes is refused or read; it stops nothing.
#[test]
fn a_damaged_workbook_stops_nothing() {
    let bytes = one_sheet(|sheet| {
        for row in 0..40 {
            sheet.write(row, 0, "acme").unwrap().write(row, 1, row * 7).unwrap();
        }
    });
    for step in (0..bytes.len()).step_by(23) {
        let mut wrong = bytes.clone();
        wrong[step] ^= 0x55;
        read(&wrong);
        read(bytes.get(..step).unwrap());
    }
    for text in ["", "PK", "subject,period\n"] {
        let (files, problems) = read(text.as_bytes());
        assert!(files.is_empty() && problems.is_fatal(), "{text}");
        assert!(problems.to_string().contains("EN-C002"), "{problems}");
    }
}

const PLANT: &str = r#"
[plant]
enterprise = "acme"
time_zone = "Asia/Shanghai"
rule_set = "GB/T 2589"
edition = "2020"
facts = ["facts.xlsx"]
[[energy_kind]]
id = "electricity"
name = "电力"
unit = "万kWh"
"#;

/// A workbook with Chinese names, a month that Excel has made a date of, and a number that is stored as text.
#[test]
fn a_plant_reads_its_facts_from_a_workbook() {
    let load = |value: &str| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plant.toml");
        std::fs::write(&path, PLANT).unwrap();
        let bytes = one_sheet(|sheet| {
            for (column, name) in (0..).zip(["对象", "期间", "指标", "数值", "单位", "备注"])
            {
                sheet.write(0, column, name).unwrap();
            }
            let month = Format::new().set_num_format("yyyy-mm");
            let date = rust_xlsxwriter::ExcelDateTime::from_ymd(2025, 2, 1).unwrap();
            for (row, number) in [(1, 70.4), (2, 68.25)] {
                sheet.write(row, 0, "acme").unwrap().write(row, 2, "外购:电力").unwrap();
                sheet.write(row, 3, number).unwrap().write(row, 4, "万千瓦时").unwrap();
            }
            sheet.write(1, 1, "2025-01").unwrap();
            sheet.write_with_format(2, 1, date, &month).unwrap();
            sheet.write(4, 0, "acme").unwrap().write(4, 1, "2025年3月").unwrap();
            sheet.write(4, 2, "外购:电力").unwrap().write(4, 3, value).unwrap();
            sheet.write(4, 4, "MWh").unwrap();
        });
        std::fs::write(folder.path().join("facts.xlsx"), bytes).unwrap();
        crate::PlantFiles::load(&path)
    };
    let facts = load("650.5").unwrap().facts;
    let found: Vec<String> =
        facts.iter().map(|fact| format!("{} {}", fact.period, fact.value)).collect();
    assert_eq!(found, ["2025-01 70.4", "2025-02 68.25", "2025-03 65.05"]);
    assert!(facts.iter().last().unwrap().place.ends_with("facts.xlsx 表!A5"));
    let problems = load("1,650.5").unwrap_err().to_string();
    assert!(
        problems.contains("facts.xlsx 表!D5: `value`: `1,650.5` is not a decimal"),
        "{problems}"
    );
}
