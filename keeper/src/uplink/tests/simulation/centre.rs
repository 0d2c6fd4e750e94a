//! The centre of the simulation: a store that may go back, and an admission that may forget.

use super::*;

/// What the store of the centre has of one log.
#[derive(Debug, Clone, Default)]
pub(super) struct Stored {
    pub(super) watermark: u64,
    /// Of the frame at the watermark, where there is one.
    pub(super) hash: Option<[u8; 32]>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Store {
    pub(super) logs: BTreeMap<LogId, Stored>,
    pub(super) numbers: BTreeSet<u64>,
    /// Which frame it took under each sequence.
    pub(super) taken: BTreeMap<(LogId, u64), [u8; 32]>,
}

/// What ingest knows of a log in this run.
#[derive(Debug, Default)]
pub(super) struct Session {
    pub(super) next: u64,
    pub(super) last_hash: Option<[u8; 32]>,
    pub(super) losses: Vec<Loss>,
    pub(super) held: Vec<(u64, Option<u64>, Option<[u8; 32]>)>,
    pub(super) forked: bool,
}

/// Ingest and its store.
pub(super) struct Centre {
    pub(super) store: Store,
    pub(super) epoch: u64,
    pub(super) run: u64,
    pub(super) sessions: BTreeMap<LogId, Session>,
    /// Sequences under which the store took two different frames.
    pub(super) taken_twice: u64,
}

impl Centre {
    pub(super) fn ack(&self, log_id: LogId, want: Option<u64>, open: bool, fault: bool) -> Ack {
        let stored = self.store.logs.get(&log_id).cloned().unwrap_or_default();
        let want = want.and_then(|want| SequenceRange::new(Sequence(want), Sequence(want)));
        let fault =
            fault.then(|| AckFault { code: "forked".to_owned(), text: "forked".to_owned() });
        Ack {
            v: model::ack::ACK_VERSION,
            log_id,
            store: StoreId::new("model").unwrap(),
            epoch: Epoch(self.epoch),
            ingest: self.run.to_string(),
            durable_upto: Sequence(stored.watermark),
            hash: stored.hash.map(FrameHash),
            class: DurabilityClass::D2,
            have: vec![],
            want: want.into_iter().collect(),
            lane: Lane::Backlog,
            open,
            slow_ms: 0,
            fault,
        }
    }

    pub(super) fn open(&mut self, log_id: LogId, open: &Open) -> Ack {
        let known = self.store.logs.get(&log_id).cloned();
        let stored = known.unwrap_or_else(|| {
            let first = open.losses.iter().map(|loss| loss.first).fold(open.oldest, Sequence::min);
            Stored { watermark: first.0 - 1, hash: None }
        });
        let known = self.sessions.remove(&log_id);
        let mut session = known.unwrap_or_else(|| Session {
            next: stored.watermark + 1,
            last_hash: stored.hash,
            held: vec![(stored.watermark, None, stored.hash)],
            ..Session::default()
        });
        if open.next.0 < session.next {
            session.forked = true;
        }
        session.losses = open.losses.clone();
        session.losses.sort_by_key(|loss| loss.first);
        if !session.forked {
            session.pass_losses();
            if session.next < open.oldest.0 {
                session.next = open.oldest.0;
                session.last_hash = None;
                session.held.push((open.oldest.0 - 1, None, None));
                session.pass_losses();
            }
        }
        let forked = session.forked;
        self.sessions.insert(log_id, session);
        self.ack(log_id, None, false, forked)
    }

    pub(super) fn frame(&mut self, log_id: LogId, bytes: &[u8]) -> Option<Ack> {
        let frame = decode_frame(bytes).unwrap();
        let Some(session) = self.sessions.get_mut(&log_id) else {
            return Some(self.ack(log_id, None, true, false));
        };
        if session.forked {
            return Some(self.ack(log_id, None, false, true));
        }
        let sequence = frame.header.sequence.0;
        if sequence > session.next {
            let next = session.next;
            return Some(self.ack(log_id, Some(next), false, false));
        }
        if sequence < session.next {
            let hash = hash_of_frame(bytes);
            let other = sequence + 1 == session.next
                && session.last_hash.is_some_and(|known| known != hash);
            session.forked |= other;
            return Some(self.ack(log_id, None, false, other));
        }
        let is_data = frame.header.record_type == RecordType::Data;
        if session.last_hash.is_some_and(|known| known != frame.prev_hash) {
            session.forked = true;
            return Some(self.ack(log_id, None, false, true));
        }
        let number = is_data.then(|| number_of(frame.body));
        let hash = hash_of_frame(bytes);
        session.held.push((sequence, number, Some(hash)));
        session.next = sequence + 1;
        session.last_hash = Some(hash);
        session.pass_losses();
        None
    }

    pub(super) fn commit(&mut self, log_id: LogId) -> Ack {
        if let Some(session) = self.sessions.get_mut(&log_id) {
            for (sequence, number, hash) in session.held.drain(..) {
                if let Some(hash) = hash {
                    let known = self.store.taken.insert((log_id, sequence), hash);
                    self.taken_twice += u64::from(known.is_some_and(|known| known != hash));
                }
                self.store.logs.insert(log_id, Stored { watermark: sequence, hash });
                self.store.numbers.extend(number);
            }
        }
        self.ack(log_id, None, false, false)
    }

    /// A new run of ingest: what was not committed is forgotten.
    pub(super) fn restart(&mut self) {
        self.sessions.clear();
        self.run += 1;
    }
}

impl Session {
    pub(super) fn pass_losses(&mut self) {
        for loss in &self.losses {
            if loss.first.0 <= self.next && self.next <= loss.last.0 {
                self.next = loss.last.0 + 1;
                self.last_hash = None;
                self.held.push((loss.last.0, None, None));
            }
        }
    }
}

pub(super) fn number_of(body: &[u8]) -> u64 {
    u64::from_le_bytes(*body.first_chunk::<8>().unwrap())
}
