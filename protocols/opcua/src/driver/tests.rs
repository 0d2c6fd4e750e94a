//! What a technician may write, and what is said about it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use config::SourceFile;
use device_profiles::{DeviceProfile, ProfilePoint};
use driver::DeviceSpec;
use model::{Decimal, PointIndex, PointKind, ValueType};

use super::*;

const GOOD_PORT: &str = "url = \"opc.tcp://10.0.0.7:4840/plc\"";
const GOOD_POINT: &str = "node = \"ns=2;s=Main.Energy\"\ntype = \"float\"";

fn table(text: &str) -> Table {
    let mut problems = Problems::default();
    let table = Table::parse(&SourceFile::new("gateway.toml", text), &mut problems);
    assert!(problems.0.is_empty(), "{problems}");
    table
}

fn spanned(text: &str) -> Spanned<String> {
    let file = SourceFile::new("gateway.toml", text);
    Spanned { value: text.to_owned(), file, span: 0..0 }
}

fn port(port: &str, device: &str, point: &str) -> PortSpec {
    let point = Arc::new(ProfilePoint {
        metric: "e_import".to_owned(),
        unit: "kWh".parse().unwrap(),
        kind: PointKind::Counter,
        scale: Decimal::ONE,
        offset: Decimal::ZERO,
        resolution: Some("0.01".parse().unwrap()),
        modulus: None,
        range: device_profiles::PlausibleRange::default(),
        states: Vec::new(),
        source: None,
        unverified: false,
        poll: None,
        history: None,
        address: table(point),
    });
    let profile = DeviceProfile {
        id: "acme/plc".to_owned(),
        maker: "Acme".to_owned(),
        model: "PLC".to_owned(),
        protocol: "opcua".to_owned(),
        sources: Vec::new(),
        options: table(""),
        points: vec![Arc::clone(&point)],
        file: SourceFile::new("plc.toml", ""),
    };
    let device = DeviceSpec {
        id: spanned("plc-1"),
        settings: table(device),
        profile: Arc::new(profile),
        points: vec![PointSpec {
            index: PointIndex(0),
            profile: point,
            poll: Duration::from_secs(5),
            history: Some(HistoryFrom::All),
        }],
    };
    PortSpec { id: spanned("plc"), settings: table(port), devices: vec![device] }
}

fn planned(settings: &str, device: &str, point: &str) -> (Option<Plan>, String) {
    let mut problems = Problems::default();
    let plan = OpcUa.plan(port(settings, device, point), &mut problems);
    (plan, problems.to_string())
}

#[test]
fn plans_a_point_as_an_exact_integer() {
    let (plan, problems) = planned(GOOD_PORT, "namespace = \"urn:plc\"", GOOD_POINT);
    assert_eq!(problems, "");
    let plan = plan.unwrap();
    assert_eq!(plan.value_types, [(PointIndex(0), ValueType::Decimal { exponent: -2 })]);
    assert_eq!(
        plan.summary,
        [
            "plc-1: opc.tcp://10.0.0.7:4840/plc (SignAndEncrypt), published every 1s, points 1, with history 1"
        ]
    );
}

#[test]
fn a_device_can_be_read_instead_of_subscribed_to() {
    let (plan, problems) = planned(GOOD_PORT, "subscribe = false", GOOD_POINT);
    assert_eq!(problems, "");
    assert_eq!(
        plan.unwrap().summary,
        [
            "plc-1: opc.tcp://10.0.0.7:4840/plc (SignAndEncrypt), read every 5s, points 1, with history 1"
        ]
    );
    let (plan, problems) = planned(GOOD_PORT, "subscribe = \"no\"", GOOD_POINT);
    assert!(plan.is_none() && problems.contains("subscribe"), "{problems}");
}

