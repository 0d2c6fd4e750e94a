//! What others find in the directory of a table: links, modes, replaced files, and how little of it a reader touches.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use model::{PointIndex, Quality, Sample, Timestamp, Value};

use super::{START, Site, plant, rows, rows_of};
use crate::maintain::FAN_IN;
use crate::{Keep, LiveFile, Selection};

/// `*.parquet` in a directory, as a program that knows no Delta table reads it.
fn glob(dir: &Path) -> usize {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let files = names.filter(|path| path.extension().is_some_and(|ending| ending == "parquet"));
    files.map(|path| rows_of(&path).len()).sum()
}

/// First use, O7: `read_parquet('lake/*.parquet')` counted 211 722 rows for 105 978.
#[tokio::test]
async fn a_glob_of_the_directory_is_each_row_once() {
    let (site, north) = (Site::new(), plant("north", 1));
    let mut lake = site.open().await;
    for sequence in 1..=20 {
        lake.commit(north.draft(sequence, 2)).await.unwrap();
        assert_eq!(glob(site.path()), usize::try_from(sequence).unwrap() * 6);
    }
    lake.settle().await.unwrap();
    assert_eq!(glob(site.path()), 120);
    assert_eq!(glob(&site.path().join("_data")), 120 + FAN_IN * 6, "for readers of older versions");
    // Links that are missing or too many, as after a crash or from a backup without them.
    let live = site.snapshot().files();
    let link = |path: &Path| site.path().join(path.file_name().unwrap());
    fs::remove_file(link(&live[0])).unwrap();
    std::os::unix::fs::symlink("nowhere", site.path().join("0-000000000001-1.parquet")).unwrap();
    drop(lake);
    site.open().await;
    assert_eq!(glob(site.path()), 120);
}

/// An outsider copied a lake with `cp -rL`: the files in the place of links stayed when theirs were merged, and
/// `*.parquet` counted 5 020 rows twice.
#[tokio::test]
async fn whatever_stands_in_the_place_of_a_link_gives_way_and_no_bytes_are_lost() {
    let (site, north) = (Site::new(), plant("north", 1));
    let mut lake = site.open().await;
    for sequence in 1..=10 {
        lake.commit(north.draft(sequence, 2)).await.unwrap();
    }
    let files = site.snapshot().files();
    let link = |at: usize| site.path().join(files[at].file_name().unwrap());
    let put_file = |at: usize, bytes: &[u8]| {
        fs::remove_file(link(at)).unwrap();
        fs::write(link(at), bytes).unwrap();
    };
    let sound = fs::read(&files[3]).unwrap();
    for (at, file) in files.iter().enumerate().take(3) {
        put_file(at, &fs::read(file).unwrap());
    }
    fs::remove_file(link(4)).unwrap();
    symlink(Path::new("_data").join(files[5].file_name().unwrap()), link(4)).unwrap();
    fs::remove_file(link(6)).unwrap();
    fs::create_dir(link(6)).unwrap();
    for sequence in 11..=FAN_IN + 1 {
        lake.commit(north.draft(u64::try_from(sequence).unwrap(), 2)).await.unwrap();
    }
    lake.settle().await.unwrap();
    assert!(site.snapshot().files().iter().all(|file| !files.contains(file)), "all are merged");
    assert_eq!(glob(site.path()), (FAN_IN + 1) * 6);
    let aside = fs::read_dir(site.path().join("_nengliu/set-aside")).unwrap().count();
    assert_eq!(aside, 1, "the folder is set aside, the others are copies");
    // The same at the start, on what was copied.
    let (copy, live) = (Site::new(), site.snapshot().files());
    drop(lake);
    copy_following_links(site.path(), copy.path());
    let retargeted = copy.path().join(live[0].file_name().unwrap());
    fs::remove_file(&retargeted).unwrap();
    symlink("nowhere", &retargeted).unwrap();
    let stale = copy.path().join(files[0].file_name().unwrap());
    fs::copy(&files[0], &stale).unwrap();
    let differing = copy.path().join(files[1].file_name().unwrap());
    fs::write(&differing, &sound[..50]).unwrap();
    let (foreign_here, bytes) = (copy.path().join("report.parquet"), b"of somebody else");
    fs::write(&foreign_here, bytes).unwrap();
    drop(copy.open().await);
    assert_eq!(fs::read(&foreign_here).unwrap(), bytes, "what is not ours is left alone");
    fs::remove_file(foreign_here).unwrap();
    assert_eq!(glob(copy.path()), (FAN_IN + 1) * 6);
    assert!(!stale.exists() && !differing.exists());
    let kept = copy
        .path()
        .join("_nengliu/set-aside")
        .join(format!("{}.1", files[1].file_name().unwrap().to_str().unwrap()));
    assert_eq!(fs::read(kept).unwrap(), &sound[..50], "no bytes are lost");
    for file in live {
        let link = copy.path().join(file.file_name().unwrap());
        assert!(fs::symlink_metadata(link).unwrap().is_symlink());
    }
}

