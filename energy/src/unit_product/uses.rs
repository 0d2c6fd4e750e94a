//! What each line uses of each kind: by its own meters and facts, by allocation keys, and through what was made on site
//! of it. Must never convert.
//!
//! A line that uses 1 500 t of 6 000 t of own steam, made of 1 200 t of coal, uses 300 t of coal through the steam.

use std::collections::BTreeMap;

use model::{Localized, text};

use crate::fact::Flow;
use crate::id::{KindId, SubjectId};
use crate::made::{Division, Finder, Input, SHARE_DIGITS, Supply};
use crate::number::{Number, portion};
use crate::period::Period;
use crate::plant::{Allocation, EnergyKind, Subject};
use crate::source::{Inputs, Quantity, SourceError};

/// What a line uses of one kind.
pub(super) struct LineUse<'a> {
    pub(super) kind: &'a EnergyKind,
    pub(super) own: Option<Quantity>,
    pub(super) allocated: Vec<Allocated<'a>>,
    pub(super) through: Vec<Through>,
    pub(super) counted: Counted,
    /// What must be said of the quantity.
    pub(super) remarks: Vec<Localized>,
    /// What energy of the line is not known.
    pub(super) lacking: Vec<Localized>,
}

/// A line's part of shared equipment.
pub(super) struct Allocated<'a> {
    pub(super) key: &'a Allocation,
    /// The quantity of the equipment.
    pub(super) whole: Quantity,
    /// The line's part of it.
    pub(super) part: Option<Number>,
}

/// A line's part of what was used to make another kind.
pub(super) struct Through {
    /// The kind that was made of it.
    pub(super) made: KindId,
    /// The makers.
    pub(super) makers: Vec<SubjectId>,
    /// What they used.
    pub(super) whole: Quantity,
    /// The line's part of it.
    pub(super) part: Option<Number>,
    /// How the part was found.
    pub(super) formula: String,
}

/// How much of a use counts at the kind's own coefficient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Counted {
    /// All of it: none is made on site, or it is not known how much.
    All,
    /// What was bought or generated of it, and how that was found.
    Part(Option<Number>, String),
    /// Nothing: it was made on site.
    Nothing,
}

/// The uses of all lines, in the order of the plant file.
pub(super) type Uses<'a> = Vec<(&'a Subject, Vec<LineUse<'a>>)>;

impl<'a> LineUse<'a> {
    fn new(kind: &'a EnergyKind) -> Self {
        Self {
            kind,
            own: None,
            allocated: Vec::new(),
            through: Vec::new(),
            counted: Counted::All,
            remarks: Vec::new(),
            lacking: Vec::new(),
        }
    }

    /// How much it is; `None` where a part is unknown.
    pub(super) fn amount(&self) -> Option<Number> {
        let own = self.own.iter().map(|own| own.value.clone());
        let allocated = self.allocated.iter().map(|one| one.part.clone());
        let through = self.through.iter().map(|one| one.part.clone());
        let known: Option<Vec<Number>> = own.chain(allocated).chain(through).collect();
        known.map(|parts| parts.iter().sum())
    }
}

/// Finds what all lines use in a period.
pub(super) fn find<'a>(inputs: &'a Inputs<'a>, period: Period) -> Result<Uses<'a>, SourceError> {
    let mut uses: Uses<'a> = Vec::new();
    for line in inputs.plant.lines() {
        uses.push((line, direct(inputs, line, period)?));
    }
    let supplies = Finder::new(inputs, period)?.all()?;
    let mut done = Vec::new();
    for id in order(&supplies) {
        if let Some(of) = inputs.plant.kind(&id).zip(supplies.get(&id)) {
            divide(inputs, &mut uses, of, &done);
        }
        done.push(id);
    }
    let at = |id: &KindId| inputs.plant.kinds.iter().position(|kind| kind.id == *id);
    for (_, uses) in &mut uses {
        uses.sort_by_key(|one| at(&one.kind.id));
    }
    Ok(uses)
}

