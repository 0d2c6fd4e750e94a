//! Stock: what is there at an instant. The closing stock of a period is the opening stock of the next, whichever of the
//! two was declared, and the stock of a year is that of its first or last month.
//!
//! `closing_stock:raw_coal` of 2022-12 = 300 t → `opening_stock:raw_coal` of 2023 and of 2023-01 is 300 t.

use config::Problem;
use config::csv_table::Row;
use jiff::civil::Date;
use model::text;

use super::{Fact, Facts, Flow, Measure};
use crate::id::{KindId, SubjectId};
use crate::period::Period;

const CODE_STOCK: &str = "EN-C321";

/// The flows that state a stock.
pub(super) const FLOWS: [Flow; 2] = [Flow::OpeningStock, Flow::ClosingStock];

/// The day at whose beginning a stock is counted.
fn day(flow: Flow, period: Period) -> Date {
    let (first, after) = period.days();
    if flow == Flow::OpeningStock { first } else { after }
}

impl Facts {
    /// The stock of a kind at the beginning or the end of a period: of one fact, or of one for each batch.
    pub(super) fn stock(
        &self,
        subject: &SubjectId,
        flow: Flow,
        kind: &KindId,
        period: Period,
    ) -> Option<Vec<&Fact>> {
        let on = day(flow, period);
        self.stocks(subject, kind).find(|(day, _)| *day == on).map(|(_, facts)| facts)
    }

    /// All stocks of a kind that were declared, with their days.
    fn stocks<'a>(
        &'a self,
        subject: &SubjectId,
        kind: &KindId,
    ) -> impl Iterator<Item = (Date, Vec<&'a Fact>)> {
        let key = |flow| (subject.clone(), Measure::Energy(flow, kind.clone()));
        let of = FLOWS.map(|flow| (flow, self.by_key.get(&key(flow))));
        of.into_iter().flat_map(|(flow, facts)| {
            let periods = facts.into_iter().flatten();
            periods.map(move |(period, facts)| (day(flow, *period), facts.iter().collect()))
        })
    }
}

/// Names a stock that is not the one which another fact states for the same instant.
pub(super) fn contradicts(facts: &Facts, fact: &Fact, row: &Row) -> Option<Problem> {
    let Measure::Energy(flow, kind) = &fact.measure else { return None };
    if !flow.is_stock() {
        return None;
    }
    let on = day(*flow, fact.period);
    let known = facts.stocks(&fact.subject, kind).filter(|(day, _)| *day == on);
    let other = known.flat_map(|(_, facts)| facts).find(|other| {
        // The same measure twice is said as of every other measure.
        let twice = (&other.measure, other.period) == (&fact.measure, fact.period);
        !twice && other.batch == fact.batch && other.value != fact.value
    })?;
    let Fact { subject, measure, period, written, .. } = fact;
    let (beside, when, known, place) = (&other.measure, other.period, &other.written, &other.place);
    let message = text!(
        en: "`{measure}` of `{subject}` for {period} is {written}, and `{beside}` for {when}, in {place}, is {known}: both are the stock of the same day",
        zh: "`{subject}` {period} 的 `{measure}` 为 {written}，而 {place} 中 {when} 的 `{beside}` 为 {known}：二者是同一天的库存，应相等"
    );
    Some(row.problem(CODE_STOCK, message).help(text!(
        en: "a closing stock is the opening stock of the next period: correct one of the two, or leave one out",
        zh: "期末库存即下期期初库存：请更正其一，或只填一项"
    )))
}
