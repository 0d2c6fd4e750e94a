//! Plant files that are right by themselves, and wrong for the lake or for the period that is asked for. Must never reach
//! past the libraries: the program's own words are tested with the program.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use analytics::{FiguresError, PlantFiles, StoreView};
use energy::{BasisChoice, MissingCoefficient, Period};
use lake::{AdmittedFrame, CommitDraft, Lake, LakeOptions, Snapshot, WatermarkMove};
use model::dictionary::{DisplayName, Place};
use model::{
    Batch, Dictionary, GatewayId, LogId, PointId, PointIndex, PointInfo, PointKind, Quality,
    Sample, Sequence, Timestamp, Unit, Value, ValueType,
};

use super::told::{Told, relative};

const HEAD: &str = r#"
[plant]
enterprise = "acme"
time_zone = "Asia/Shanghai"
rule_set = "GB/T 2589"
edition = "2020"
facts = ["facts.csv"]
"#;
const ELECTRICITY: &str = "\n[[energy_kind]]\nid = \"electricity\"\nunit = \"kWh\"\n";
const GAS: &str = "\n[[energy_kind]]\nid = \"natural_gas\"\nunit = \"m3\"\n";
const HEADER: &str = "subject,period,measure,value,unit\n";

/// A plant of these sections and facts in `folder`.
fn plant(folder: &Path, sections: &str, rows: &str) -> PlantFiles {
    fs::write(folder.join("plant.toml"), format!("{HEAD}{sections}")).unwrap();
    fs::write(folder.join("facts.csv"), format!("{HEADER}{rows}")).unwrap();
    PlantFiles::load(&folder.join("plant.toml")).map_err(|p| p.to_string()).unwrap()
}

fn meter(metric: &str, unit: &str, more: &str) -> String {
    format!(
        "{ELECTRICITY}\n[[meter]]\npoint = \"acme/nb-1/main/{metric}\"\nenergy_kind = \"electricity\"\n\
         role = \"incoming\"\nunit = \"{unit}\"\n{more}"
    )
}

/// A lake that one gateway has sent one sample of each point to.
pub(super) async fn lake(folder: &Path) -> StoreView {
    let point = |metric: &str, value_type| PointInfo {
        id: PointId::new(format!("acme/nb-1/main/{metric}")).unwrap(),
        place: Place { enterprise: "acme".into(), site: "nb-1".into(), area: None, line: None },
        device: "main".into(),
        metric: metric.to_owned(),
        device_name: DisplayName::default(),
        unit: Unit::KilowattHour,
        kind: PointKind::Counter,
        value_type,
        modulus: Some("1000000".parse().unwrap()),
        states: Vec::new(),
        interval_ms: None,
        profile: None,
    };
    let exact = ValueType::Decimal { exponent: 0 };
    let points = vec![
        point("e_import", exact),
        point("e_float", ValueType::Float),
        PointInfo { unit: Unit::One, kind: PointKind::Gauge, ..point("name", ValueType::Text) },
        PointInfo { unit: Unit::One, kind: PointKind::State, ..point("on", ValueType::Bool) },
    ];
    let dictionary = Arc::new(Dictionary::new(points).unwrap());
    let time: Timestamp = Timestamp(1_767_225_600_000_000);
    let sample = |index, value| Sample::new(PointIndex(index), time, time, Quality::GOOD, value);
    let samples = vec![
        sample(0, Value::Decimal(5)),
        sample(1, Value::Float(5.0)),
        sample(2, Value::Text(model::Text::new("P1").unwrap())),
        sample(3, Value::Bool(true)),
    ];
    let (gateway, log_id) = (GatewayId::new("gw-1").unwrap(), LogId([1; 16]));
    let frame = AdmittedFrame {
        gateway: gateway.clone(),
        log_id,
        sequence: Sequence(1),
        dictionary: Arc::clone(&dictionary),
        batch: Batch { dictionary: dictionary.hash(), samples },
    };
    let watermark = WatermarkMove {
        gateway,
        log_id,
        stood: Sequence(0),
        durable_upto: Sequence(1),
        lost_frames: 0,
        lost_samples: 0,
        last_hash: None,
    };
    let options = LakeOptions::new(Arc::new(program::SystemClock::default()));
    let mut lake = Lake::open(folder.join("lake"), options).await.unwrap();
    lake.put_dictionary(&dictionary).await.unwrap();
    lake.commit(CommitDraft { frames: vec![frame], watermarks: vec![watermark] }).await.unwrap();
    let snapshot = Snapshot::open(folder.join("lake")).unwrap();
    StoreView::new(Arc::new(snapshot), None).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plant_file_that_does_not_fit_the_lake() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let lake = lake(folder).await;
    let period: Period = "2026".parse().unwrap();
    let good = plant(folder, &meter("e_import", "kWh", ""), "");
    assert!(good.metered(Some(&lake), period, &contract::Cancel::default()).is_ok());

    let mut told = Told::new("lake");
    let mut tell = |case: &str, sections: &str, rows: &str| {
        let plant = plant(folder, sections, rows);
        match plant.table1(Some(&lake), period, BasisChoice::Equivalent).map(|_| ()).unwrap_err() {
            FiguresError::UnknownPoints(problems) => {
                told.problems(case, "", &relative(&problems, folder));
            }
            error => told.error(case, "", &error),
        }
    };
    tell("a meter whose point nobody ever read", &meter("e_imports", "kWh", ""), "");
    tell("a meter in another unit than its point", &meter("e_import", "MWh", ""), "");
    tell(
        "a meter of another modulus than its profile",
        &meter("e_import", "kWh", "modulus = 99999\n"),
        "",
    );
    tell("a meter of a floating-point register", &meter("e_float", "kWh", ""), "");
    tell("a meter of a point with texts", &meter("name", "kWh", ""), "");
    let good = meter("e_import", "kWh", "");
    let (_, second) = good.split_once("[[meter]]").unwrap();
    let second = format!("[[meter]]\nid = \"second\"{}", second.replace("e_import", "on"));
    tell("a meter of a switch beside a good one", &format!("{good}{second}"), "");
    let line = "[[subject]]\nid = \"site\"\nkind = \"site\"\n";
    let both = "acme,2026,purchased:electricity,5,kWh\nsite,2026,purchased:electricity,5,kWh\n";
    tell("energy that is declared at two levels", &format!("{ELECTRICITY}{line}"), both);
    told.finish();
}

