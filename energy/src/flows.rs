//! What becomes of one energy kind in the enterprise: where it comes from, where it goes, and whether that can be. Must
//! never convert into coal equivalent.
//!
//! What counts is purchased + opening stock − closing stock + generated − exported; what is made on site (`own`) is in
//! the energy that made it. 500 bought, 100 generated, 30 exported of what was generated → 570, and 500 without own
//! primary energy.

use model::{Localized, text};

use crate::coefficient::EnergyClass;
use crate::fact::Flow;
use crate::id::SubjectId;
use crate::made::Makers;
use crate::number::Number;
use crate::period::Period;
use crate::plant::{EnergyKind, ExportSource, Subject, SubjectKind};
use crate::source::{Inputs, Quantity, SourceError};

/// The flows of a kind that have a row in Table 1, in its order.
const ROWS: [Flow; 6] = [
    Flow::Purchased,
    Flow::Generated,
    Flow::Own,
    Flow::OpeningStock,
    Flow::ClosingStock,
    Flow::Exported,
];

/// The flows of one kind at the enterprise in one period.
pub(crate) struct Flows<'a> {
    pub(crate) kind: &'a EnergyKind,
    /// What is given, in the order of Table 1.
    pub(crate) given: Vec<(Flow, Quantity)>,
    /// What its export is taken off.
    pub(crate) export: Flow,
    /// Why no total can be made of them.
    pub(crate) refused: Vec<Localized>,
    /// What must be said of a total that is made of them.
    pub(crate) doubts: Vec<Localized>,
    /// What a total lacks.
    pub(crate) lacking: Vec<Localized>,
}

impl Flows<'_> {
    /// How much of a flow there is: zero where the plant has none, `None` where it is unknown.
    pub(crate) fn amount(&self, flow: Flow) -> Option<Number> {
        match self.given.iter().find(|(one, _)| *one == flow) {
            Some((_, quantity)) => quantity.value.clone(),
            None => Some(Number::zero()),
        }
    }

    /// The class of a flow: what is generated on site is primary energy, and so is what of it is sold.
    ///
    /// # Source
    /// 一次能源 of the statistical forms: hydro, wind and solar power are primary electricity (一次电力).
    pub(crate) fn class(&self, flow: Flow) -> EnergyClass {
        let generated =
            flow == Flow::Generated || (flow == Flow::Exported && self.export == Flow::Generated);
        if generated { EnergyClass::Primary } else { self.kind.class }
    }

    /// Whether one of the flows belongs to the subtotal of a class.
    pub(crate) fn is_in(&self, class: EnergyClass) -> bool {
        self.given.iter().any(|(flow, _)| self.class(*flow) == class)
    }

    pub(crate) fn quantity(&self, flow: Flow) -> Option<&Quantity> {
        self.given.iter().find(|(one, _)| *one == flow).map(|(_, quantity)| quantity)
    }

    /// What was bought and not left in stock.
    fn bought_and_used(&self) -> Option<Number> {
        let (bought, opening) = (self.amount(Flow::Purchased)?, self.amount(Flow::OpeningStock)?);
        Some(bought + opening - self.amount(Flow::ClosingStock)?)
    }

    /// What counts at the kind's own coefficient and stays inside: without what was made, and without its export.
    pub(crate) fn counted_inside(&self) -> Option<Number> {
        let inside = self.bought_and_used()? + self.amount(Flow::Generated)?;
        Some(if self.export == Flow::Own {
            inside
        } else {
            inside - self.amount(Flow::Exported)?
        })
    }

    /// The energy that is there to make others of: bought or generated, whatever of it is exported.
    pub(crate) fn brought_in(&self) -> Option<Number> {
        Some(self.bought_and_used()? + self.amount(Flow::Generated)?)
    }
}