/// As `cp -rL` does.
fn copy_following_links(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        match fs::metadata(&path) {
            Ok(found) if found.is_dir() => copy_following_links(&path, &target),
            Ok(_) => drop(fs::copy(path, target).unwrap()),
            Err(_) => {}
        }
    }
}

#[tokio::test]
async fn others_see_nothing_of_a_table() {
    let (site, north) = (Site::new(), plant("north", 1));
    let mut lake = site.open().await;
    lake.put_dictionary(&north.dictionary).await.unwrap();
    for sequence in 1..=FAN_IN {
        lake.commit(north.draft(u64::try_from(sequence).unwrap(), 2)).await.unwrap();
    }
    lake.settle().await.unwrap();
    let mut seen = 0;
    let mut folders = vec![site.path().join("_delta_log"), site.path().join("_nengliu")];
    folders.push(site.path().join("_data"));
    while let Some(folder) = folders.pop() {
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(&folder), 0o750, "{}", folder.display());
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            assert_eq!(mode(&path) & !0o640, 0, "{}", path.display());
            seen += 1;
        }
    }
    assert!(seen > 30, "{seen}");
}

/// Trial int-07: a session that was opened in the morning lost its files after 21 minutes.
#[tokio::test]
async fn a_session_of_the_morning_reads_its_files_all_day() {
    let mut site = Site::new();
    site.keep = Keep::default();
    let north = plant("north", 1);
    let mut lake = site.open().await;
    for sequence in 1..=u64::try_from(FAN_IN).unwrap() {
        lake.commit(north.draft(sequence, 2)).await.unwrap();
    }
    let morning = site.snapshot();
    let expected = rows(&morning);
    lake.settle().await.unwrap();
    site.clock.forward(Duration::from_hours(24));
    lake.settle().await.unwrap();
    assert_eq!(rows(&morning), expected);
    site.clock.forward(Duration::from_secs(1));
    assert_eq!(lake.settle().await.unwrap().expired_data_files, FAN_IN);
}

