//! Checks of the side that ingest writes: INV-4 and INV-5.

use std::sync::Arc;
use std::task::{Context, Waker};

use model::{PointIndex, Sequence, Value, ValueType};

use super::Engine;
use super::plant::{Plant, good, rows_of};
use crate::draft::{CommitDraft, WatermarkMove};
use crate::error::{DraftError, DraftFault, StoreError};
use crate::readings::{Request, RowChoice};
use crate::store::Store;

fn all() -> Request {
    Request { choice: RowChoice::All, ..Request::default() }
}

async fn count(engine: &mut dyn Engine) -> usize {
    rows_of(engine.readings().await.as_ref(), &all()).len()
}

async fn put(store: &mut dyn Store, plant: &Plant) {
    store.put_dictionary(&plant.dictionary).await.expect("a dictionary is kept");
}

async fn upto(store: &mut dyn Store, plant: &Plant) -> u64 {
    let marks = store.watermarks().await.expect("watermarks");
    marks.get(&(plant.gateway.clone(), plant.log_id)).map_or(0, |mark| mark.durable_upto.0)
}

/// Why the draft was refused.
async fn refused(store: &mut dyn Store, draft: CommitDraft) -> DraftFault {
    let before = store.commit_number().await.expect("a number");
    let error: StoreError = store.commit(Arc::new(draft)).await.expect_err("the draft is refused");
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error.as_ref());
    while let Some(error) = source {
        if let Some(draft) = error.downcast_ref::<DraftError>() {
            assert_eq!(store.commit_number().await.expect("a number"), before);
            return draft.fault.clone();
        }
        source = error.source();
    }
    panic!("no `DraftError` in `{error}`")
}

pub(super) async fn an_empty_store_is_at_commit_0(engine: &mut dyn Engine) {
    let mut store = engine.open().await;
    assert_eq!(store.commit_number().await.expect("a number").0, 0);
    assert!(store.watermarks().await.expect("watermarks").is_empty());
    assert!(store.dictionaries().await.expect("dictionaries").is_empty());
    let readings = engine.readings().await;
    assert_eq!((readings.commit_number().0, readings.watermarks().len()), (0, 0));
    assert_eq!(count(engine).await, 0);
}

pub(super) async fn what_was_committed_is_read_and_the_watermark_moved(engine: &mut dyn Engine) {
    let (plant, mut store) = (Plant::of_one(), engine.open().await);
    put(store.as_mut(), &plant).await;
    let frames = vec![plant.frame(1, &[(0, 1, 10), (0, 2, 20)]), plant.frame(3, &[(0, 3, 30)])];
    let committed = store.commit(plant.draft(0, frames)).await.expect("a commit");
    assert_eq!((committed.commit.0, committed.rows, committed.replayed_frames), (1, 3, 0));
    assert_eq!(upto(store.as_mut(), &plant).await, 3);
    let readings = engine.readings().await;
    assert_eq!(readings.commit_number().0, 1);
    let mark = readings.watermarks()[&(plant.gateway.clone(), plant.log_id)];
    assert_eq!((mark.durable_upto, mark.generation.0), (Sequence(3), 1));
    let rows = rows_of(readings.as_ref(), &all());
    let found: Vec<_> = rows.iter().map(|row| (row.at, row.decimal, row.place)).collect();
    assert_eq!(
        found,
        [
            (1, Some((10, -2)), (1, 1, 1)),
            (2, Some((20, -2)), (1, 1, 1)),
            (3, Some((30, -2)), (1, 3, 1))
        ]
    );
}

pub(super) async fn a_replay_changes_nothing(engine: &mut dyn Engine) {
    let (plant, mut store) = (Plant::of_one(), engine.open().await);
    put(store.as_mut(), &plant).await;
    let draft = plant.draft(0, vec![plant.frame(1, &[(0, 1, 10)]), plant.frame(2, &[(0, 2, 20)])]);
    store.commit(Arc::clone(&draft)).await.expect("a commit");
    let again = store.commit(draft).await.expect("a replay is no error");
    assert_eq!((again.commit.0, again.rows, again.replayed_frames), (1, 0, 2));
    assert_eq!(count(engine).await, 2);
}

