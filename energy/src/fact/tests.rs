//! Declared facts are read exactly, or each wrong line is named.

use super::*;

const PLANT: &str = r#"
[plant]
enterprise = "acme"
time_zone = "Asia/Shanghai"
rule_set = "GB/T 2589"
edition = "2008"
[[subject]]
id = "line-a"
kind = "line"
[[energy_kind]]
id = "electricity"
unit = "万kWh"
[[energy_kind]]
id = "gas"
unit = "m3"
coefficient = "gasfield_gas"
[[product]]
id = "steel"
unit = "t"
line = "line-a"
"#;
const HEADER: &str = "subject,period,measure,value,unit,note,override_reason\n";

fn read(rows: &str) -> Result<Facts, Problems> {
    let plant = Plant::read(&SourceFile::new("plant.toml", PLANT)).unwrap();
    Facts::read(&plant, &[SourceFile::new("facts.csv", format!("{HEADER}{rows}"))])
}

fn value(rows: &str, measure: &str, period: &str) -> Option<(String, bool)> {
    let facts = read(rows).map_err(|problems| problems.to_string()).unwrap();
    let acme = SubjectId::new("acme").unwrap();
    let declared = facts.declared(&acme, &measure.parse().unwrap(), period.parse().unwrap())?;
    Some((declared.value().to_string(), declared.is_complete()))
}

#[test]
fn converts_into_the_unit_of_the_kind() {
    let rows = "acme,2023,purchased:electricity,8500.5,MWh,,\nacme,2023-02,gross_output_value,1234567,元,,\n";
    assert_eq!(value(rows, "purchased:electricity", "2023"), Some(("850.05".to_owned(), true)));
    assert_eq!(value(rows, "gross_output_value", "2023-02"), Some(("123.4567".to_owned(), true)));
    assert_eq!(value(rows, "purchased:electricity", "2023-02"), None);
    assert_eq!(value(rows, "purchased:gas", "2023"), None);
}

#[test]
fn months_add_up_to_a_year_and_say_how_many_there_are() {
    let rows = "acme,2023-01,value_added,-5,万元,,\nacme,2023-03,value_added,7,万元,,\n";
    assert_eq!(value(rows, "value_added", "2023"), Some(("2".to_owned(), false)));
}

#[test]
fn names_the_place_of_what_is_wrong() {
    let bad_at = |row: &str, column: usize, expected: &str| {
        let rows = format!("acme,2023,purchased:gas,1,m3,,\n{row}\n");
        let problems = read(&rows).map(|_| ()).unwrap_err().to_string();
        assert!(problems.contains(expected), "expected `{expected}`, found {problems}");
        assert!(problems.contains(&format!("facts.csv:3:{column}: ")), "{problems}");
    };
    // Everything before the field that is wrong is ASCII, so that its column is its byte.
    let bad = |row: &str, field: &str, expected: &str| {
        bad_at(row, row.find(field).unwrap() + 1, expected);
    };
    bad(
        "acne,2023,purchased:gas,1,m3,,",
        "acne",
        "there is no subject `acne`; did you mean `acme`?",
    );
    bad("acme,2023-13,purchased:gas,1,m3,,", "2023-13", "`2023-13` is not a period");
    bad("acme,2023-01-01,own:gas,1,m3,,", "2023", "found the day `2023-01-01`");
    bad("acme,2023-Q1,own:gas,1,m3,,", "2023", "found the range `2023-01..2023-03`");
    bad("acme,2023,bought:gas,1,m3,,", "bought", "`bought:gas` is not a measure");
    bad("acme,2023,purchased:coal,1,t,,", "purchased", "there is no energy kind `coal`");
    bad("acme,2023,output:iron,1,t,,", "output", "there is no product `iron`");
    bad("acme,2023,own:gas,\"1,200\",m3,,", "\"1", "`1,200` is not a decimal number");
    bad("acme,2023,own:gas,-1,m3,,", "-1", "expected a number not below zero");
    bad("acme,2023,own:gas,1,t,,", "t,,", "`own:gas` is counted in `m3`");
    bad("acme,2023,value_added,1,USD,,", "USD", "`value_added` is counted in `万元`");
    bad("acme,2023,own:gas,,m3,,", ",m3", "`value` is blank; every row needs it");
    bad("acme,2023,own:gas,1", "acme", "expected 7 fields");
    bad("acme,2023,purchased:gas,2,m3,,", "acme", "declared already for 2023, in facts.csv:2");
    bad("acme,2023-05,purchased:gas,2,m3,,", "acme", "declared already for 2023, in facts.csv:2");
}

