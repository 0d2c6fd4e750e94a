//! `nengliu-gateway check` as a script and as a person see it: exit codes, the one JSON object, the picture of a problem.
//! Must never look inside the program.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tests::programs::program;

use super::told::Told;

const GOOD: &str = r#"
[gateway]
id = "gw-1"
site = "acme/nb-1"

[uplink]
url = "mqtt://127.0.0.1:1883"

[[port]]
id = "rs485-1"
protocol = "modbus"
path = "/dev/ttyS1"

[[device]]
id = "comp-1"
port = "rs485-1"
profile = "eastron/sdm630"
unit = 3
"#;

/// Runs `check` on this text in a folder of its own.
fn check(text: impl AsRef<[u8]>, arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("gateway.toml"), text).unwrap();
    run(folder.path(), arguments)
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(program("nengliu-gateway").unwrap());
    command.current_dir(folder).args(["check", "-c", "gateway.toml"]).args(arguments);
    command.env_remove("RUST_LOG").env("NO_COLOR", "1").output().unwrap()
}

/// The one JSON object on standard output, checked key by key.
fn object(output: &Output) -> Value {
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "JSON stands alone");
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(text.lines().count(), 1, "one line: {text}");
    let object: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(keys(&object), ["ok", "problems", "schema"]);
    assert_eq!(object["schema"], "nengliu.check.v1");
    let problems = object["problems"].as_array().unwrap();
    for problem in problems {
        assert_eq!(keys(problem), ["code", "message", "severity", "try", "where"]);
        assert!(["error", "warning"].contains(&problem["severity"].as_str().unwrap()), "{problem}");
        assert!(problem["code"].is_string() && problem["message"].is_string(), "{problem}");
        assert!(problem["try"].is_string() || problem["try"].is_null(), "{problem}");
    }
    let wrong = problems.iter().any(|problem| problem["severity"] == "error");
    assert_eq!(object["ok"], !wrong, "{object}");
    assert_eq!(output.status.code(), Some(if wrong { 3 } else { 0 }), "{object}");
    object
}

fn keys(object: &Value) -> Vec<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

/// `gateway.toml:6:9`, each number from 1.
fn is_place(text: &str) -> bool {
    let mut parts = text.rsplit(':');
    let mut number =
        || parts.next().and_then(|part| part.parse::<u32>().ok()).is_some_and(|n| n > 0);
    number() && number() && parts.next() == Some("gateway.toml") && parts.next().is_none()
}

#[test]
fn json_is_one_object_with_a_schema() {
    let good = object(&check(GOOD, &["--json"]));
    assert_eq!(good["problems"].as_array().unwrap().len(), 0);

    let doubtful = GOOD.to_owned()
        + "[[port]]\nid = \"spare\"\nprotocol = \"modbus\"\npath = \"/dev/ttyS2\"\n";
    let doubtful = object(&check(&doubtful, &["--json"]));
    assert_eq!(
        (&doubtful["ok"], &doubtful["problems"][0]["severity"]),
        (&true.into(), &"warning".into())
    );

    let wrong = GOOD.replace("site = \"acme/nb-1\"", "site = 5").replace("unit = 3", "unti = 3");
    let wrong = object(&check(&wrong, &["--json"]));
    let problems = wrong["problems"].as_array().unwrap();
    assert!(problems.iter().all(|problem| is_place(problem["where"].as_str().unwrap())), "{wrong}");
    let codes: Vec<&str> =
        problems.iter().map(|problem| problem["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["C003", "C002", "C004"], "{wrong}");

    let folder = tempfile::tempdir().unwrap();
    let missing = object(&run(folder.path(), &["--json"]));
    let [problem] = missing["problems"].as_array().unwrap().as_slice() else { panic!("{missing}") };
    assert_eq!((&problem["code"], &problem["where"]), (&"GW-C000".into(), &Value::Null));
}

#[test]
fn a_person_sees_the_line() {
    let mut told = Told::new("check_command");
    let mut tell = |case: &str, text: &dyn AsRef<[u8]>| {
        let output = check(text, &[]);
        let said =
            String::from_utf8(output.stderr).unwrap() + &String::from_utf8(output.stdout).unwrap();
        let code = output.status.code().unwrap();
        told.row(case, "", &format!("{said}exit code {code}\n"));
    };
    tell("a profile that is misspelt", &GOOD.replace("sdm630", "sdm360"));
    tell(
        "two devices with one unit id",
        &(GOOD.to_owned()
            + "[[device]]\nid = \"comp-2\"\nport = \"rs485-1\"\nprofile = \"eastron/sdm630\"\nunit = 3\n"),
    );
    tell(
        "a password in the settings",
        &GOOD.replace("[gateway]", "[gateway]\npassword = \"hunter2\""),
    );
    tell(
        "a key behind a WebSocket",
        &GOOD.replace("mqtt://127.0.0.1:1883", "ws://127.0.0.1/mqtt?key=hunter2"),
    );
    tell("a device of which nothing is read", &(GOOD.to_owned() + "points = []\n"));
    tell(
        "a folder of profiles that is not there",
        &GOOD.replace("[uplink]", "profile_folders = [\"nosuch\"]\n[uplink]"),
    );
    tell(
        "one serial line under two spellings",
        &(GOOD.to_owned()
            + "[[port]]\nid = \"rs485-2\"\nprotocol = \"modbus\"\npath = \"/dev//ttyS1\"\n"
            + "[[device]]\nid = \"comp-2\"\nport = \"rs485-2\"\nprofile = \"eastron/sdm630\"\nunit = 4\n"),
    );
    // 空压机 in GBK.
    tell("a file in GBK", &[GOOD.as_bytes(), b"# \xbf\xd5\xd1\xb9\xbb\xfa\n"].concat());
    let utf16: Vec<u8> = "\u{feff}[gateway]".encode_utf16().flat_map(u16::to_le_bytes).collect();
    tell("a file in UTF-16", &utf16);
    tell("a file that is too long", &"\n".repeat(5 << 20));
    tell("a good file", &GOOD);
    told.finish();
}