pub(super) async fn a_draft_that_overlaps_adds_its_new_frames_alone(engine: &mut dyn Engine) {
    let (plant, mut store) = (Plant::of_one(), engine.open().await);
    put(store.as_mut(), &plant).await;
    let frame =
        |sequence: u64| plant.frame(sequence, &[(0, i64::try_from(sequence).unwrap_or(0), 1)]);
    store.commit(plant.draft(0, vec![frame(1), frame(2)])).await.expect("a commit");
    let overlapping = plant.draft(1, vec![frame(2), frame(3)]);
    let committed = store.commit(overlapping).await.expect("a commit");
    assert_eq!((committed.commit.0, committed.rows, committed.replayed_frames), (2, 1, 1));
    assert_eq!(count(engine).await, 3);
}

pub(super) async fn frames_out_of_order_are_refused_whole(engine: &mut dyn Engine) {
    let (plant, mut store) = (Plant::of_one(), engine.open().await);
    put(store.as_mut(), &plant).await;
    let frames = vec![plant.frame(2, &[(0, 1, 1)]), plant.frame(1, &[(0, 2, 2)])];
    let draft = CommitDraft { frames, watermarks: vec![plant.step(0, 2)] };
    let fault = refused(store.as_mut(), draft).await;
    assert_eq!(fault, DraftFault::Order { previous: Sequence(2) });
    assert_eq!(count(engine).await, 0);
}

pub(super) async fn a_frame_above_its_watermark_is_refused(engine: &mut dyn Engine) {
    let (plant, mut store) = (Plant::of_one(), engine.open().await);
    put(store.as_mut(), &plant).await;
    let frames = vec![plant.frame(1, &[(0, 1, 1)]), plant.frame(2, &[(0, 2, 2)])];
    let draft = CommitDraft { frames, watermarks: vec![plant.step(0, 1)] };
    let fault = refused(store.as_mut(), draft).await;
    assert_eq!(fault, DraftFault::AboveWatermark { durable_upto: Sequence(1) });
    assert_eq!(count(engine).await, 0);
}

pub(super) async fn a_sample_that_its_dictionary_does_not_allow_is_refused(
    engine: &mut dyn Engine,
) {
    let (plant, mut store) = (Plant::of_one(), engine.open().await);
    put(store.as_mut(), &plant).await;
    let draft = |sample| CommitDraft {
        frames: vec![plant.frame_of(1, vec![good(0, 1, Value::Decimal(1)), sample])],
        watermarks: vec![plant.step(0, 1)],
    };
    let fault = refused(store.as_mut(), draft(good(1, 1, Value::Decimal(1)))).await;
    assert_eq!(fault, DraftFault::UnknownPoint { index: PointIndex(1), points: 1 });
    for value in [Value::Float(1.5), Value::Bool(true)] {
        let fault = refused(store.as_mut(), draft(good(0, 1, value))).await;
        assert!(matches!(fault, DraftFault::ValueType { .. }), "{fault}");
    }
    let mut early = good(0, 1, Value::Decimal(1));
    early.source_time = model::Timestamp(-1);
    let fault = refused(store.as_mut(), draft(early)).await;
    assert!(matches!(fault, DraftFault::Time { .. }), "{fault}");
    assert_eq!(count(engine).await, 0);
}

pub(super) async fn a_watermark_never_goes_back(engine: &mut dyn Engine) {
    let (plant, mut store) = (Plant::of_one(), engine.open().await);
    put(store.as_mut(), &plant).await;
    store.commit(plant.draft(0, vec![plant.frame(9, &[(0, 1, 1)])])).await.expect("a commit");
    let back = CommitDraft { frames: Vec::new(), watermarks: vec![plant.step(0, 4)] };
    store.commit(Arc::new(back)).await.expect("a replay is no error");
    assert_eq!(upto(store.as_mut(), &plant).await, 9);
    assert_eq!(store.commit_number().await.expect("a number").0, 1);
}

