//! The columns of a sheet of facts, for its reader, its reference page and its JSON Schema.

use std::fmt::Write as _;

use config::csv_table::Columns;
use serde_json::{Map, Value, json};

/// The columns.
pub(super) const COLUMNS: Columns = Columns {
    required: &["subject", "period", "measure", "value", "unit"],
    optional: &["note", "source", "override_reason", "status", "price_base", "batch"],
    aliases: &[
        ("对象", "subject"),
        ("主体", "subject"),
        ("统计对象", "subject"),
        ("期间", "period"),
        ("时期", "period"),
        ("年月", "period"),
        ("年份", "period"),
        ("月份", "period"),
        ("指标", "measure"),
        ("指标名称", "measure"),
        ("数值", "value"),
        ("数量", "value"),
        ("单位", "unit"),
        ("计量单位", "unit"),
        ("备注", "note"),
        ("说明", "note"),
        ("来源", "source"),
        ("数据来源", "source"),
        ("采用理由", "override_reason"),
        ("替代理由", "override_reason"),
        ("状态", "status"),
        ("数据状态", "status"),
        ("价格基准", "price_base"),
        ("价格", "price_base"),
        ("批次", "batch"),
        ("批号", "batch"),
    ],
};

/// What a column holds, in English and Chinese.
const MEANINGS: &[(&str, &str, &str)] = &[
    (
        "subject",
        "Id of the enterprise or of a `[[subject]]` of plant.toml, or its name where only one has it",
        "企业或 plant.toml 中 `[[subject]]` 的标识，名称唯一时也可写名称",
    ),
    (
        "period",
        "A year `2025` or a month `2025-01`; also `2025/1`, `2025年1月`, `202501`, and what Excel makes of a month: `2025/1/1`, `Jan-25`, a date of the first of the month",
        "年 `2025` 或月 `2025-01`；也可写 `2025/1`、`2025年1月`、`202501`，以及 Excel 由月份改成的 `2025/1/1`、`Jan-25` 或每月 1 日的日期",
    ),
    ("measure", "What is measured: see below", "指标，见下文"),
    (
        "value",
        "A decimal number without separators between thousands, such as `1200.5`; not below zero, except for `value_added`",
        "十进制数，不加千位分隔符，例如 `1200.5`；除工业增加值外不得小于零",
    ),
    (
        "unit",
        "Unit of the value; it must convert exactly into that of the energy kind or product. Money: 元, 千元, 万元, 百万元, 亿元",
        "数值的单位，须能精确换算为该能源品种或产品的单位；金额用 元、千元、万元、百万元、亿元",
    ),
    ("note", "A remark", "备注"),
    (
        "source",
        "What the number was taken from: an invoice, a ledger, a statistical form",
        "数据来源：发票、台账、统计报表",
    ),
    (
        "override_reason",
        "Why the value enters totals although the subject has a meter for it; without a reason the meter counts where it was read for all of the period",
        "有表计时仍采用申报值的理由；不写理由时，表计读数覆盖全期则以表计为准",
    ),
    (
        "status",
        "`actual` (实际) or `forecast` (预计); blank is actual. Figures with a forecast in them are marked",
        "`actual`（实际）或 `forecast`（预计），留空为实际；含预计数据的指标有标注",
    ),
    (
        "price_base",
        "For money: `current` (当年价) or the year of constant prices, `2020` (2020年不变价)",
        "仅用于金额：`current`（当年价）或不变价年份 `2020`（2020年不变价）",
    ),
    (
        "batch",
        "For energy: the delivery, where a `[[coefficient]]` of plant.toml has the same `batch`",
        "仅用于能源量：批次，与 plant.toml 中 `[[coefficient]]` 的 `batch` 对应",
    ),
];

