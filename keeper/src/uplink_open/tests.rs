//! A real spool and the uplink against a centre that is new, older, or has forgotten. The centre here keeps the rules of
//! ingest: frames in sequence, a hole is asked for, an opening passes what is lost, an unknown dictionary stops it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use model::ack::ACK_VERSION;
use model::host::Entropy;
use model::wire::{self, UpMessage};
use model::{Ack, DurabilityClass, LogId, RecordType, SequenceRange, Timestamp};
use spool::{DestinationIndex, Draft, SpoolConfig};

use super::*;
use crate::uplink::{Action, Event, Freed, Uplink};

const HERE: DestinationIndex = DestinationIndex(0);

const SEGMENT: u64 = 64 << 10;

struct Chance;

impl Entropy for Chance {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

fn draft(record_type: RecordType, body: &str) -> Draft {
    let ts = Timestamp(0);
    Draft { record_type, samples: 0, ts_min: ts, ts_max: ts, body: body.as_bytes().to_vec() }
}

/// What outlives a run of ingest.
#[derive(Clone, Default)]
struct Store {
    watermark: Option<u64>,
    /// Bodies of the DATA frames that are committed.
    rows: BTreeSet<String>,
    lost: u64,
}

/// One run of ingest; everything is committed at once.
struct Centre {
    store: Store,
    run: String,
    opened: bool,
    losses: Vec<Loss>,
    dictionaries: BTreeSet<String>,
}

impl Centre {
    fn on(store: Store, run: &str) -> Self {
        let (losses, dictionaries) = (Vec::new(), BTreeSet::new());
        Self { store, run: run.to_owned(), opened: false, losses, dictionaries }
    }

    fn next(&self) -> u64 {
        self.store.watermark.map_or(1, |watermark| watermark + 1)
    }

    fn pass_to(&mut self, last: u64) {
        self.store.lost += last + 1 - self.next();
        self.store.watermark = Some(last);
    }

    fn pass_losses(&mut self) {
        while let Some(loss) = self
            .losses
            .iter()
            .find(|loss| loss.first.0 <= self.next() && loss.last.0 >= self.next())
        {
            self.pass_to(loss.last.0);
        }
    }

    fn hear(&mut self, message: &[u8]) -> (Option<u64>, bool) {
        match wire::decode(message).unwrap().2 {
            UpMessage::Open(open) => {
                let first = open.losses.iter().map(|loss| loss.first).fold(open.oldest, Ord::min);
                self.store.watermark.get_or_insert(first.0 - 1);
                self.losses = open.losses;
                self.opened = true;
                self.pass_losses();
                if self.next() < open.oldest.0 {
                    self.pass_to(open.oldest.0 - 1);
                    self.pass_losses();
                }
            }
            _ if !self.opened => return (None, true),
            UpMessage::Dictionary(body) => {
                self.dictionaries.insert(String::from_utf8(body.to_vec()).unwrap());
            }
            UpMessage::Frame(bytes) => return self.frame(bytes),
            UpMessage::Part(_) => unreachable!("nothing is cut here"),
        }
        (None, false)
    }

    fn frame(&mut self, bytes: &[u8]) -> (Option<u64>, bool) {
        let frame = model::frame::decode_frame(bytes).unwrap();
        let body = String::from_utf8(frame.body.to_vec()).unwrap();
        match frame.header.sequence.0.cmp(&self.next()) {
            std::cmp::Ordering::Less => return (None, false),
            std::cmp::Ordering::Greater => return (Some(self.next()), false),
            std::cmp::Ordering::Equal => {}
        }
        match frame.header.record_type {
            RecordType::Data => {
                let dictionary = body.split(' ').next().unwrap();
                if !self.dictionaries.contains(dictionary) {
                    return (None, true);
                }
                self.store.rows.insert(body.trim().to_owned());
            }
            RecordType::Dictionary => {
                self.dictionaries.insert(body);
            }
            _ => {}
        }
        self.store.watermark = Some(frame.header.sequence.0);
        self.pass_losses();
        (None, false)
    }
}

struct Bench {
    folder: tempfile::TempDir,
    spool: Spool,
    dictionaries: Vec<Bytes>,
    uplink: Uplink,
    centre: Centre,
    now: Duration,
    /// Every DATA frame, by sequence.
    written: BTreeMap<u64, String>,
}

impl Bench {
    fn new(dictionary: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (spool, dictionaries) = Self::open(folder.path().to_owned(), dictionary);
        let centre = Centre::on(Store::default(), "first");
        let (now, written) = (Duration::ZERO, BTreeMap::new());
        let uplink = Self::uplink(&spool);
        Self { folder, spool, dictionaries, uplink, centre, now, written }
    }