impl Inputs<'_> {
    /// The flows of a kind. A kind that is neither bought nor made is unknown, not zero.
    pub(crate) fn flows<'a>(
        &self,
        kind: &'a EnergyKind,
        period: Period,
    ) -> Result<Flows<'a>, SourceError> {
        let enterprise = &self.plant.enterprise;
        let mut given = Vec::new();
        for flow in ROWS {
            given.extend(self.quantity(enterprise, flow, kind, period)?.map(|found| (flow, found)));
        }
        let is_source = |flow| matches!(flow, Flow::Purchased | Flow::Generated | Flow::Own);
        if !given.iter().any(|(flow, _)| is_source(*flow)) {
            let used = !given.is_empty() || self.has(enterprise, Flow::Consumed, kind);
            let quantity = if used { not_bought(kind) } else { Quantity::unknown() };
            given.insert(0, (Flow::Purchased, quantity));
        }
        let export = match kind.exported_from {
            Some(ExportSource::Generated) => Flow::Generated,
            Some(ExportSource::Own) => Flow::Own,
            None if self.has(enterprise, Flow::Generated, kind) => Flow::Generated,
            None if self.has(enterprise, Flow::Own, kind) => Flow::Own,
            Some(ExportSource::Purchased) | None => Flow::Purchased,
        };
        let none = Vec::new;
        let mut flows =
            Flows { kind, given, export, refused: none(), doubts: none(), lacking: none() };
        flows.without_stock();
        flows.refused = refusals(&flows);
        self.doubt(&mut flows);
        Ok(flows)
    }

    /// What may be true, and is more often a wrong word in a file.
    fn doubt(&self, flows: &mut Flows<'_>) {
        let (kind, id) = (flows.kind, &flows.kind.id);
        let positive = |flow| flows.amount(flow).is_some_and(|amount| amount.is_positive());
        let mut doubts = Vec::new();
        if positive(Flow::Generated) && flows.quantity(Flow::Purchased).is_none() {
            doubts.push(text!(
                en: "`{id}` is generated and no purchase of it is given: state `purchased:{id}`, 0 where none is bought",
                zh: "`{id}` 有自产一次能源，但没有外购量：请填写 `purchased:{id}`，没有外购时填 0"
            ));
        }
        if positive(Flow::Generated)
            && !kind.is_one_of(&["electricity"])
            && kind.class == EnergyClass::Secondary
        {
            doubts.push(text!(
                en: "`generated:{id}` counts as own primary energy; what was made of other energy, as in a boiler, is `own:{id}`",
                zh: "`generated:{id}` 按自产一次能源计入；由其他能源转换而来（如锅炉产汽）的应写 `own:{id}`"
            ));
        }
        if let Some(maker) = self.burns_and_buys(kind) {
            doubts.push(text!(
                en: "`purchased:{id}` stands at `{maker}`, which uses a fuel: what it makes of it is `own:{id}`, and is counted already",
                zh: "`purchased:{id}` 填在使用燃料的 `{maker}` 上：由燃料自产的应写 `own:{id}`，它已计入燃料"
            ));
        }
        let makes = kind.class != EnergyClass::Medium && positive(Flow::Own);
        let unknown = makes && matches!(self.makers(kind), Makers::Unknown);
        if unknown && !kind.is_one_of(&["electricity"]) {
            doubts.push(text!(
                en: "what made `own:{id}` is not stated, and it enters no total: write `made_by` in its `[[energy_kind]]`, or `generated:{id}` for heat of sun or ground",
                zh: "未说明 `own:{id}` 由什么生产，它不计入合计：请在其 `[[energy_kind]]` 中写 `made_by`；太阳能、地热请写 `generated:{id}`"
            ));
        } else if unknown {
            doubts.push(text!(
                en: "what made `own:{id}` is not stated, and it enters no total: write `generated:{id}` for PV, wind or hydro power, else `made_by` in its `[[energy_kind]]`",
                zh: "未说明 `own:{id}` 由什么生产，它不计入合计：光伏、风电、水电请写 `generated:{id}`，否则在其 `[[energy_kind]]` 中写 `made_by`"
            ));
        }
        flows.doubts = doubts;
    }
}

impl Inputs<'_> {
    /// Equipment that burns a fuel and is said to buy the steam or heat that it may well make.
    fn burns_and_buys(&self, kind: &EnergyKind) -> Option<&SubjectId> {
        if !kind.is_one_of(&["steam", "heat"]) {
            return None;
        }
        let fuels = || self.plant.kinds.iter().filter(|one| one.class == EnergyClass::Primary);
        let equipment = |one: &&Subject| one.kind == SubjectKind::Equipment;
        let burns = |one: &Subject| fuels().any(|fuel| self.has(&one.id, Flow::Consumed, fuel));
        let mut found = self.plant.subjects.iter().filter(equipment).filter(|one| burns(one));
        found.find(|one| self.has(&one.id, Flow::Purchased, kind)).map(|one| &one.id)
    }
}

