//! Checks of what a store says of rows that it cannot read.

use std::collections::BTreeSet;

use model::Sequence;

use super::Engine;
use super::plant::{Plant, rows_in, rows_of};
use crate::damage::StoreDamage;
use crate::readings::{Request, RowChoice};
use crate::store::Store;

const FRAMES: u64 = 4;
/// Samples of a frame.
const SAMPLES: u64 = 2;

fn all() -> Request {
    Request { choice: RowChoice::All, ..Request::default() }
}

/// Commits each frame by itself, so that an engine with parts has several.
async fn fill(store: &mut dyn Store, plant: &Plant) {
    store.put_dictionary(&plant.dictionary).await.expect("a dictionary is kept");
    for sequence in 1..=FRAMES {
        let at = i64::try_from(sequence).unwrap_or(0) * 10;
        let frame = plant.frame(sequence, &[(0, at, 1), (0, at + 1, 2)]);
        store.commit(plant.draft(sequence - 1, vec![frame])).await.expect("a commit");
    }
    store.maintain().await.expect("maintenance");
}

pub(super) async fn a_sound_store_has_no_damage(engine: &mut dyn Engine) {
    let (plant, mut store) = (Plant::of_one(), engine.open().await);
    assert_eq!(store.damage().await.expect("damage"), StoreDamage::default());
    fill(store.as_mut(), &plant).await;
    drop(store);
    let mut store = engine.open().await;
    store.dictionaries().await.expect("dictionaries");
    store.maintain().await.expect("maintenance");
    assert_eq!(store.damage().await.expect("damage"), StoreDamage::default());
}

pub(super) async fn rows_that_cannot_be_read_are_counted_and_their_frames_named(
    engine: &mut dyn Engine,
) {
    let (plant, mut store) = (Plant::of_one(), engine.open().await);
    fill(store.as_mut(), &plant).await;
    let whole = rows_of(engine.readings().await.as_ref(), &all()).len() as u64;
    assert_eq!(whole, FRAMES * SAMPLES);
    drop(store);
    if !engine.harm().await {
        return;
    }

    // Whoever reads is told, also without a writer.
    let mut rows = engine.readings().await.rows(&all()).expect("an answer");
    let found: Vec<_> = rows.by_ref().flat_map(|batch| rows_in(&batch.expect("a batch"))).collect();
    let lost = whole - found.len() as u64;
    assert!((1..whole).contains(&lost), "{lost} of {whole} rows are lost");
    let damaged = rows.damaged();
    let told: Option<u64> = damaged.iter().map(|range| range.rows).sum();
    assert_eq!(told, Some(lost), "{damaged:?}");
    let log = (plant.gateway.clone(), plant.log_id);
    let mut missing: BTreeSet<Sequence> = (1..=FRAMES).map(Sequence).collect();
    for row in &found {
        missing.remove(&Sequence(u64::try_from(row.place.1).unwrap_or(0)));
    }
    let frames: Vec<_> = damaged.iter().flat_map(|range| &range.frames).collect();
    for sequence in &missing {
        let is_named = frames.iter().any(|frames| {
            frames.log.as_ref() == Some(&log) && (frames.first..=frames.last).contains(sequence)
        });
        assert!(is_named, "frame {} is lost and not named: {damaged:?}", sequence.0);
        let text = damaged.iter().map(ToString::to_string).collect::<String>();
        assert!(text.contains(&format!("of gateway `{}`", plant.gateway)), "{text}");
    }

    // Whoever writes is told the same, and goes on.
    let mut store = engine.open().await;
    let damage = store.damage().await.expect("damage");
    assert_eq!((damage.rows, damage.parts), (lost, damage.named.len() as u64), "{damage:?}");
    let named = damage.named.iter().filter_map(|part| part.lost.as_ref());
    let named: Vec<_> = named.flat_map(|lost| lost.frames.clone()).collect();
    let frames: Vec<_> = frames.into_iter().cloned().collect();
    assert_eq!(named, frames);
    let next = plant.frame(FRAMES + 1, &[(0, 1_000, 1)]);
    store.commit(plant.draft(FRAMES, vec![next])).await.expect("a commit");
    store.maintain().await.expect("maintenance");
    assert_eq!(store.damage().await.expect("damage"), damage, "the same damage is counted once");
}