    /// As the keeper starts: BOOT, the dictionary, and that again at the start of each segment.
    fn open(folder: PathBuf, dictionary: &str) -> (Spool, Vec<Bytes>) {
        let config =
            SpoolConfig { segment_bytes: SEGMENT, ..SpoolConfig::new(folder, 64 * SEGMENT) };
        let (mut spool, recovery) = Spool::open_dir(config, &Chance).unwrap();
        spool.append(draft(RecordType::Boot, "{}")).unwrap();
        let record = draft(RecordType::Dictionary, dictionary);
        spool.append(record.clone()).unwrap();
        spool.set_preamble(vec![record]).unwrap();
        spool.commit().unwrap();
        let mut dictionaries: Vec<Bytes> =
            recovery.dictionaries.into_iter().map(Bytes::from).collect();
        dictionaries.retain(|known| known != dictionary.as_bytes());
        dictionaries.push(Bytes::from(dictionary.to_owned()));
        (spool, dictionaries)
    }

    fn uplink(spool: &Spool) -> Uplink {
        let status = spool.status();
        let patience = Duration::from_secs(10);
        Uplink::new(status.log_id, status.acked, None, patience, Duration::from_mins(1))
    }

    fn restart(&mut self, dictionary: &str) {
        let other = tempfile::tempdir().unwrap();
        let elsewhere = SpoolConfig {
            segment_bytes: SEGMENT,
            ..SpoolConfig::new(other.path().to_owned(), 64 * SEGMENT)
        };
        // The lock must be free before the folder is opened again.
        self.spool = Spool::open_dir(elsewhere, &Chance).unwrap().0;
        (self.spool, self.dictionaries) = Self::open(self.folder.path().to_owned(), dictionary);
        self.uplink = Self::uplink(&self.spool);
    }

    /// DATA frames of about 5 KB that name `dictionary`.
    fn write(&mut self, dictionary: &str, frames: u64) {
        for _ in 0..frames {
            let body = format!("{dictionary} {}", self.written.len());
            let padded = format!("{body:<5000}");
            let at = self.spool.append(draft(RecordType::Data, &padded)).unwrap();
            self.spool.commit().unwrap();
            self.written.insert(at.0, body);
        }
    }

    /// Carries out what the uplink says until the centre has everything; panics when that does not come.
    fn deliver(&mut self) {
        let mut actions = self.uplink.step(Event::Disconnected, self.now);
        actions.extend(self.uplink.step(self.durable(), self.now));
        actions.extend(self.uplink.step(Event::Connected, self.now));
        for _ in 0..1_000 {
            for action in std::mem::take(&mut actions) {
                actions.extend(self.carry_out(&action));
            }
            let status = self.spool.status();
            if actions.is_empty()
                && self.centre.store.watermark == Some(status.durable.0)
                && self.uplink.acked() == status.durable
            {
                return;
            }
            actions.extend(self.uplink.step(self.durable(), self.now));
            self.now += Duration::from_secs(1);
            actions.extend(self.uplink.step(Event::Tick { chance: 5 }, self.now));
        }
        panic!(
            "delivery stands at {:?} of {}",
            self.centre.store.watermark,
            self.spool.status().durable
        );
    }

    fn durable(&self) -> Event {
        let status = self.spool.status();
        let losses = status.losses.lost().frames + status.losses.skipped.frames;
        Event::Durable { upto: status.durable, oldest: status.oldest, losses }
    }