impl Flows<'_> {
    /// Without stocks of which neither is given for the period: what was bought then stands for what was used.
    fn without_stock(&mut self) {
        let silent = |quantity: &Quantity| quantity.value.is_none() && quantity.declared.is_empty();
        let stocks = || self.given.iter().filter(|(flow, _)| flow.is_stock());
        if stocks().next().is_some() && stocks().all(|(_, quantity)| silent(quantity)) {
            self.given.retain(|(flow, _)| !flow.is_stock());
            let id = &self.kind.id;
            self.lacking.push(text!(
                en: "the stock of `{id}` at the beginning and the end of this period is not given, so its change is not counted",
                zh: "未填写 `{id}` 本期的期初和期末库存，库存变化未计入"
            ));
        }
    }
}

impl EnergyKind {
    /// Whether it is converted as one of these, in whatever state: `steam_low_pressure` is `steam`.
    fn is_one_of(&self, names: &[&str]) -> bool {
        self.coefficient.split('_').next().is_some_and(|name| names.contains(&name))
    }
}

/// Why the flows of a kind cannot all be true.
fn refusals(flows: &Flows<'_>) -> Vec<Localized> {
    let (id, unit, source) = (&flows.kind.id, flows.kind.unit, flows.export);
    let (Some(exported), Some(outside)) = (flows.amount(Flow::Exported), flows.bought_and_used())
    else {
        return Vec::new();
    };
    let mut refused = Vec::new();
    if exported.is_positive() && source != Flow::Purchased && flows.quantity(source).is_none() {
        refused.push(text!(
            en: "`exported:{id}` is taken off `{source}:{id}`, and there is none: correct `exported_from`, or state it",
            zh: "`exported:{id}` 应从 `{source}:{id}` 中扣除，但没有该量：请更正 `exported_from`，或填写该量"
        ));
        return refused;
    }
    if let Some(why) = impossible_stock(flows, &outside) {
        return vec![why];
    }
    let made = if source == Flow::Purchased { Some(outside) } else { flows.amount(source) };
    let made = made.filter(|_| exported.is_positive());
    let partly = flows.quantity(source).is_some_and(|quantity| !quantity.complete);
    if partly && made.as_ref().is_some_and(|made| exported > *made) {
        refused.push(text!(
            en: "`exported:{id}` is {exported} {unit}, and of `{source}:{id}` that it is taken off a part is missing",
            zh: "`exported:{id}` 为 {exported} {unit}，而其来源 `{source}:{id}` 部分缺失"
        ));
        return refused;
    }
    if let Some(made) = made.filter(|made| exported > *made) {
        refused.push(text!(
            en: "`exported:{id}` is {exported} {unit}, more than `{source}:{id}` that it is taken off, {made} {unit}: state `generated:{id}` for PV, wind or hydro power, `own:{id}` for what was made of other energy, and `exported_from` where there are several",
            zh: "`exported:{id}` 为 {exported} {unit}，大于其来源 `{source}:{id}` 的 {made} {unit}：光伏、风电、水电请填 `generated:{id}`，由其他能源转换的请填 `own:{id}`，来源不止一个时写 `exported_from`"
        ));
    }
    refused
}

/// More in stock at the end than there was and came in.
fn impossible_stock(flows: &Flows<'_>, outside: &Number) -> Option<Localized> {
    let (id, unit) = (&flows.kind.id, flows.kind.unit);
    // Stock that was not bought was made here, such as own coke.
    let own = flows.amount(Flow::Own).unwrap_or_else(Number::zero);
    let closing = flows.amount(Flow::ClosingStock).filter(Number::is_positive)?;
    ((outside + &own) < Number::zero()).then(|| {
        text!(
            en: "`closing_stock:{id}` is {closing} {unit}, more than there was in stock and came in together: correct it, or `opening_stock:{id}` or `purchased:{id}`",
            zh: "`closing_stock:{id}` 为 {closing} {unit}，大于期初库存与购入之和：请更正它，或更正 `opening_stock:{id}`、`purchased:{id}`"
        )
    })
}

/// What is used or sold and comes from nowhere.
fn not_bought(kind: &EnergyKind) -> Quantity {
    let id = &kind.id;
    Quantity::missing(text!(
        en: "it is used or sold, and no purchase is given: state `purchased:{id}`, 0 where none is bought, or `own:{id}` where it is made on site",
        zh: "有使用或外供，但未填写购入量：请填写 `purchased:{id}`，没有外购时填 0；自产的填写 `own:{id}`"
    ))
}
