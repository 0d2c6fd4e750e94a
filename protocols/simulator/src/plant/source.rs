//! What runs in the plant and how much each of it counts in a slot, in whole steps of its register.

use super::calendar::Slot;
use super::chance::below;

/// A machining centre.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Machine {
    A1,
    A2,
    B1,
    B2,
}

/// What a machine does during a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MachineState {
    /// Switched off at its main switch; the control still draws a little.
    Off = 0,
    /// Ready, nothing to do.
    Idle = 1,
    /// Cutting.
    Running = 2,
    /// Stopped by an alarm.
    Alarm = 3,
}

/// Something that adds up, slot by slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// Electricity of a machine, 0.01 kWh.
    Machine(Machine),
    /// Finished parts of a machine.
    Parts(Machine),
    /// Cutting time of a machine, 0.01 h.
    CuttingTime(Machine),
    /// Conveyors and coolant of line A, 0.01 kWh.
    AuxiliaryA,
    /// Washing machine and conveyors of line B, 0.01 kWh.
    AuxiliaryB,
    /// Fans and control of the furnace, 0.01 kWh.
    Furnace,
    /// The compressor, 0.01 kWh.
    Compressor,
    /// Running time of the compressor, 0.01 h.
    CompressorTime,
    /// Pumps and fans of the boiler house, 0.01 kWh.
    BoilerHouse,
    /// Offices and lighting, 0.01 kWh.
    Office,
    /// Natural gas of the furnace, 0.01 m³.
    Gas,
    /// Steam bought from the neighbour, kg.
    PurchasedSteam,
    /// Steam of the own coal boiler, kg.
    OwnSteam,
    /// Tap water, L.
    Water,
}

impl Source {
    /// How many there are.
    pub(super) const COUNT: usize = 23;

    /// Its place among all.
    pub(super) const fn index(self) -> usize {
        match self {
            Self::Machine(machine) => machine as usize,
            Self::Parts(machine) => 4 + machine as usize,
            Self::CuttingTime(machine) => 8 + machine as usize,
            Self::AuxiliaryA => 12,
            Self::AuxiliaryB => 13,
            Self::Furnace => 14,
            Self::Compressor => 15,
            Self::CompressorTime => 16,
            Self::BoilerHouse => 17,
            Self::Office => 18,
            Self::Gas => 19,
            Self::PurchasedSteam => 20,
            Self::OwnSteam => 21,
            Self::Water => 22,
        }
    }

    /// What it adds in a slot.
    pub(super) fn increment(self, seed: u64, slot: Slot) -> i64 {
        let stream = 100 + draw_stream(self);
        let noise = |spread: i64| below(seed, stream, slot.0, spread);
        match self {
            Self::Machine(machine) => match machine_state(seed, machine, slot) {
                MachineState::Off => 4 + noise(3),
                MachineState::Idle => 55 + noise(12),
                MachineState::Alarm => 45 + noise(8),
                MachineState::Running => machine.cutting() + noise(machine.cutting() / 2),
            },
            Self::Parts(machine) => match machine_state(seed, machine, slot) {
                MachineState::Running if machine.line() == Line::A => 6 + noise(3),
                MachineState::Running => 3 + noise(2),
                _ => 0,
            },
            Self::CuttingTime(machine) => match machine_state(seed, machine, slot) {
                MachineState::Running => 25,
                _ => 0,
            },
            Self::AuxiliaryA => {
                if slot.in_two_shifts() {
                    105 + noise(25)
                } else {
                    12 + noise(4)
                }
            }
            Self::AuxiliaryB => {
                if slot.in_three_shifts() {
                    160 + noise(40)
                } else {
                    18 + noise(5)
                }
            }
            Self::Furnace => match furnace_phase(slot) {
                FurnacePhase::Heating => 880 + noise(90),
                FurnacePhase::Soaking => 640 + noise(60),
                FurnacePhase::Holding => 210 + noise(30),
            },
            Self::Compressor => match compressor_load(slot) {
                0 => 120 + noise(60),
                load => load * 13 + noise(180),
            },
            Self::CompressorTime => {
                if compressor_load(slot) > 0 {
                    25
                } else {
                    0
                }
            }
            Self::BoilerHouse => {
                if (6..22).contains(&slot.hour()) {
                    430 + noise(60)
                } else {
                    190 + noise(30)
                }
            }
            Self::Office => {
                if slot.in_office_hours() {
                    340 + noise(90)
                } else {
                    55 + noise(15)
                }
            }
            Self::Gas => match furnace_phase(slot) {
                FurnacePhase::Heating => 1_450 + noise(180),
                FurnacePhase::Soaking => 760 + noise(90),
                FurnacePhase::Holding => 190 + noise(40),
            },
            Self::PurchasedSteam => {
                if slot.in_three_shifts() {
                    310 + noise(70)
                } else {
                    90 + noise(30)
                }
            }
            Self::OwnSteam => {
                if (6..22).contains(&slot.hour()) {
                    720 + noise(140)
                } else {
                    260 + noise(60)
                }
            }
            Self::Water => {
                if slot.in_two_shifts() {
                    1_900 + noise(700)
                } else {
                    420 + noise(180)
                }
            }
        }
    }
}

