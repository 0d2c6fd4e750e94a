//! A reference that says something else than its reader does is told so.

use super::*;
use crate::{Problems, SourceFile, Table};

fn read(text: &str) -> Problems {
    let mut problems = Problems::default();
    let mut root = Table::parse(&SourceFile::new("a.toml", text), &mut problems);
    for mut table in root.tables("a", &mut problems) {
        table.required::<String>("id", &mut problems);
        table.optional::<bool>("on", &mut problems);
        for mut inner in table.tables("b", &mut problems) {
            inner.optional::<String>("c", &mut problems);
            inner.finish(&mut problems);
        }
        table.finish(&mut problems);
    }
    root.finish(&mut problems);
    problems
}

const ID: Key = Key::required("id", Form::Text, "Its id.", "标识。");
const ON: Key = Key::optional("on", Form::Boolean, "`true`", "Whether it is on.", "是否启用。");
const MORE: Key = Key::optional("off", Form::Boolean, "", "Off.", "关。");
const OPTIONAL: Key = Key::optional("id", Form::Text, "", "Its id.", "标识。");
const TEXT: Key = Key::optional("on", Form::Text, "", "Whether it is on.", "是否启用。");
const INNER: Section = Section {
    path: "a.b",
    many: true,
    required: false,
    en: "Inner.",
    zh: "内层。",
    keys: &[Key::optional("c", Form::Text, "", "A text.", "文本。")],
};

fn drift(keys: &'static [Key]) -> Vec<String> {
    let outer =
        Section { path: "a", many: true, required: true, en: "Outer.", zh: "外层。", keys };
    let sections: &'static [Section] = Box::leak(Box::new([outer, INNER]));
    Reference { file: "a.toml", en: "A file.", zh: "文件。", sections }.drift(&[], read)
}

#[test]
fn keys_that_are_not_as_they_are_read_are_named() {
    assert_eq!(drift(&[ID, ON]), [""; 0]);
    assert_eq!(drift(&[ID]), ["[a]: not described: [\"on\"]"]);
    let more = drift(&[ID, ON, MORE]);
    assert_eq!(more.first().map(String::as_str), Some("[a]: not read: [\"off\"]"));
    assert_eq!(drift(&[OPTIONAL, ON]), ["[a] id: required true"]);
    assert_eq!(drift(&[ID, TEXT]), ["[a] on: not Text"]);
}

#[test]
fn a_schema_has_the_sections_in_one_another() {
    let outer = Section {
        path: "a",
        many: true,
        required: true,
        en: "Outer.",
        zh: "外层。",
        keys: &[ID, ON],
    };
    let sections: &'static [Section] = Box::leak(Box::new([outer, INNER]));
    let reference = Reference { file: "a.toml", en: "A file.", zh: "文件。", sections };
    let schema = reference.schema();
    assert_eq!(schema["required"], serde_json::json!(["a"]));
    let items = &schema["properties"]["a"]["items"];
    assert_eq!(items["required"], serde_json::json!(["id"]));
    assert_eq!(items["properties"]["on"]["type"], "boolean");
    assert_eq!(items["properties"]["b"]["items"]["properties"]["c"]["type"], "string");
    assert!(reference.page().contains("| `on` | `true`, `false` | `true` | Whether it is on."));
}
