//! Whether what is made on site (`own`) can have been made of the energy that is counted. Sun and wind that were typed
//! as `own` are in no total; here that is found out.
//!
//! 500 万kWh bought, `own:electricity` 100 and no other energy → refused: nothing can have made it.

use model::{Localized, text};

use crate::coefficient::{Basis, EnergyClass};
use crate::fact::Flow;
use crate::flows::Flows;
use crate::number::Number;
use crate::period::Period;
use crate::plant::EnergyKind;
use crate::source::Inputs;
use crate::tce::{BasisChoice, Converter};

/// Compares each own quantity with the heat content of the other kinds that were bought or generated.
pub(super) fn check(inputs: &Inputs<'_>, period: Period, flows: &mut [Flows<'_>]) {
    let kinds = &inputs.plant.kinds;
    let converter = Converter::new(inputs, kinds, period, BasisChoice::Equivalent);
    let tce =
        |kind: &EnergyKind, amount: &Number| converter.roughly(kind, Basis::Equivalent, amount);
    let made = |flows: &Flows<'_>| {
        let amount = flows.amount(Flow::Own)?;
        // What made a medium, water of a well above all, holds none of its heat.
        (amount.is_positive() && flows.kind.class != EnergyClass::Medium).then_some(amount)
    };
    for at in 0..flows.len() {
        let Some(own) = flows.get(at).and_then(made) else { continue };
        let others = flows
            .iter()
            .enumerate()
            .filter(|(other, flows)| *other != at && flows.kind.class != EnergyClass::Medium);
        // `None`: of some kind nobody knows how much there is of it.
        let mut there = Some(Number::zero());
        let mut some = false;
        for (_, other) in others {
            let amount = other.brought_in();
            some |= amount.as_ref().is_none_or(Number::is_positive);
            let worth = amount.and_then(|amount| tce(other.kind, &amount));
            there = there.zip(worth).map(|(sum, one)| sum + one);
        }
        let Some(one) = flows.get_mut(at) else { continue };
        let short = tce(one.kind, &own).zip(there).is_some_and(|(own, there)| own > there);
        let exported = one.export == Flow::Own
            && one.amount(Flow::Exported).is_none_or(|amount| amount.is_positive());
        if !some || (short && exported) {
            one.refused.push(from_nowhere(one, some));
        } else if short {
            one.lacking.push(from_nowhere(one, some));
        }
    }
}

fn from_nowhere(flows: &Flows<'_>, some: bool) -> Localized {
    let id = &flows.kind.id;
    if some {
        text!(
            en: "`own:{id}` holds more energy than all other kinds that are counted, so they cannot have made it: write `generated:{id}` for PV, wind or hydro power, or state the energy that made it",
            zh: "`own:{id}` 所含能量大于已计入的其他能源之和，不可能由它们生产：光伏、风电、水电请写 `generated:{id}`，否则请填写生产它的能源"
        )
    } else {
        text!(
            en: "nothing that is counted can have made `own:{id}`: write `generated:{id}` for PV, wind or hydro power, or state the energy that made it",
            zh: "已计入的能源中没有能生产 `own:{id}` 的：光伏、风电、水电请写 `generated:{id}`，否则请填写生产它的能源"
        )
    }
}
