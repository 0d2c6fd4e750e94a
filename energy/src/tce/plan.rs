//! Which coefficients hold for an energy kind in a period: one, several in runs of days, or one per batch. Must never know a
//! quantity.

use crate::coefficient::{Basis, MissingCoefficient, Request, Resolved};
use crate::period::Period;
use crate::plant::{EnergyKind, Plant, SteamRule, Treatment};

/// The coefficients of a kind on a basis in a period.
pub(super) struct Plan {
    /// One run of days, or several in which other rows hold.
    pub(super) runs: Vec<Run>,
    /// The rows that belong to one batch each.
    pub(super) batches: Vec<Resolved>,
}

/// A run of days and what holds in it.
pub(super) struct Run {
    pub(super) period: Period,
    pub(super) found: Result<Resolved, MissingCoefficient>,
}

impl Plan {
    pub(super) fn new(plant: &Plant, kind: &EnergyKind, period: Period, basis: Basis) -> Self {
        let whole = || Run {
            period,
            found: resolve(plant, kind, period, basis, None).map_err(|missing| *missing),
        };
        if kind.treatment == Treatment::Excluded {
            return Self { runs: vec![whole()], batches: Vec::new() };
        }
        let request = request(plant, kind, period, basis, None);
        let mut runs: Vec<Run> = Vec::new();
        for part in plant.coefficients.runs(&request, basis) {
            let found = resolve(plant, kind, part, basis, None).map_err(|missing| *missing);
            match runs.last_mut() {
                // The same rows before and after a border that is none of theirs.
                Some(last) if found.is_ok() && last.found == found => {
                    last.period = Period::between(last.period.days().0, part.days().1);
                }
                _ => runs.push(Run { period: part, found }),
            }
        }
        // Nothing holds in any part: said once. One row for all beside rows of each month is no answer for all.
        if runs.iter().all(|run| run.found.is_err()) {
            let whole = whole();
            if whole.found.is_err() {
                runs = vec![whole];
            }
        }
        Self { runs, batches: plant.coefficients.batch_rows(&request, basis) }
    }

    /// The first coefficient that there is.
    pub(super) fn first(&self) -> Option<(&Resolved, Period)> {
        self.runs.iter().find_map(|run| Some((run.found.as_ref().ok()?, run.period)))
    }

    /// The run that is the whole period, where no row belongs to a batch.
    pub(super) fn alone(&self) -> Option<&Run> {
        match self.runs.as_slice() {
            [run] if self.batches.is_empty() => Some(run),
            _ => None,
        }
    }
}

fn by_enthalpy(kind: &EnergyKind, basis: Basis) -> bool {
    // The enthalpy is the heat contained; what it took to make it is another number.
    basis == Basis::Equivalent
        && kind.steam.as_ref().is_some_and(|steam| steam.rule == SteamRule::Enthalpy)
}

pub(super) fn request<'a>(
    plant: &'a Plant,
    kind: &'a EnergyKind,
    period: Period,
    basis: Basis,
    batch: Option<&'a str>,
) -> Request<'a> {
    Request {
        rule_set: &kind.rule_set,
        edition: &kind.edition,
        energy_kind: if by_enthalpy(kind, basis) { "heat" } else { &kind.coefficient },
        region: &plant.region,
        period,
        batch,
    }
}

pub(super) fn resolve(
    plant: &Plant,
    kind: &EnergyKind,
    period: Period,
    basis: Basis,
    batch: Option<&str>,
) -> Result<Resolved, Box<MissingCoefficient>> {
    if kind.treatment == Treatment::Excluded {
        return Ok(Resolved::excluded(basis, kind.unit, kind.class));
    }
    let request = request(plant, kind, period, basis, batch);
    let resolved = match &kind.steam {
        Some(steam) if by_enthalpy(kind, basis) => plant.coefficients.resolve_enthalpy(
            &request,
            &steam.steam_kj_per_kg,
            &steam.feed_kj_per_kg,
        ),
        Some(steam) if steam.rule == SteamRule::Contract => {
            plant.coefficients.resolve_agreed(&request, basis)
        }
        _ => plant.coefficients.resolve(&request, basis),
    };
    Ok(Resolved { conversions: kind.conversions.clone(), ..resolved? })
}
