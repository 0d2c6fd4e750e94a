//! Two gateways, three logs, a broker that drops, repeats, reorders and delays, an ingest that restarts, a store that
//! fails. Whatever happens, the store holds each log's frames once, in order and without a hole; and when the faults
//! end, all of them.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use proptest::prelude::*;

use super::*;

/// So many that the two logs of `g1` exceed the bound of a gateway.
const FRAMES: u64 = 80;
/// Fewer than all frames of all logs, of one sample each.
const SAMPLES_MAX: u64 = 150;
const LOGS: [(&str, LogId); 3] =
    [("g1", LogId([1; 16])), ("g1", LogId([2; 16])), ("g2", LogId([3; 16]))];

#[derive(Debug, Clone)]
enum Fault {
    /// A frame of a log arrives, in any order and any number of times.
    Frame { log: usize, sequence: u64 },
    /// A run of frames arrives in order.
    Run { log: usize, from: u64, count: u64 },
    /// The session of a log opens.
    Open { log: usize },
    /// Time passes.
    Wait,
    /// The commit under way, if any, ends well or not.
    Commit { well: bool },
    /// Ingest dies and starts anew; the commit under way may have become durable.
    Restart { landed: bool },
    /// The gateway gives up its oldest frames.
    Lose { log: usize, upto: u64 },
}

fn faults() -> impl Strategy<Value = Vec<Fault>> {
    let log = 0..LOGS.len();
    let one = prop_oneof![
        3 => (log.clone(), 1..=FRAMES).prop_map(|(log, sequence)| Fault::Frame { log, sequence }),
        6 => (log.clone(), 1..=FRAMES, 1..=FRAMES)
            .prop_map(|(log, from, count)| Fault::Run { log, from, count }),
        3 => log.clone().prop_map(|log| Fault::Open { log }),
        4 => Just(Fault::Wait),
        4 => any::<bool>().prop_map(|well| Fault::Commit { well }),
        1 => any::<bool>().prop_map(|landed| Fault::Restart { landed }),
        1 => (log, 1..=FRAMES).prop_map(|(log, upto)| Fault::Lose { log, upto }),
    ];
    proptest::collection::vec(one, 0..120)
}

fn model_settings() -> AdmitSettings {
    AdmitSettings { samples_max: SAMPLES_MAX, ..settings() }
}

/// The points of a gateway: no two write the same.
fn dictionary_of(gateway: &str) -> model::Dictionary {
    let mut points = dictionary().points;
    for point in &mut points {
        point.id = model::PointId::new(format!("{gateway}/{}", point.metric)).unwrap();
    }
    model::Dictionary::new(points).unwrap()
}

fn batch_of(gateway: &str, sequence: u64) -> model::Batch {
    let batch = batch(i64::try_from(sequence).unwrap());
    model::Batch { dictionary: dictionary_of(gateway).hash(), ..batch }
}

/// The frames of each log, each naming the one before it.
fn frame_bytes(log: usize, sequence: u64) -> &'static [u8] {
    static FRAMES_MADE: OnceLock<Vec<Vec<Vec<u8>>>> = OnceLock::new();
    let of_log = |(gateway, log_id): &(&str, LogId)| {
        let log_id = *log_id;
        let mut frames: Vec<Vec<u8>> = Vec::new();
        for n in 1..=FRAMES {
            let before = frames.last().map_or(hash_of_log_start(log_id), |f| hash_of_frame(f));
            frames.push(frame(n, before, &batch_of(gateway, n)));
        }
        frames
    };
    let made = FRAMES_MADE.get_or_init(|| LOGS.iter().map(of_log).collect());
    &made[log][usize::try_from(sequence).unwrap() - 1]
}

/// What one log's rows and watermark are in the store.
#[derive(Debug, Default, Clone)]
struct Stored {
    frames: Vec<u64>,
    watermark: u64,
    lost_frames: u64,
    lost_samples: u64,
    last_hash: Option<model::FrameHash>,
}

struct World {
    admit: Admit,
    seconds: u64,
    work: Option<Arc<Work>>,
    store: Vec<Stored>,
    /// Oldest frame that each gateway still has.
    oldest: Vec<u64>,
    told: Vec<u64>,
    runs: u64,
}

fn index_of(gateway: &GatewayId, log_id: LogId) -> usize {
    LOGS.iter().position(|(name, log)| gateway.as_str() == *name && *log == log_id).unwrap()
}

impl World {
    fn new() -> Self {
        let count = LOGS.len();
        Self {
            admit: Admit::new(model_settings(), "run-0".into(), store(), [], Dictionaries::new()),
            seconds: 0,
            work: None,
            store: vec![Stored::default(); count],
            oldest: vec![1; count],
            told: vec![0; count],
            runs: 0,
        }
    }

    fn step(&mut self, event: Event) {
        let committing = self.work.is_some();
        for action in self.admit.step(at(self.seconds), event) {
            match action {
                Action::Ack { gateway, ack } => {
                    let log = index_of(&gateway, ack.log_id);
                    let durable = self.store[log].watermark;
                    assert!(ack.durable_upto.0 <= durable, "INV-5: ack {ack:?} above {durable}");
                    self.told[log] = self.told[log].max(ack.durable_upto.0);
                }
                Action::Commit(work) => {
                    assert!(!committing && self.work.is_none(), "one commit at a time");
                    self.work = Some(work);
                }
                Action::Configured { .. } => {}
                Action::Notice(notice) => {
                    assert_ne!(notice.kind, NoticeKind::Forked, "no spool is copied: {notice:?}");
                }
            }
        }
        let total = self.admit.total.samples;
        assert!(total <= SAMPLES_MAX, "INV-5: {total} samples held");
        for (name, _) in LOGS {
            let held = self.admit.weights.get(&gateway(name)).copied().unwrap_or_default();
            assert!(
                held.frames <= GATEWAY_FRAMES_MAX && held.bytes <= GATEWAY_BYTES_MAX,
                "{held:?}"
            );
        }
    }