    fn carry_out(&mut self, action: &Action) -> Vec<Action> {
        let mut actions = Vec::new();
        match action.clone() {
            Action::Free { upto, hash } => {
                let acked = self.spool.ack(HERE, upto, hash).unwrap();
                let answer = if acked >= upto { Freed::Yes } else { Freed::NoFrame };
                actions.extend(self.uplink.step(Event::Freed { upto, answer }, self.now));
            }
            Action::NoteStore { .. } => {}
            Action::BeginLog { conflict } => panic!("{conflict}"),
            Action::Open { from } => {
                let info = open_info(&mut self.spool, &self.dictionaries, HERE, from);
                actions.extend(self.say(&UpMessage::Open(info.open), info.log_id));
                for body in info.dictionaries {
                    actions.extend(self.say(&UpMessage::Dictionary(&body), info.log_id));
                }
            }
            Action::Send { round, from, frames, .. } => {
                let frames = usize::try_from(frames).unwrap();
                for frame in
                    self.spool.read_from(HERE, from, 1 << 20).unwrap().into_iter().take(frames)
                {
                    let sequence = frame.header.sequence;
                    let event = Event::Sent { round, sequence, bytes: 5_000 };
                    actions.extend(self.uplink.step(event, self.now));
                    let log_id = self.uplink.log_id();
                    actions.extend(self.say(&UpMessage::Frame(&frame.bytes), log_id));
                }
                actions.extend(self.uplink.step(Event::SendDone { round }, self.now));
            }
        }
        actions
    }

    fn say(&mut self, message: &UpMessage<'_>, log_id: LogId) -> Vec<Action> {
        let (want, open) = self.centre.hear(&message.encode(log_id, model::Lane::Backlog));
        let ack = Ack {
            v: ACK_VERSION,
            log_id,
            store: model::StoreId::new("t").unwrap(),
            epoch: Epoch(0),
            ingest: self.centre.run.clone(),
            durable_upto: Sequence(self.centre.store.watermark.unwrap_or(0)),
            hash: self.hash_at(self.centre.store.watermark.unwrap_or(0)),
            class: DurabilityClass::D2,
            have: Vec::new(),
            want: want
                .and_then(|at| SequenceRange::new(Sequence(at), Sequence(at)))
                .into_iter()
                .collect(),
            lane: model::Lane::Backlog,
            open,
            slow_ms: 0,
            fault: None,
        };
        self.uplink.step(Event::Ack(ack), self.now)
    }

    /// What a centre says that has the frame.
    fn hash_at(&mut self, sequence: u64) -> Option<model::FrameHash> {
        let frames = self.spool.read_from(HERE, Sequence(sequence), 1).ok()?;
        let frame = frames.first().filter(|frame| frame.header.sequence.0 == sequence)?;
        Some(model::FrameHash(model::frame::hash_of_frame(&frame.bytes)))
    }

