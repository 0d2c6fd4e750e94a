//! Flows that facts, with the meters of the plant file, give of a kind: of which of two sources its export is, and what
//! cannot be own primary energy.

use config::csv_table::Row;
use config::{Problem, Problems};

use super::{Fact, Flow, Measure};
use crate::coefficient::EnergyClass;
use crate::id::KindId;
use crate::plant::{CODE_FLOW, MeterRole, Plant, flows};

/// The flows that make the source of an export doubtful where all three are given, the best place for a problem first.
const THREE: [(Flow, MeterRole); 3] = [
    (Flow::Exported, MeterRole::Export),
    (Flow::Own, MeterRole::Own),
    (Flow::Generated, MeterRole::Generated),
];

/// The rows that were read, as far as they can make the source of an export doubtful.
#[derive(Default)]
pub(super) struct Seen(Vec<(KindId, Flow, Problem)>);

impl Seen {
    /// Takes a row in, and names what it says that cannot be.
    pub(super) fn row(&mut self, plant: &Plant, fact: &Fact, row: &Row, problems: &mut Problems) {
        let Measure::Energy(flow, id) = &fact.measure else { return };
        let Some(kind) = plant.kind(id) else { return };
        if *flow == Flow::Generated && kind.class == EnergyClass::Medium {
            let (message, help) = flows::no_primary_energy(kind);
            problems.push(row.problem(CODE_FLOW, message).help(help));
        }
        let known = self.0.iter().any(|(known, other, _)| known == id && other == flow);
        if !known && THREE.iter().any(|(one, _)| one == flow) {
            let (message, help) = flows::source_needed(kind);
            self.0.push((id.clone(), *flow, row.problem(CODE_FLOW, message).help(help)));
        }
    }

    /// Asks for `exported_from` of the kinds that need it.
    pub(super) fn finish(self, plant: &Plant, problems: &mut Problems) {
        let kinds = plant.kinds.iter().filter(|kind| kind.exported_from.is_none());
        for kind in kinds {
            let of_kind: Vec<_> = self.0.iter().filter(|(id, ..)| *id == kind.id).collect();
            let metered = |role| {
                plant.meters.iter().any(|meter| meter.role == role && meter.energy_kind == kind.id)
            };
            let row = |flow| of_kind.iter().find(|(_, known, _)| *known == flow);
            if THREE.iter().all(|(flow, role)| metered(*role) || row(*flow).is_some()) {
                let place = THREE.iter().find_map(|(flow, _)| row(*flow));
                problems.0.extend(place.map(|(.., problem)| problem.clone()));
            }
        }
    }
}