/// What Excel makes of numbers and months, and what people type with a Chinese input method.
#[test]
fn a_value_or_a_period_of_another_form_is_understood_or_told_how_to_write() {
    let told = |row: &str, expected: &str| {
        let problems = read(&format!("{row}\n")).map(|_| ()).unwrap_err().to_string();
        assert!(problems.contains(expected), "expected `{expected}`, found {problems}");
    };
    told(
        "acme,2023,own:gas,\"1,200.5\",m3,,",
        "write it without separators between thousands, `1200.5`",
    );
    told("acme,2023,own:gas,1 200,m3,,", "`1200` if that is meant");
    told("acme,2023,own:gas,5%,m3,,", "a share is not a quantity");
    told("acme,2023,own:gas,1.2E+05,m3,,", "format the column as Number");
    told("acme,2023,own:gas,850万kWh,m3,,", "write `850` here and `万kWh` in the column `unit`");
    told("acme,2023,own:gas,—,m3,,", "what is not known has no row");
    told("acme,2023,own:gas,1.2.3,m3,,", "`1.2.3` is not a decimal number");
    told("acme,45658,own:gas,1,m3,,", "format the column as Text");
    told("acme,2023/1/15,own:gas,1,m3,,", "where Excel has made a date of it");
    told("acme,2023.1,own:gas,1,m3,,", "`2023.1` is not a period; write a year or a month");
    told("acme,二月,own:gas,1,m3,,", "write a year or a month");
    let month = |written: &str, period: &str| {
        let found = value(&format!("acme,{written},own:gas,１２.５,m³,,\n"), "own:gas", period);
        assert_eq!(found, Some(("12.5".to_owned(), true)), "{written}");
    };
    for written in [
        "2025-01",
        "2025/1",
        "2025/01",
        "2025-1",
        "2025年1月",
        "2025年01月份",
        "202501",
        "2025/1/1",
    ] {
        month(written, "2025-01");
    }
    for written in ["Jan-25", "jan-25", "Jan-2025", "２０２５年１月"] {
        month(written, "2025-01");
    }
    month("Jan-30", "1930-01");
    for written in ["2025", "2025年", "2025年度"] {
        month(written, "2025");
    }
}

#[test]
fn chinese_names_of_columns_measures_units_and_subjects_are_read() {
    let plant = PLANT
        .replace("id = \"line-a\"", "id = \"line-a\"\nname = \"A线\"")
        .replace("id = \"electricity\"", "id = \"electricity\"\nname = \"电力\"")
        .replace("id = \"gas\"", "id = \"gas\"\nname = \"天然气\"")
        .replace("id = \"steel\"", "id = \"steel\"\nname = \"钢材\"");
    let plant = Plant::read(&SourceFile::new("plant.toml", plant)).unwrap();
    let read = |row: &str| {
        let text = format!("对象,期间,指标,数值,单位,备注,状态,价格基准\n{row}\n");
        Facts::read(&plant, &[SourceFile::new("facts.csv", text)])
    };
    let check = |row: &str, measure: &str, expected: &str| {
        let facts = read(row).map_err(|problems| format!("{row}: {problems}")).unwrap();
        let fact = facts.iter().next().unwrap();
        assert_eq!(
            (fact.measure.to_string().as_str(), fact.value.to_string().as_str()),
            (measure, expected),
            "{row}"
        );
    };
    check("acme,2023,外购:电力,850,万千瓦时,,,", "purchased:electricity", "850");
    check("acme,2023,外购：电力,850,万度,,,", "purchased:electricity", "850");
    check("acme,2023,外购电力,8500,MWh,,,", "purchased:electricity", "850");
    check("acme,2023,电力外购量,8500,兆瓦时,,,", "purchased:electricity", "850");
    check("acme,2023,purchased:电力,1,kWh,,,", "purchased:electricity", "0.0001");
    check("acme,2023,外供天然气,2,万立方米,,,", "exported:gas", "20000");
    check("A线,2023,消费:天然气,2,立方米,,,", "consumed:gas", "2");
    check("A线,2023,钢材产量,2,万吨,,,", "output:steel", "20000");
    check("A线,2023,合格品产量:钢材,900,公斤,,,", "qualified_output:steel", "0.9");
    check("acme,2023,工业总产值,1.5,亿元,,预计,2020年不变价", "gross_output_value", "15000");
    check("acme,2023,增加值,-3,千元,,,", "value_added", "-0.3");
    let refused = |row: &str, expected: &str| {
        let problems = read(row).map(|_| ()).unwrap_err();
        let zh: Vec<&str> =
            problems.0.iter().map(|one| one.message.get(model::Language::Chinese)).collect();
        let told = format!("{problems} {}", zh.join(" "));
        assert!(told.contains(expected), "expected `{expected}`, found {told}");
    };
    refused("acme,2023,电力,850,万kWh,,,", "`电力` 不是有效的指标");
    refused("acme,2023,外购:煤气,850,t,,,", "`外购:煤气` is not a measure");
    refused("acme,2023,外购:天然汽,850,t,,,", "did you mean `外购:天然气`?");
    refused("B线,2023,外购:电力,850,t,,,", "没有对象 `B线`");
    refused("acme,2023,purchasd:gas,1,m3,,,", "did you mean `purchased:gas`?");
    refused("acme,2023,bought:gas,1,m3,,,", "did you mean `purchased:gas`?");
}