    fn land(&mut self, work: &Work) {
        for frame in &work.draft.frames {
            let stored = &mut self.store[index_of(&frame.gateway, frame.log_id)];
            assert!(stored.frames.last() < Some(&frame.sequence.0), "INV-4: once and in order");
            assert!(frame.sequence.0 > stored.watermark);
            assert_eq!(frame.batch, batch_of(frame.gateway.as_str(), frame.sequence.0));
            stored.frames.push(frame.sequence.0);
        }
        for moved in &work.draft.watermarks {
            let stored = &mut self.store[index_of(&moved.gateway, moved.log_id)];
            assert!(moved.durable_upto.0 > stored.watermark);
            stored.watermark = moved.durable_upto.0;
            stored.lost_frames = moved.lost_frames;
            stored.lost_samples = moved.lost_samples;
            stored.last_hash = moved.last_hash;
            // Dense: what the watermark passed is stored or counted as lost.
            let passed = stored.frames.len() as u64 + stored.lost_frames;
            assert_eq!(passed, stored.watermark, "INV-2: {stored:?}");
            assert_eq!(stored.lost_samples, stored.lost_frames, "one sample per frame");
        }
    }

    fn commit(&mut self, well: bool) {
        let Some(work) = self.work.take() else { return };
        if !well {
            return self.step(Event::CommitFailed {
                error: "disk full".into(),
                watermarks: None,
                identity: None,
            });
        }
        self.land(&work);
        self.step(Event::Committed);
    }

    fn restart(&mut self, landed: bool) {
        if let Some(work) = self.work.take().filter(|_| landed) {
            self.land(&work);
        }
        self.runs += 1;
        let known: Vec<_> = LOGS
            .iter()
            .zip(&self.store)
            .filter(|(_, stored)| stored.watermark > 0)
            .map(|((name, log_id), stored)| {
                let watermark = Watermark {
                    durable_upto: Sequence(stored.watermark),
                    generation: model::Generation(1),
                    lost_frames: stored.lost_frames,
                    lost_samples: stored.lost_samples,
                    last_hash: stored.last_hash,
                };
                ((gateway(name), *log_id), watermark)
            })
            .collect();
        self.admit = Admit::new(
            model_settings(),
            format!("run-{}", self.runs),
            store(),
            known,
            Dictionaries::new(),
        );
        self.step(Event::Connected);
    }

    fn send(&mut self, log: usize, message: &UpMessage<'_>) {
        self.step(up(LOGS[log].0, LOGS[log].1, message));
    }

    fn open(&mut self, log: usize) {
        let oldest = self.oldest[log];
        let losses = if oldest > 1 { vec![lost(1, oldest - 1, oldest - 1)] } else { vec![] };
        self.send(log, &UpMessage::Open(open_of(oldest, FRAMES + 1, losses)));
        let dictionary = dictionary_of(LOGS[log].0);
        self.send(log, &UpMessage::Dictionary(&dictionary.to_record()));
    }

    fn frame(&mut self, log: usize, sequence: u64) {
        if (self.oldest[log]..=FRAMES).contains(&sequence) {
            self.send(log, &UpMessage::Frame(frame_bytes(log, sequence)));
        }
    }

    fn suffer(&mut self, fault: &Fault) {
        match *fault {
            Fault::Frame { log, sequence } => self.frame(log, sequence),
            Fault::Run { log, from, count } => {
                for sequence in from..from + count {
                    self.frame(log, sequence);
                }
            }
            Fault::Open { log } => self.open(log),
            Fault::Wait => {
                self.seconds += 1;
                self.step(Event::Tick);
            }
            Fault::Commit { well } => self.commit(well),
            Fault::Restart { landed } => self.restart(landed),
            Fault::Lose { log, upto } => self.oldest[log] = self.oldest[log].max(upto),
        }
    }
}

proptest! {
    #[test]
    fn the_store_holds_a_dense_prefix_and_in_the_end_everything(faults in faults()) {
        let mut world = World::new();
        for fault in &faults {
            world.suffer(fault);
        }
        // The faults end: each gateway opens and sends from the watermark that it was told, until all is durable.
        for _ in 0..12 {
            for log in 0..LOGS.len() {
                world.open(log);
                for sequence in world.told[log] + 1..=FRAMES {
                    world.frame(log, sequence);
                }
            }
            world.seconds += 40;
            world.step(Event::Tick);
            world.commit(true);
        }
        for (log, stored) in world.store.iter().enumerate() {
            prop_assert_eq!(stored.watermark, FRAMES);
            prop_assert_eq!(world.told[log], FRAMES);
            let all: BTreeSet<u64> = stored.frames.iter().copied().collect();
            prop_assert_eq!(all.len() as u64 + stored.lost_frames, FRAMES);
            prop_assert!(stored.lost_frames < world.oldest[log]);
        }
        prop_assert!(world.admit.is_idle());
    }
}
