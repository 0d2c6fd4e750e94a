//! What a commit makes durable, and what it refuses.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use model::{
    CommitNumber, Dictionary, FrameHash, Generation, PointIndex, Quality, Sample, Sequence,
    Timestamp, Value,
};

use super::{START, Site, plant, rows};
use crate::schema::column;
use crate::{
    CommitDraft, DictionaryUse, DraftFault, Lake, LakeError, Selection, Snapshot, Watermark,
    WatermarkMove,
};

#[tokio::test]
async fn rows_and_watermark_come_in_one_commit() {
    let site = Site::new();
    let (north, mut lake) = (plant("north", 1), site.open().await);
    let before = site.snapshot();
    assert_eq!((before.commit_number(), before.files().len()), (CommitNumber(0), 0));
    let committed = lake.commit(north.draft(1, 8)).await.unwrap();
    assert_eq!((committed.commit, committed.rows), (CommitNumber(1), 24));
    let key = (north.gateway.clone(), north.log_id);
    assert_eq!(committed.generations[&key], Generation(1));

    let after = site.snapshot();
    assert_eq!(after.table_version(), before.table_version() + 1);
    let expected = Watermark {
        durable_upto: Sequence(1),
        generation: Generation(1),
        lost_frames: 0,
        lost_samples: 0,
        last_hash: None,
    };
    assert_eq!(after.watermarks()[&key], expected);
    assert_eq!(lake.watermarks().await.unwrap()[&key], expected);
    let rows = rows(&after);
    assert_eq!(rows.len(), 24);
    // START + 1 001 s is no multiple of seven, START + 1 001 s … the first Bad sample of the float point is at 1 001.
    let energy = &rows[0];
    assert_eq!(energy.0, "steelworks/site-1/north/energy");
    assert_eq!((energy.1, energy.2), (START + 1_000_000_000, START + 1_000_020_000));
    let value = 10_010.0_f64.to_bits();
    assert_eq!((energy.4, energy.5, energy.6), (Some(1_001_000), Some(-2), Some(value)));
    assert_eq!((energy.7, energy.8, energy.9), (1, 1, 1));
    let bad: Vec<_> = rows.iter().filter(|row| row.3 == 0x800A_0000).collect();
    assert_eq!(bad.len(), 1, "INV-1: a Bad sample is a row");
    assert_eq!((bad[0].4, bad[0].5, bad[0].6), (None, None, None), "INV-1: and has no value");
    let power: Vec<_> = rows.iter().filter(|row| row.0.ends_with("/power")).collect();
    assert_eq!((power[0].4, power[0].5, power[0].6), (None, None, Some(0.0_f64.to_bits())));
}

#[tokio::test]
async fn the_last_frame_of_a_log_is_known_again() {
    let site = Site::new();
    let (north, mut lake) = (plant("north", 1), site.open().await);
    let key = (north.gateway.clone(), north.log_id);
    let upto = |sequence, last_hash| {
        let upto = WatermarkMove { last_hash, ..north.upto(sequence) };
        CommitDraft { frames: Vec::new(), watermarks: vec![upto] }
    };
    let most = FrameHash([255; 32]);
    let some = FrameHash(std::array::from_fn(|n| u8::try_from(n).unwrap()));
    for (sequence, last_hash, expected) in [
        (5, Some(most), Some(most)),
        (9, Some(some), Some(some)),
        // A replay takes nothing back.
        (5, Some(most), Some(some)),
        // Behind a loss there is no frame.
        (12, None, None),
    ] {
        lake.commit(upto(sequence, last_hash)).await.unwrap();
        assert_eq!(lake.watermarks().await.unwrap()[&key].last_hash, expected);
        assert_eq!(site.snapshot().watermarks()[&key].last_hash, expected);
    }
}

