//! brk-09: the gateway was healthy whatever happened to what it read.

use std::collections::BTreeMap;

use super::*;
use crate::status::{ClockStatus, DeviceStatus, STATUS_SCHEMA, SpoolStatus, TaskStatus};

const RESEND_AFTER: Duration = Duration::from_secs(10);

fn healthy() -> GatewayStatus {
    GatewayStatus {
        schema: STATUS_SCHEMA.to_owned(),
        gateway: "gw-1".to_owned(),
        version: "0".to_owned(),
        started_ms: 0,
        now_ms: 0,
        up_ms: 0,
        devices: BTreeMap::from([("m".to_owned(), DeviceStatus::default())]),
        points: Vec::new(),
        spool: SpoolStatus::default(),
        uplink: UplinkStatus { connected: true, ..UplinkStatus::default() },
        uplinks: Vec::new(),
        tasks: BTreeMap::from([("keeper".to_owned(), TaskStatus::default())]),
        clock: ClockStatus::default(),
        concerns: Vec::new(),
        point_counts: crate::status::PointCounts::default(),
    }
}

fn check(change: impl FnOnce(&mut GatewayStatus), expected: &[(ConcernKind, &str)]) {
    let mut status = healthy();
    change(&mut status);
    let found = concerns(&status, RESEND_AFTER);
    let kinds: Vec<ConcernKind> = found.iter().map(|concern| concern.kind).collect();
    assert_eq!(kinds, expected.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), "{found:?}");
    for (concern, (_, word)) in found.iter().zip(expected) {
        assert!(concern.text.contains(word), "{concern:?}");
    }
}

#[test]
fn a_broker_without_a_centre_is_told_after_the_grace_period() {
    check(|_| {}, &[]);
    check(|status| status.uplink.no_ack_for_ms = Some(10_000), &[]);
    check(|status| status.uplink.no_ack_for_ms = Some(10_001), &[(ConcernKind::NoAck, "10 s")]);
    // Without a broker there can be no ack: one line says enough.
    let disconnected = |status: &mut GatewayStatus| {
        status.uplink.no_ack_for_ms = Some(60_000);
        status.uplink.connected = false;
        status.uplink.reason = Some("refused".to_owned());
    };
    check(disconnected, &[(ConcernKind::NotConnected, "refused")]);
}

/// The first line of `status` said that all was well while the clock was at 1970.
#[test]
fn a_clock_that_cannot_be_right_is_told() {
    let wrong = |status: &mut GatewayStatus| status.clock.is_plausible = false;
    check(wrong, &[(ConcernKind::Clock, "set it")]);
}

#[test]
fn a_disk_that_fails_and_readings_that_are_gone_are_told() {
    let fails = |status: &mut GatewayStatus| {
        status.spool.fault = Some("spool cannot write: full".to_owned());
        status.spool.samples_refused = 82_000;
    };
    check(fails, &[(ConcernKind::Spool, "full"), (ConcernKind::Lost, "82000")]);
    check(|status| status.spool.samples_lost_in_run = 49, &[(ConcernKind::Lost, "49")]);
    // What an earlier run lost is shown and is no concern of today.
    check(|status| status.spool.samples_lost = 49, &[]);
}

#[test]
fn a_task_that_does_not_run_and_a_centre_that_refuses_are_told() {
    let task = |state| TaskStatus {
        state,
        failures: 1,
        last_failure: Some("panicked: no".to_owned()),
        ..TaskStatus::default()
    };
    let dead = |status: &mut GatewayStatus| {
        status.tasks.insert("keeper".to_owned(), task(TaskState::Dead));
        status.tasks.insert("port a".to_owned(), task(TaskState::Restarting));
        status.tasks.insert("port b".to_owned(), task(TaskState::Running));
        status.uplink.fault = Some("put back".to_owned());
    };
    let expected = [
        (ConcernKind::Task, "keeper"),
        (ConcernKind::Task, "`port a` panicked: no; it is started again"),
        (ConcernKind::Halted, "put back"),
    ];
    check(dead, &expected);
}

#[test]
fn many_silent_devices_are_one_line() {
    let silent = |status: &mut GatewayStatus| {
        let device = DeviceStatus { answering: Some(false), ..DeviceStatus::default() };
        status.devices.extend((0..9).map(|n| (format!("d{n}"), device.clone())));
    };
    check(
        silent,
        &[(ConcernKind::Device, "9 of 10 devices do not answer: d0, d1, d2, d3, d4 and 4 more")],
    );
}