/// Measures with their Chinese words and what figures they make.
const MEASURES: &[(&str, &str, &str)] = &[
    ("purchased:KIND", "外购:品种", "bought; Table 1 of the enterprise"),
    ("generated:KIND", "自发:品种", "own primary energy (PV, wind, hydro); Table 1"),
    ("own:KIND", "自产:品种", "made on site from energy counted already; shown, in no total"),
    ("exported:KIND", "外供:品种", "sold; taken off the total"),
    (
        "opening_stock:KIND, closing_stock:KIND",
        "期初库存:品种, 期末库存:品种",
        "stock at the ends of a period; consumption is purchased + opening - closing - exported",
    ),
    ("consumed:KIND", "消费:品种", "used by a line or by shared equipment; energy per product"),
    ("output:PRODUCT", "产量:产品", "all that was made, at the line that makes it"),
    ("qualified_output:PRODUCT", "合格品产量:产品", "what passed inspection; energy per product"),
    ("gross_output_value", "工业总产值", "of the enterprise; energy per 万元"),
    ("value_added", "工业增加值", "of the enterprise; energy per 万元, may be negative"),
];

/// The reference page in Markdown.
#[must_use]
pub fn page() -> String {
    let mut page = "# facts.csv, facts.xlsx\n\n\
        What people declare: purchases, output, money, stock. One row for each subject, period and measure; either a year or its months. \
        `facts` in `[plant]` of plant.toml names the files.\n\n\
        申报数据：外购量、产量、产值、库存。每个对象、期间、指标一行；同一年要么填年，要么填各月。文件由 plant.toml 的 `[plant]` `facts` 列出。\n\n\
        Generated from the columns that the program reads; JSON Schema of a row: [facts.schema.json](schema/facts.schema.json).\n\n\
        | column | Chinese names | | |\n|---|---|---|---|\n"
        .to_owned();
    for (name, en, zh) in MEANINGS {
        let names: Vec<&str> = COLUMNS
            .aliases
            .iter()
            .filter(|(_, own)| own == name)
            .map(|(alias, _)| *alias)
            .collect();
        let required = if COLUMNS.required.contains(name) { "**required**" } else { "" };
        writeln!(page, "| `{name}` | {} | {required} | {en}<br>{zh} |", names.join(", "))
            .expect("writing to a String does not fail");
    }
    page.push_str("\n## Measures\n\nKIND is the id or name of an `[[energy_kind]]`, PRODUCT of a `[[product]]`.\n\n| measure | Chinese | |\n|---|---|---|\n");
    for (measure, zh, what) in MEASURES {
        writeln!(page, "| `{measure}` | {zh} | {what} |")
            .expect("writing to a String does not fail");
    }
    page.push_str(
        "\n## Files\n\n\
        - CSV with commas, in UTF-8. In Excel: *Save As*, type *CSV UTF-8 (comma delimited)*. A field with a comma stands in \"quotes\" and ends in \
        its line. Lines that begin with `#` are comments; blank rows, and blank columns at the end, are passed over.\n\
        - Excel workbooks (.xlsx): every visible sheet whose name does not begin with `#` is read, its first row with the names of the columns. \
        Formulas count with the result that Excel has stored.\n\
        - A value that is about 10, 100, 1 000 or 10 000 times those of other periods of the same subject and measure is marked beside each \
        figure made from it. A fact that no figure is made from is named (EN-C309).\n",
    );
    page
}

/// The JSON Schema of a row.
#[must_use]
pub fn schema() -> Value {
    let properties: Map<String, Value> = MEANINGS
        .iter()
        .map(|(name, en, _)| ((*name).to_owned(), json!({ "type": "string", "description": en })))
        .collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "a row of facts",
        "type": "object",
        "properties": properties,
        "required": COLUMNS.required,
        "additionalProperties": false,
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::fact::{Flow, Measure};

    #[test]
    fn the_reference_page_has_every_column_and_measure() {
        let described: Vec<&str> = MEANINGS.iter().map(|(name, ..)| *name).collect();
        let read: Vec<&str> = COLUMNS.required.iter().chain(COLUMNS.optional).copied().collect();
        assert_eq!(described, read);
        let page = page();
        for word in Flow::WORDS {
            assert!(page.contains(&format!("{word}:KIND")), "{word}");
        }
        for (measures, ..) in MEASURES {
            for measure in measures.split(", ") {
                let one = measure.replace("KIND", "a").replace("PRODUCT", "a");
                assert!(one.parse::<Measure>().is_ok(), "{measure}");
            }
        }
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
        config::reference::agree(&docs.join("facts.md"), &page).unwrap();
        let schema = format!("{:#}\n", schema());
        config::reference::agree(&docs.join("schema/facts.schema.json"), &schema).unwrap();
    }
}
