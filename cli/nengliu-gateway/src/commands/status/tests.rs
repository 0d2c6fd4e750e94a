//! What stands in the way is told to people, on terminals of 80 and 100 columns, and to scripts by the exit code.

use std::collections::BTreeMap;

use gateway::status::{
    ClockStatus, Concern, DeviceStatus, PointCounts, PointStatus, STATUS_SCHEMA, SpoolStatus,
    TaskState, TaskStatus, UplinkStatus,
};

use super::*;
use crate::commands::{EXIT_DISK, EXIT_DISK_FULL};

#[test]
fn only_where_no_gateway_runs_one_is_told_to_start_it() {
    let check = |kind: ErrorKind, exit: u8, word: &str| {
        let (words, help, found) =
            advice(&kind.into(), Path::new("spool"), Path::new("gateway.toml"));
        assert_eq!(found, exit, "{words}");
        assert_eq!(help.contains("start it"), word == "start it", "{help}");
        assert!(help.contains(word), "{help}");
    };
    check(ErrorKind::NotFound, EXIT_NO_ANSWER, "start it");
    check(ErrorKind::ConnectionRefused, EXIT_NO_ANSWER, "start it");
    check(ErrorKind::PermissionDenied, EXIT_ACCESS, "as the user");
    check(ErrorKind::InvalidData, EXIT_FAILED, "version");
    check(ErrorKind::TimedOut, EXIT_NO_ANSWER, "log");
    check(ErrorKind::ConnectionReset, EXIT_NO_ANSWER, "ask again");
    check(ErrorKind::UnexpectedEof, EXIT_NO_ANSWER, "ask again");
}

/// `run` refused such a folder by name, and `status` said that the gateway hangs.
#[tokio::test]
async fn a_spool_whose_path_is_too_long_for_a_socket_is_named_as_by_run() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("gateway.toml");
    let text = format!("[spool]\nfolder = \"{}\"\n", "s".repeat(120));
    std::fs::write(&config, text).unwrap();
    assert_eq!(status(&config, false, false).await, EXIT_ACCESS);
    assert_eq!(status(&config, false, true).await, EXIT_ACCESS);
    std::fs::write(&config, "[spool]\nfolder = \"s\"\n").unwrap();
    assert_eq!(status(&config, false, false).await, EXIT_NO_ANSWER);
}

fn healthy() -> GatewayStatus {
    let point = |metric: &str, value: &str, unit: &str| PointStatus {
        point: format!("acme/nb-1/main-meter/{metric}"),
        value: Some(value.to_owned()),
        unit: unit.to_owned(),
        is_float: false,
        quality: Some("Good".to_owned()),
        source_time_ms: Some(3_599_000),
        durable_source_time_ms: Some(3_599_000),
        history_mark_ms: None,
    };
    let device = DeviceStatus {
        answering: Some(true),
        since_ms: 0,
        latency_ms: None,
        answered: 1,
        failed: 0,
        late: 0,
        code: None,
        message: None,
        message_zh: None,
        points: PointCounts::default(),
        first_bad: None,
    };
    GatewayStatus {
        schema: STATUS_SCHEMA.to_owned(),
        gateway: "gw-1".to_owned(),
        version: "0.1.0".to_owned(),
        started_ms: 0,
        now_ms: 3_600_000,
        up_ms: 3_600_000,
        devices: BTreeMap::from([("main-meter".to_owned(), device)]),
        points: vec![point("e_import", "12345.67", "kWh"), point("p_total", "-17.5", "kW")],
        spool: SpoolStatus {
            next: 8,
            durable: 7,
            acked: 7,
            quota_bytes: 1 << 30,
            ..SpoolStatus::default()
        },
        uplink: UplinkStatus {
            url: "mqtt://127.0.0.1:1883".to_owned(),
            connected: true,
            ..UplinkStatus::default()
        },
        uplinks: Vec::new(),
        tasks: BTreeMap::from([("keeper".to_owned(), TaskStatus::default())]),
        clock: ClockStatus::default(),
        concerns: Vec::new(),
        point_counts: PointCounts::default(),
    }
}

/// With everything that can be wrong at once.
fn troubled() -> GatewayStatus {
    let mut status = healthy();
    status.spool.read_back_paused = true;
    status.spool.space_short = true;
    status.spool.found_at_start.frames_damaged = 3;
    status.spool.found_at_start.samples_damaged = 40;
    let device = status.devices.get_mut("main-meter").unwrap();
    device.code = Some("GW-M204".to_owned());
    device.message = Some("address 7 is refused".to_owned());
    status.uplink.fault =
        Some("the centre has frames of this spool that were never here: an old copy of the spool was put back".to_owned());
    status.points[0].history_mark_ms = Some(1_514_764_800_000);
    let task = TaskStatus {
        state: TaskState::Running,
        failures: 2,
        last_failure: Some("panicked: index out of bounds".to_owned()),
        last_failure_ms: Some(1_514_764_800_000),
        ..TaskStatus::default()
    };
    status.tasks.insert("port meters".to_owned(), task);
    let text = status.uplink.fault.clone().unwrap();
    status.concerns = vec![Concern { kind: ConcernKind::Halted, text }];
    status
}