/// 8 500 000 万kWh for 850: each of them may be right, so both stand beside the figure with the factor between them.
#[test]
fn a_slip_of_ten_thousand_stands_beside_the_figure() {
    let remarks = |values: &[(&str, &str)]| -> Vec<String> {
        let row = |(period, value): &(&str, &str)| format!("acme,{period},own:gas,{value},m3,,\n");
        let rows: Vec<String> = values.iter().map(row).collect();
        let facts = read(&rows.concat()).unwrap();
        let told = |fact: &Fact| {
            let text: Vec<&str> = fact.remarks.iter().map(|one| &**one).collect();
            (!text.is_empty()).then(|| format!("{}: {}", fact.period, text.join("; ")))
        };
        facts.iter().filter_map(told).collect()
    };
    let three = remarks(&[("2021", "870"), ("2022", "850"), ("2023", "8600000")]);
    assert_eq!(
        three,
        [
            "2023: 8600000 m3 declared for 2023 is about 10000 times the 850 m3 of 2022: check value and unit"
        ]
    );
    let two = remarks(&[("2022", "850"), ("2023", "84")]);
    assert_eq!(
        two,
        [
            "2022: 850 m3 declared for 2022 is about 10 times the 84 m3 of 2023: check value and unit",
            "2023: 84 m3 declared for 2023 is about 1/10 of the 850 m3 of 2022: check value and unit",
        ]
    );
    let year_and_months = remarks(&[("2022", "1200"), ("2023-01", "98000"), ("2023-02", "102")]);
    assert_eq!(year_and_months, [
        "2023-01: 98000 m3 declared for 2023-01 is about 1000 times the 1200 m3 of 2022: check value and unit"
    ].map(|text| text.replace("1200 m3 of 2022", "102 m3 of 2023-02")));
    // Gas that heats in winter, a growing works, a standstill, and one year alone.
    let months = ["60", "55", "40", "12", "6", "5", "5", "5", "6", "20", "45", "58"];
    let names: Vec<String> = (1..=12).map(|month| format!("2023-{month:02}")).collect();
    let heating: Vec<(&str, &str)> = names.iter().map(String::as_str).zip(months).collect();
    assert_eq!(remarks(&heating), [""; 0]);
    assert_eq!(remarks(&[("2021", "100"), ("2022", "150"), ("2023", "260")]), [""; 0]);
    assert_eq!(remarks(&[("2021", "100"), ("2022", "0"), ("2023", "110")]), [""; 0]);
    assert_eq!(remarks(&[("2021", "100")]), [""; 0]);
    // Trial fig-16: ten times as much after 19 years.
    assert_eq!(remarks(&[("1959", "30236"), ("1978", "354219")]), [""; 0]);
    assert_eq!(remarks(&[("1973", "30236"), ("1978", "354219")]).len(), 2);
}