/// A device that refuses every request, or an OPC UA server without its nodes, answers: it was green with exit code 0.
#[test]
fn a_device_that_answers_without_one_usable_value_is_told() {
    use crate::status::PointCounts;

    let device = |good, uncertain, bad, unread| DeviceStatus {
        answering: Some(true),
        points: PointCounts {
            all: good + uncertain + bad + unread,
            good,
            uncertain,
            bad,
            unread,
            implausible: 0,
        },
        first_bad: (bad > 0).then(|| "BadNodeIdUnknown".to_owned()),
        ..DeviceStatus::default()
    };
    let one = |device: DeviceStatus| {
        move |status: &mut GatewayStatus| {
            status.devices.insert("m".to_owned(), device);
        }
    };
    let words = "device `m` answers, but none of its 3 points is Good: BadNodeIdUnknown; see";
    check(one(device(0, 0, 3, 0)), &[(ConcernKind::Device, words)]);
    check(one(device(0, 0, 1, 2)), &[(ConcernKind::Device, words)]);
    let refused = |fault: &str| DeviceStatus {
        code: Some("GW-M204".to_owned()),
        message: Some(fault.to_owned()),
        ..device(0, 0, 2, 0)
    };
    check(
        one(refused("m refused holding register 0: exception 2")),
        &[(ConcernKind::Device, "none of its 2 points is Good: m refused holding register 0")],
    );
    check(one(device(0, 0, 0, 3)), &[]);
    check(one(device(1, 0, 2, 0)), &[]);
    check(one(device(0, 1, 2, 0)), &[]);
    // A silent one is told once.
    let silent = DeviceStatus { answering: Some(false), ..device(0, 0, 3, 0) };
    check(one(silent), &[(ConcernKind::Device, "1 of 1 devices do not answer: m")]);
    let many = |status: &mut GatewayStatus| {
        status.devices.extend((0..7).map(|n| (format!("d{n}"), device(0, 0, 3, 0))));
    };
    let words = "7 of 8 devices answer, but none of their points is Good: d0, d1, d2, d3, d4 and 2 more; `d0`: Bad";
    check(many, &[(ConcernKind::Device, words)]);
}

/// Trial O1: a meter that is read in the wrong byte order was healthy.
#[test]
fn a_device_with_values_that_cannot_be_right_is_told() {
    use crate::status::PointCounts;

    let wrong = |status: &mut GatewayStatus| {
        let points = PointCounts { all: 9, uncertain: 9, implausible: 7, ..PointCounts::default() };
        let device = DeviceStatus { answering: Some(true), points, ..DeviceStatus::default() };
        status.devices.insert("m".to_owned(), device);
    };
    let words = "1 of 1 devices give values that are not plausible, which are no energy: m";
    check(wrong, &[(ConcernKind::Implausible, words)]);
}

/// Of several destinations each is named for what it is: a centre that commits nothing was not, while another one was away
/// and had more frames waiting.
#[test]
fn each_of_two_uplinks_is_judged_by_itself() {
    let uplink = |name: &str, connected: bool, no_ack_for_ms: Option<u64>| UplinkStatus {
        destination: name.to_owned(),
        connected,
        no_ack_for_ms,
        frames_waiting: if connected { 1 } else { 900 },
        ..UplinkStatus::default()
    };
    let check_two = |near: UplinkStatus, far: UplinkStatus, expected: &[(ConcernKind, &str)]| {
        let set = |status: &mut GatewayStatus| {
            status.spool.no_ack_for_ms = near.no_ack_for_ms.max(far.no_ack_for_ms);
            status.uplinks = vec![near, far];
        };
        check(set, expected);
    };
    let hour = Some(3_600_000);
    let away = (ConcernKind::NotConnected, "uplink `far`: the broker is not connected");
    let silent = (ConcernKind::NoAck, "uplink `near`: no commit ack for 3600 s while 1 frames");
    check_two(uplink("near", true, None), uplink("far", false, hour), &[away]);
    check_two(uplink("near", true, hour), uplink("far", false, hour), &[away, silent]);
    check_two(uplink("near", true, hour), uplink("far", true, None), &[silent]);
    let both = (ConcernKind::NoAck, "uplink `far`: no commit ack");
    check_two(uplink("near", true, hour), uplink("far", true, hour), &[silent, both]);
}