#[tokio::test]
async fn replaced_files_beyond_the_bytes_that_are_kept_go_oldest_first() {
    let mut site = Site::new();
    let north = plant("north", 1);
    let commits = |from: usize| from * FAN_IN + 1..=(from + 1) * FAN_IN;
    let mut lake = site.open().await;
    for sequence in commits(0) {
        lake.commit(north.draft(u64::try_from(sequence).unwrap(), 2)).await.unwrap();
    }
    let first: BTreeSet<String> = site.data_files().into_iter().collect();
    let bytes: u64 =
        site.snapshot().live_files(&Selection::default()).iter().map(LiveFile::bytes).sum();
    drop(lake);
    // Room for the sources of a merge and a half.
    site.keep.bytes = bytes + bytes / 2;
    let mut lake = site.open().await;
    assert_eq!(lake.settle().await.unwrap().expired_data_files, 0);
    site.clock.forward(Duration::from_secs(1));
    for sequence in commits(1) {
        lake.commit(north.draft(u64::try_from(sequence).unwrap(), 2)).await.unwrap();
    }
    lake.settle().await.unwrap();
    let expired = lake.settle().await.unwrap().expired_data_files;
    let left: BTreeSet<String> = site.data_files().into_iter().collect();
    let gone = first.difference(&left).count();
    assert!((FAN_IN / 3..FAN_IN).contains(&gone), "{gone} of {FAN_IN} are gone, {expired} at last");
    assert_eq!(left.len(), 2 * FAN_IN - gone + 2, "of the newer ones none");
    assert_eq!(rows(&site.snapshot()).len(), 2 * FAN_IN * 6);
}

#[tokio::test]
async fn a_retention_that_is_changed_is_what_the_table_says() {
    let mut site = Site::new();
    drop(site.open().await);
    site.keep.age = Duration::from_hours(7);
    let version = site.snapshot().table_version();
    drop(site.open().await);
    drop(site.open().await);
    let chain = crate::chain::read(site.path()).unwrap();
    assert_eq!(chain.state.version, version + 1);
    let stated = &chain.state.metadata.configuration["delta.deletedFileRetentionDuration"];
    assert_eq!(stated, "interval 25200 seconds");
}

/// A week of minutes of 40 points, committed by the hour, as a plant does, and merged.
#[tokio::test]
async fn a_day_of_one_point_reads_a_day_and_not_the_table() {
    const POINTS: u32 = 40;
    const DAY: i64 = 86_400_000_000;
    let (site, mut north) = (Site::new(), plant("north", 1));
    let template = north.dictionary.points[1].clone();
    let points = (0..POINTS).map(|index| {
        let id = model::PointId::new(format!("steelworks/site-1/m{index:03}/energy")).unwrap();
        model::PointInfo { id, ..template.clone() }
    });
    north.dictionary = model::Dictionary::new(points.collect()).unwrap().into();
    let mut lake = site.open().await;
    for hour in 0..16 * 11_i64 {
        let mut draft = north.draft(u64::try_from(hour + 1).unwrap(), 0);
        draft.frames[0].batch.samples = (0..POINTS)
            .flat_map(|point| (0..60).map(move |minute| (point, hour * 60 + minute)))
            .map(|(point, minute)| {
                let at = Timestamp(START + minute * 60_000_000);
                let value = Value::Decimal(minute * 7 + i64::from(point));
                Sample::new(PointIndex(point), at, at, Quality::GOOD, value)
            })
            .collect();
        lake.commit(draft).await.unwrap();
        lake.settle().await.unwrap();
    }
    let snapshot = site.snapshot();
    let all: u64 = snapshot.live_files(&Selection::default()).iter().map(LiveFile::bytes).sum();
    let selection = Selection {
        points: vec![Selection::exactly("steelworks/site-1/m020/energy")],
        from: Some(Timestamp(START + 2 * DAY)),
        to: Some(Timestamp(START + 3 * DAY)),
        columns: Some(vec!["point", "ts", "mantissa", "exponent", "status"]),
        ..Selection::default()
    };
    let mut scan = snapshot.scan(&selection);
    let found: usize = scan
        .by_ref()
        .map(|batch| {
            let point = batch.column_by_name("point").unwrap();
            let point = arrow_array::cast::AsArray::as_string::<i32>(point);
            point.iter().filter(|name| *name == Some("steelworks/site-1/m020/energy")).count()
        })
        .sum();
    assert!(found >= 24 * 60, "{found} rows of the day");
    let share = scan.bytes_read() * 100 / all;
    // By the day alone it would be 14 %: files of other points are not read either.
    assert!(share <= 1, "{share} % of {all} bytes were read for a day of eight");
}