/// A stream of chance for each source, apart from those of the states.
fn draw_stream(source: Source) -> u64 {
    u64::try_from(source.index()).unwrap_or(0)
}

/// A production line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    A,
    B,
}

impl Machine {
    /// The line it stands in.
    pub(crate) const fn line(self) -> Line {
        match self {
            Self::A1 | Self::A2 => Line::A,
            Self::B1 | Self::B2 => Line::B,
        }
    }

    /// The least that it draws in a slot while cutting, 0.01 kWh.
    const fn cutting(self) -> i64 {
        match self {
            Self::A1 => 230,
            Self::A2 => 250,
            Self::B1 => 340,
            Self::B2 => 360,
        }
    }
}

/// What a machine does during a slot: its shifts, with a few idle quarters and few alarms. It idles through the breaks
/// and for half an hour around its shifts.
pub(super) fn machine_state(seed: u64, machine: Machine, slot: Slot) -> MachineState {
    let scheduled = |slot: Slot| match machine.line() {
        Line::A => slot.in_two_shifts(),
        Line::B => slot.in_three_shifts(),
    };
    if !scheduled(slot) {
        let near = [-2, 2].map(|slots| Slot((slot.0 + slots).max(0)));
        return if near.into_iter().any(scheduled) {
            MachineState::Idle
        } else {
            MachineState::Off
        };
    }
    match below(seed, machine as u64, slot.0, 1_000) {
        0..12 => MachineState::Alarm,
        12..95 => MachineState::Idle,
        _ => MachineState::Running,
    }
}

/// The number of the program that a machine has loaded: another one every four hours.
pub(super) fn machine_program(seed: u64, machine: Machine, slot: Slot) -> i64 {
    let block = slot.0.div_euclid(16);
    let base = if machine.line() == Line::A { 1_000 } else { 2_000 };
    base + 10 * below(seed, 10 + machine as u64, block, 8) + 1
}

/// What the furnace does: a charge every six hours, held warm on Sundays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FurnacePhase {
    Holding = 0,
    Heating = 1,
    Soaking = 2,
}

/// The phase of the furnace during a slot.
pub(super) const fn furnace_phase(slot: Slot) -> FurnacePhase {
    if slot.weekday() == 6 {
        return FurnacePhase::Holding;
    }
    match slot.of_day() % 24 {
        0..9 => FurnacePhase::Heating,
        9..20 => FurnacePhase::Soaking,
        _ => FurnacePhase::Holding,
    }
}

/// How hard the compressor works during a slot, in percent; 0 is unloaded.
pub(super) fn compressor_load(slot: Slot) -> i64 {
    match (slot.in_two_shifts(), slot.in_three_shifts()) {
        (true, true) => 92,
        (true, false) => 55,
        (false, true) => 61,
        (false, false) => 0,
    }
}