/// What a line uses by its own meters and facts, and by allocation keys.
fn direct<'a>(
    inputs: &Inputs<'a>,
    line: &Subject,
    period: Period,
) -> Result<Vec<LineUse<'a>>, SourceError> {
    let mut uses = Vec::new();
    for kind in &inputs.plant.kinds {
        let own = inputs.quantity(&line.id, Flow::Consumed, kind, period)?;
        let mut allocated = Vec::new();
        let keys = inputs.plant.allocations.iter().filter(|key| key.energy_kind == kind.id);
        for key in keys.filter(|key| key.shares.iter().any(|share| share.to == line.id)) {
            let whole = inputs.quantity(&key.from, Flow::Consumed, kind, period)?;
            let whole = whole.unwrap_or_else(Quantity::unknown);
            let part = whole.value.as_ref().and_then(|value| share(key, &line.id, value));
            allocated.push(Allocated { key, whole, part });
        }
        if own.is_some() || !allocated.is_empty() {
            uses.push(LineUse { own, allocated, ..LineUse::new(kind) });
        }
    }
    Ok(uses)
}

/// A line's part of a quantity: the difference of running totals, so that all parts sum to the whole exactly.
pub(super) fn share(key: &Allocation, line: &SubjectId, quantity: &Number) -> Option<Number> {
    let whole: Number = key.shares.iter().map(|share| &share.weight).sum();
    let digits = SHARE_DIGITS.max(quantity.places());
    let mut running = Number::zero();
    let mut before = Number::zero();
    let mut part = Number::zero();
    for share in &key.shares {
        running = &running + &share.weight;
        let upto = portion(quantity, &running, &whole, digits)?;
        if share.to == *line {
            part = part + (&upto - &before);
        }
        before = upto;
    }
    Some(part)
}

/// The kinds that are made on site, each before those that it is made of.
fn order(supplies: &BTreeMap<KindId, Supply>) -> Vec<KindId> {
    let made_of = |one: &KindId, other: &KindId| {
        let division = supplies.get(one).and_then(|supply| supply.division.as_ref());
        one != other && division.is_some_and(|division| division.is_made_of(other))
    };
    let mut left: Vec<&KindId> = supplies.keys().collect();
    let mut order = Vec::new();
    while !left.is_empty() {
        // Of kinds that are made of each other some one comes first.
        let needed = |id: &&KindId| left.iter().any(|other| made_of(other, id));
        let at = left.iter().position(|id| !needed(id)).unwrap_or(0);
        order.push(left.remove(at).clone());
    }
    order
}