#[tokio::test]
async fn a_replay_changes_nothing() {
    let site = Site::new();
    let (north, mut lake) = (plant("north", 1), site.open().await);
    lake.commit(north.draft(1, 2)).await.unwrap();
    let before = site.snapshot();
    let again = lake.commit(north.draft(1, 2)).await.unwrap();
    assert_eq!((again.commit, again.rows, again.replayed_frames), (CommitNumber(1), 0, 1));
    let after = site.snapshot();
    assert_eq!(after.table_version(), before.table_version(), "INV-4: not even a log entry");
    assert_eq!(rows(&after), rows(&before));

    // A replay beside a new frame: only the new one is stored.
    let mut draft = north.draft(2, 2);
    draft.frames.insert(0, north.frame(1, 2));
    let mixed = lake.commit(draft).await.unwrap();
    assert_eq!((mixed.rows, mixed.replayed_frames), (6, 1));
    assert_eq!(rows(&site.snapshot()).len(), 12, "INV-4");
}

/// All kinds of values, each with its unit, its quality as a word and its flags.
#[tokio::test]
async fn every_kind_of_value_is_a_row_that_explains_itself() {
    use arrow_array::Array;
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Float64Type, Int32Type, Int64Type};
    use model::SampleFlags;

    let site = Site::new();
    let (north, mut lake) = (plant("north", 1), site.open().await);
    let long = "长".repeat(341);
    let text = model::Text::new(long.as_str()).unwrap();
    let sample = |index, value| {
        let at = Timestamp(START);
        Sample::new(PointIndex(index), at, at, Quality::GOOD, value)
    };
    let mut draft = north.draft(1, 1);
    draft.frames[0].batch.samples = vec![
        sample(0, Value::Float(-0.5)),
        sample(1, Value::Decimal(12_146)).flagged(SampleFlags::RECOVERED),
        sample(2, Value::Decimal(-3)).flagged(SampleFlags::CLOCK_UNSYNCHRONISED),
        sample(3, Value::Bool(true)),
        sample(4, Value::Text(text)),
    ];
    lake.commit(draft).await.unwrap();
    let batches: Vec<_> = site.snapshot().scan(&Selection::default()).collect();
    let of = |name: &str| batches[0].column_by_name(name).unwrap();
    let values = of(column::VALUE).as_primitive::<Float64Type>();
    // Points in the order of their names: energy, mode, power, program, running.
    assert_eq!(
        values.iter().collect::<Vec<_>>(),
        [Some(121.46), Some(-3.0), Some(-0.5), None, Some(1.0)]
    );
    let mantissa = of(column::MANTISSA).as_primitive::<Int64Type>();
    assert_eq!(mantissa.iter().collect::<Vec<_>>(), [Some(12_146), Some(-3), None, None, None]);
    let texts = of(column::TEXT).as_string::<i32>();
    assert_eq!(texts.iter().collect::<Vec<_>>(), [None, None, None, Some(long.as_str()), None]);
    let flags = of(column::FLAGS).as_primitive::<Int32Type>();
    assert_eq!(flags.values().to_vec(), [1, 2, 0, 0, 0]);
    for row in 0..5 {
        assert_eq!(of(column::QUALITY).as_string::<i32>().value(row), "Good");
        assert_eq!(of(column::UNIT).as_string::<i32>().value(row), model::Unit::ALL[0].symbol());
    }
    assert_eq!(of(column::STATUS).null_count(), 0);
}

#[tokio::test]
async fn an_old_draft_takes_no_watermark_back() {
    let site = Site::new();
    let (north, mut lake) = (plant("north", 1), site.open().await);
    lake.commit(north.draft(5, 1)).await.unwrap();
    lake.commit(north.draft(3, 1)).await.unwrap();
    let key = (north.gateway.clone(), north.log_id);
    assert_eq!(lake.watermarks().await.unwrap()[&key].durable_upto, Sequence(5));
    assert_eq!(rows(&site.snapshot()).len(), 3);
}

#[tokio::test]
async fn losses_alone_are_a_commit() {
    let site = Site::new();
    let (north, mut lake) = (plant("north", 1), site.open().await);
    let lost = WatermarkMove { lost_frames: 40, lost_samples: 4_000, ..north.upto(40) };
    let draft = CommitDraft { frames: Vec::new(), watermarks: vec![lost] };
    let committed = lake.commit(draft).await.unwrap();
    assert_eq!((committed.commit, committed.rows), (CommitNumber(1), 0));
    drop(lake);
    let mark = site.snapshot().watermarks()[&(north.gateway, north.log_id)];
    assert_eq!((mark.durable_upto, mark.lost_frames, mark.lost_samples), (Sequence(40), 40, 4_000));
}

