//! The reader of the lake beside polars over the same files: the columns that a figure needs, of the same points, in the
//! same order. Polars neither looks at checksums nor chooses among rows of one time. Must never know a figure.

use std::path::Path;
use std::time::Instant;

use contract::{Points, Readings, Request, column};
use lake::{Selection, Snapshot};
use model::PointId;
use polars::prelude::{
    Engine, Expr, LazyFrame, PlRefPath, ScanArgsParquet, SortMultipleOptions, col, lit,
};

/// What a figure reads.
const COLUMNS: [&str; 6] = [
    column::POINT,
    column::TS,
    column::STATUS,
    column::MANTISSA,
    column::EXPONENT,
    column::GENERATION,
];
/// Rounds of which the quickest counts.
const ROUNDS: usize = 3;

/// Prints how many rows a second each of both brings, and their ratio.
pub(crate) fn beside_polars(name: &str, lake: &Path, points: &[String]) {
    let ids: Vec<String> = points.iter().map(|point| format!("acme/nb-1/{point}")).collect();
    let ours = quickest(|| through_the_store(lake, &ids));
    println!("figure: {name}, rows/s of the store's reader = {:.2} M", ours / 1e6);
    for (engine, what) in [(Engine::InMemory, "in memory"), (Engine::Streaming, "streaming")] {
        let theirs = quickest(|| through_polars(lake, &ids, engine));
        println!("figure: {name}, rows/s of polars {what} = {:.2} M", theirs / 1e6);
        println!("figure: {name}, store's reader to polars {what} = {:.2}", ours / theirs);
    }
}

/// Rows a second of the quickest round.
fn quickest(mut read: impl FnMut() -> usize) -> f64 {
    let round = |_| {
        let started = Instant::now();
        read() as f64 / started.elapsed().as_secs_f64()
    };
    (0..ROUNDS).map(round).fold(0.0, f64::max)
}

fn through_the_store(lake: &Path, ids: &[String]) -> usize {
    let snapshot = Snapshot::open(lake).expect("a snapshot");
    let ids = ids.iter().map(|id| PointId::new(id.clone()).expect("an id")).collect();
    let request =
        Request { points: Points::Exactly(ids), columns: COLUMNS.to_vec(), ..Request::default() };
    let rows = Readings::rows(&snapshot, &request).expect("rows");
    rows.map(|batch| batch.expect("a batch").num_rows()).sum()
}

fn through_polars(lake: &Path, ids: &[String], engine: Engine) -> usize {
    let snapshot = Snapshot::open(lake).expect("a snapshot");
    let files = snapshot.live_files(&Selection::default());
    let paths: Vec<PlRefPath> =
        files.iter().map(|file| PlRefPath::try_from_path(file.path()).expect("a path")).collect();
    let wanted = ids.iter().map(|id| col(column::POINT).eq(lit(id.as_str())));
    let wanted = wanted.reduce(Expr::or).expect("a point");
    let order = [column::POINT, column::TS, column::GENERATION];
    let frame = LazyFrame::scan_parquet_files(paths.into(), ScanArgsParquet::default())
        .expect("a scan")
        .filter(wanted)
        .select(COLUMNS.map(col))
        .sort(order, SortMultipleOptions::default());
    frame.collect_with_engine(engine).expect("rows").unwrap_single().height()
}
