//! Files as spreadsheet programs and people leave them: read, or refused with the place and what to do.

use super::*;

const COLUMNS: Columns = Columns {
    required: &["subject", "value"],
    optional: &["note", "reason"],
    aliases: &[("对象", "subject"), ("数值", "value")],
};

fn read(text: &str) -> (Vec<Row>, Problems) {
    let mut problems = Problems::default();
    let rows = super::read(&SourceFile::new("f.csv", text), &COLUMNS, &mut problems);
    (rows, problems)
}

fn rows(text: &str, expected: &[[&str; 3]]) {
    let (rows, problems) = read(text);
    assert_eq!(problems.to_string(), "", "{text}");
    let get = |row: &Row| {
        ["subject", "value", "note"].map(|name| row.get(name).unwrap_or_default().to_owned())
    };
    assert_eq!(rows.iter().map(get).collect::<Vec<_>>(), expected, "{text}");
}

fn refused(text: &str, expected: &[(&str, &str)]) {
    let (_, problems) = read(text);
    let told: Vec<String> = problems.0.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), expected.len(), "{text}: {problems}");
    for (told, (place, message)) in told.iter().zip(expected) {
        assert!(told.contains(place) && told.contains(message), "{text}: {told}");
    }
}

#[test]
fn what_a_spreadsheet_program_leaves_is_read() {
    let expected = [["a", "1", ""], ["b", "2", "x, \"y\""]];
    rows("subject,value,note\na,1,\nb,2,\"x, \"\"y\"\"\"\n", &expected);
    rows("\u{feff}subject,value,note\r\na,1,\r\n\r\nb,2,\"x, \"\"y\"\"\"", &expected);
    rows("subject,value,note\ra,1,\rb,2,\"x, \"\"y\"\"\"\r", &expected);
    rows("对象,数值,Note\na,1,\nb,2,\"x, \"\"y\"\"\"\n", &expected);
    rows(
        "# c\n\nsubject , value,note,,\na,1,,,,,\n,,,\n\" \",\t\nb, 2 ,\"x, \"\"y\"\"\",,\n",
        &expected,
    );
    rows("subject,value,note\n\"# a, b\",,\n#a,1,\na,1\nb,2,\"x, \"\"y\"\"\"", &expected);
}

/// Trial fig-06: the row below became a part of the note, and its quantity was lost.
#[test]
fn a_quote_that_is_never_closed_swallows_no_rows() {
    let never = "the quote that begins here is never closed";
    refused("subject,value,note\na,1,\"x\nb,2,y\n", &[("f.csv:2:5", never)]);
    refused(
        "subject,value,note\na,1,\"x\nb,2,\"y, z\"\nc\n",
        &[("f.csv:2:5", never), ("f.csv:4:1", "expected 3 fields as in the first line, found 1")],
    );
    refused("subject,\"value\na,1\n", &[("f.csv:1:9", never)]);
    refused("subject,value,note\na,1,\"x\"y\n", &[("f.csv:2:8", "expected a comma")]);
}

#[test]
fn a_line_break_inside_a_field_is_refused_once() {
    let next = "goes on in the next line";
    refused("subject,value,note\na,1,\"x\ny\nz\"\nb,2\n", &[("f.csv:2:5", next)]);
    refused("subject,value,note\na,1,\"x\r\ny\"\r\nb,2,\"p, q\"\r\n", &[("f.csv:2:5", next)]);
}

#[test]
fn columns_are_told_apart() {
    refused("subject,value,value\na,1,2\n", &[("f.csv:1:15", "column `value` is there twice")]);
    refused("subject,value,数值\na,1,2\n", &[("f.csv:1:15", "here as `数值`")]);
    refused(
        "subject,values\na,1\n",
        &[("1:9", "did you mean `value`?"), ("1:1", "`value` is missing")],
    );
    refused(
        "subject,value,,note\na,1,7,x\n",
        &[("f.csv:2:5", "`7` stands in a column without a name")],
    );
    refused("subject,value,,note\na,1,,x\n", &[]);
    refused(
        "subject,value\na,1,x\n",
        &[("f.csv:2:1", "expected 2 fields as in the first line, found 3")],
    );
    refused("subject,value,note,reason\na,1,x\n", &[("f.csv:2:1", "keeps its comma")]);
    refused("", &[("f.csv:1:1", "the file has no rows")]);
}

#[test]
fn another_separator_is_named() {
    for (text, name) in [
        ("subject;value;note\na;1,5;\n", "separated by `;`, expected commas"),
        ("subject\tvalue\na\t1\n", "separated by tab"),
        ("subject，value\na，1\n", "separated by `，`"),
    ] {
        refused(text, &[("f.csv:1:1", name)]);
    }
}

#[test]
fn a_cell_of_a_sheet_is_named_as_the_spreadsheet_names_it() {
    let cells = [(0, "A1"), (8, "B1"), (14, "A3"), (16, "B3")];
    let place = |(start, name)| crate::CellPlace { start, name: format!("S!{name}") };
    let file = SourceFile::of_cells("f.xlsx", "subject,value\na,", cells.map(place).to_vec());
    let mut problems = Problems::default();
    let rows = super::read(&file, &COLUMNS, &mut problems);
    assert_eq!(rows[0].place(), "f.xlsx S!A3");
    rows[0].required("X", "value", &mut problems);
    assert_eq!(problems.to_string(), "X f.xlsx S!B3: `value` is blank; every row needs it");
}