#[test]
fn facts_that_no_figure_is_made_from_are_named() {
    let told = |row: &str, expected: &str| {
        let told = read(&format!("{row}\n")).unwrap().warnings.to_string();
        assert!(told.contains(expected), "expected `{expected}`, found `{told}`");
        assert_eq!(told.is_empty(), expected.is_empty(), "{told}");
    };
    told("line-a,2023,gross_output_value,1,万元,,", "money counts for the enterprise `acme` alone");
    told("acme,2023,output:steel,1,t,,", "`steel` is made by `line-a`: its output counts there");
    told("acme,2023,consumed:gas,1,m3,,", "the total is made from `purchased:gas`");
    for used in [
        "line-a,2023,output:steel,1,t,,",
        "line-a,2023,consumed:gas,1,m3,,",
        "acme,2023,value_added,1,万元,,",
        "line-a,2023,purchased:gas,1,m3,,",
    ] {
        told(used, "");
    }
}

#[test]
fn an_unknown_column_is_named() {
    let plant = Plant::read(&SourceFile::new("plant.toml", PLANT)).unwrap();
    let file = SourceFile::new("facts.csv", "\u{feff}subject,period,measure,amount,unit\n");
    let problems = Facts::read(&plant, &[file]).map(|_| ()).unwrap_err().to_string();
    assert!(problems.contains("`amount` is not a column"), "{problems}");
    assert!(problems.contains("column `value` is missing"), "{problems}");
}

#[test]
fn batches_of_one_month_stand_beside_each_other() {
    let plant = Plant::read(&SourceFile::new("plant.toml", PLANT)).unwrap();
    let read = |rows: &str| {
        let text = format!("subject,period,measure,value,unit,batch\n{rows}");
        Facts::read(&plant, &[SourceFile::new("facts.csv", text)])
    };
    let facts = read("acme,2023-01,own:gas,3,m3,a\nacme,2023-01,own:gas,4,m3,b\n").unwrap();
    let acme = SubjectId::new("acme").unwrap();
    let measure = "own:gas".parse().unwrap();
    let check = |period: &str, months| {
        let declared = facts.declared(&acme, &measure, period.parse().unwrap()).unwrap();
        assert_eq!((declared.value().to_string().as_str(), declared.months), ("7", months));
    };
    check("2023-01", 1);
    check("2023", 1);
    // The same batch again, or the month without a batch, may be the same gas.
    for twice in ["a", ""] {
        let rows = format!("acme,2023-01,own:gas,3,m3,a\nacme,2023-01,own:gas,4,m3,{twice}\n");
        let problems = read(&rows).map(|_| ()).unwrap_err().to_string();
        assert!(problems.contains("declared already for 2023-01"), "{problems}");
    }
}

/// A clerk enters the years of a works from its beginning; none of them needs time zone data.
#[test]
fn years_before_1971_are_declared_like_others() {
    let rows = "acme,1959,purchased:gas,30236,m3,,\nacme,1970,purchased:gas,7,m3,,\n";
    assert_eq!(value(rows, "purchased:gas", "1959"), Some(("30236".to_owned(), true)));
    assert_eq!(value(rows, "purchased:gas", "1970"), Some(("7".to_owned(), true)));
}
const STATED: &str = "subject,period,measure,value,unit,note,status,price_base,batch,source\n";

fn stated(rows: &str) -> Result<Facts, String> {
    let plant = Plant::read(&SourceFile::new("plant.toml", PLANT)).unwrap();
    let file = SourceFile::new("facts.csv", format!("{STATED}{rows}"));
    Facts::read(&plant, &[file]).map_err(|problems| problems.to_string())
}

#[test]
fn a_fact_states_its_status_prices_batch_and_source() {
    let facts = stated(
        "acme,2023,gross_output_value,1,万元,,预计,2020年不变价,,form B204\n\
         acme,2023,purchased:gas,5,m3,,,,B-1,\nacme,2023,purchased:gas,7,m3,,actual,,B-2,\n",
    )
    .unwrap();
    assert_eq!(facts.warnings.to_string(), "");
    let acme = SubjectId::new("acme").unwrap();
    let year = Period::Year(2023);
    let money = facts.declared(&acme, &Measure::GrossOutputValue, year).unwrap();
    assert!(money.is_forecast());
    assert_eq!(money.price_base(), Some(PriceBase::Constant(2020)));
    assert_eq!(money.facts[0].document.as_deref(), Some("form B204"));
    let gas = facts.declared(&acme, &"purchased:gas".parse().unwrap(), year).unwrap();
    assert!(!gas.is_forecast() && gas.is_complete());
    assert_eq!(gas.value().to_string(), "12");
    let batches: Vec<_> = gas.facts.iter().map(|fact| fact.batch.as_deref().unwrap()).collect();
    assert_eq!(batches, ["B-1", "B-2"]);
}

