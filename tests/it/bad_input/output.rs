//! What both programs do when nobody reads what they print, and when it cannot be written. Must never start anything that
//! goes on.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tests::programs::{program, workspace_root};

use super::figures::lake;

/// Each command that prints, in a folder with `gateway.toml`, `wrong.toml`, a plant and a lake.
const PRINTING: &[(&str, &str)] = &[
    ("nengliu-gateway", "check -c gateway.toml"),
    ("nengliu-gateway", "check -c gateway.toml --json"),
    ("nengliu-gateway", "check -c wrong.toml"),
    ("nengliu-gateway", "check -c wrong.toml --json"),
    ("nengliu-gateway", "--help"),
    ("nengliu", "acl mosquitto"),
    ("nengliu", "kpi table1 --plant plant.toml --period 2023"),
    ("nengliu", "kpi table1 --plant plant.toml --period 2023 --format json"),
    ("nengliu", "kpi table1 --plant plant.toml --period 2023 --format csv"),
    ("nengliu", "explain table1/2023/total/equivalent --plant plant.toml"),
    ("nengliu", "query --lake lake"),
    ("nengliu", "query --lake lake --format json"),
    ("nengliu", "query --lake lake --format parquet"),
    ("nengliu", "query --lake lake --format arrow"),
    ("nengliu", "quarantine list --json --lake lake"),
];

const GATEWAY: &str = "[gateway]\nid = \"gw-1\"\nsite = \"acme/nb-1\"\n[uplink]\nurl = \"mqtt://127.0.0.1:1883\"\n\
    [[port]]\nid = \"rs485-1\"\nprotocol = \"modbus\"\npath = \"/dev/ttyS1\"\n\
    [[device]]\nid = \"comp-1\"\nport = \"rs485-1\"\nprofile = \"eastron/sdm630\"\nunit = 3\n";

async fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let example = workspace_root().join("examples/table1-c1-a1");
    for file in ["plant.toml", "facts.csv"] {
        fs::copy(example.join(file), folder.path().join(file)).unwrap();
    }
    fs::write(folder.path().join("gateway.toml"), GATEWAY).unwrap();
    let wrong = GATEWAY.replace("unit = 3", "unti = 3");
    fs::write(folder.path().join("wrong.toml"), wrong).unwrap();
    drop(lake(folder.path()).await);
    folder
}

fn run(folder: &Path, name: &str, arguments: &str, stdout: Stdio, stderr: Stdio) -> Output {
    let mut command = Command::new(program(name).unwrap());
    command.current_dir(folder).args(arguments.split_whitespace()).env_remove("RUST_LOG");
    let child = command.env("NO_COLOR", "1").stdout(stdout).stderr(stderr).spawn().unwrap();
    child.wait_with_output().unwrap()
}

/// A pipe that nobody reads any more.
fn closed() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

/// `nengliu-gateway check --json | head -c 1500` ended with a panic.
#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_that_nobody_reads_changes_no_exit_code() {
    let folder = folder().await;
    for (name, arguments) in PRINTING {
        let run = |stdout, stderr| run(folder.path(), name, arguments, stdout, stderr);
        let expected = run(Stdio::null(), Stdio::piped());
        let unread = run(closed(), Stdio::piped());
        assert_eq!(unread.status.code(), expected.status.code(), "{name} {arguments}: {unread:?}");
        assert_eq!(unread.stderr, expected.stderr, "{name} {arguments}: nothing more is said");
        let unheard = run(closed(), closed());
        assert_eq!(unheard.status.code(), expected.status.code(), "{name} {arguments}");
    }
}

/// `> /dev/full` and `-o /dev/full` ended with 1, and did not say what could not be written.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_with_the_place_and_its_exit_code() {
    let folder = folder().await;
    let check = |name: &str, arguments: &str, stdout: Stdio, place: &str, code: i32| {
        let output = run(folder.path(), name, arguments, stdout, Stdio::piped());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{name} {arguments}: {said}");
        let told = format!("cannot write {place}\n  because: No space left on device");
        assert!(said.contains(&told), "{name} {arguments}: {said}");
    };
    for (name, arguments) in PRINTING.iter().filter(|(_, arguments)| *arguments != "--help") {
        // Problems for people go to standard error.
        if *arguments != "check -c wrong.toml" {
            let full = File::options().write(true).open("/dev/full").unwrap();
            let code = if *name == "nengliu" { 7 } else { 10 };
            check(name, arguments, full.into(), "to standard output", code);
        }
    }
    for arguments in [
        "query --lake lake",
        "query --lake lake --format arrow",
        "query --lake lake --format parquet",
        "kpi table1 --plant plant.toml --period 2023",
        "kpi table1 --plant plant.toml --period 2023 --format xlsx",
    ] {
        let arguments = format!("{arguments} --output /dev/full");
        check("nengliu", &arguments, Stdio::null(), "`/dev/full`", 7);
    }
}

/// As a place that does not exist, and one where not even root may write.
#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_cannot_be_written_has_its_exit_code() {
    let folder = folder().await;
    for (place, code) in [("none/rows", 3), ("/sys/rows", 6)] {
        for command in ["query --lake lake", "kpi table1 --plant plant.toml --period 2023"] {
            let arguments = format!("{command} --output {place}");
            let (out, errors) = (Stdio::null(), Stdio::piped());
            let output = run(folder.path(), "nengliu", &arguments, out, errors);
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(code), "{arguments}: {said}");
            assert!(said.contains(&format!("cannot write `{place}`")), "{arguments}: {said}");
        }
    }
}

/// Figures as of a commit that is still to come were those of the newest one.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_not_there_yet_is_refused_with_the_newest_one() {
    let folder = folder().await;
    for command in ["query", "kpi table1 --plant plant.toml --period 2023"] {
        let run = |as_of: u64| {
            let arguments = format!("{command} --lake lake --as-of {as_of}");
            run(folder.path(), "nengliu", &arguments, Stdio::null(), Stdio::piped())
        };
        let (newest, beyond) = (run(1), run(9_999));
        assert_ne!(newest.status.code(), Some(3), "{command}: {newest:?}");
        let said = String::from_utf8_lossy(&beyond.stderr);
        assert_eq!(beyond.status.code(), Some(3), "{command}: {said}");
        let told = "`--as-of 9999`: the newest commit of the lake is 1";
        assert!(said.contains(told), "{command}: {said}");
    }
}

/// Its bytes could switch the terminal into any mode.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_text_is_not_written_to_a_terminal() {
    let folder = folder().await;
    let kpi = "kpi table1 --plant plant.toml --period 2023 --format";
    for command in [
        "query --lake lake --format parquet".to_owned(),
        "query --lake lake --format arrow".to_owned(),
        format!("{kpi} xlsx"),
    ] {
        let pty = nix::pty::openpty(None, None).unwrap();
        let terminal = pty.slave.into();
        let output = run(folder.path(), "nengliu", &command, terminal, Stdio::piped());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{command}: {said}");
        assert!(said.contains("EN-A003") && said.contains("--output FILE"), "{command}: {said}");
        // Into a pipe it is what it should be.
        let piped = run(folder.path(), "nengliu", &command, Stdio::piped(), Stdio::piped());
        assert!(!piped.stdout.is_empty(), "{command}");
    }
}
