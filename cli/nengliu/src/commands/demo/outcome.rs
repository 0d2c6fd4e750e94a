//! What the demo proved: samples read and committed, and Table 1 against the plant's own integral.

use std::fmt::Write as _;

use energy::Table1;
use energy::fact::Flow;
use serde::Serialize;
use serde_json::{Value, json};
use simulator::Expected;

/// The sum of a demo.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    /// Samples appended to the spool.
    pub(super) samples_read: u64,
    /// Rows that the commits of this run brought.
    pub(super) samples_committed: u64,
    /// Samples given up.
    pub(super) samples_lost: u64,
    /// Rows that share an identity with another.
    pub(super) duplicates: u64,
    /// The energy rows of Table 1.
    pub(super) table1: Vec<Compared>,
}

/// One energy row, computed from the lake and expected by the plant.
#[derive(Debug, Serialize)]
pub(super) struct Compared {
    /// The energy kind.
    pub(super) name: String,
    /// 来源渠道.
    pub(super) source: String,
    /// The unit of both quantities.
    pub(super) unit: String,
    /// From the lake, as exact decimal text.
    pub(super) computed: Option<String>,
    /// The simulator's own integral; `None` where the row is declared.
    pub(super) expected: Option<String>,
}

/// Puts each row of the table beside what the plant knows.
pub(super) fn compare(table: &Table1, expected: &[Expected]) -> Vec<Compared> {
    let row = |row: &energy::table1::Row| {
        let own = row.source == Flow::Own;
        let known =
            expected.iter().find(|one| one.energy_kind == row.kind.as_str() && one.own == own);
        Compared {
            name: row.name.clone(),
            source: row.source.to_string(),
            unit: row.unit.to_string(),
            computed: row.quantity.exact().map(ToString::to_string),
            expected: known
                .and_then(|one| one.quantity)
                .map(|quantity| quantity.normalized().to_string()),
        }
    };
    table.rows.iter().map(row).collect()
}

impl Outcome {
    /// Whether everything that was read is in the lake, once, and every metered row is what the plant says.
    pub(super) fn is_good(&self) -> bool {
        self.samples_read == self.samples_committed
            && self.samples_lost == 0
            && self.duplicates == 0
            && self.table1.iter().any(|row| row.expected.is_some())
            && self.table1.iter().all(|row| row.expected.is_none() || row.expected == row.computed)
    }

    /// One JSON object.
    pub(super) fn as_json(&self) -> Value {
        let mut object = json!({ "schema": "nengliu.demo.v1" });
        if let (Some(object), Value::Object(fields)) = (object.as_object_mut(), json!(self)) {
            object.extend(fields);
        }
        object
    }

    /// A few lines.
    pub(super) fn in_words(&self) -> String {
        let mut text = format!(
            "samples read {}, committed {}, lost {}, duplicates {}\n",
            self.samples_read, self.samples_committed, self.samples_lost, self.duplicates
        );
        for row in &self.table1 {
            let Compared { name, source, unit, computed, expected } = row;
            let computed = computed.as_deref().unwrap_or("—");
            let line = match expected {
                Some(expected) => {
                    format!("  {name} {source}: {computed} {unit}, the plant says {expected}")
                }
                None => format!("  {name} {source}: {computed} {unit}, declared"),
            };
            writeln!(text, "{line}").expect("writing to a String does not fail");
        }
        text
    }
}