#[test]
fn what_a_column_states_is_checked() {
    let refused = |rows: &str, expected: &str| {
        let problems = stated(rows).map(|_| ()).unwrap_err();
        assert!(problems.contains(expected), "expected `{expected}`, found {problems}");
    };
    refused("acme,2023,own:gas,1,m3,,plan,,,\n", "`plan` is not a status: expected `actual`");
    refused("acme,2023,value_added,1,万元,,,cheap,,\n", "`cheap` is not a price base");
    refused("acme,2023,own:gas,1,m3,,,2020,,\n", "`price_base` belongs to `gross_output_value`");
    refused("acme,2023,value_added,1,万元,,,,B-1,\n", "`batch` belongs to energy");
    refused(
        "acme,2023,own:gas,1,m3,,,,B-1,\nacme,2023,own:gas,2,m3,,,,B-1,\n",
        "declared already for 2023, in facts.csv:2",
    );
    refused(
        "acme,2023,own:gas,1,m3,,,,B-1,\nacme,2023,own:gas,2,m3,,,,,\n",
        "give every row of the period its `batch`, or none",
    );
    refused(
        "acme,2023,own:gas,1,m3,,,,B-1,\nacme,2023-05,own:gas,2,m3,,,,B-2,\n",
        "declared already for 2023, in facts.csv:2",
    );
    refused(
        "acme,2023,own:gas,1,m3,,预计,,,\nacme,2023,own:gas,2,m3,,实际,,,\n",
        "delete the forecast once the actual figure is there",
    );
    refused(
        "acme,2023-01,value_added,1,万元,,,2020,,\nacme,2023-02,value_added,2,万元,,,current,,\n",
        "`current` for 2023-02, and `2020` in facts.csv:2: these do not add up to a year",
    );
    assert!(
        stated("acme,2022,value_added,1,万元,,,2020,,\nacme,2023,value_added,2,万元,,,current,,\n")
            .is_ok()
    );
}

/// Trial fig-13: a note changes no figure, so it is told which column does.
#[test]
fn a_note_that_says_what_a_column_is_for_is_told() {
    let told = |row: &str, expected: &str| {
        let facts = stated(row).unwrap();
        let told = facts.warnings.to_string();
        assert!(told.contains(expected), "expected `{expected}`, found `{told}`");
        assert_eq!(facts.iter().all(|fact| fact.remarks.is_empty()), expected.is_empty());
    };
    told("acme,2027,own:gas,900,m3,明年预计,,,,\n", "write `forecast` in the column `status`");
    told("acme,2027,own:gas,900,m3,a Forecast of ours,,,,\n", "write `forecast`");
    told(
        "acme,2022,value_added,1,万元,按2020年不变价,,,,\n",
        "write `2020` in the column `price_base`",
    );
    told("acme,2022,value_added,1,万元,2022年当年价,,,,\n", "write `current` in the column");
    for row in
        ["acme,2027,own:gas,900,m3,预计,forecast,,,\n", "acme,2022,own:gas,1,m3,不变价,,,,\n"]
    {
        assert_eq!(stated(row).unwrap().warnings.to_string(), "");
    }
    // A note that is a word of the column, as in the trial, counts as if it stood there.
    let facts = stated("acme,2027,value_added,900,万元,预计,,,,\n").unwrap();
    assert!(facts.warnings.to_string().contains("taken as `forecast`"));
    assert_eq!(facts.iter().next().map(|fact| fact.status), Some(Status::Forecast));
    let facts = stated("acme,2022,value_added,900,万元,2020年不变价,,,,\n").unwrap();
    assert_eq!(facts.iter().next().unwrap().price_base, Some(PriceBase::Constant(2020)));
}
