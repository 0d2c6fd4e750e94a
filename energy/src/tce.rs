//! Conversion of quantities into tonnes of coal equivalent on either basis. Must never choose a coefficient by itself.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::coefficient::{
    Basis, Evidence, MissingCoefficient, Request, Resolved, Rule, constant, set_id, words,
};
use crate::id::KindId;
use crate::number::Number;
use crate::period::Period;
use crate::plant::{EnergyKind, Plant, SteamRule, Treatment};

words! {
    /// Which bases are asked for.
    BasisChoice {
        /// 当量值 alone.
        Equivalent "equivalent",
        /// 等价值 alone.
        EqualValue "equal_value",
        /// Both.
        Both "both",
    }
}

impl BasisChoice {
    /// The bases.
    #[must_use]
    pub const fn bases(self) -> &'static [Basis] {
        match self {
            Self::Equivalent => &[Basis::Equivalent],
            Self::EqualValue => &[Basis::EqualValue],
            Self::Both => &[Basis::Equivalent, Basis::EqualValue],
        }
    }
}

/// One thing per basis that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PerBasis<T> {
    /// 当量值.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub equivalent: Option<T>,
    /// 等价值.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub equal_value: Option<T>,
}

impl<T> PerBasis<T> {
    /// Makes one per basis asked for.
    pub(crate) fn of(choice: BasisChoice, mut make: impl FnMut(Basis) -> T) -> Self {
        let mut one = |basis| choice.bases().contains(&basis).then(|| make(basis));
        Self { equivalent: one(Basis::Equivalent), equal_value: one(Basis::EqualValue) }
    }

    /// The one of a basis, if it was asked for.
    #[must_use]
    pub fn get(&self, basis: Basis) -> Option<&T> {
        match basis {
            Basis::Equivalent => self.equivalent.as_ref(),
            Basis::EqualValue => self.equal_value.as_ref(),
        }
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.equivalent.iter_mut().chain(&mut self.equal_value)
    }

    /// All that there are.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.equivalent.iter().chain(&self.equal_value)
    }
}

/// A coefficient as it is printed beside a figure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CoefficientUse {
    /// Kilograms of coal equivalent per `unit`.
    pub kgce_per_unit: Number,
    /// Per what.
    pub unit: model::Unit,
    /// How it was found.
    pub rule: Rule,
    /// Documents it stands in.
    pub notices: Vec<String>,
    /// The year of its data, where it is dated.
    pub data_year: Option<i16>,
    /// How far it can be believed.
    pub evidence: Option<Evidence>,
}

impl From<&Resolved> for CoefficientUse {
    fn from(resolved: &Resolved) -> Self {
        Self {
            kgce_per_unit: resolved.kgce_per_unit.clone(),
            unit: resolved.unit,
            rule: resolved.rule.clone(),
            notices: resolved.rows.iter().map(|row| row.notice.clone()).collect(),
            data_year: resolved.rows.iter().find_map(|row| row.data_year),
            evidence: resolved.rows.first().map(|row| row.evidence),
        }
    }
}

/// The coefficients of the kinds that are in use, resolved once.
pub(crate) struct Converter {
    resolved: BTreeMap<(KindId, Basis), Result<Resolved, MissingCoefficient>>,
}

impl Converter {
    /// Resolves the coefficients of `kinds`.
    pub(crate) fn new<'a>(
        plant: &Plant,
        kinds: impl IntoIterator<Item = &'a EnergyKind>,
        period: Period,
        choice: BasisChoice,
    ) -> Self {
        let mut resolved = BTreeMap::new();
        for kind in kinds {
            for basis in choice.bases() {
                let key = (kind.id.clone(), *basis);
                resolved.insert(key, resolve(plant, kind, period, *basis).map_err(|one| *one));
            }
        }
        Self { resolved }
    }

    /// The coefficient of a kind, where there is one.
    pub(crate) fn get(&self, kind: &KindId, basis: Basis) -> Option<&Resolved> {
        self.resolved.get(&(kind.clone(), basis))?.as_ref().ok()
    }

    /// Everything that is missing, once each.
    pub(crate) fn missing(&self) -> Vec<MissingCoefficient> {
        let mut missing: Vec<MissingCoefficient> =
            self.resolved.values().filter_map(|one| one.as_ref().err().cloned()).collect();
        missing.sort_by(|a, b| a.key.cmp(&b.key));
        missing.dedup();
        missing
    }

    /// The name of the set that figures on a basis use.
    pub(crate) fn set_id(&self, basis: Basis) -> String {
        let used = self.resolved.iter().filter(|((_, on), _)| *on == basis);
        set_id(used.filter_map(|(_, one)| one.as_ref().ok()))
    }

    /// Tonnes per unit of a kind; `None` when the coefficient is missing or the kind is not converted.
    pub(crate) fn tce_per_unit(&self, kind: &EnergyKind, basis: Basis) -> Option<Number> {
        let resolved = self.get(&kind.id, basis).filter(|one| one.rule != Rule::Excluded)?;
        let factor = kind.factor(kind.unit, resolved.unit)?;
        Some(&(&factor * &resolved.kgce_per_unit) * &constant("0.001"))
    }

    /// A quantity in the kind's unit as tonnes, with the formula. What is not converted is zero whatever its quantity;
    /// otherwise an unknown quantity is unknown.
    pub(crate) fn tce(
        &self,
        kind: &EnergyKind,
        basis: Basis,
        quantity: Option<&Number>,
    ) -> Option<(Number, String)> {
        let resolved = self.get(&kind.id, basis)?;
        if resolved.rule == Rule::Excluded {
            return Some((
                Number::zero(),
                format!("{} is not converted by the site's rule", kind.name),
            ));
        }
        let quantity = quantity?;
        let factor = kind.factor(kind.unit, resolved.unit)?;
        let tce = &(&(quantity * &factor) * &resolved.kgce_per_unit) * &constant("0.001");
        let convert = if kind.unit == resolved.unit {
            String::new()
        } else {
            format!(" × {factor} {}/{}", resolved.unit, kind.unit)
        };
        let formula = format!(
            "{quantity} {}{convert} × {} kgce/{} ÷ 1000 = {tce} tce",
            kind.unit, resolved.kgce_per_unit, resolved.unit
        );
        Some((tce, formula))
    }
}

fn resolve(
    plant: &Plant,
    kind: &EnergyKind,
    period: Period,
    basis: Basis,
) -> Result<Resolved, Box<MissingCoefficient>> {
    if kind.treatment == Treatment::Excluded {
        return Ok(Resolved::excluded(basis, kind.unit, kind.class));
    }
    let request = Request {
        rule_set: &kind.rule_set,
        edition: &kind.edition,
        energy_kind: &kind.coefficient,
        region: &plant.region,
        period,
    };
    let resolved = match &kind.steam {
        // The enthalpy is the heat contained; what it took to make it is another number.
        Some(steam) if steam.rule == SteamRule::Enthalpy && basis == Basis::Equivalent => plant
            .coefficients
            .resolve_enthalpy(&request, &steam.steam_kj_per_kg, &steam.feed_kj_per_kg),
        Some(steam) if steam.rule == SteamRule::Contract => {
            plant.coefficients.resolve_agreed(&request, basis)
        }
        _ => plant.coefficients.resolve(&request, basis),
    };
    Ok(Resolved { conversions: kind.conversions.clone(), ..resolved? })
}
