//! The thread itself. Its runtime has one task: disk calls may block here, and nowhere else.

use std::sync::Arc;
use std::time::Duration;

use driver::Emission;
use model::codec;
use model::record::JsonRecord;
use model::wire::Open;
use model::{
    Batch, Boot, Dictionary, HistoryMarks, LogId, RecordType, Sample, Sequence, Timestamp,
};
use spool::{Draft, LossTotals, Spool, SpoolConfig, SpoolError};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::command::{
    COMMANDS_QUEUED_MAX, Command, KeeperClosed, KeeperHandle, OpenInfo, SpoolView,
};
use super::last::LastSamples;
use crate::batcher::Batcher;
use crate::run::Host;
use crate::settings::SpoolSettings;
use crate::status::SpoolStatus;

/// Samples gathered before they are made durable without waiting for the interval.
const CUT_SAMPLES: usize = 10_000;
/// Reading back pauses when fewer segments than this are free before the spool would drop.
const READ_BACK_SEGMENTS_FREE: u64 = 2;

/// Why the keeper did not start.
#[derive(Debug, Error)]
pub enum KeeperError {
    /// The spool cannot be used.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The thread cannot be made.
    #[error("cannot start the spool's thread")]
    Thread(#[source] std::io::Error),
}

/// What the keeper needs to know.
pub struct KeeperSettings {
    /// The spool.
    pub spool: SpoolSettings,
    /// The points of this run.
    pub dictionary: Arc<Dictionary>,
    /// Version of the program, for the BOOT record.
    pub version: String,
}

/// A running keeper.
pub struct Keeper {
    handle: KeeperHandle,
    view: watch::Receiver<SpoolView>,
    read_back: watch::Receiver<bool>,
    log_id: LogId,
    acked: Sequence,
    marks: HistoryMarks,
    ended: oneshot::Receiver<()>,
}

impl Keeper {
    /// Opens the spool, notes the start in it and begins to take emissions.
    pub async fn start(
        settings: KeeperSettings,
        host: Host,
        emissions: mpsc::Receiver<Emission>,
    ) -> Result<Self, KeeperError> {
        let (ready, started) = oneshot::channel();
        let (commands, commands_rx) = mpsc::channel(COMMANDS_QUEUED_MAX);
        let (view_tx, view) = watch::channel(SpoolView::default());
        let (read_back_tx, read_back) = watch::channel(true);
        let (end, ended) = oneshot::channel();
        let work = move || {
            let opened = Worker::open(settings, &host, view_tx, read_back_tx);
            let mut worker = match opened {
                Ok(worker) => worker,
                Err(e) => return drop(ready.send(Err(e))),
            };
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_time().build()
            {
                Ok(runtime) => runtime,
                Err(e) => return drop(ready.send(Err(KeeperError::Thread(e)))),
            };
            let status = worker.spool.status();
            let first = (status.log_id, status.acked, worker.durable_marks.clone());
            if ready.send(Ok(first)).is_ok() {
                runtime.block_on(worker.run(emissions, commands_rx));
            }
            drop(worker);
            // Nobody may wait for it; that is no fault.
            end.send(()).ok();
        };
        std::thread::Builder::new()
            .name("keeper".to_owned())
            .spawn(work)
            .map_err(KeeperError::Thread)?;
        let gone =
            || KeeperError::Thread(std::io::Error::other("the thread ended before it began"));
        let (log_id, acked, marks) = started.await.map_err(|_| gone())??;
        let handle = KeeperHandle { commands };
        Ok(Self { handle, view, read_back, log_id, acked, marks, ended })
    }

    /// Asks it things.
    #[must_use]
    pub fn handle(&self) -> KeeperHandle {
        self.handle.clone()
    }

    /// What the uplink watches.
    #[must_use]
    pub fn view(&self) -> watch::Receiver<SpoolView> {
        self.view.clone()
    }

    /// False while reading back must pause.
    #[must_use]
    pub fn read_back_allowed(&self) -> watch::Receiver<bool> {
        self.read_back.clone()
    }