#[tokio::test]
async fn generations_follow_the_first_commit_over_all_gateways() {
    let site = Site::new();
    let (north, south, card) = (plant("north", 1), plant("south", 2), plant("north", 3));
    let mut lake = site.open().await;
    lake.commit(south.draft(1, 1)).await.unwrap();
    let mut both = north.draft(1, 1);
    both.frames.push(south.frame(2, 1));
    both.watermarks.push(south.upto(2));
    lake.commit(both).await.unwrap();
    // The same gateway with a new card: a new log, a new generation.
    let third = lake.commit(card.draft(1, 1)).await.unwrap();
    assert_eq!(third.generations[&(card.gateway.clone(), card.log_id)], Generation(3));
    assert_eq!(lake.next_generation().await.unwrap(), Generation(4));
    let generation = |point: &str, seq: i64| {
        let rows = rows(&site.snapshot());
        let mut of: Vec<i64> =
            rows.iter().filter(|r| r.0.contains(point) && r.8 == seq).map(|r| r.7).collect();
        of.dedup();
        of
    };
    assert_eq!(generation("/south/energy", 1), [1]);
    assert_eq!(generation("/south/energy", 2), [1]);
    // INV-4: two values for one (point, time), from two logs, are two rows.
    assert_eq!(generation("/north/energy", 1), [2, 3]);
}

#[tokio::test]
async fn reopening_restores_everything() {
    let site = Site::new();
    let (north, south) = (plant("north", 1), plant("south", 2));
    let mut lake = site.open().await;
    lake.commit(north.draft(1, 3)).await.unwrap();
    lake.commit(south.draft(7, 3)).await.unwrap();
    let hash = lake.put_dictionary(&north.dictionary).await.unwrap();
    let marks = lake.watermarks().await.unwrap().clone();
    let rows_before = rows(&site.snapshot());
    drop(lake);
    let mut lake = site.open().await;
    assert_eq!(lake.watermarks().await.unwrap(), &marks);
    assert_eq!(lake.commit_number().await.unwrap(), CommitNumber(2));
    assert_eq!(lake.next_generation().await.unwrap(), Generation(3));
    assert_eq!(lake.dictionary(hash).unwrap().as_ref(), Some(north.dictionary.as_ref()));
    assert_eq!(rows(&site.snapshot()), rows_before);
    let next = lake.commit(north.draft(2, 1)).await.unwrap();
    assert_eq!(next.commit, CommitNumber(3));
    assert_eq!(site.snapshot().dictionaries().unwrap().sound.len(), 1);
}

/// Points of a gateway were renamed for a while: A, then B, then A again, over a replay, a restart and a checkpoint.
#[tokio::test]
async fn each_frame_is_known_to_follow_its_own_dictionary() {
    let site = Site::new();
    let (north, mut lake) = (plant("north", 1), site.open().await);
    let mut changed = north.clone();
    let mut points = north.dictionary.points.clone();
    points[1].modulus = Some("1000000".parse().unwrap());
    changed.dictionary = Arc::new(Dictionary::new(points).unwrap());
    let both = CommitDraft {
        frames: vec![north.frame(1, 1), north.frame(2, 1), changed.frame(3, 1)],
        watermarks: vec![north.upto(3)],
    };
    lake.commit(both.clone()).await.unwrap();
    lake.commit(changed.draft(4, 1)).await.unwrap();
    // A replay is not stored, so what it claims to follow is not noted either.
    lake.commit(north.draft(4, 1)).await.unwrap();
    drop(lake);
    let mut lake = site.open().await;
    lake.commit(north.draft(5, 1)).await.unwrap();
    lake.commit(plant("south", 2).draft(9, 1)).await.unwrap();
    for sequence in 6..110 {
        lake.commit(north.draft(sequence, 1)).await.unwrap();
    }
    assert!(lake.settle().await.unwrap().checkpoint);
    let a_use = |generation, from, of: &super::Plant, commit| DictionaryUse {
        generation: Generation(generation),
        from: Sequence(from),
        dictionary: of.dictionary.hash(),
        commit: CommitNumber(commit),
    };
    let expected = [
        a_use(1, 1, &north, 1),
        a_use(1, 3, &changed, 1),
        a_use(1, 5, &north, 3),
        a_use(2, 9, &plant("south", 2), 4),
    ];
    assert_eq!(site.snapshot().dictionary_uses(), expected);
    drop(lake);
    site.open().await.commit(both).await.unwrap();
    assert_eq!(site.snapshot().dictionary_uses(), expected, "INV-4");
}

