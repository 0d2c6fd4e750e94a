//! What the demo proved: samples read and committed, and Table 1 against the plant's own integral.

use std::fmt::Write as _;

use energy::Table1;
use energy::fact::Flow;
use model::{Language, Localized, text};
use serde::Serialize;
use serde_json::{Value, json};
use simulator::Expected;

/// The sum of a demo.
#[derive(Debug, Default, Serialize)]
pub(super) struct Outcome {
    /// Samples appended to the spool.
    pub(super) samples_read: u64,
    /// Rows that the commits of this run brought.
    pub(super) samples_committed: u64,
    /// Frames that had no commit ack when the gateway ended.
    pub(super) frames_waiting: u64,
    /// Whether the meters' memory of the month was read back and is in the lake without a gap.
    pub(super) month_complete: bool,
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

/// What the figures say about the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Everything that was read is in the lake, once, and every metered row is what the plant says.
    Good,
    /// Nothing is wrong, but the end came before everything had arrived.
    TooShort,
    /// Something is lost, there twice, or another value.
    Wrong,
}

impl Outcome {
    /// Judges the figures.
    pub(super) fn verdict(&self) -> Verdict {
        let arrived = self.frames_waiting == 0;
        let counted = self.samples_read == self.samples_committed;
        if self.samples_lost > 0 || self.duplicates > 0 || (arrived && !counted) {
            return Verdict::Wrong;
        }
        if !arrived || !self.month_complete {
            return Verdict::TooShort;
        }
        let mut known = self.table1.iter().filter(|row| row.expected.is_some()).peekable();
        let some = known.peek().is_some();
        if some && known.all(|row| row.expected == row.computed) {
            Verdict::Good
        } else {
            Verdict::Wrong
        }
    }

    /// One JSON object.
    pub(super) fn as_json(&self) -> Value {
        let mut object = json!({ "schema": "nengliu.demo.v1" });
        if let (Some(object), Value::Object(fields)) = (object.as_object_mut(), json!(self)) {
            object.extend(fields);
        }
        object
    }

    /// Why the figures are not compared: the demo was stopped before they could be complete, which is nobody's fault.
    pub(super) fn stopped_early(&self) -> Option<Localized> {
        if self.verdict() != Verdict::TooShort {
            return None;
        }
        let (read, committed) = (self.samples_read, self.samples_committed);
        Some(if self.frames_waiting > 0 {
            text!(
                en: "stopped before everything was committed ({committed} of {read} samples): no comparison",
                zh: "在全部数据入库之前停止（{read} 个采样中已入库 {committed} 个）：不作对照"
            )
        } else {
            text!(
                en: "stopped before the history of the month was read back ({read} samples so far): no comparison",
                zh: "在回读完当月历史数据之前停止（已读 {read} 个采样）：不作对照"
            )
        })
    }

    /// A few lines.
    pub(super) fn in_words(&self, language: Language) -> String {
        let mut text = format!(
            "samples read {}, committed {}, lost {}, duplicates {}\n",
            self.samples_read, self.samples_committed, self.samples_lost, self.duplicates
        );
        if let Some(early) = self.stopped_early() {
            writeln!(text, "{}", early.get(language)).expect("writing to a String does not fail");
            return text;
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Outcome {
        let row = Compared {
            name: "electricity".to_owned(),
            source: "purchased".to_owned(),
            unit: "kWh".to_owned(),
            computed: Some("5".to_owned()),
            expected: Some("5".to_owned()),
        };
        Outcome {
            samples_read: 9,
            samples_committed: 9,
            frames_waiting: 0,
            month_complete: true,
            samples_lost: 0,
            duplicates: 0,
            table1: vec![row],
        }
    }

    /// First use, O11: figures that could not be there yet were set beside those of the plant.
    #[test]
    fn a_demo_that_is_stopped_early_compares_nothing() {
        let mut outcome = good();
        let compared = outcome.in_words(Language::English);
        assert!(compared.contains("5 kWh, the plant says 5"), "{compared}");
        outcome.month_complete = false;
        let early = outcome.in_words(Language::English);
        assert!(early.contains("stopped before the history") && early.contains("9 samples"));
        assert!(early.contains("no comparison") && !early.contains("plant says"), "{early}");
        (outcome.frames_waiting, outcome.samples_committed) = (2, 7);
        let early = outcome.in_words(Language::Chinese);
        assert!(early.contains("9 个采样中已入库 7 个"), "{early}");
        assert_eq!(Outcome::default().verdict(), Verdict::TooShort, "before anything was read");
    }

    #[test]
    fn a_month_that_is_not_complete_is_no_fault_of_the_program() {
        let check = |change: fn(&mut Outcome), expected: Verdict| {
            let mut outcome = good();
            change(&mut outcome);
            assert_eq!(outcome.verdict(), expected, "{outcome:?}");
        };
        let short = |outcome: &mut Outcome| {
            outcome.month_complete = false;
            outcome.table1[0].computed = Some("3".to_owned());
        };
        check(|_| {}, Verdict::Good);
        check(short, Verdict::TooShort);
        check(|o| (o.frames_waiting, o.samples_committed) = (2, 7), Verdict::TooShort);
        check(|o| (o.month_complete, o.table1) = (false, Vec::new()), Verdict::TooShort);
        // What is wrong stays wrong in a month that is not complete.
        check(|o| (o.month_complete, o.samples_lost) = (false, 1), Verdict::Wrong);
        check(|o| (o.month_complete, o.duplicates) = (false, 1), Verdict::Wrong);
        check(|o| (o.month_complete, o.samples_committed) = (false, 8), Verdict::Wrong);
        check(|o| o.table1[0].computed = Some("3".to_owned()), Verdict::Wrong);
        check(|o| o.table1[0].computed = None, Verdict::Wrong);
        check(|o| o.table1.clear(), Verdict::Wrong);
    }
}