/// A store that went back to an older copy of itself under a running program.
pub(super) async fn a_draft_that_does_not_join_is_refused(engine: &mut dyn Engine) {
    let (plant, mut store) = (Plant::of_one(), engine.open().await);
    put(store.as_mut(), &plant).await;
    store.commit(plant.draft(0, vec![plant.frame(1, &[(0, 1, 1)])])).await.expect("a commit");
    let draft = CommitDraft {
        frames: vec![plant.frame(5, &[(0, 5, 5)])],
        watermarks: vec![plant.step(4, 5)],
    };
    let fault = refused(store.as_mut(), draft).await;
    let expected = DraftFault::DoesNotJoin { stood: Sequence(4), durable_upto: Sequence(1) };
    assert_eq!(fault, expected);
    assert_eq!(upto(store.as_mut(), &plant).await, 1);
    assert_eq!(count(engine).await, 1);
}

pub(super) async fn losses_are_kept_as_totals(engine: &mut dyn Engine) {
    let (plant, mut store) = (Plant::of_one(), engine.open().await);
    let lost = |upto, frames, samples| {
        let step = plant.step(0, upto);
        let step = WatermarkMove { lost_frames: frames, lost_samples: samples, ..step };
        Arc::new(CommitDraft { frames: Vec::new(), watermarks: vec![step] })
    };
    store.commit(lost(5, 5, 500)).await.expect("a commit");
    store.commit(lost(8, 7, 700)).await.expect("a commit");
    // The older one again takes nothing back.
    store.commit(lost(5, 5, 500)).await.expect("a replay");
    let marks = engine.readings().await.watermarks();
    let mark = marks[&(plant.gateway.clone(), plant.log_id)];
    assert_eq!((mark.durable_upto.0, mark.lost_frames, mark.lost_samples), (8, 7, 700));
}

pub(super) async fn two_logs_have_two_generations(engine: &mut dyn Engine) {
    let (first, mut store) = (Plant::of_one(), engine.open().await);
    let second = Plant { log_id: model::LogId([2; 16]), ..first.clone() };
    put(store.as_mut(), &first).await;
    store.commit(first.draft(0, vec![first.frame(1, &[(0, 1, 1)])])).await.expect("a commit");
    let committed = store.commit(second.draft(0, vec![second.frame(1, &[(0, 1, 2)])])).await;
    let committed = committed.expect("a commit");
    assert_eq!(committed.generations[&(second.gateway.clone(), second.log_id)].0, 2);
    let rows = rows_of(engine.readings().await.as_ref(), &all());
    let places: Vec<_> = rows.iter().map(|row| row.place).collect();
    assert_eq!(places, [(1, 1, 1), (2, 1, 2)]);
}

pub(super) async fn a_store_opened_again_goes_on(engine: &mut dyn Engine) {
    let plant = Plant::of_one();
    for sequence in 1..=4_u64 {
        let mut store = engine.open().await;
        put(store.as_mut(), &plant).await;
        assert_eq!(upto(store.as_mut(), &plant).await, sequence - 1);
        let at = i64::try_from(sequence).unwrap_or_default();
        let draft = plant.draft(sequence - 1, vec![plant.frame(sequence, &[(0, at, at)])]);
        store.commit(Arc::clone(&draft)).await.expect("a commit");
        store.maintain().await.expect("maintenance");
        // It ended before anybody heard of it: whoever sends again changes nothing.
        drop(store);
        let mut store = engine.open().await;
        let again = store.commit(draft).await.expect("a replay");
        assert_eq!((again.rows, again.commit.0), (0, sequence));
    }
    assert_eq!(count(engine).await, 4);
}

