//! What made a kind that is made on site: own steam, compressed air, electricity of a CHP plant. Its energy is that of
//! what its makers used, and follows the kind to whoever uses it: input ÷ output × use. Must never convert it itself.
//!
//! A boiler uses 1 200 t of coal and makes 6 000 t of steam; a line that uses 1 500 t of the steam carries 300 t of
//! coal.

mod supply;

use crate::fact::{Flow, Measure};
use crate::id::SubjectId;
use crate::plant::{EnergyKind, MeterRole, SubjectKind};
use crate::source::Inputs;

pub(crate) use supply::{Division, Finder, Input, SHARE_DIGITS, Supply};

/// What made a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Makers {
    /// Nothing that is counted, such as recovered waste heat.
    Nothing,
    /// The energy that these subjects used.
    Known(Vec<SubjectId>),
    /// It is not stated.
    Unknown,
}

impl Inputs<'_> {
    /// What the files say made a kind: `made_by`, else the equipment that its `own` quantity is given for, where that
    /// uses energy of another kind.
    pub(crate) fn makers(&self, kind: &EnergyKind) -> Makers {
        if let Some(stated) = &kind.made_by {
            return if stated.is_empty() { Makers::Nothing } else { Makers::Known(stated.clone()) };
        }
        let measure = Measure::Energy(Flow::Own, kind.id.clone());
        let own = |id: &SubjectId| {
            self.facts.has(id, &measure)
                || self.plant.meters.iter().any(|meter| {
                    meter.role == MeterRole::Own
                        && meter.energy_kind == kind.id
                        && meter.subject == *id
                })
        };
        let uses = |id: &SubjectId| {
            let mut others = self.plant.kinds.iter().filter(|other| other.id != kind.id);
            others.any(|other| self.has(id, Flow::Consumed, other))
        };
        let mut found = Vec::new();
        for subject in self.plant.subjects.iter().filter(|subject| own(&subject.id)) {
            let whole = matches!(subject.kind, SubjectKind::Enterprise | SubjectKind::Site);
            if whole || !uses(&subject.id) {
                return Makers::Unknown;
            }
            found.push(subject.id.clone());
        }
        if found.is_empty() { Makers::Unknown } else { Makers::Known(found) }
    }
}