#[tokio::test]
async fn a_second_writer_is_refused_with_the_process_that_writes() {
    let site = Site::new();
    let _lake = site.open().await;
    let refused = Lake::open(site.path(), site.options()).await.unwrap_err();
    let LakeError::Locked { pid, .. } = &refused else { panic!("{refused}") };
    assert_eq!(*pid, std::process::id().to_string());
    assert!(refused.to_string().contains(pid.as_str()), "{refused}");
}

/// A commit whose call was dropped still writes: whoever opens the table then waits for it, and is not refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_was_closed_is_opened_again_when_what_it_began_has_ended() {
    let site = Site::new();
    let (north, mut lake) = (plant("north", 1), site.open().await);
    lake.commit(north.draft(1, 8)).await.unwrap();
    site.disk.is_held.store(true, Ordering::Relaxed);
    {
        let commit = lake.commit(north.draft(2, 8));
        tokio::pin!(commit);
        let dropped = tokio::time::timeout(Duration::from_millis(100), &mut commit).await;
        assert!(dropped.is_err(), "the disk holds it");
    }
    let refused = Lake::open(site.path(), site.options()).await.unwrap_err();
    assert!(matches!(refused, LakeError::Locked { ends: false, .. }), "{refused}");
    drop(lake);
    let (path, options) = (site.path().to_owned(), site.options());
    let opening = tokio::spawn(async move { Lake::open(path, options).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!opening.is_finished(), "what was begun still runs");
    site.disk.is_held.store(false, Ordering::Relaxed);
    let mut lake = opening.await.unwrap().unwrap();
    let refused = Lake::open(site.path(), site.options()).await.unwrap_err();
    assert!(matches!(refused, LakeError::Locked { ends: false, .. }), "the new writer stays");
    lake.commit(north.draft(2, 8)).await.unwrap();
    assert_eq!(rows(&site.snapshot()).len(), 48);
}

/// Every file below a directory with its content.
fn content(dir: &std::path::Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.push((path.clone(), Vec::new()));
            all.extend(content(&path));
        } else {
            all.push((path.clone(), std::fs::read(&path).unwrap()));
        }
    }
    all.sort();
    all
}