pub(super) async fn a_commit_that_was_dropped_is_whole_or_not_there(engine: &mut dyn Engine) {
    let plant = Plant::of_one();
    for polls in 0..6_u64 {
        let mut store = engine.open().await;
        put(store.as_mut(), &plant).await;
        let stood = upto(store.as_mut(), &plant).await;
        assert_eq!(stood, polls * 2);
        let frame = |sequence: u64| {
            let at = i64::try_from(sequence).unwrap_or_default();
            plant.frame(sequence, &[(0, at, at)])
        };
        let draft = plant.draft(stood, vec![frame(stood + 1), frame(stood + 2)]);
        {
            let mut commit = store.commit(Arc::clone(&draft));
            let mut context = Context::from_waker(Waker::noop());
            for _ in 0..=polls {
                if commit.as_mut().poll(&mut context).is_ready() {
                    break;
                }
                std::thread::yield_now();
            }
        }
        let there = upto(store.as_mut(), &plant).await;
        assert!(there == stood || there == stood + 2, "{there} of {stood} and two more");
        store.commit(draft).await.expect("the same draft again");
        assert_eq!(upto(store.as_mut(), &plant).await, stood + 2);
    }
    assert_eq!(count(engine).await, 12);
}

pub(super) async fn dictionaries_are_kept_and_their_uses_noted(engine: &mut dyn Engine) {
    let plant = Plant::of_one();
    let changed = Plant::new("gw-1", 1, &[("m/e", ValueType::Float)]);
    let mut store = engine.open().await;
    for one in [&plant, &changed] {
        put(store.as_mut(), one).await;
        put(store.as_mut(), one).await;
    }
    store.commit(plant.draft(0, vec![plant.frame(1, &[(0, 1, 1)])])).await.expect("a commit");
    let float = changed.frame_of(4, vec![good(0, 4, Value::Float(0.5))]);
    store.commit(changed.draft(1, vec![float])).await.expect("a commit");
    let kept = store.dictionaries().await.expect("dictionaries");
    assert_eq!(kept.len(), 2);
    let readings = engine.readings().await;
    assert_eq!(readings.dictionaries().expect("dictionaries"), kept);
    let uses = readings.dictionary_uses();
    let found: Vec<_> = uses.iter().map(|one| (one.from.0, one.dictionary, one.commit.0)).collect();
    assert_eq!(found, [(1, plant.dictionary.hash(), 1), (4, changed.dictionary.hash(), 2)]);
}

/// A gateway of many devices has several dictionaries, and each of its frames names one of them.
pub(super) async fn dictionaries_side_by_side_are_noted_once(engine: &mut dyn Engine) {
    let a = Plant::of_one();
    let b = Plant::new("gw-1", 1, &[("n/e", ValueType::Float)]);
    let changed = Plant::new("gw-1", 1, &[("m/e", ValueType::Float)]);
    let mut store = engine.open().await;
    for one in [&a, &b, &changed] {
        put(store.as_mut(), one).await;
    }
    let by_turns = [&a, &b, &a, &b, &changed, &b, &changed, &b, &a, &b];
    for (sequence, plant) in (1..).zip(by_turns) {
        let at = i64::try_from(sequence).unwrap_or_default();
        let frame = if plant.dictionary.hash() == a.dictionary.hash() {
            plant.frame(sequence, &[(0, at, at)])
        } else {
            plant.frame_of(sequence, vec![good(0, at, Value::Float(0.5))])
        };
        store.commit(plant.draft(sequence - 1, vec![frame])).await.expect("a commit");
    }
    let uses = engine.readings().await.dictionary_uses();
    let found: Vec<_> = uses.iter().map(|one| (one.from.0, one.dictionary)).collect();
    let [a, b, changed] = [a, b, changed].map(|one| one.dictionary.hash());
    assert_eq!(found, [(1, a), (2, b), (5, changed), (9, a)]);
}