/// Divides the uses of a kind into what counts and what was made, and hands on what it was made of, but for the kinds
/// that are `done`.
fn divide<'a>(
    inputs: &'a Inputs<'a>,
    uses: &mut Uses<'a>,
    (kind, supply): (&EnergyKind, &Supply),
    done: &[KindId],
) {
    let of = |uses: &[LineUse<'_>]| uses.iter().position(|one| one.kind.id == kind.id);
    let amount = |uses: &[LineUse<'_>]| Some(uses.get(of(uses)?)?.amount());
    let all: Number = uses.iter().filter_map(|(_, uses)| amount(uses)).flatten().sum();
    let mut running = Number::zero();
    for (line, uses) in uses.iter_mut() {
        let (Some(at), Some(amount)) = (of(uses), amount(uses)) else { continue };
        if amount.as_ref().is_some_and(Number::is_zero) {
            continue;
        }
        let mut lacking = supply.lacking.clone();
        let elsewhere = supply.in_lines.iter().find(|(_, other)| *other != line.id);
        lacking.extend(elsewhere.map(|(maker, other)| made_in_a_line(&kind.id, maker, other)));
        let mut counted = if supply.bought { Counted::All } else { Counted::Nothing };
        if let Some(division) = &supply.division {
            lacking.extend(too_much_used(kind, &all, &division.whole()));
            let share = Share::of(division, &running, amount.as_ref());
            if supply.bought {
                counted = share.counted(kind);
            }
            for one in &division.inputs {
                let id = &one.kind;
                let Some(input) = inputs.plant.kind(id) else { continue };
                if done.contains(id) {
                    lacking.push(made_of_each_other(&kind.id, id));
                    continue;
                }
                let through = share.through(kind, input, one);
                match uses.iter_mut().find(|one| one.kind.id == *id) {
                    Some(known) => known.through.push(through),
                    None => uses.push(LineUse { through: vec![through], ..LineUse::new(input) }),
                }
            }
        }
        running = running + amount.unwrap_or_else(Number::zero);
        if let Some(one) = uses.get_mut(at) {
            one.remarks = vec![remark(&counted)];
            (one.counted, one.lacking) = (counted, lacking);
        }
    }
}

/// One line's use among those of all lines: from a running total to the next, so that all parts sum to the whole.
struct Share<'a> {
    division: &'a Division,
    before: &'a Number,
    /// How much the line uses.
    amount: Option<&'a Number>,
    /// Of it, what was bought or generated.
    counted: Option<Number>,
}

impl<'a> Share<'a> {
    fn of(division: &'a Division, before: &'a Number, amount: Option<&'a Number>) -> Self {
        let share = Self { division, before, amount, counted: None };
        let counted = share.part(&division.counted, &division.whole(), division.counted.places());
        Self { counted, ..share }
    }

    /// The part of `number` ÷ `whole` that the line's use makes, with the digits of a share.
    fn part(&self, number: &Number, whole: &Number, places: u32) -> Option<Number> {
        let upto = |running| portion(number, running, whole, SHARE_DIGITS.max(places));
        Some(upto(&(self.before + self.amount?))? - upto(self.before)?)
    }

    /// How much of the use counts at the kind's own coefficient.
    fn counted(&self, kind: &EnergyKind) -> Counted {
        let unit = kind.unit;
        let formula = format!(
            "{} {unit} × {} ÷ {} bought or generated = {} {unit}",
            shown(self.amount),
            self.division.counted,
            self.division.whole(),
            shown(self.counted.as_ref())
        );
        Counted::Part(self.counted.clone(), formula)
    }

    /// The line's part of what the makers used of another kind.
    fn through(&self, kind: &EnergyKind, input: &EnergyKind, of: &Input) -> Through {
        let used = &of.used;
        let Division { made, given, .. } = self.division;
        let whole = &self.division.whole() * given;
        let value = used.value.as_ref();
        let part = value.and_then(|value| self.part(&(value * made), &whole, value.places()));
        let of_it = self.amount.zip(self.counted.as_ref()).map(|(all, part)| all - part);
        let formula = format!(
            "{} {} ÷ {given} {} of `{}` × {} {} = {} {}",
            shown(value),
            input.unit,
            kind.unit,
            kind.id,
            shown(of_it.as_ref()),
            kind.unit,
            shown(part.as_ref()),
            input.unit
        );
        let (made, makers) = (kind.id.clone(), of.makers.clone());
        Through { made, makers, whole: used.clone(), part, formula }
    }
}

fn shown(value: Option<&Number>) -> String {
    value.map_or_else(|| "–".to_owned(), Number::to_string)
}

fn remark(counted: &Counted) -> Localized {
    match counted {
        Counted::Nothing => text!(
            en: "made on site: physical use only, its energy is in the fuel that made it",
            zh: "自产：只列实物量，其能耗已计入生产它的燃料",
        ),
        Counted::All => text!(
            en: "bought and made on site: all of it counts at its coefficient, and what was lost in making it stays undistributed",
            zh: "外购与自产并存：全部按其系数折标，自产损失列入未分摊",
        ),
        Counted::Part(..) => text!(
            en: "bought and made on site: what was bought counts at its coefficient, and the rest is in what made it",
            zh: "外购与自产并存：外购部分按其系数折标，自产部分计入生产它的能源",
        ),
    }
}

fn made_in_a_line(id: &KindId, maker: &SubjectId, line: &SubjectId) -> Localized {
    text!(
        en: "`own:{id}` is made by `{maker}` in `{line}`, whose energy counts there: take `{maker}` out of the line, or write `made_by = []` if it is recovered heat",
        zh: "`own:{id}` 由 `{line}` 内的 `{maker}` 生产，其能耗计入该产线：请将 `{maker}` 移出该产线；若为回收余热，请写 `made_by = []`"
    )
}

fn too_much_used(kind: &EnergyKind, used: &Number, whole: &Number) -> Option<Localized> {
    let (id, unit) = (&kind.id, kind.unit);
    (used > whole).then(|| {
        text!(
            en: "the lines use {used} {unit} of `{id}`, and there is {whole} {unit}: check both",
            zh: "各产线共用 `{id}` {used} {unit}，而企业内只有 {whole} {unit}：请核对"
        )
    })
}

fn made_of_each_other(id: &KindId, other: &KindId) -> Localized {
    text!(
        en: "`{id}` and `{other}` are made of each other: divide the energy of their makers by an `[[allocation]]`",
        zh: "`{id}` 与 `{other}` 互相用于生产：请用 `[[allocation]]` 分摊其生产设备的能耗"
    )
}
