//! The `points` table beside the readings: what it costs, that it is right whatever happened to its file or to the lake,
//! and that it is never trusted without its proof.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use contract::points::FirstAndLast;
use contract::{Cancel, Readings};
use lake_files::points::KnownTimes;
use model::Timestamp;

use super::{Plant, START, Site, plant, rows};
use crate::lock::place;
use crate::points::{PointsTable, Renewed};
use crate::{Lake, Snapshot};

/// A table of so many commits.
async fn table(commits: u64) -> (Site, Lake, Plant) {
    let (site, north) = (Site::new(), plant("north", 1));
    let mut lake = site.open().await;
    lake.put_dictionary(&north.dictionary).await.unwrap();
    commit(&mut lake, &north, 1..=commits).await;
    (site, lake, north)
}

async fn commit(lake: &mut Lake, plant: &Plant, sequences: std::ops::RangeInclusive<u64>) {
    for sequence in sequences {
        lake.commit(plant.draft(sequence, 2)).await.unwrap();
    }
}

fn read_times(dir: &Path) -> Option<BTreeMap<String, FirstAndLast>> {
    KnownTimes::read(dir).map(|known| known.times)
}

fn renew(table: &mut PointsTable, snapshot: &Snapshot) -> Renewed {
    table.renew(snapshot, &Cancel::default()).unwrap().unwrap()
}

/// By Parquet alone, from every live file.
fn expected(snapshot: &Snapshot) -> BTreeMap<String, FirstAndLast> {
    let mut times: BTreeMap<String, FirstAndLast> = BTreeMap::new();
    for row in rows(snapshot) {
        // Bad, in the two highest bits of the status code.
        if row.3 >> 30 == 2 {
            continue;
        }
        let at = Timestamp(row.1);
        let known = times.entry(row.0).or_insert((at, at));
        *known = (known.0.min(at), known.1.max(at));
    }
    times
}

/// What the file says is right, and the same as what a reader finds without it.
fn check(site: &Site) {
    let snapshot = site.snapshot();
    let expected = expected(&snapshot);
    assert_eq!(read_times(site.path()).as_ref(), Some(&expected));
    assert_eq!(snapshot.point_times(&Cancel::default()).unwrap().times, expected);
}

#[tokio::test]
async fn a_renewal_reads_and_writes_what_changed_and_no_more() {
    let (site, mut lake, north) = table(10).await;
    let mut points = PointsTable::default();
    let first = renew(&mut points, &site.snapshot());
    assert_eq!((first.points, first.files, first.is_written, first.damaged), (5, 10, true, 0));
    check(&site);
    let again = renew(&mut points, &site.snapshot());
    assert_eq!((again.files, again.is_written), (0, false), "nothing changed");
    commit(&mut lake, &north, 11..=12).await;
    let more = renew(&mut points, &site.snapshot());
    assert_eq!((more.files, more.is_written), (2, true), "the two new files are read");
    check(&site);
    // Another process, or this one after a restart, goes on from the file.
    commit(&mut lake, &north, 13..=13).await;
    let mut after_start = PointsTable::default();
    assert_eq!(renew(&mut after_start, &site.snapshot()).files, 1);
    check(&site);
    // Merged meanwhile: 16 files are one.
    commit(&mut lake, &north, 14..=18).await;
    lake.settle().await.unwrap();
    let merged = renew(&mut points, &site.snapshot());
    assert!(merged.files <= 3, "{merged:?}");
    check(&site);
}

/// A history that is read back brings times before the first one, and a later log may bring anything.
#[tokio::test]
async fn late_readings_move_the_first_time_back() {
    let (site, mut lake, _) = table(0).await;
    let mut points = PointsTable::default();
    assert_eq!(renew(&mut points, &site.snapshot()).points, 5, "described, without a reading");
    let south = plant("south", 2);
    commit(&mut lake, &south, 50..=51).await;
    renew(&mut points, &site.snapshot());
    let other = Plant { log_id: model::LogId([3; 16]), ..south };
    commit(&mut lake, &other, 3..=3).await;
    renew(&mut points, &site.snapshot());
    check(&site);
    let first = read_times(site.path()).unwrap()["steelworks/site-1/south/energy"].0;
    assert_eq!(first, Timestamp(START + 3_000 * 1_000_000));
}

