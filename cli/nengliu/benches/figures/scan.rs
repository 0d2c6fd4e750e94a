//! The reader of the lake beside polars over the same files: the columns that a figure needs, of the same points, in the
//! same order. Polars neither looks at checksums nor chooses among rows of one time. Must never know a figure.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use contract::{Points, Readings, Request, column};
use lake::{Selection, Snapshot};
use model::PointId;
use serde_json::{Value, json};

/// What a figure reads.
const COLUMNS: [&str; 6] = [
    column::POINT,
    column::TS,
    column::STATUS,
    column::MANTISSA,
    column::EXPONENT,
    column::GENERATION,
];
/// Rounds of which the quickest counts; the script of polars has as many.
const ROUNDS: usize = 3;

/// Prints how many rows a second each of both brings, and their ratio.
pub(crate) fn beside_polars(name: &str, lake: &Path, points: &[String]) {
    let ids: Vec<String> = points.iter().map(|point| format!("acme/nb-1/{point}")).collect();
    let (rows, ours) = quickest(|| through_the_store(lake, &ids));
    println!("figure: {name}, rows/s of the store's reader = {:.2} M", ours / 1e6);
    let Some(theirs) = through_polars(lake, &ids) else {
        println!("no polars to compare with: `cargo xtask test --setup-only` installs it");
        return;
    };
    assert_eq!(theirs["rows"].as_u64(), u64::try_from(rows).ok(), "both read the same rows");
    let version = theirs["polars"].as_str().unwrap_or_default();
    for (engine, what) in [("in_memory", "in memory"), ("streaming", "streaming")] {
        let theirs = theirs[engine].as_f64().expect("rows a second");
        println!("figure: {name}, rows/s of polars {version} {what} = {:.2} M", theirs / 1e6);
        println!("figure: {name}, store's reader to polars {what} = {:.2}", ours / theirs);
    }
}

/// Rows, and rows a second of the quickest round.
fn quickest(mut read: impl FnMut() -> usize) -> (usize, f64) {
    let round = |_| {
        let started = Instant::now();
        let rows = read();
        (rows, rows as f64 / started.elapsed().as_secs_f64())
    };
    (0..ROUNDS).map(round).fold((0, 0.0), |best, one| if one.1 > best.1 { one } else { best })
}

fn through_the_store(lake: &Path, ids: &[String]) -> usize {
    let snapshot = Snapshot::open(lake).expect("a snapshot");
    let ids = ids.iter().map(|id| PointId::new(id.clone()).expect("an id")).collect();
    let request =
        Request { points: Points::Exactly(ids), columns: COLUMNS.to_vec(), ..Request::default() };
    let rows = Readings::rows(&snapshot, &request).expect("rows");
    rows.map(|batch| batch.expect("a batch").num_rows()).sum()
}

/// What the script says; `None` where there is no Python environment with polars.
fn through_polars(lake: &Path, ids: &[String]) -> Option<Value> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2)?;
    let python = std::env::var_os("NENGLIU_PEERS_PYTHON")
        .map_or_else(|| root.join("target/peers-venv/bin/python"), PathBuf::from);
    let snapshot = Snapshot::open(lake).expect("a snapshot");
    let files = snapshot.live_files(&Selection::default());
    let wanted = json!({
        "files": files.iter().map(lake::LiveFile::path).collect::<Vec<_>>(),
        "columns": COLUMNS,
        "points": ids,
        "order": [column::POINT, column::TS, column::GENERATION],
    });
    let mut child = Command::new(python)
        .arg(root.join("tests/peers/scan_with_polars.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    child.stdin.take()?.write_all(wanted.to_string().as_bytes()).ok()?;
    let output = child.wait_with_output().ok()?;
    serde_json::from_slice(&output.stdout).ok()
}
