//! What the keeper tells of itself, as `status` shows it.

use serde::{Deserialize, Serialize};

/// The wall clock of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockStatus {
    /// Whether the time could be true. While it could not, readings carry the flag `clock_unsynchronised`.
    pub is_plausible: bool,
    /// How often it was set in this run.
    pub steps: u64,
    /// The last of these steps, milliseconds; below 0 where it was set back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_step_ms: Option<i64>,
}

impl Default for ClockStatus {
    fn default() -> Self {
        Self { is_plausible: true, steps: 0, last_step_ms: None }
    }
}

/// A point whose readings do not fit it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnfitPoint {
    /// The point.
    pub point: String,
    /// Its readings that were refused in this run.
    pub samples: u64,
    /// Why: what was expected and what was found.
    pub why: String,
}

/// How the spool does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpoolStatus {
    /// Its life.
    pub log_id: String,
    /// Oldest sequence held.
    pub oldest: u64,
    /// The next sequence.
    pub next: u64,
    /// Highest durable sequence.
    pub durable: u64,
    /// The watermark: what the stores of all destinations have.
    pub acked: u64,
    /// Each destination, in the order of the configuration.
    #[serde(default)]
    pub destinations: Vec<DestinationStatus>,
    /// Bytes on disk.
    pub bytes: u64,
    /// Most bytes it may take.
    pub quota_bytes: u64,
    /// Samples appended in this run.
    pub samples_appended: u64,
    /// Samples in this run that were the very same as one that waited beside them.
    pub repeats_dropped: u64,
    /// Frames lost in the life of the spool, each covered by a LOSS record.
    pub frames_lost: u64,
    /// Samples in them.
    pub samples_lost: u64,
    /// Samples of this run that were not kept, because the disk failed or because they did not fit their point. A LOSS
    /// record without a sequence tells the centre of them.
    pub samples_refused: u64,
    /// Those of `samples_refused` that no LOSS record tells of yet, because none could be written.
    #[serde(default)]
    pub samples_refused_unrecorded: u64,
    /// Points whose readings did not fit them, at most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unfit: Vec<UnfitPoint>,
    /// Of `samples_lost`, those lost in this run.
    #[serde(default)]
    pub samples_lost_in_run: u64,
    /// How long frames have waited without any commit ack, in milliseconds, at the destination that is silent for longest;
    /// `None` when none waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_ack_for_ms: Option<u64>,
    /// Whether reading back pauses because the spool is nearly full or cannot be written.
    pub read_back_paused: bool,
    /// Whether the disk will be full before the quota is.
    #[serde(default)]
    pub space_short: bool,
    /// What the last crash or the disk had done to it.
    #[serde(default)]
    pub found_at_start: SpoolFindings,
    /// The last run did not end in order: when its last durable reading was, milliseconds since the epoch. Readings after
    /// it may be lost, nobody knows how many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unclean_end_ms: Option<i64>,
    /// What is wrong with the disk, while something is.
    pub fault: Option<String>,
}

/// What the spool knows of one destination.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DestinationStatus {
    /// What the log calls it.
    pub id: String,
    /// The watermark: what its store has.
    pub acked: u64,
    /// Frames that are held for it and not acked.
    #[serde(default)]
    pub frames_waiting: u64,
    /// How long they have waited without any commit ack from it, in milliseconds; `None` when none waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_ack_for_ms: Option<u64>,
    /// Frames given up for it, each covered by a LOSS record.
    pub frames_lost: u64,
    /// Samples in them, as far as they are known.
    pub samples_lost: u64,
    /// Sequences passed over after an unclean end.
    pub frames_skipped: u64,
}

/// What was missing in the spool when this run began. Samples are those whose headers could still be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpoolFindings {
    /// Frames that were durable and cannot be read; they count in `frames_lost` too.
    pub frames_damaged: u64,
    /// Samples in them.
    pub samples_damaged: u64,
    /// Frames of a commit that did not finish: they never were durable.
    pub frames_cut: u64,
    /// Samples in them.
    pub samples_cut: u64,
}