#[tokio::test]
async fn a_file_that_is_missing_changed_or_of_another_lake_is_made_again() {
    let (site, _lake, _) = table(6).await;
    let (other, _other_lake, _) = table(6).await;
    renew(&mut PointsTable::default(), &other.snapshot());
    let (path, foreign) = (place::points(site.path()), place::points(other.path()));
    let harms: [&dyn Fn(&Path); 4] = [
        &|path| fs::remove_file(path).unwrap(),
        &|path| fs::write(path, "point,first_ts\n").unwrap(),
        &|path| assert!(fs::copy(&foreign, path).is_ok()),
        &|path| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        },
    ];
    for harm in harms {
        renew(&mut PointsTable::default(), &site.snapshot());
        harm(&path);
        let snapshot = site.snapshot();
        let found = snapshot.point_times(&Cancel::default()).unwrap();
        assert_eq!((found.times, found.damaged), (expected(&snapshot), Vec::new()));
        if path.is_dir() {
            fs::remove_dir(&path).unwrap();
        }
        assert_eq!(renew(&mut PointsTable::default(), &snapshot).files, 6);
        check(&site);
    }
}

#[tokio::test]
async fn a_file_of_a_history_that_was_taken_back_is_not_trusted() {
    let (site, mut lake, north) = table(4).await;
    let copy = Site::new();
    copy_lake(site.path(), copy.path());
    commit(&mut lake, &north, 5..=9).await;
    renew(&mut PointsTable::default(), &site.snapshot());
    // The copy goes on in another way, with the points of the original beside it.
    fs::copy(place::points(site.path()), place::points(copy.path())).unwrap();
    assert_eq!(renew(&mut PointsTable::default(), &copy.snapshot()).files, 4, "it is from later");
    fs::copy(place::points(site.path()), place::points(copy.path())).unwrap();
    let mut gone_on = copy.open().await;
    let south = plant("south", 2);
    commit(&mut gone_on, &south, 1..=7).await;
    let renewed = renew(&mut PointsTable::default(), &copy.snapshot());
    assert_eq!(renewed.files, 11, "the entry it was made at is another one");
    check(&copy);
}

fn copy_lake(from: &Path, to: &Path) {
    let mut copy = std::process::Command::new("cp");
    assert!(copy.arg("-rP").arg(from.join(".")).arg(to).status().unwrap().success());
}

#[tokio::test]
async fn a_damaged_data_file_is_named_and_its_readings_count_once_it_was_put_back() {
    let (site, mut lake, north) = table(5).await;
    let mut files = site.snapshot().files();
    files.sort();
    let (first, aside) = (files[0].clone(), site.path().join("_nengliu/aside"));
    fs::rename(&first, &aside).unwrap();
    let mut points = PointsTable::default();
    let renewed = renew(&mut points, &site.snapshot());
    assert_eq!((renewed.damaged, renewed.is_written), (1, true));
    let found = site.snapshot().point_times(&Cancel::default()).unwrap();
    assert!(found.damaged[0].to_string().contains("cannot be read"), "{:?}", found.damaged);
    let energy = "steelworks/site-1/north/energy";
    assert_eq!(found.times[energy].0, Timestamp(START + 2_000 * 1_000_000));
    lake.settle().await.unwrap();
    commit(&mut lake, &north, 6..=6).await;
    let held = renew(&mut points, &site.snapshot());
    assert_eq!((held.files, held.damaged), (1, 1), "what is in quarantine is not read each time");
    fs::rename(&aside, &first).unwrap();
    let put_back = renew(&mut points, &site.snapshot());
    assert_eq!(put_back.damaged, 1, "its writer has not found it sound yet");
    site.clock.forward(crate::quarantine::READ_AGAIN_AFTER);
    lake.settle().await.unwrap();
    assert_eq!(renew(&mut points, &site.snapshot()).damaged, 0);
    check(&site);
}

#[tokio::test]
async fn a_renewal_that_is_cancelled_writes_nothing_and_the_next_one_is_whole() {
    let (site, _lake, _) = table(3).await;
    let (mut points, cancel) = (PointsTable::default(), Cancel::default());
    cancel.cancel();
    assert_eq!(points.renew(&site.snapshot(), &cancel).unwrap(), None);
    assert!(!place::points(site.path()).exists());
    renew(&mut points, &site.snapshot());
    check(&site);
}
