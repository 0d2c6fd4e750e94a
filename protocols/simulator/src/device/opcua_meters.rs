//! The meters behind the OPC UA server: those that Table 1 needs, with history.

use super::{Device, Link, Signal, node, total};
use crate::plant::{Electric, METERS, Meter, What};

/// The meter's place in the list of meters is known here, so that both lists cannot drift apart unseen.
const fn meter(place: usize) -> &'static Meter {
    &METERS[place]
}

const fn reading(place: usize) -> Signal {
    let meter = meter(place);
    total(meter.metric, meter.exponent, What::Reading(meter.sources()))
}

const fn electric(place: usize, metric: &'static str, exponent: i8, electric: Electric) -> Signal {
    node(metric, exponent, What::Electric(meter(place).sources(), electric))
}

const fn power(place: usize) -> Signal {
    electric(place, "p_total", -2, Electric::Power)
}

const fn flow(place: usize) -> Signal {
    let meter = meter(place);
    node("flow", meter.exponent, What::PerHour(meter.sources()))
}

const fn about(
    metric: &'static str,
    exponent: i8,
    mean: i64,
    amplitude: i64,
    stream: u64,
) -> Signal {
    node(metric, exponent, What::About(mean, amplitude, stream))
}

const fn device(
    place: usize,
    zh: &'static str,
    en: &'static str,
    area: &'static str,
    profile: &'static str,
    signals: &'static [Signal],
) -> Device {
    let id = meter(place).id;
    Device { id, zh, en, place: area, link: Link::OpcUa, profile, poll: "5s", points: &[], signals }
}

const fn sub(
    place: usize,
    zh: &'static str,
    en: &'static str,
    area: &'static str,
    signals: &'static [Signal],
) -> Device {
    let points = &["e_import", "p_total"];
    Device { points, ..device(place, zh, en, area, "nengliu/opcua-electricity", signals) }
}

const STEAM: &str = "nengliu/opcua-steam";

pub(super) const DEVICES: &[Device] = &[
    device(
        0,
        "总电表",
        "Main electricity meter",
        "substation",
        "nengliu/opcua-electricity",
        &[
            reading(0),
            power(0),
            electric(0, "u_l1", -1, Electric::Voltage(0)),
            electric(0, "u_l2", -1, Electric::Voltage(1)),
            electric(0, "u_l3", -1, Electric::Voltage(2)),
            electric(0, "i_l1", -1, Electric::Current(0)),
            electric(0, "i_l2", -1, Electric::Current(1)),
            electric(0, "i_l3", -1, Electric::Current(2)),
            electric(0, "pf_total", -3, Electric::PowerFactor),
            electric(0, "f", -2, Electric::Frequency),
        ],
    ),
    sub(1, "A线电表", "Electricity of line A", "machining/line-a", &[reading(1), power(1)]),
    sub(2, "B线电表", "Electricity of line B", "machining/line-b", &[reading(2), power(2)]),
    sub(3, "热处理炉电表", "Electricity of the furnace", "heat-treatment", &[reading(3), power(3)]),
    sub(4, "空压机电表", "Electricity of the compressor", "utilities", &[reading(4), power(4)]),
    sub(5, "锅炉房电表", "Electricity of the boiler house", "utilities", &[reading(5), power(5)]),
    sub(6, "办公楼电表", "Electricity of the offices", "offices", &[reading(6), power(6)]),
    device(
        7,
        "天然气表",
        "Natural gas meter",
        "heat-treatment",
        "nengliu/opcua-gas",
        &[
            reading(7),
            flow(7),
            about("pressure", -1, 52, 3, 901),
            about("temperature", -1, 184, 35, 902),
        ],
    ),
    device(
        8,
        "外购蒸汽表",
        "Purchased steam meter",
        "utilities",
        STEAM,
        &[
            reading(8),
            flow(8),
            about("pressure", -3, 805, 25, 903),
            about("temperature", -1, 1_752, 30, 904),
        ],
    ),
    device(
        9,
        "自产蒸汽表",
        "Steam of the own boiler",
        "utilities",
        STEAM,
        &[
            reading(9),
            flow(9),
            about("pressure", -3, 1_020, 30, 905),
            about("temperature", -1, 1_846, 30, 906),
        ],
    ),
    device(
        10,
        "总水表",
        "Main water meter",
        "utilities",
        "nengliu/opcua-water",
        &[reading(10), flow(10)],
    ),
];