/// A gateway that was killed once is not sick.
#[test]
fn an_unclean_end_is_one_line_and_no_concern() {
    let mut status = healthy();
    status.spool.unclean_end_ms = Some(1_514_764_800_000);
    let screen = words::screen(&status, None);
    let told = screen.lines().filter(|line| {
        line.starts_with("  lost    an unknown number of readings after an unclean end at 201")
    });
    assert!(screen.starts_with('●') && told.count() == 1, "{screen}");
}

/// "up -1766015972 s" after the clock was set to 1970.
#[test]
fn how_long_a_gateway_is_up_does_not_follow_its_clock() {
    let mut status = healthy();
    status.started_ms = 1_766_019_600_000;
    let screen = words::screen(&status, None);
    assert!(screen.starts_with("● gw-1   v0.1.0   up 60 min"), "{screen}");
    status.clock.is_plausible = false;
    let text = "the host's clock cannot be right".to_owned();
    status.concerns = vec![Concern { kind: ConcernKind::Clock, text }];
    let screen = words::screen(&status, None);
    assert!(screen.starts_with('◐') && screen.contains("  clock   shows 1970-01-01"), "{screen}");
}

#[test]
fn a_healthy_gateway_is_one_screen() {
    insta::assert_snapshot!(words::screen(&healthy(), Some(80)), @r"
    ● gw-1   v0.1.0   up 60 min   1 of 1 devices answer
      uplink  mqtt://127.0.0.1:1883   connected   0 frames wait for a commit ack
      spool   0 of 1048576 KiB   frames 0..7 held   acked 7
      acme/nb-1/main-meter/e_import       12345.67 kWh    Good          1 s
      acme/nb-1/main-meter/p_total           -17.5 kW     Good          1 s
    ");
}

#[test]
fn what_stands_in_the_way_is_told_to_people() {
    let quiet = words::screen(&healthy(), None);
    let expected = [
        "an old copy of the spool was put back",
        "reading back",
        "history up to",
        "GW-M204",
        "3 frames with 40 readings damaged",
        "the disk has less room",
        "port meters failed 2 times",
    ];
    assert!(expected.iter().all(|word| !quiet.contains(word)), "{quiet}");
    let told = words::screen(&troubled(), None);
    assert!(expected.iter().all(|word| told.contains(word)), "{told}");
    assert_eq!((exit_code(&healthy()), exit_code(&troubled())), (EXIT_OK, EXIT_NO_ACK));
}

/// A phase that is not wired is Bad all its life: it is named, and the gateway is well.
#[test]
fn devices_with_some_bad_points_are_one_line_and_no_concern() {
    let mut status = healthy();
    let partly_bad = status.devices["main-meter"].clone();
    let points = PointCounts { all: 9, good: 6, bad: 3, ..PointCounts::default() };
    let partly_bad = DeviceStatus { points, ..partly_bad };
    status.devices.extend((0..7).map(|n| (format!("d{n}"), partly_bad.clone())));
    // One with no usable value is told as a concern by the gateway, and not here.
    let points = PointCounts { all: 3, bad: 3, ..PointCounts::default() };
    status.devices.insert("a-useless".to_owned(), DeviceStatus { points, ..partly_bad.clone() });
    let screen = words::screen(&status, None);
    let expected = "  bad     d0 (3 of 9 points), d1 (3 of 9 points), d2 (3 of 9 points), d3 (3 of 9 points), \
                    d4 (3 of 9 points) and 2 more devices\n";
    assert!(screen.starts_with('●') && screen.contains(expected), "{screen}");
    assert_eq!(exit_code(&status), EXIT_OK);
}

/// 44 polls of 176 were on time, and nothing said so.
#[test]
fn devices_that_are_polled_late_are_one_line_and_no_concern() {
    let mut status = healthy();
    let device = status.devices["main-meter"].clone();
    for (name, late) in [("a-start", 9), ("b", 12), ("c", 132)] {
        status.devices.insert(name.to_owned(), DeviceStatus { late, ..device.clone() });
    }
    let screen = words::screen(&status, None);
    let expected = "  late    c (132 polls), b (12 polls): the poll before took too long\n";
    assert!(screen.starts_with('●') && screen.contains(expected), "{screen}");
    assert_eq!(exit_code(&status), EXIT_OK);
}

/// A text of a device was printed as it is: it could clear the screen, or write lines of its own.
#[test]
fn what_a_device_sends_does_not_steer_the_terminal() {
    let mut status = healthy();
    let text = "a\u{1b}[2J\nb\0\u{202e}汉".to_owned() + &"字".repeat(1_024);
    status.points[0].value = Some(text.clone());
    status.uplink.reason = Some("no\u{7}".to_owned());
    status.concerns =
        vec![Concern { kind: ConcernKind::NotConnected, text: "no\u{7}\n".to_owned() }];
    let screen = words::screen(&status, None);
    let point = words::one_point(&status.points[0], status.now_ms);
    for shown in [screen.trim_end_matches('\n').replace('\n', ""), point.clone()] {
        assert!(!shown.chars().any(|c| c.is_control() || c == '\u{202e}'), "{shown:?}");
        assert!(shown.contains(r"a\u{1b}[2J\nb\u{0}\u{202e}汉字"), "{shown}");
    }
    assert!(point.contains("字… kWh") && point.chars().count() < 150, "{point}");
    assert_eq!(screen.lines().count(), words::screen(&healthy(), None).lines().count() + 1);
    let json = serde_json::to_value(&status).unwrap();
    assert_eq!(json["points"][0]["value"], text, "programs get all of it");
}

/// O14: floats had 40 digits, and the unit of a power factor was `1`.
#[test]
fn a_float_has_the_digits_that_say_something() {
    let mut status = healthy();
    let check = |status: &mut GatewayStatus, value: &str, is_float, unit: &str, expected: &str| {
        let point = &mut status.points[0];
        (point.value, point.is_float) = (Some(value.to_owned()), is_float);
        point.unit = unit.to_owned();
        let shown = words::one_point(point, status.now_ms);
        let found = shown.split_whitespace().skip(1).collect::<Vec<_>>().join(" ");
        assert!(found.starts_with(expected), "{found}");
    };
    check(&mut status, "231.89999389648438", true, "V", "231.9 V Good");
    check(
        &mut status,
        "0.0000000000000000000000000000000016972257634912516",
        true,
        "V",
        "1.697226e-33 V Good",
    );
    check(&mut status, "-7726137725499824000000000000000000000", true, "W", "-7.726138e36 W Good");
    check(&mut status, "0.9350000023841858", true, "1", "0.935 Good");
    check(&mut status, "123456789.123", false, "kWh", "123456789.123 kWh Good");
}

#[test]
fn no_line_is_longer_than_the_terminal_is_wide() {
    for columns in [80, 100] {
        let told = words::screen(&troubled(), Some(columns));
        let longest = told.lines().map(|line| line.chars().count()).max();
        assert!(longest <= Some(columns), "{columns}:\n{told}");
    }
}

/// brk-09: each of these was exit 0.
#[test]
fn each_kind_of_concern_has_an_exit_code() {
    let full = std::io::Error::from_raw_os_error(28).to_string();
    let check = |kind, text: &str, expected| {
        let mut status = healthy();
        status.concerns = vec![
            Concern { kind, text: text.to_owned() },
            Concern { kind: ConcernKind::Lost, text: String::new() },
        ];
        assert_eq!(exit_code(&status), expected, "{kind:?}");
    };
    check(ConcernKind::Spool, &full, EXIT_DISK_FULL);
    check(ConcernKind::Spool, "the spool has not answered for 2 s: its disk hangs", EXIT_DISK);
    check(ConcernKind::Task, "", EXIT_TASK);
    check(ConcernKind::Halted, "", EXIT_NO_ACK);
    check(ConcernKind::NotConnected, "", EXIT_UPLINK);
    check(ConcernKind::NoAck, "", EXIT_NO_ACK);
    check(ConcernKind::Clock, "", EXIT_CLOCK);
    check(ConcernKind::Device, "", EXIT_PARTIAL);
    check(ConcernKind::Implausible, "", EXIT_IMPLAUSIBLE);
    check(ConcernKind::Lost, "", EXIT_LOST);
}

/// A gateway of 100 000 points is told in numbers, with the worst of them and a bounded number of lines.
#[test]
fn more_points_and_devices_than_fit_a_screen_are_counted() {
    let mut status = healthy();
    let point = status.points.remove(0);
    status.points = vec![point; 200];
    status.point_counts = PointCounts {
        all: 100_000,
        good: 99_000,
        uncertain: 300,
        bad: 500,
        unread: 200,
        implausible: 0,
    };
    let device = DeviceStatus {
        code: Some("GW-M101".to_owned()),
        message: Some("no answer".to_owned()),
        ..DeviceStatus::default()
    };
    status.devices = (0..1_000).map(|at| (format!("meter-{at:03}"), device.clone())).collect();
    let screen = words::screen(&status, None);
    assert!(screen.contains(
        "  points  99000 of 100000 Good, 300 Uncertain, 500 Bad, 200 without a sample; the worst 200 follow, `--all` shows all"
    ), "{screen}");
    assert!(screen.contains("! and 980 more devices"), "{screen}");
    assert!(screen.lines().count() < 240, "{screen}");
}