    /// What the centre must have: every frame written from `from` on, but for those in `gone`.
    fn check(&self, from: u64, gone: std::ops::RangeInclusive<u64>) {
        let held = self.written.range(from..).filter(|(at, _)| !gone.contains(at));
        let missing: Vec<_> =
            held.filter(|(_, body)| !self.centre.store.rows.contains(*body)).collect();
        assert!(missing.is_empty(), "not delivered: {missing:?}");
    }
}

/// No sequence.
#[expect(clippy::reversed_empty_ranges, reason = "it is meant to be empty")]
const NONE: std::ops::RangeInclusive<u64> = 1..=0;

/// A spool whose oldest segments are delivered and gone, and whose open one is delivered.
fn delivered() -> (Bench, Sequence) {
    let mut bench = Bench::new("a");
    bench.write("a", 40);
    bench.deliver();
    let oldest = bench.spool.status().oldest;
    assert!(oldest.0 > 10 && oldest < bench.spool.status().acked, "{:?}", bench.spool.status());
    (bench, oldest)
}

#[test]
fn a_new_lake_gets_everything_that_is_still_held() {
    let (mut bench, oldest) = delivered();
    bench.centre = Centre::on(Store::default(), "second");
    bench.write("a", 3);
    bench.deliver();
    bench.check(oldest.0, NONE);
    assert_eq!(bench.centre.store.lost, 0, "what another lake got is no loss of this one");

    // The same when the gateway starts anew, so that it has no other run of ingest to compare with.
    bench.centre = Centre::on(Store::default(), "third");
    bench.restart("a");
    let oldest = bench.spool.status().oldest;
    bench.write("a", 1);
    bench.deliver();
    bench.check(oldest.0, NONE);
}

#[test]
fn an_older_lake_gets_what_is_still_held_and_counts_what_is_not() {
    let mut bench = Bench::new("a");
    bench.write("a", 5);
    bench.deliver();
    let early = bench.centre.store.clone();
    bench.write("a", 33);
    bench.deliver();
    let late = bench.centre.store.clone();
    bench.write("a", 4);
    bench.deliver();

    // As of a moment whose frames are all still held.
    assert!(late.watermark >= Some(bench.spool.status().oldest.0));
    bench.centre = Centre::on(late, "second");
    bench.write("a", 1);
    bench.deliver();
    bench.check(1, NONE);
    assert_eq!(bench.centre.store.lost, 0);

    // As of a moment whose frames are gone in part.
    let oldest = bench.spool.status().oldest;
    let lost = oldest.0 - 1 - early.watermark.unwrap();
    assert!(lost > 10);
    bench.centre = Centre::on(early, "third");
    bench.restart("a");
    bench.write("a", 1);
    bench.deliver();
    bench.check(oldest.0, NONE);
    assert_eq!(bench.centre.store.lost, lost);
}

#[test]
fn damage_below_the_watermark_does_not_hold_up_an_older_lake() {
    let (mut bench, oldest) = delivered();
    let name = format!("{:016x}.seg", oldest.0);
    // The second DATA frame of the segment becomes unreadable.
    let (at, body) = bench.written.range(oldest.0..).nth(1).map(|(a, b)| (*a, b.clone())).unwrap();
    let path = bench.folder.path().join(name);
    let mut bytes = std::fs::read(&path).unwrap();
    let padded = format!("{body:<5000}").into_bytes();
    let place = bytes.windows(padded.len()).position(|window| window == padded).unwrap();
    bytes[place..place + 100].fill(b'X');
    std::fs::write(&path, bytes).unwrap();
    bench.centre = Centre::on(Store::default(), "second");
    bench.write("a", 1);
    bench.deliver();
    bench.check(oldest.0, at..=at);
    assert_eq!(bench.centre.store.lost, 1);
}

#[test]
fn a_backlog_of_an_older_configuration_reaches_a_centre_that_forgot_its_dictionary() {
    let mut bench = Bench::new("a");
    bench.write("a", 3);
    bench.deliver();
    // The centre is away; the configuration changes, and later segments begin with the new dictionary alone.
    bench.write("a", 2);
    bench.restart("b");
    bench.write("b", 40);
    bench.restart("b");
    assert_eq!(bench.dictionaries, ["b"]);
    let store = bench.centre.store.clone();
    bench.centre = Centre::on(store, "second");
    bench.deliver();
    bench.check(1, NONE);
    assert_eq!(bench.centre.store.lost, 0);
}

/// A centre whose lake was put back was told that 65531 frames were damaged: they had never been written.
#[test]
fn what_was_passed_over_and_acked_is_no_damage_for_an_older_lake() {
    let (mut bench, _) = delivered();
    let first = bench.spool.status().durable.next();
    let copy = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(bench.folder.path()).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    // As it stands after a power cut.
    (bench.spool, bench.dictionaries) = Bench::open(copy.path().to_owned(), "d");
    bench.uplink = Bench::uplink(&bench.spool);
    bench.write("d", 2);
    bench.deliver();
    let skipped = bench.spool.status().losses.skipped.frames;
    assert!(skipped > 60_000 && bench.spool.losses(HERE).is_empty(), "it is settled");
    let gone = gone_at(&mut bench.spool, HERE, first).unwrap();
    let frames = gone.last.0 - gone.first.0 + 1;
    assert_eq!((gone.reason, gone.first, frames), (LossReason::Skipped, first, skipped));
}
