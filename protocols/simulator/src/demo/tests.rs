//! The files under `examples/demo-plant` are what the demo writes for a plant of seed 1 in November 2026.

use config::{Problems, SourceFile, Table};
use model::Timestamp;

use super::*;
use crate::plant::METERS;

/// 2026-11-23T11:30:01Z.
const NOW: Timestamp = Timestamp(1_795_433_401_000_000);

fn links() -> Links {
    Links {
        uplink: "mqtt://127.0.0.1:1883".to_owned(),
        modbus: "tcp://127.0.0.1:5020".to_owned(),
        serial: "/dev/pts/3".to_owned(),
        opcua: "opc.tcp://127.0.0.1:4840/".to_owned(),
        certificate: "pki/own/cert.der".to_owned(),
    }
}

#[test]
fn the_example_is_what_the_demo_writes() {
    let folder = tempfile::tempdir().unwrap();
    let month = Month::last_complete(NOW);
    let files = write(folder.path(), &links(), &Plant::new(1), month).unwrap();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/demo-plant");
    let differs = |written: &&PathBuf| {
        let kept = fs::read_to_string(example.join(written.file_name().unwrap()));
        kept.unwrap_or_default() != fs::read_to_string(written).unwrap()
    };
    let written = [&files.gateway, &files.plant, &files.facts];
    let different: Vec<&PathBuf> = written.into_iter().filter(differs).collect();
    if !different.is_empty() {
        let folder = folder.keep();
        panic!(
            "other than in the example: {different:?}; take {} if it is right",
            folder.display()
        );
    }
}

/// Reads a file of ours as TOML and gives the `key` of all `section`s.
fn values(text: &str, section: &'static str, key: &'static str) -> Vec<String> {
    let mut problems = Problems::default();
    let mut root = Table::parse(&SourceFile::new("file", text), &mut problems);
    let tables = root.tables(section, &mut problems);
    let read = |mut table: Table| table.required::<String>(key, &mut problems).map(|v| v.value);
    let found: Vec<String> = tables.into_iter().filter_map(read).collect();
    assert_eq!(problems.to_string(), "");
    found
}

#[test]
fn the_plant_file_names_the_points_that_the_gateway_reads() {
    let plant = plant_file::text(Month::last_complete(NOW));
    let mut points = values(&plant, "meter", "point");
    let mut expected: Vec<String> =
        METERS.iter().map(|meter| format!("{SITE}/{}/{}", meter.id, meter.metric)).collect();
    points.sort();
    expected.sort();
    assert_eq!(points, expected);
    let devices = values(&gateway::text(&links()), "device", "id");
    assert!(METERS.iter().all(|meter| devices.iter().any(|device| device == meter.id)));
}

#[test]
fn january_needs_the_equal_values_of_two_years() {
    // 2027-02-10: the months are December 2026 and January 2027.
    let text = plant_file::text(Month::last_complete(Timestamp(1_802_217_600_000_000)));
    assert!(text.contains("data_year = 2025\n") && text.contains("data_year = 2026\n"));
    let rows = values(&text, "coefficient", "notice");
    assert!(rows.iter().all(|notice| notice.starts_with("示例")), "{rows:?}");
}