#[test]
fn files_that_are_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plant.toml");
    let mut told = Told::new("plant_files");
    let mut tell = |case: &str| {
        let problems = PlantFiles::load(&path).map(|_| ()).unwrap_err();
        told.error(case, "", &relative(&problems, folder.path()));
    };
    tell("a plant file that is not there");
    fs::write(&path, format!("{HEAD}{ELECTRICITY}")).unwrap();
    tell("a file of facts that is not there");
    told.finish();
}

#[test]
fn coefficients_that_are_missing() {
    let folder = tempfile::tempdir().unwrap();
    let period: Period = "2023".parse().unwrap();
    let mut told = Told::new("coefficients");
    let mut tell = |case: &str, sections: &str, kind: &str| {
        let rows = format!(
            "acme,2023,purchased:{kind},1000,{}\n",
            if kind == "electricity" { "kWh" } else { "m3" }
        );
        let plant = plant(folder.path(), sections, &rows);
        let table = plant.table1(None, period, BasisChoice::Both).unwrap();
        let said =
            table.missing_coefficients.iter().map(|missing| in_words(missing, folder.path()));
        told.row(case, "", &said.collect::<String>());
    };
    let row = |year: u16, value: &str| {
        format!(
            "[[coefficient]]\nenergy_kind = \"electricity\"\nrole = \"equal_value\"\nvalue = {value}\n\
             unit = \"kWh\"\nregion = \"CN\"\ndata_year = {year}\nnotice = \"示例\"\nevidence = \"illustrative\"\n"
        )
    };
    tell("an equal value that nobody stated", ELECTRICITY, "electricity");
    tell(
        "an equal value of another year",
        &format!("{ELECTRICITY}{}", row(2021, "0.3")),
        "electricity",
    );
    tell(
        "two equal values of one year",
        &format!("{ELECTRICITY}{}{}", row(2022, "0.3"), row(2022, "0.31")),
        "electricity",
    );
    tell("a coefficient that is printed as a range", GAS, "natural_gas");
    told.finish();
}

fn in_words(missing: &MissingCoefficient, folder: &Path) -> String {
    let add: Vec<String> = missing.add.lines().map(|line| format!("  {line}\n")).collect();
    let start = format!("{}/", folder.display());
    format!("{missing}\n{}", add.concat()).replace(&start, "")
}