/// Makes a table, puts `entry` in the place of its first log entry, and expects that no one opens it and nothing changes.
async fn refuses(entry: impl Fn(&str) -> String, expected: &str) {
    let site = Site::new();
    drop(site.open().await);
    std::fs::remove_dir_all(site.path().join("_nengliu")).unwrap();
    let path = site.path().join("_delta_log/00000000000000000000.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, entry(&text)).unwrap();
    let before = content(site.path());
    let refused = Lake::open(site.path(), site.options()).await.unwrap_err().to_string();
    assert!(refused.contains(expected), "{refused}");
    let unread = Snapshot::open(site.path()).unwrap_err().to_string();
    assert!(unread.contains(expected), "{unread}");
    assert_eq!(content(site.path()), before, "nothing may be touched");
}

/// The first entry of a table as `deltalake` made it for layout 1.
fn of_layout_1(layout: &str) -> String {
    format!(
        concat!(
            r#"{{"protocol":{{"minReaderVersion":1,"minWriterVersion":2}}}}"#,
            "\n",
            r#"{{"metaData":{{"id":"a","configuration":{{{}}}}}}}"#,
            "\n",
            r#"{{"commitInfo":{{"operation":"CREATE TABLE"}}}}"#,
        ),
        layout
    )
}

#[tokio::test]
async fn another_layout_is_refused_untouched() {
    let old = |_: &str| of_layout_1(r#""nengliu.layout":"1""#);
    let expected = "has layout 1, this program reads layout 2; start a new lake, the gateways send what \
                    they still hold";
    refuses(old, expected).await;
    refuses(|_| of_layout_1(""), "of another program").await;
}

/// Seals a text as a newer program would.
fn sealed(text: &str) -> String {
    let (before, _) = text.rsplit_once(r#"seal":""#).unwrap();
    let before = format!(r#"{before}seal":""#);
    let seal = crate::entry::Seal::of(before.as_bytes());
    format!("{before}{seal}\"}}}}\n")
}

#[tokio::test]
async fn a_newer_layout_or_protocol_is_refused_untouched() {
    let layout =
        |text: &str| sealed(&text.replace(r#""nengliu.layout":"2""#, r#""nengliu.layout":"3""#));
    refuses(layout, "layout 3").await;
    let reader =
        |text: &str| sealed(&text.replace(r#""minReaderVersion":1"#, r#""minReaderVersion":3"#));
    refuses(reader, "reader 3").await;
}

#[test]
fn a_missing_table_is_named_and_not_made() {
    let dir = tempfile::tempdir().unwrap();
    let error = Snapshot::open(dir.path()).unwrap_err();
    assert!(matches!(error, LakeError::NoTable { .. }));
    assert_eq!(error.to_string(), format!("no table in `{}`", dir.path().display()));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

/// Commits a draft that breaks a rule and expects that nothing was written.
async fn refuses_draft(draft: CommitDraft, expected: DraftFault) {
    let site = Site::new();
    let mut lake = site.open().await;
    let version = site.snapshot().table_version();
    let refused = lake.commit(draft).await.unwrap_err();
    let LakeError::Draft(error) = &refused else { panic!("{refused}") };
    assert_eq!(error.fault, expected);
    assert_eq!((site.snapshot().table_version(), site.data_files().len()), (version, 0));
    // The lake goes on.
    lake.commit(plant("north", 1).draft(1, 1)).await.unwrap();
}

#[tokio::test]
async fn a_draft_that_breaks_a_rule_is_refused() {
    let north = plant("north", 1);
    let mut above = north.draft(1, 1);
    above.frames.push(north.frame(2, 1));
    refuses_draft(above, DraftFault::AboveWatermark { durable_upto: Sequence(1) }).await;

    let mut twice = north.draft(1, 1);
    twice.frames.push(north.frame(1, 1));
    refuses_draft(twice, DraftFault::Order { previous: Sequence(1) }).await;

    let sample = |index, at, value| {
        Sample::new(PointIndex(index), Timestamp(at), Timestamp(START), Quality::GOOD, value)
    };
    let with = |sample| {
        let mut draft = north.draft(1, 1);
        draft.frames[0].batch.samples = vec![sample];
        assert!(draft.frames[0].check().is_err());
        draft
    };
    let unknown = with(sample(5, START, Value::Float(1.0)));
    refuses_draft(unknown, DraftFault::UnknownPoint { index: PointIndex(5), points: 5 }).await;
    let found = Timestamp(-1);
    refuses_draft(with(sample(0, -1, Value::Float(1.0))), DraftFault::Time { found }).await;
    let expected =
        DraftFault::ValueType { index: PointIndex(1), expected: "decimal", found: "float" };
    refuses_draft(with(sample(1, START, Value::Float(1.0))), expected).await;
}

#[tokio::test]
async fn a_commit_syncs_file_entry_and_directories() {
    let site = Site::new();
    let (north, mut lake) = (plant("north", 1), site.open().await);
    let counts = || {
        let disk = Arc::clone(&site.disk);
        let of = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
        (of(&disk.files_synced), of(&disk.directories_synced))
    };
    let before = counts();
    lake.commit(north.draft(1, 1)).await.unwrap();
    let after = counts();
    assert_eq!(after.0 - before.0, 2, "INV-5: the data file and the log entry");
    assert_eq!(after.1 - before.1, 2, "INV-5: the directories of both");
    // A writer that was killed may have left an entry whose name is not durable yet.
    drop(lake);
    let before = counts();
    site.open().await;
    // Those of the data files and of the entry, which is written again.
    assert_eq!(counts().1 - before.1, 2, "INV-5: before a watermark is announced again");
}
