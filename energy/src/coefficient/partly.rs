//! Rows of the site that a key asks for and that fit it only partly: which key differs, and the runs of days in which other
//! rows hold. Must never choose a row.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::civil::{Date, date};
use model::{Localized, text};

use super::resolve::{Key, MissingCoefficient, Request, Resolved, roles};
use super::{Basis, Coefficient, Registry, Use};
use crate::period::Period;

/// Most rows that a message names.
const NAMED_MAX: usize = 3;

/// Why no row of the site fits.
pub(super) struct InPart {
    pub(super) reason: Localized,
    /// Lines of a row that would fit.
    pub(super) keys: String,
}

/// The batch that must stand in a row. A site without rows per batch has one for all.
pub(super) fn wanted_batch<'a>(
    site: &[&Arc<Coefficient>],
    request: &Request<'a>,
) -> Option<&'a str> {
    request.batch.filter(|_| site.iter().any(|row| row.batch.is_some()))
}

/// What of a row does not fit, one entry per key; empty when it fits.
pub(super) fn differences(
    row: &Coefficient,
    key: &Key,
    period: Period,
    batch: Option<&str>,
) -> Vec<Localized> {
    let mut found = Vec::new();
    if let Some(other) = row.region.as_ref().filter(|region| **region != key.region) {
        let wanted = &key.region;
        found.push(text!(
            en: "`region` is `{other}`, expected `{wanted}`",
            zh: "`region` 为 `{other}`，应为 `{wanted}`",
        ));
    }
    if let Some(other) = row.data_year.filter(|year| *year != key.data_year) {
        let wanted = key.data_year;
        let before = wanted != period.year();
        let (rule, rule_chinese) =
            if before { (", the year before", "（上一年）") } else { ("", "") };
        found.push(text!(
            en: "`data_year` is {other}, expected {wanted}{rule}",
            zh: "`data_year` 为 {other}，应为 {wanted}{rule_chinese}",
        ));
    }
    if row.batch.as_deref() != batch {
        found.push(match &row.batch {
            Some(other) => text!(en: "it is for batch `{other}`", zh: "仅用于批次 `{other}`"),
            None => text!(en: "it names no batch", zh: "未写批次"),
        });
    }
    let (first, after) = period.days();
    if let Some(from) = row.valid_from.filter(|from| *from > first) {
        found.push(text!(
            en: "`valid_from` is {from}, after {first}",
            zh: "`valid_from` 为 {from}，晚于 {first}",
        ));
    }
    if let Some(to) = row.valid_to.filter(|to| day_after(*to) < after) {
        let last = after.yesterday().unwrap_or(after);
        found.push(text!(
            en: "`valid_to` is {to}, before {last}",
            zh: "`valid_to` 为 {to}，早于 {last}",
        ));
    }
    found
}

fn day_after(day: Date) -> Date {
    day.tomorrow().unwrap_or(day)
}

impl Registry {
    /// Which rows fit in part, those first that differ least, and what differs.
    pub(super) fn in_part(&self, key: &Key, request: &Request<'_>) -> InPart {
        let site = self.site_rows(key);
        let batch = wanted_batch(&site, request);
        let mut rows: Vec<(&Coefficient, Vec<Localized>)> = site
            .iter()
            .map(|row| (row.as_ref(), differences(row, key, request.period, batch)))
            .collect();
        let (first, _) = request.period.days();
        let distance = |row: &Coefficient| {
            let ends = [row.valid_from, row.valid_to].into_iter().flatten();
            ends.map(|day| (day.duration_since(first).as_hours()).abs()).min()
        };
        rows.sort_by_key(|(row, differ)| (differ.len(), distance(row)));
        let more = rows.len().saturating_sub(NAMED_MAX);
        let mut texts: Vec<Localized> = rows
            .into_iter()
            .take(NAMED_MAX)
            .map(|(row, differ)| {
                let (place, differ) = (&row.place, Localized::join(&differ, ", "));
                let (english, chinese) = both(&differ);
                text!(en: "`{place}`: {english}", zh: "`{place}`：{chinese}")
            })
            .collect();
        if more > 0 {
            texts.push(text!(en: "and {more} more", zh: "另有 {more} 行"));
        }
        let all = Localized::join(&texts, "; ");
        let (english, chinese) = both(&all);
        let period = request.period;
        let of_batch = batch.map_or_else(String::new, |batch| format!(" `{batch}`"));
        let shipped = self.printed(key);
        let (and, and_chinese) = match shipped {
            Some(_) => ("; the printed value is not taken instead", "；不以标准所列数值代替"),
            None => ("", ""),
        };
        let reason = text!(
            en: "no row of the plant file fits {period}{of_batch}: {english}{and}",
            zh: "工厂文件中没有适用于 {period}{of_batch} 的行：{chinese}{and_chinese}",
        );
        let (first, after) = period.days();
        let last = after.yesterday().unwrap_or(after);
        let dated = site.iter().any(|row| row.valid_from.is_some() || row.valid_to.is_some());
        let keys = match batch {
            Some(batch) => format!("batch = \"{batch}\"\n"),
            None if dated => format!("valid_from = {first}\nvalid_to = {last}\n"),
            None => String::new(),
        };
        let printed = shipped.map_or_else(String::new, |row| {
            let Coefficient { value, notice, evidence, .. } = row;
            format!("# where the printed value is to hold: value = {value}, notice = \"{notice}\", evidence = \"{evidence}\"\n")
        });
        let keys = keys + &printed;
        InPart { reason, keys }
    }