    /// Life of the spool.
    #[must_use]
    pub fn log_id(&self) -> LogId {
        self.log_id
    }

    /// Watermark at the start.
    #[must_use]
    pub fn acked(&self) -> Sequence {
        self.acked
    }

    /// History marks at the start.
    #[must_use]
    pub fn marks(&self) -> &HistoryMarks {
        &self.marks
    }

    /// Returns when everything that was handed over is durable, all senders of emissions being gone.
    pub async fn flushed(&self) -> Result<(), KeeperClosed> {
        let (reply, answer) = oneshot::channel();
        self.handle.commands.send(Command::Flush { reply }).await.map_err(|_| KeeperClosed)?;
        answer.await.map_err(|_| KeeperClosed)
    }

    /// Ends the thread and waits until the spool is closed.
    pub async fn stop(self) {
        if self.handle.commands.send(Command::Stop).await.is_ok() && self.ended.await.is_err() {
            tracing::warn!("the spool's thread ended without a word");
        }
    }
}

struct Worker {
    settings: KeeperSettings,
    spool: Spool,
    batcher: Batcher,
    /// Bodies of the DICT records of the newest segment and of this run, oldest first. Every segment begins with the
    /// one in use, so a centre that is new to this log learns it from the frames; these are for one that goes on in
    /// the middle of a segment and has lost what it knew.
    dictionaries: Vec<bytes::Bytes>,
    marks: HistoryMarks,
    durable_marks: HistoryMarks,
    last: LastSamples,
    samples_appended: u64,
    view: watch::Sender<SpoolView>,
    read_back: watch::Sender<bool>,
    fault: Option<String>,
}

impl Worker {
    fn open(
        settings: KeeperSettings,
        host: &Host,
        view: watch::Sender<SpoolView>,
        read_back: watch::Sender<bool>,
    ) -> Result<Self, KeeperError> {
        let config = SpoolConfig {
            segment_bytes: settings.spool.segment.0,
            ..SpoolConfig::new(&settings.spool.folder, settings.spool.quota.0)
        };
        let (spool, recovery) = Spool::open_dir(config, &*host.entropy)?;
        let marks = recovery.history.as_deref().map(HistoryMarks::from_record);
        let marks = marks.and_then(|read| {
            read.map_err(|e| tracing::warn!(error = %e, "history marks unreadable: reading back starts anew")).ok()
        });
        let marks = marks.unwrap_or_default();
        let skipped = recovery.dictionaries.len().saturating_sub(DICTIONARIES_KEPT);
        let dictionaries = recovery.dictionaries.into_iter().skip(skipped).map(bytes::Bytes::from);
        let mut worker = Self {
            batcher: Batcher::new(settings.dictionary.hash()),
            last: LastSamples::new(settings.dictionary.points.len()),
            settings,
            spool,
            dictionaries: dictionaries.collect(),
            durable_marks: marks.clone(),
            marks,
            samples_appended: 0,
            view,
            read_back,
            fault: None,
        };
        worker.note_start(host)?;
        Ok(worker)
    }

    /// BOOT, the dictionary of this run and the marks: durable before anything else happens.
    fn note_start(&mut self, host: &Host) -> Result<(), KeeperError> {
        let mut boot_id = [0; 8];
        host.entropy.fill(&mut boot_id);
        let boot = Boot {
            boot_id: format!("{:016x}", u64::from_le_bytes(boot_id)),
            version: self.settings.version.clone(),
            at: host.clock.now(),
            last_sequence: self.spool.status().durable,
        };
        self.spool.append(small(RecordType::Boot, boot.to_record()))?;
        let body = self.settings.dictionary.to_record();
        self.spool.append(small(RecordType::Dictionary, body.clone()))?;
        let body = bytes::Bytes::from(body);
        self.dictionaries.retain(|known| *known != body);
        self.dictionaries.push(body);
        self.set_preamble()?;
        self.spool.commit()?;
        self.show();
        Ok(())
    }

