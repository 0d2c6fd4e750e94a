//! How the gateway does, as data. A running gateway answers on a Unix socket in its spool folder, so that `status`
//! needs neither a file that is written all the time nor an open network port.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

/// Name and version of the text below; fields are only ever added.
pub const STATUS_SCHEMA: &str = "nengliu.gateway-status.v1";
/// Whoever asks and does not read is left after this time: others wait behind.
const READER_TIMEOUT: Duration = Duration::from_secs(1);
/// Longest status text that is read.
const STATUS_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// How the gateway does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GatewayStatus {
    /// [`STATUS_SCHEMA`].
    pub schema: String,
    /// Name of the gateway.
    pub gateway: String,
    /// Version of the program.
    pub version: String,
    /// Start of this run, milliseconds since the epoch.
    pub started_ms: i64,
    /// The gateway's clock now, milliseconds since the epoch.
    pub now_ms: i64,
    /// The devices, by name.
    pub devices: BTreeMap<String, DeviceStatus>,
    /// The points, in the order of the configuration.
    pub points: Vec<PointStatus>,
    /// The spool.
    pub spool: SpoolStatus,
    /// The uplink.
    pub uplink: UplinkStatus,
}

/// How one device does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceStatus {
    /// `None` before the first answer or failure.
    pub answering: Option<bool>,
    /// Since when, milliseconds since the epoch.
    pub since_ms: i64,
    /// Latency of the last answer, milliseconds.
    pub latency_ms: Option<u64>,
    /// Requests answered in this run.
    pub answered: u64,
    /// Requests failed in this run.
    pub failed: u64,
    /// Cycles begun late in this run.
    pub late: u64,
    /// Code of the fault, while there is one.
    pub code: Option<String>,
    /// What is wrong and what to do next, while something is.
    pub message: Option<String>,
}

/// The last sample of one point.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PointStatus {
    /// The point.
    pub point: String,
    /// Its value as text, exact; `None` without one.
    pub value: Option<String>,
    /// Its unit.
    pub unit: String,
    /// Its quality; `None` before the first sample.
    pub quality: Option<String>,
    /// Source time of the last sample, milliseconds since the epoch.
    pub source_time_ms: Option<i64>,
    /// Newest source time that is durable in the spool in this run, milliseconds since the epoch.
    pub durable_source_time_ms: Option<i64>,
    /// The history mark, milliseconds since the epoch, where the device has a memory that is read back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history_mark_ms: Option<i64>,
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
    /// The watermark: what the store has.
    pub acked: u64,
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
    /// Samples given up in memory because the disk failed; they never got a sequence.
    pub samples_refused: u64,
    /// Whether reading back pauses because the spool is nearly full or cannot be written.
    pub read_back_paused: bool,
    /// Whether the disk will be full before the quota is.
    #[serde(default)]
    pub space_short: bool,
    /// What the last crash or the disk had done to it.
    #[serde(default)]
    pub found_at_start: SpoolFindings,
    /// What is wrong with the disk, while something is.
    pub fault: Option<String>,
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

/// How the uplink does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UplinkStatus {
    /// The broker.
    pub url: String,
    /// Whether it is connected.
    pub connected: bool,
    /// Why not, while it is not.
    pub reason: Option<String>,
    /// Why nothing is sent or freed although it is connected, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// Frames that wait for a commit ack, sent or not.
    pub frames_waiting: u64,
    /// How often sending began again from the watermark.
    pub resends: u64,
    /// When the last ack came that moved the watermark, milliseconds since the epoch.
    pub last_ack_ms: Option<i64>,
}

/// Where the gateway of this spool folder answers.
#[must_use]
pub fn socket_path(spool_folder: &Path) -> PathBuf {
    spool_folder.join("status.sock")
}

/// Asks a running gateway.
///
/// # Errors
/// Not found or refused when none runs on this spool; invalid data when the answer is not one of ours.
pub async fn ask(spool_folder: &Path) -> std::io::Result<GatewayStatus> {
    let mut stream = UnixStream::connect(socket_path(spool_folder)).await?;
    let mut text = Vec::new();
    (&mut stream).take(STATUS_BYTES_MAX).read_to_end(&mut text).await?;
    serde_json::from_slice(&text)
        .map_err(|e| std::io::Error::new(std::io::ErrorKind::InvalidData, e))
}

/// Answers until `stop`; `status` is asked for each connection.
pub(crate) async fn serve<F, S>(listener: UnixListener, stop: CancellationToken, status: F)
where
    F: Fn() -> S + Send,
    S: Future<Output = Option<GatewayStatus>> + Send,
{
    let answer_all = async {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => answer(stream, &status).await,
                Err(e) => {
                    tracing::warn!(error = %e, "cannot take a status connection");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    };
    tokio::select! {
        () = answer_all => {}
        () = stop.cancelled() => {}
    }
}

async fn answer<F, S>(mut stream: UnixStream, status: &F)
where
    F: Fn() -> S + Send,
    S: Future<Output = Option<GatewayStatus>> + Send,
{
    let Some(status) = status().await else { return };
    let text = serde_json::to_vec(&status).expect("plain structs with text keys serialize to JSON");
    // Whoever asked may have gone, or not read; that is no fault of ours.
    match tokio::time::timeout(READER_TIMEOUT, stream.write_all(&text)).await {
        Ok(Ok(())) => {}
        Ok(Err(e)) => tracing::debug!(error = %e, "status not delivered"),
        Err(_) => tracing::debug!("status not delivered: nobody read it"),
    }
}

#[cfg(test)]
mod tests;
