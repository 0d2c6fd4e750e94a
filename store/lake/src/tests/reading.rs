//! The reader of ordered rows: what it holds is bounded, what is damaged is named, what was merged meanwhile is no loss.

use contract::{Points, Request, RowChoice, Rows};

use super::*;
use crate::ordered::OrderedRows;

/// Everything that a stream gives, as (point, source time, generation, sequence).
fn keys(rows: &mut OrderedRows) -> Vec<(String, i64, i64, i64)> {
    let mut keys = Vec::new();
    for batch in rows.by_ref() {
        let batch = batch.unwrap();
        let of = |name: &str| batch.column_by_name(name).unwrap().clone();
        let points = of(column::POINT);
        let points = points.as_dictionary::<Int32Type>();
        let names = points.values().as_string::<i32>();
        let ts = of(column::TS);
        let (generation, seq) = (of(column::GENERATION), of(column::SEQ));
        for row in 0..batch.num_rows() {
            let key = usize::try_from(points.keys().value(row)).unwrap();
            keys.push((
                names.value(key).to_owned(),
                ts.as_primitive::<TimestampMicrosecondType>().value(row),
                generation.as_primitive::<Int64Type>().value(row),
                seq.as_primitive::<Int64Type>().value(row),
            ));
        }
    }
    keys
}

fn all() -> Request {
    Request { choice: RowChoice::All, ..Request::default() }
}

/// A lake of many commits that lie over one another in time.
async fn overlapping(folder: &Path, commits: u64) -> Lake {
    let plant = plant("north", 1);
    let clock = Arc::new(HandClock(AtomicI64::new(START)));
    let mut lake = Lake::open(folder, LakeOptions::new(clock)).await.unwrap();
    lake.put_dictionary(&plant.dictionary).await.unwrap();
    for sequence in 1..=commits {
        lake.commit(plant.draft(sequence, 20)).await.unwrap();
    }
    lake
}

#[tokio::test]
async fn a_reader_that_may_hold_little_gives_the_same_rows() {
    let folder = tempfile::tempdir().unwrap();
    let lake = overlapping(folder.path(), 40).await;
    let snapshot = Snapshot::open(folder.path()).unwrap();
    let whole = keys(&mut OrderedRows::new(&snapshot, &all()));
    assert!(whole.is_sorted(), "in the order of the table");
    assert_eq!(whole.len(), 40 * 20 * 3);
    for held_max in [1, 50, 400] {
        let some = keys(&mut OrderedRows::holding(&snapshot, &all(), held_max));
        assert!(some == whole, "{held_max}: {} rows of {}", some.len(), whole.len());
    }
    drop(lake);
}

#[tokio::test]
async fn a_damaged_file_is_named_and_the_rest_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let lake = overlapping(folder.path(), 6).await;
    let snapshot = Snapshot::open(folder.path()).unwrap();
    let file = snapshot.files()[2].clone();
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 3;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let mut rows = OrderedRows::new(&snapshot, &all());
    assert_eq!(keys(&mut rows).len(), 5 * 20 * 3);
    let damaged = rows.damaged();
    assert_eq!(damaged.len(), 1, "{damaged:?}");
    assert_eq!(damaged[0].rows, Some(60));
    let text = damaged[0].to_string();
    let [lost] = damaged[0].frames.as_slice() else { panic!("{text}") };
    let (gateway, first) = (&lost.log.as_ref().unwrap().0, lost.first.0);
    let named = format!("frames {first} to {} of gateway `{gateway}`, log ", lost.last.0);
    assert!(text.contains(&named), "{text}");
    assert!(damaged[0].reason.contains(".parquet"), "{}", damaged[0].reason);
    drop(lake);
}

#[tokio::test]
async fn what_is_not_asked_for_is_not_opened() {
    let folder = tempfile::tempdir().unwrap();
    let lake = overlapping(folder.path(), 6).await;
    let snapshot = Snapshot::open(folder.path()).unwrap();
    let mut whole = OrderedRows::new(&snapshot, &all());
    let found = keys(&mut whole);
    assert_eq!(whole.cost().files, 6, "each file is opened once");
    let none = Request { points: Points::Prefixes(vec!["zz".to_owned()]), ..all() };
    let mut rows = OrderedRows::new(&snapshot, &none);
    assert_eq!((keys(&mut rows).len(), rows.cost().files), (0, 0));
    let last = found.iter().map(|key| key.1).max().unwrap();
    let end = Request { from: Some(Timestamp(last)), ..all() };
    let mut rows = OrderedRows::new(&snapshot, &end);
    assert!(!keys(&mut rows).is_empty());
    assert!(rows.cost().files < 6 && rows.cost().bytes < whole.cost().bytes);
    drop(lake);
}

#[tokio::test]
async fn files_that_were_merged_and_deleted_meanwhile_are_no_loss() {
    let (site, plant) = (Site::new(), plant("north", 1));
    let mut lake = site.open().await;
    lake.put_dictionary(&plant.dictionary).await.unwrap();
    for sequence in 1..=16 {
        lake.commit(plant.draft(sequence, 20)).await.unwrap();
    }
    let old = site.snapshot();
    let before = keys(&mut OrderedRows::new(&old, &all()));
    lake.commit(plant.draft(17, 20)).await.unwrap();
    lake.settle().await.unwrap();
    site.clock.forward(Duration::from_hours(2));
    lake.settle().await.unwrap();
    assert!(old.files().iter().all(|file| !file.exists()));
    let mut rows = OrderedRows::new(&old, &all());
    assert!(keys(&mut rows) == before, "the rows of then");
    assert_eq!(rows.damaged(), []);
}

#[tokio::test]
async fn files_that_are_gone_and_were_not_merged_are_damage() {
    let folder = tempfile::tempdir().unwrap();
    let lake = overlapping(folder.path(), 4).await;
    let snapshot = Snapshot::open(folder.path()).unwrap();
    for file in snapshot.files() {
        std::fs::remove_file(file).unwrap();
    }
    let mut rows = OrderedRows::new(&snapshot, &all());
    assert_eq!(keys(&mut rows).len(), 0);
    assert_eq!(rows.damaged().len(), 4);
    drop(lake);
}
