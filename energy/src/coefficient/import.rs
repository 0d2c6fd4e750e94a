//! Reads coefficient tables from CSV. Must never resolve anything.

use std::sync::Arc;

use config::csv_table::{self, Columns, Row};
use config::{Problems, SourceFile};

use super::{Coefficient, RuleSet};

const CODE_ROW: &str = "EN-C201";

const COLUMNS: Columns = Columns {
    required: &[
        "rule_set",
        "edition",
        "energy_kind",
        "zh_name",
        "class",
        "role",
        "value",
        "value_unit",
        "unit",
        "notice",
        "evidence",
        "use",
    ],
    optional: &[
        "value_max",
        "heat_value",
        "heat_value_max",
        "heat_unit",
        "region",
        "data_year",
        "coal_rate_kind",
        "valid_from",
        "valid_to",
        "note",
    ],
    aliases: &[],
};

const RULE_SET_COLUMNS: Columns = Columns {
    required: &["rule_set", "edition", "kj_per_kgce", "year_rule"],
    optional: &["kj_per_kgoe", "note"],
    aliases: &[],
};

/// Reads the table of rule sets.
pub(super) fn rule_sets(file: &Arc<SourceFile>, problems: &mut Problems) -> Vec<RuleSet> {
    csv_table::read(file, &RULE_SET_COLUMNS, problems)
        .iter()
        .filter_map(|row| {
            Some(RuleSet {
                name: text(row, "rule_set", problems)?,
                edition: text(row, "edition", problems)?,
                kj_per_kgce: row.parse(CODE_ROW, "kj_per_kgce", problems)?,
                kj_per_kgoe: row.parse(CODE_ROW, "kj_per_kgoe", problems),
                year_rule: row.parse(CODE_ROW, "year_rule", problems)?,
            })
        })
        .collect()
}

/// Reads a table of coefficients.
pub(super) fn coefficients(file: &Arc<SourceFile>, problems: &mut Problems) -> Vec<Coefficient> {
    csv_table::read(file, &COLUMNS, problems)
        .iter()
        .filter_map(|row| coefficient(row, problems))
        .collect()
}

fn coefficient(row: &Row, problems: &mut Problems) -> Option<Coefficient> {
    Some(Coefficient {
        rule_set: text(row, "rule_set", problems)?,
        edition: text(row, "edition", problems)?,
        energy_kind: text(row, "energy_kind", problems)?,
        zh_name: text(row, "zh_name", problems)?,
        class: row.parse(CODE_ROW, "class", problems)?,
        role: row.parse(CODE_ROW, "role", problems)?,
        value: row.parse(CODE_ROW, "value", problems)?,
        value_max: row.parse(CODE_ROW, "value_max", problems),
        value_unit: row.parse(CODE_ROW, "value_unit", problems)?,
        unit: row.parse(CODE_ROW, "unit", problems)?,
        heat_value: row.parse(CODE_ROW, "heat_value", problems),
        heat_value_max: row.parse(CODE_ROW, "heat_value_max", problems),
        heat_unit: row.get("heat_unit").map(str::to_owned),
        kj_per_kgce: None,
        batch: None,
        region: row.get("region").map(str::to_owned),
        data_year: row.parse(CODE_ROW, "data_year", problems),
        notice: text(row, "notice", problems)?,
        coal_rate_kind: row.parse(CODE_ROW, "coal_rate_kind", problems),
        valid_from: row.parse(CODE_ROW, "valid_from", problems),
        valid_to: row.parse(CODE_ROW, "valid_to", problems),
        evidence: row.parse(CODE_ROW, "evidence", problems)?,
        usage: row.parse(CODE_ROW, "use", problems)?,
        override_reason: None,
        note: row.get("note").unwrap_or_default().to_owned(),
        place: row.place(),
        site: false,
    })
}

fn text(row: &Row, column: &str, problems: &mut Problems) -> Option<String> {
    row.required(CODE_ROW, column, problems).map(str::to_owned)
}
