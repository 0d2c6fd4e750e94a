//! Momentary values: what a display shows right now, in whole steps of its last digit. Power and flow are the slope of
//! the register with a ripple; the rest follows from them or from the state of the machine.

use model::Timestamp;

use super::Plant;
use super::calendar::{SLOT_MICROS, Slot};
use super::chance::below;
use super::source::{
    FurnacePhase, Machine, MachineState, Source, compressor_load, furnace_phase, machine_program,
    machine_state,
};

/// Ripple has a new target every ten seconds and goes there in a straight line.
const KNOT_MICROS: i64 = 10_000_000;
const SLOTS_PER_HOUR: i64 = 4;

/// A quantity of a three-phase connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Electric {
    /// Active power, 0.01 kW.
    Power,
    /// Active power of one phase, W.
    PhaseWatts,
    /// Active power, W.
    Watts,
    /// Apparent power, VA.
    VoltAmperes,
    /// Voltage of phase 0, 1 or 2, 0.1 V.
    Voltage(u8),
    /// Current of phase 0, 1 or 2, 0.1 A.
    Current(u8),
    /// 0.01 Hz.
    Frequency,
    /// 0.001.
    PowerFactor,
}

/// What a point of a device shows; each in the steps that its comment names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// The reading of sources, in their steps.
    Reading(&'static [Source]),
    /// The slope of sources per hour, in their steps.
    PerHour(&'static [Source]),
    /// The electrical side of sources that count 0.01 kWh.
    Electric(&'static [Source], Electric),
    /// Something that wavers about a mean: mean and amplitude in steps, and a stream of chance.
    About(i64, i64, u64),
    /// 0 off, 1 idle, 2 running, 3 alarm.
    State(Machine),
    /// Number of the loaded program.
    Program(Machine),
    /// Revolutions per minute.
    Spindle(Machine),
    /// While running: mean and amplitude in steps, and a stream of chance; else 0.
    WhileRunning(Machine, i64, i64, u64),
    /// Bit 0: X moves, bit 1: Z moves.
    Axes(Machine),
    /// 0 holding, 1 heating, 2 soaking.
    FurnacePhase,
    /// Set point of the furnace, 0.1 °C.
    FurnaceSetpoint,
    /// Temperature of zone 0, 1 or 2 of the furnace, 0.1 °C.
    FurnaceZone(u8),
    /// 0 unloaded, 1 loaded.
    CompressorState,
    /// Percent.
    CompressorLoad,
}

impl Plant {
    /// What a point shows at a time, in whole steps.
    pub(crate) fn moment(&self, what: What, at: Timestamp) -> i64 {
        let (slot, into) = Slot::of(at);
        match what {
            What::Reading(sources) => sources.iter().map(|one| self.reading(*one, at)).sum(),
            What::PerHour(sources) => self.per_hour(sources, at),
            What::Electric(sources, electric) => self.electric(sources, electric, at),
            What::About(mean, amplitude, stream) => mean + self.ripple(stream, at, amplitude),
            What::State(machine) => machine_state(self.seed, machine, slot) as i64,
            What::Program(machine) => machine_program(self.seed, machine, slot),
            What::Spindle(machine) => match machine_state(self.seed, machine, slot) {
                MachineState::Running => 2_600 + self.ripple(600 + machine as u64, at, 900),
                _ => 0,
            },
            What::WhileRunning(machine, mean, amplitude, stream) => {
                match machine_state(self.seed, machine, slot) {
                    MachineState::Running => {
                        mean + self.ripple(stream + machine as u64, at, amplitude)
                    }
                    _ => 0,
                }
            }
            What::Axes(machine) => match machine_state(self.seed, machine, slot) {
                MachineState::Running => 1 + below(self.seed, 640, at.0 / KNOT_MICROS, 3),
                _ => 0,
            },
            What::FurnacePhase => furnace_phase(slot) as i64,
            What::FurnaceSetpoint => match furnace_phase(slot) {
                FurnacePhase::Holding => 6_500,
                FurnacePhase::Heating | FurnacePhase::Soaking => 9_200,
            },
            What::FurnaceZone(zone) => {
                furnace_temperature(slot, into) + self.ripple(660 + u64::from(zone), at, 60)
            }
            What::CompressorState => i64::from(compressor_load(slot) > 0),
            What::CompressorLoad => compressor_load(slot),
        }
    }

    fn slope(&self, sources: &[Source], at: Timestamp) -> i64 {
        let (slot, _) = Slot::of(at);
        let adds: i64 = sources.iter().map(|source| self.slot(*source, slot).1).sum();
        adds * SLOTS_PER_HOUR
    }

    fn per_hour(&self, sources: &[Source], at: Timestamp) -> i64 {
        let slope = self.slope(sources, at);
        let stream =
            700 + sources.first().map_or(0, |first| u64::try_from(first.index()).unwrap_or(0));
        slope + slope * self.ripple(stream, at, 15) / 1_000
    }

    fn electric(&self, sources: &'static [Source], electric: Electric, at: Timestamp) -> i64 {
        let voltage = |phase: u8| 2_312 + self.ripple(800 + u64::from(phase), at, 28);
        let power = || self.per_hour(sources, at);
        let factor = || {
            let stream = 820 + u64::try_from(sources.len()).unwrap_or(0);
            934 + self.ripple(stream, at, 18)
        };
        match electric {
            Electric::Power => power(),
            Electric::PhaseWatts => power() * 10 / 3,
            Electric::Watts => power() * 10,
            Electric::VoltAmperes => power() * 10_000 / factor(),
            Electric::Voltage(phase) => voltage(phase),
            // P ÷ 3 ÷ (U · cos φ): 10 W per step of power, 0.1 V, 0.001, and 0.1 A per step of the current.
            Electric::Current(phase) => power() * 1_000_000 / (3 * voltage(phase) * factor()),
            Electric::Frequency => 5_000 + self.ripple(840, at, 4),
            Electric::PowerFactor => factor(),
        }
    }

    /// A smooth wavering between plus and minus `amplitude`.
    fn ripple(&self, stream: u64, at: Timestamp, amplitude: i64) -> i64 {
        let knot = at.0.div_euclid(KNOT_MICROS);
        let into = at.0.rem_euclid(KNOT_MICROS);
        let target = |knot| below(self.seed, stream, knot, 2 * amplitude + 1) - amplitude;
        let (from, to) = (target(knot), target(knot + 1));
        from + (to - from) * into / KNOT_MICROS
    }
}

/// Follows the phases: up while heating, level while soaking, down while holding, in 0.1 °C.
fn furnace_temperature(slot: Slot, into: i64) -> i64 {
    let ramp = |from: i64, to: i64, first: i64, slots: i64| {
        let gone = (slot.of_day() % 24 - first) * SLOT_MICROS + into;
        from + (to - from) * (gone / 1_000) / (slots * SLOT_MICROS / 1_000)
    };
    match furnace_phase(slot) {
        FurnacePhase::Heating => ramp(6_500, 9_200, 0, 9),
        FurnacePhase::Soaking => 9_200,
        FurnacePhase::Holding if slot.weekday() == 6 => 6_500,
        FurnacePhase::Holding => ramp(9_200, 6_500, 20, 4),
    }
}