#[test]
fn says_what_is_wrong_with_a_port_and_where() {
    let check = |more: &str, expected: &str| {
        let (plan, problems) = planned(&format!("{GOOD_PORT}\n{more}"), "", GOOD_POINT);
        assert!(plan.is_none() && problems.contains(expected), "{more}: {problems}");
    };
    check(
        "security = \"sign\"",
        "GW-C301 gateway.toml:2:12: `security`: expected `sign-and-encrypt`",
    );
    check("trust_any_server = true", "for a server on this machine only");
    check("server_fingerprint = \"12:34\"", "expected `sha256:` and 64 hex digits");
    check("server_certificate = \"gone.der\"", "no file `gone.der`");
    check("user = \"reader\"", "`user` without `password_file`");
    check("password_file = \"gone\"", "`password_file` without `user`");
    check("history_page = 5000", "expected 1 to 1000, found 5000");
    check("timeout = \"2h\"", "expected 10ms to 1h");
    check("keep_alive = \"6min\"", "expected 10ms to 5min");
    check("publish_intervall = \"1s\"", "did you mean `publish_interval`?");
    let (plan, problems) = planned("url = \"http://10.0.0.7\"", "", GOOD_POINT);
    assert!(plan.is_none() && problems.contains("expected `opc.tcp://host:4840/…`"), "{problems}");
}

#[test]
fn says_what_is_wrong_with_a_point() {
    let check = |point: &str, expected: &str| {
        let (plan, problems) = planned(GOOD_PORT, "", point);
        assert!(plan.is_none() && problems.contains(expected), "{point}: {problems}");
    };
    check("type = \"float\"", "`node` is missing");
    check("node = \"ns=2;s=a\"", "`type` is missing");
    check("node = \"Main\"\ntype = \"float\"", "expected a node id such as");
    check(
        "node = \"i=1\"\ntype = \"double\"",
        "expected `float`, `integer`, `bool` or `text`, found `double`",
    );
    check(&format!("{GOOD_POINT}\naddress = 3"), "`address` is not a key that exists here");
    check(&format!("{GOOD_POINT}\nindex = 65536"), "`index`: expected 0 to 65535, found 65536");
    check(&format!("{GOOD_POINT}\nindex = -1"), "index");
    check(
        &format!("{GOOD_POINT}\ntime = \"ours\""),
        "expected `device` or `gateway`, found `ours`",
    );
    check(&format!("{GOOD_POINT}\ntime = \"gateway\""), "`history` with `time = \"gateway\"`");
    check("node = \"i=1\"\ntype = \"text\"", "`resolution` with `type = \"text\"`");
    let (plan, problems) = planned(GOOD_PORT, "time = \"gateway\"", GOOD_POINT);
    assert!(plan.is_none() && problems.contains("a history has only the times"), "{problems}");
    let point = format!("{GOOD_POINT}\ntime = \"device\"\nindex = 3");
    let (plan, problems) = planned(GOOD_PORT, "time = \"gateway\"", &point);
    assert!(plan.is_some(), "{problems}");
    let (plan, problems) = planned(GOOD_PORT, "unit = 1", GOOD_POINT);
    assert!(
        plan.is_none() && problems.contains("`unit` is not a key that exists here"),
        "{problems}"
    );
}

