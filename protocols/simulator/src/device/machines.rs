//! The machines behind Modbus: CNC, furnace and boiler over TCP, compressor and water meter on the serial line.

use super::Coding::{F32, I64, U16, U32};
use super::{Device, Link, Signal, at};
use crate::plant::{Electric, Machine, Source, What};

const fn counter(signal: Signal) -> Signal {
    Signal { counter: true, ..signal }
}

/// A machining centre: profile `nengliu/cnc`, holding registers.
macro_rules! cnc {
    ($machine:expr) => {
        &[
            at(0, U16, "state", 0, What::State($machine)),
            at(1, U16, "program", 0, What::Program($machine)),
            at(2, U16, "spindle_speed", 0, What::Spindle($machine)),
            at(3, U16, "spindle_load", -1, What::WhileRunning($machine, 420, 240, 610)),
            at(4, U16, "feed_rate", 0, What::WhileRunning($machine, 850, 400, 620)),
            at(5, U16, "feed_override", 0, What::About(100, 0, 625)),
            at(6, U16, "axis_state", 0, What::Axes($machine)),
            at(7, U16, "axis_x_load", -1, What::WhileRunning($machine, 310, 150, 630)),
            at(8, U16, "axis_z_load", -1, What::WhileRunning($machine, 270, 140, 650)),
            counter(at(10, U32, "parts", 0, What::Reading(&[Source::Parts($machine)]))),
            counter(at(
                12,
                U32,
                "cutting_time",
                -2,
                What::Reading(&[Source::CuttingTime($machine)]),
            )),
            at(
                14,
                U32,
                "p_total",
                -2,
                What::Electric(&[Source::Machine($machine)], Electric::Power),
            ),
            counter(at(16, I64, "e_import", -2, What::Reading(&[Source::Machine($machine)]))),
        ]
    };
}

const fn machine(
    id: &'static str,
    zh: &'static str,
    en: &'static str,
    place: &'static str,
    unit: u8,
    signals: &'static [Signal],
) -> Device {
    Device {
        id,
        zh,
        en,
        place,
        link: Link::ModbusTcp(unit),
        profile: "nengliu/cnc",
        poll: "1s",
        points: &[],
        signals,
    }
}

const COMPRESSOR: &[Source] = &[Source::Compressor];
const WATER: &[Source] = &[Source::Water];

pub(super) const DEVICES: &[Device] = &[
    machine("cnc-a1", "数控车床A1", "Lathe A1", "machining/line-a", 1, cnc!(Machine::A1)),
    machine("cnc-a2", "数控车床A2", "Lathe A2", "machining/line-a", 2, cnc!(Machine::A2)),
    machine(
        "cnc-b1",
        "加工中心B1",
        "Machining centre B1",
        "machining/line-b",
        3,
        cnc!(Machine::B1),
    ),
    machine(
        "cnc-b2",
        "加工中心B2",
        "Machining centre B2",
        "machining/line-b",
        4,
        cnc!(Machine::B2),
    ),
    Device {
        id: "furnace",
        zh: "燃气热处理炉",
        en: "Gas furnace",
        place: "heat-treatment",
        link: Link::ModbusTcp(11),
        profile: "nengliu/furnace",
        poll: "2s",
        points: &[],
        signals: &[
            at(0, U16, "phase", 0, What::FurnacePhase),
            at(1, U16, "setpoint", -1, What::FurnaceSetpoint),
            at(2, U16, "t_zone1", -1, What::FurnaceZone(0)),
            at(3, U16, "t_zone2", -1, What::FurnaceZone(1)),
            at(4, U16, "t_zone3", -1, What::FurnaceZone(2)),
            at(5, U16, "o2", -1, What::About(32, 6, 911)),
            at(6, U32, "gas_flow", -2, What::PerHour(&[Source::Gas])),
        ],
    },
    Device {
        id: "boiler",
        zh: "燃煤锅炉",
        en: "Coal boiler",
        place: "utilities",
        link: Link::ModbusTcp(12),
        profile: "nengliu/boiler",
        poll: "2s",
        points: &[],
        signals: &[
            at(0, U16, "steam_pressure", -3, What::About(1_020, 30, 905)),
            at(1, U16, "drum_level", -1, What::About(502, 40, 912)),
            at(2, U16, "t_flue_gas", -1, What::About(1_480, 90, 913)),
            at(3, U16, "o2", -1, What::About(85, 12, 914)),
            at(4, U32, "steam_flow", -3, What::PerHour(&[Source::OwnSteam])),
        ],
    },
    Device {
        id: "compressor",
        zh: "空压机",
        en: "Compressor",
        place: "utilities",
        link: Link::ModbusRtu(1),
        profile: "nengliu/compressor",
        poll: "2s",
        points: &[],
        signals: &[
            at(0, U16, "state", 0, What::CompressorState),
            at(1, U16, "load", 0, What::CompressorLoad),
            at(2, U16, "pressure", -2, What::About(720, 25, 915)),
            at(3, U16, "t_outlet", -1, What::About(412, 30, 916)),
            counter(at(4, U32, "running_time", -2, What::Reading(&[Source::CompressorTime]))),
        ],
    },
    Device {
        id: "water-pulse",
        zh: "脉冲水表",
        en: "Water meter on the serial line",
        place: "utilities",
        link: Link::ModbusRtu(2),
        profile: "nengliu/water-meter",
        poll: "5s",
        points: &[],
        signals: &[
            counter(at(0, I64, "v_total", -3, What::Reading(WATER))),
            at(4, U32, "flow", -3, What::PerHour(WATER)),
        ],
    },
    // A meter that can be bought, with its maker's map: floats in input registers.
    Device {
        id: "compressor-sdm630",
        zh: "空压机电表(SDM630)",
        en: "Compressor, Eastron SDM630",
        place: "utilities",
        link: Link::ModbusRtu(3),
        profile: "eastron/sdm630",
        poll: "5s",
        points: &["u_l1", "i_l1", "p_total", "pf_total", "f", "e_import"],
        signals: &[
            at(0, F32, "u_l1", -1, What::Electric(COMPRESSOR, Electric::Voltage(0))),
            at(2, F32, "u_l2", -1, What::Electric(COMPRESSOR, Electric::Voltage(1))),
            at(4, F32, "u_l3", -1, What::Electric(COMPRESSOR, Electric::Voltage(2))),
            at(6, F32, "i_l1", -1, What::Electric(COMPRESSOR, Electric::Current(0))),
            at(8, F32, "i_l2", -1, What::Electric(COMPRESSOR, Electric::Current(1))),
            at(10, F32, "i_l3", -1, What::Electric(COMPRESSOR, Electric::Current(2))),
            at(12, F32, "p_l1", 0, What::Electric(COMPRESSOR, Electric::PhaseWatts)),
            at(14, F32, "p_l2", 0, What::Electric(COMPRESSOR, Electric::PhaseWatts)),
            at(16, F32, "p_l3", 0, What::Electric(COMPRESSOR, Electric::PhaseWatts)),
            at(52, F32, "p_total", 0, What::Electric(COMPRESSOR, Electric::Watts)),
            at(56, F32, "s_total", 0, What::Electric(COMPRESSOR, Electric::VoltAmperes)),
            at(62, F32, "pf_total", -3, What::Electric(COMPRESSOR, Electric::PowerFactor)),
            at(70, F32, "f", -2, What::Electric(COMPRESSOR, Electric::Frequency)),
            counter(at(72, F32, "e_import", -2, What::Reading(COMPRESSOR))),
        ],
    },
];
