//! Random actions against a small model: whatever the disk does, the table holds exactly the frames up to each
//! watermark, once.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use model::{Generation, Sequence};
use proptest::prelude::*;

use super::{Plant, Row, Site, plant, rows};
use crate::{CommitDraft, LakeError, LogKey};

#[derive(Debug, Clone)]
enum Action {
    /// Commits so many new frames of one plant.
    Commit {
        plant: usize,
        frames: u64,
    },
    /// Commits what may be there already.
    Replay {
        plant: usize,
        frames: u64,
    },
    /// The next frames are lost.
    Lose {
        plant: usize,
        frames: u64,
    },
    /// The disk refuses soon.
    FailSync(i64),
    FailDirectory(i64),
    Full(i64),
    Reopen,
    Maintain,
    Settle,
    Wait,
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let plants = 0..3_usize;
    let action = prop_oneof![
        12 => (plants.clone(), 1..4_u64).prop_map(|(plant, frames)| Action::Commit { plant, frames }),
        2 => (plants.clone(), 1..6_u64).prop_map(|(plant, frames)| Action::Replay { plant, frames }),
        1 => (plants, 1..4_u64).prop_map(|(plant, frames)| Action::Lose { plant, frames }),
        1 => (1..4_i64).prop_map(Action::FailSync),
        1 => (1..4_i64).prop_map(Action::FailDirectory),
        1 => (1..6_000_i64).prop_map(Action::Full),
        1 => Just(Action::Reopen),
        4 => Just(Action::Maintain),
        1 => Just(Action::Settle),
        1 => Just(Action::Wait),
    ];
    prop::collection::vec(action, 1..60)
}

/// What must be in the table.
#[derive(Default)]
struct Model {
    durable_upto: [u64; 3],
    lost: [u64; 3],
    /// Frames that were lost and never sent.
    holes: Vec<(usize, u64)>,
    generations: BTreeMap<LogKey, Generation>,
    commit: u64,
}

const TIMES: u64 = 2;

fn draft(plant: &Plant, from: u64, to: u64, lost: u64) -> CommitDraft {
    let mut upto = plant.upto(to);
    (upto.lost_frames, upto.lost_samples) = (lost, lost * 10);
    let frames = (from..=to).map(|sequence| plant.frame(sequence, TIMES)).collect();
    CommitDraft { frames, watermarks: vec![upto] }
}

impl Model {
    /// Compares a snapshot with the model; the commit number is the one thing the model does not foresee.
    fn check(&mut self, site: &Site, plants: &[Plant; 3]) {
        let snapshot = site.snapshot();
        assert!(snapshot.commit_number().0 >= self.commit, "a commit was taken back");
        self.commit = snapshot.commit_number().0;
        for (index, plant) in plants.iter().enumerate() {
            let mark = snapshot.watermarks().get(&(plant.gateway.clone(), plant.log_id));
            let found = mark.map_or((0, 0), |mark| (mark.durable_upto.0, mark.lost_frames));
            assert_eq!(found, (self.durable_upto[index], self.lost[index]));
        }
        for (key, mark) in snapshot.watermarks() {
            let first = self.generations.entry(key.clone()).or_insert(mark.generation);
            assert_eq!(*first, mark.generation, "a generation changed");
        }
        let found: Vec<Row> = rows(&snapshot);
        assert!(found.iter().all(|row| u64::try_from(row.9).unwrap() <= self.commit));
        let names: Vec<_> = found.iter().map(|row| (row.0.clone(), row.1, row.8)).collect();
        let mut expected = Vec::new();
        for (index, plant) in plants.iter().enumerate() {
            for sequence in 1..=self.durable_upto[index] {
                if self.holes.contains(&(index, sequence)) {
                    continue;
                }
                let frame = plant.frame(sequence, TIMES);
                for sample in &frame.batch.samples {
                    let point = &plant.dictionary.point(sample.point).unwrap().id;
                    let seq = i64::try_from(sequence).unwrap();
                    expected.push((point.to_string(), sample.source_time.0, seq));
                }
            }
        }
        expected.sort();
        assert_eq!(names, expected, "INV-4");
    }
}

async fn run(actions: Vec<Action>) {
    let site = Site::new();
    // The third is the first gateway with a new card: other points would hide a mix-up of their logs.
    let plants = [plant("north", 1), plant("south", 2), plant("north", 3)];
    let mut model = Model::default();
    let mut lake = site.open().await;
    for action in actions {
        match action {
            Action::Commit { plant, frames } => {
                let from = model.durable_upto[plant] + 1;
                let to = from + frames - 1;
                let result = lake.commit(draft(&plants[plant], from, to, model.lost[plant])).await;
                if let Err(error) = &result {
                    assert!(!matches!(error, LakeError::Draft(_)), "{error}");
                }
                repair(&site);
                let key = (plants[plant].gateway.clone(), plants[plant].log_id);
                let mark = lake.watermarks().await.unwrap().get(&key).copied();
                let upto = mark.map_or(0, |mark| mark.durable_upto.0);
                assert!(upto == to || (result.is_err() && upto == from - 1), "all or nothing");
                model.durable_upto[plant] = upto;
            }
            Action::Replay { plant, frames } => {
                let to = model.durable_upto[plant];
                let from = to.saturating_sub(frames) + 1;
                let result = lake.commit(draft(&plants[plant], from, to, model.lost[plant])).await;
                if to > 0 {
                    assert_eq!(result.unwrap().rows, 0, "INV-4");
                }
            }
            Action::Lose { plant, frames } => {
                repair(&site);
                let from = model.durable_upto[plant] + 1;
                model.durable_upto[plant] += frames;
                model.lost[plant] += frames;
                model.holes.extend((from..from + frames).map(|sequence| (plant, sequence)));
                let mut draft = draft(&plants[plant], 1, 0, model.lost[plant]);
                draft.watermarks[0].durable_upto = Sequence(model.durable_upto[plant]);
                lake.commit(draft).await.unwrap();
            }
            Action::FailSync(after) => site.disk.sync_fails_in.store(after, Ordering::Relaxed),
            Action::FailDirectory(after) => {
                site.disk.directory_fails_in.store(after, Ordering::Relaxed);
            }
            Action::Full(room) => site.disk.room.store(room, Ordering::Relaxed),
            Action::Reopen => {
                lake.close().await;
                repair(&site);
                lake = site.open().await;
            }
            Action::Maintain => drop(lake.maintain().await),
            Action::Settle => drop(lake.settle().await),
            Action::Wait => site.clock.forward(Duration::from_mins(11)),
        }
        model.check(&site, &plants);
    }
}

/// The disk is well again.
fn repair(site: &Site) {
    for fault in [&site.disk.room, &site.disk.sync_fails_in, &site.disk.directory_fails_in] {
        fault.store(0, Ordering::Relaxed);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_table_holds_every_frame_up_to_its_watermark_once(actions in actions()) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run(actions));
    }
}