fn write_for_owner(file: &Path, text: &str, mode: u32) {
    std::fs::write(file, text).unwrap();
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// As at a broker: the password stood in `check`, the log and the status, and no server was told of it.
#[test]
fn a_name_or_password_in_the_url_is_refused_with_advice_and_shown_nowhere() {
    for url in [
        "opc.tcp://joe:hunter2@127.0.0.1:4840/",
        "opc.tcp://hunter2@10.0.0.7/plc",
        "opc.tcp://joe:hunter2/x@10.0.0.7:4840",
        "http://joe:hunter2@10.0.0.7",
        "joe:hunter2@10.0.0.7",
    ] {
        let (plan, problems) = planned(&format!("url = \"{url}\""), "", GOOD_POINT);
        assert!(plan.is_none(), "{url}");
        assert!(problems.contains("expected no name and no password in it"), "{problems}");
        assert!(problems.contains("`user`") && problems.contains("`password_file`"), "{problems}");
        assert!(!problems.contains("hunter2"), "{problems}");
    }
    let (_, problems) = planned("url = \"http://h/?token=hunter2\"", "", GOOD_POINT);
    assert!(problems.contains("expected `opc.tcp://host:4840/…`"), "{problems}");
    assert!(!problems.contains("hunter2"), "{problems}");
}

#[test]
fn a_password_file_that_others_can_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    let keys = format!("{GOOD_PORT}\nuser = \"reader\"\npassword_file = \"{}\"", file.display());
    let check = |text: &str, mode: u32, expected: &str| {
        write_for_owner(&file, text, mode);
        let (plan, problems) = planned(&keys, "", GOOD_POINT);
        assert_eq!(plan.is_some(), expected.is_empty(), "{mode:o}: {problems}");
        assert!(problems.contains(expected), "{mode:o}: {problems}");
    };
    check("secret\n", 0o600, "");
    check("secret\n", 0o400, "");
    for mode in [0o604, 0o640, 0o644] {
        check("secret\n", mode, "can be read by others");
    }
    check("\n", 0o600, "expected the password on its first line");
}

/// Trial 14 at a server: power each second, counters each minute.
#[test]
fn points_of_two_intervals_are_two_groups_and_are_sampled_as_often() {
    let two = |settings: &str, device: &str| {
        let mut spec = port(settings, device, GOOD_POINT);
        let mut slow = spec.devices[0].points[0].clone();
        (slow.index, slow.poll) = (PointIndex(1), Duration::from_mins(1));
        spec.devices[0].points.push(slow);
        spec
    };
    let (fast, slow) = (Duration::from_secs(5), Duration::from_mins(1));
    let planned = plan(two(GOOD_PORT, ""), &mut Problems::default()).unwrap();
    let polls: Vec<Duration> = planned.groups.iter().map(|group| group.poll).collect();
    let points: Vec<_> = planned.points.iter().map(|point| (point.group, point.sampling)).collect();
    assert_eq!((polls, points), (vec![fast, slow], vec![(0, fast), (1, slow)]));
    let read = OpcUa.plan(two(GOOD_PORT, "subscribe = false"), &mut Problems::default()).unwrap();
    assert!(read.summary[0].contains("read every 5s, 60s, points 2"), "{:?}", read.summary);
    // What the port says of sampling holds for all of them.
    let stated = format!("{GOOD_PORT}\nsampling_interval = \"250ms\"");
    let planned = plan(two(&stated, ""), &mut Problems::default()).unwrap();
    assert!(planned.points.iter().all(|point| point.sampling == Duration::from_millis(250)));
}

#[test]
fn a_password_never_crosses_the_network_unprotected() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    write_for_owner(&file, "secret", 0o600);
    let user =
        format!("user = \"reader\"\npassword_file = \"{}\"\nsecurity = \"none\"", file.display());
    let (plan, problems) = planned(&format!("{GOOD_PORT}\n{user}"), "", GOOD_POINT);
    assert!(
        plan.is_none() && problems.contains("would cross the network unprotected"),
        "{problems}"
    );
    let local = format!("url = \"opc.tcp://127.0.0.1:4840\"\n{user}");
    let (plan, problems) = planned(&local, "", GOOD_POINT);
    assert!(plan.is_some(), "{problems}");
}

#[test]
fn no_security_is_a_warning_off_this_machine() {
    let (plan, problems) = planned(&format!("{GOOD_PORT}\nsecurity = \"none\""), "", GOOD_POINT);
    assert!(plan.is_some() && problems.contains("anybody on the way"), "{problems}");
    let local = "url = \"opc.tcp://localhost:4840\"\nsecurity = \"none\"";
    assert_eq!(planned(local, "", GOOD_POINT).1, "");
    let any = "url = \"opc.tcp://[::1]:4840\"\ntrust_any_server = true";
    assert_eq!(planned(any, "", GOOD_POINT).1, "");
}