    /// The value that the edition itself prints for a key.
    fn printed(&self, key: &Key) -> Option<&Coefficient> {
        let found = self.rows().iter().find(|row| {
            let printed = !row.site && row.usage == Use::Resolves && row.value_max.is_none();
            printed
                && (&row.rule_set, &row.edition) == (&key.rule_set, &key.edition)
                && (&row.energy_kind, row.role) == (&key.energy_kind, key.role)
        });
        found.map(Arc::as_ref)
    }

    /// The runs of days of a period between which a row of the site begins or ceases to hold, or a year begins.
    pub(crate) fn runs(&self, request: &Request<'_>, basis: Basis) -> Vec<Period> {
        let (first, after) = request.period.days();
        let mut borders = BTreeSet::from([first, after]);
        borders.extend((first.year()..after.year()).map(|year| date(year + 1, 1, 1)));
        for (role, _) in roles(request.energy_kind, basis) {
            let rows = self.site_rows(&self.key(request, *role));
            for row in rows.into_iter().filter(|row| row.batch.is_none()) {
                for border in [row.valid_from, row.valid_to.map(day_after)].into_iter().flatten() {
                    borders.insert(border);
                    // Facts are of whole months: those beside a border inside a month stay whole.
                    if border.day() != 1 {
                        let (month, next) = Period::Month(border.year(), border.month()).days();
                        borders.extend([month, next]);
                    }
                }
            }
        }
        let inside: Vec<Date> = borders.range(first..=after).copied().collect();
        inside
            .windows(2)
            .filter_map(|pair| Some(Period::between(*pair.first()?, *pair.get(1)?)))
            .collect()
    }

    /// The site's rows per batch that a kind may be converted by.
    pub(crate) fn batch_rows(&self, request: &Request<'_>, basis: Basis) -> Vec<Resolved> {
        let rows = roles(request.energy_kind, basis).iter().flat_map(|(role, rule)| {
            let rows = self.site_rows(&self.key(request, *role)).into_iter();
            rows.filter(|row| row.batch.is_some())
                .map(|row| Resolved::of_row(basis, rule.clone(), Arc::clone(row)))
        });
        rows.collect()
    }

    /// A quantity that is known for the whole period alone, where the coefficients are of parts of it.
    pub(crate) fn as_a_whole(
        &self,
        request: &Request<'_>,
        of: &Resolved,
        parts: &[Period],
    ) -> MissingCoefficient {
        let role = of.rows.first().map_or(super::Role::Equivalent, |row| row.role);
        let count = parts.len();
        let mut named: Vec<String> =
            parts.iter().take(NAMED_MAX).map(|part| format!("`{part}`")).collect();
        if count > NAMED_MAX {
            named.push("…".to_owned());
        }
        let (named, period) = (named.join(", "), request.period);
        MissingCoefficient {
            key: self.key(request, role),
            reason: text!(
                en: "other coefficients hold in {count} parts of {period} ({named}), and the quantity is not known for each of them",
                zh: "{period} 内 {count} 个时段（{named}）适用不同系数，而数量未按这些时段给出",
            ),
            add: format!(
                "# give the quantity of each of these parts, or one coefficient for the whole of {period}\n"
            ),
        }
    }
}

fn both(message: &Localized) -> (String, String) {
    let wording = |language| message.get(language).to_owned();
    (wording(model::Language::English), wording(model::Language::Chinese))
}