    fn set_preamble(&mut self) -> Result<(), SpoolError> {
        let mut preamble = Vec::new();
        if let Some(body) = self.dictionaries.last() {
            preamble.push(small(RecordType::Dictionary, body.to_vec()));
        }
        if !self.durable_marks.marks.is_empty() {
            preamble.push(small(RecordType::History, self.durable_marks.to_record()));
        }
        self.spool.set_preamble(preamble)
    }

    async fn run(
        &mut self,
        mut emissions: mpsc::Receiver<Emission>,
        mut commands: mpsc::Receiver<Command>,
    ) {
        let mut commit_at: Option<Instant> = None;
        let mut flushing: Vec<oneshot::Sender<()>> = Vec::new();
        let mut emitting = true;
        loop {
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    Some(Command::Flush { reply }) => flushing.push(reply),
                    Some(Command::Stop) | None => break,
                    Some(command) => self.answer(command),
                },
                emission = emissions.recv(), if emitting => match emission {
                    Some(emission) => {
                        self.take(emission);
                        commit_at.get_or_insert_with(|| Instant::now() + self.settings.spool.commit_interval);
                    }
                    None => emitting = false,
                },
                () = sleep_until(commit_at), if commit_at.is_some() => {}
            }
            let due = commit_at.is_some_and(|at| at <= Instant::now());
            if due || self.batcher.waiting() >= CUT_SAMPLES || (!emitting && commit_at.is_some()) {
                self.commit();
                commit_at = self.fault.is_some().then(|| Instant::now() + RETRY_AFTER_FAULT);
            }
            if !emitting {
                for reply in flushing.drain(..) {
                    reply.send(()).ok();
                }
            }
        }
        self.commit();
    }

    fn take(&mut self, emission: Emission) {
        for sample in emission.samples {
            let sample = Sample {
                source_time: storable(sample.source_time),
                gateway_time: storable(sample.gateway_time),
                ..sample
            };
            self.last.note(&sample);
            self.batcher.push(sample);
        }
        for (index, mark) in emission.marks {
            let point = self.settings.dictionary.point(index).map(|point| point.id.clone());
            if let Some(point) = point {
                let slot = self.marks.marks.entry(point).or_insert(mark);
                *slot = (*slot).max(mark);
            }
        }
    }

    /// Cuts what waits and makes it durable. The marks follow the samples that justify them in the log, so recovery,
    /// which takes a prefix, never finds a mark without them.
    fn commit(&mut self) {
        let batches = self.batcher.cut();
        let mut appended = Ok(());
        for batch in &batches {
            appended = appended.and_then(|()| self.append(batch));
        }
        if self.marks != self.durable_marks {
            let record = small(RecordType::History, self.marks.to_record());
            appended = appended.and_then(|()| self.spool.append(record).map(drop));
        }
        match appended.and_then(|()| self.spool.commit()) {
            Ok(_) => {
                for batch in &batches {
                    self.last.note_durable(&batch.samples);
                }
                if self.marks != self.durable_marks {
                    self.durable_marks = self.marks.clone();
                    if let Err(e) = self.set_preamble() {
                        tracing::warn!(error = %e, "history marks are not repeated in the next segment");
                    }
                }
                if self.fault.take().is_some() {
                    tracing::info!("spool writes again");
                }
            }
            Err(e) => {
                if self.fault.is_none() {
                    tracing::error!(error = %e, "spool cannot write; readings are kept in memory as far as it goes");
                }
                self.fault = Some(e.to_string());
            }
        }
        self.show();
    }

    fn append(&mut self, batch: &Batch) -> Result<(), SpoolError> {
        let times = || batch.samples.iter().map(|sample| sample.source_time);
        let body = match codec::encode(batch) {
            Ok(body) => body,
            Err(e) => {
                // The batcher keeps every rule of the codec; if it ever does not, the others must still be kept.
                tracing::error!(error = %e, samples = batch.samples.len(), "batch cannot be encoded; it is lost");
                return Ok(());
            }
        };
        let samples = u32::try_from(batch.samples.len()).unwrap_or(u32::MAX);
        self.spool.append(Draft {
            record_type: RecordType::Data,
            samples,
            ts_min: times().min().unwrap_or_default(),
            ts_max: times().max().unwrap_or_default(),
            body,
        })?;
        self.samples_appended = self.samples_appended.saturating_add(u64::from(samples));
        Ok(())
    }

    fn answer(&mut self, command: Command) {
        match command {
            Command::Read { from, bytes_max, reply } => {
                let frames = match self.spool.read_from(from, bytes_max) {
                    Ok(frames) => frames,
                    Err(e) => {
                        tracing::warn!(error = %e, "cannot read the spool; tried again");
                        Vec::new()
                    }
                };
                let shared =
                    |frame: spool::StoredFrame| (frame.header.sequence, frame.bytes.into());
                drop(reply.send(frames.into_iter().map(shared).collect()));
                // Reading may have found damage, which is a loss to tell.
                self.show();
            }
            Command::Open { from, reply } => drop(reply.send(self.open_info(from))),
            Command::Free { upto } => {
                if let Err(e) = self.spool.ack(upto) {
                    tracing::warn!(error = %e, "cannot free what was committed; tried again with the next ack");
                }
                self.show();
            }
            Command::Status { reply } => {
                drop(reply.send((self.status(), self.last.clone(), self.durable_marks.clone())));
            }
            Command::Flush { .. } | Command::Stop => {}
        }
    }

    fn open_info(&self, from: Sequence) -> OpenInfo {
        let status = self.spool.status();
        let watermark = Sequence(from.0.saturating_sub(1));
        let open = Open {
            oldest: status.oldest,
            next: status.next,
            losses: self.spool.losses_above(watermark.min(status.acked)),
        };
        OpenInfo { log_id: status.log_id, open, dictionaries: self.dictionaries.clone() }
    }

    fn show(&mut self) {
        let status = self.spool.status();
        let view = SpoolView {
            durable: status.durable,
            oldest: status.oldest,
            frames_lost: lost(&status.losses).0,
        };
        self.view.send_if_modified(|known| std::mem::replace(known, view) != view);
        let allowed =
            !self.spool.would_drop_within(READ_BACK_SEGMENTS_FREE * self.settings.spool.segment.0);
        self.read_back.send_if_modified(|known| std::mem::replace(known, allowed) != allowed);
    }

    fn status(&self) -> SpoolStatus {
        let status = self.spool.status();
        let (frames_lost, samples_lost) = lost(&status.losses);
        SpoolStatus {
            log_id: status.log_id.to_string(),
            oldest: status.oldest.0,
            next: status.next.0,
            durable: status.durable.0,
            acked: status.acked.0,
            bytes: status.used_bytes,
            quota_bytes: status.quota_bytes,
            samples_appended: self.samples_appended,
            repeats_dropped: self.batcher.repeats_dropped(),
            frames_lost,
            samples_lost,
            samples_refused: status.refused.samples,
            read_back_paused: !*self.read_back.borrow(),
            fault: self.fault.clone(),
        }
    }
}

/// After a failed write the next try waits so long.
const RETRY_AFTER_FAULT: Duration = Duration::from_secs(1);
/// Dictionaries told at the opening of a session, at most.
const DICTIONARIES_KEPT: usize = 16;

/// A clock before 1970 or after 2200 is set to the end of what every store admits; the sample itself is kept.
fn storable(time: Timestamp) -> Timestamp {
    time.clamp(Timestamp::MIN, Timestamp::MAX)
}

/// Frames and samples lost, for whatever reason.
fn lost(totals: &LossTotals) -> (u64, u64) {
    let LossTotals { drop_oldest, corrupt } = totals;
    (
        drop_oldest.frames.saturating_add(corrupt.frames),
        drop_oldest.samples.saturating_add(corrupt.samples),
    )
}

fn small(record_type: RecordType, body: Vec<u8>) -> Draft {
    Draft { record_type, samples: 0, ts_min: Timestamp(0), ts_max: Timestamp(0), body }
}

async fn sleep_until(at: Option<Instant>) {
    if let Some(at) = at {
        tokio::time::sleep_until(at).await;
    }
}
