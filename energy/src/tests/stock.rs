//! Opening and closing stock in consumption.

use super::*;

const COAL: &str = "[[energy_kind]]\nid = \"raw_coal\"\nunit = \"t\"\n";

fn plant() -> String {
    METERED.split("[[energy_kind]]").next().unwrap().to_owned() + COAL
}

fn check(facts: &str, period: &str, expected: &str) -> Figure {
    let table = total(&declared(&plant(), facts), period);
    let figure = table.totals.equivalent.unwrap();
    assert_eq!(number(&figure), expected, "{facts}");
    figure
}

/// 1 000 t of consumption at 0.7143.
#[test]
fn what_was_used_is_bought_and_taken_from_stock() {
    let year = "acme,2023,purchased:raw_coal,1200,t,,\nacme,2023,opening_stock:raw_coal,300,t,,\n\
                acme,2023,closing_stock:raw_coal,500,t,,\n";
    assert!(check(year, "2023", "714.3").complete);
    let sold = format!("{year}acme,2023,exported:raw_coal,100,t,,\n");
    check(&sold, "2023", "642.87");
    let table = total(&declared(&plant(), year), "2023");
    let rows: Vec<(fact::Flow, String)> =
        table.rows.iter().map(|row| (row.source, number(&row.quantity))).collect();
    let expected = [
        (fact::Flow::Purchased, "1200".to_owned()),
        (fact::Flow::OpeningStock, "300".to_owned()),
        (fact::Flow::ClosingStock, "500".to_owned()),
    ];
    assert_eq!(rows, expected);
    assert!(table.explanations.contains_key("table1/2023/raw_coal/closing_stock/equivalent"));
}

fn months(stock: impl Fn(i64) -> String) -> String {
    (1..=12).fold(String::new(), |text, month| {
        let stock = stock(month);
        format!("{text}acme,2023-{month:02},purchased:raw_coal,100,t,,\n{stock}")
    })
}

/// The opening stock of January and the closing stock of December, whichever facts state them.
#[test]
fn a_year_has_the_opening_stock_of_its_first_month_and_the_closing_stock_of_its_last() {
    let both = months(|month| {
        let (opening, closing) = (300 + month * 10 - 10, 300 + month * 10);
        format!(
            "acme,2023-{month:02},opening_stock:raw_coal,{opening},t,,\n\
             acme,2023-{month:02},closing_stock:raw_coal,{closing},t,,\n"
        )
    });
    // (1200 − 120) × 0.7143
    check(&both, "2023", "771.444");
    check(&both, "2023-05", "64.287");
    let closing = months(|month| {
        format!("acme,2023-{month:02},closing_stock:raw_coal,{},t,,\n", 300 + month * 10)
    });
    let before = "acme,2022,closing_stock:raw_coal,300,t,,\n";
    check(&format!("{closing}{before}"), "2023", "771.444");
    check(&format!("{closing}{before}"), "2023-01", "64.287");
    let figure = check(
        &closing,
        "2023-01",
        "none: Some(\"unknown: table1/2023-01/raw_coal/opening_stock/equivalent\")",
    );
    assert!(!figure.complete);
    // A year's own stock is that of the instants that its months know.
    let year = "acme,2023,opening_stock:raw_coal,300,t,,\n";
    check(&format!("{closing}{year}"), "2023", "771.444");
}

#[test]
fn a_month_without_stock_says_so() {
    let year = months(|_| String::new())
        + "acme,2023,opening_stock:raw_coal,300,t,,\nacme,2023,closing_stock:raw_coal,420,t,,\n";
    check(&year, "2023", "771.444");
    let month = check(&year, "2023-05", "71.43");
    assert!(!month.complete);
    assert!(month.note().unwrap().contains("stock of `raw_coal`"), "{:?}", month.note());
}

#[test]
fn a_closing_stock_is_the_opening_stock_of_the_next_period() {
    let bad = |rows: &str| {
        let plant = Plant::read(&SourceFile::new("plant.toml", plant())).unwrap();
        let text = format!("subject,period,measure,value,unit\n{rows}");
        Facts::read(&plant, &[SourceFile::new("facts.csv", text)])
            .map(|_| ())
            .unwrap_err()
            .to_string()
    };
    let january = "acme,2023-01,closing_stock:raw_coal,300,t\n";
    for other in [
        "acme,2023-02,opening_stock:raw_coal,280,t\n",
        "acme,2023-01,closing_stock:raw_coal,280,t\n",
    ] {
        let found = bad(&format!("{january}{other}"));
        assert!(found.contains("facts.csv:3:1"), "{found}");
    }
    let year = "acme,2022,closing_stock:raw_coal,300,t\nacme,2023-01,opening_stock:raw_coal,30,t\n";
    assert!(bad(year).contains("EN-C321"), "{}", bad(year));
}

#[test]
fn more_left_than_there_was_is_refused() {
    let facts = "acme,2023,purchased:raw_coal,1200,t,,\nacme,2023,opening_stock:raw_coal,300,t,,\n\
                 acme,2023,closing_stock:raw_coal,5000,t,,\n";
    let table = total(&declared(&plant(), facts), "2023");
    let figure = table.totals.equivalent.unwrap();
    assert_eq!(figure.value, None);
    assert!(figure.note().unwrap().contains("`closing_stock:raw_coal` is 5000 t, more than"));
    // What was made here may have been put in stock.
    let own = "acme,2023,own:raw_coal,4000,t,,\n";
    let table = total(&declared(&plant(), &format!("{facts}{own}")), "2023");
    assert!(!table.totals.equivalent.unwrap().note().unwrap().contains("closing_stock"));
}

/// It was refused as an export: "`exported:raw_coal` is 0 t, more than … −70 t: state `generated:raw_coal`".
#[test]
fn a_stock_that_cannot_be_is_no_export() {
    let facts = "acme,2023,opening_stock:raw_coal,10,t,,\nacme,2023,purchased:raw_coal,20,t,,\n\
                 acme,2023,closing_stock:raw_coal,100,t,,\n";
    for more in ["", "acme,2023,exported:raw_coal,5,t,,\n"] {
        let table = total(&declared(&plant(), &format!("{facts}{more}")), "2023");
        let figure = table.totals.equivalent.unwrap();
        let note = figure.note().unwrap().to_string();
        assert!(note.contains("`closing_stock:raw_coal` is 100 t, more than there was"), "{note}");
        assert!(figure.value.is_none() && !note.contains("generated"), "{note}");
    }
}

/// It said that the closing stock "is declared for other periods".
#[test]
fn a_stock_of_one_end_asks_for_the_other() {
    let bought = "acme,2023,purchased:raw_coal,20,t,,\n";
    for (given, asked) in [
        ("opening", "`closing_stock:raw_coal` of `acme` at the end of 2023 is not given"),
        ("closing", "`opening_stock:raw_coal` of `acme` at the beginning of 2023 is not given"),
    ] {
        let facts = format!("{bought}acme,2023,{given}_stock:raw_coal,10,t,,\n");
        let table = total(&declared(&plant(), &facts), "2023");
        assert_eq!(table.totals.equivalent.unwrap().value, None);
        let unknown = table.rows.iter().find(|row| row.quantity.value.is_none()).unwrap();
        let note = unknown.quantity.note().unwrap();
        assert!(note.contains(asked) && note.contains("state it, 0 where"), "{note}");
    }
}
