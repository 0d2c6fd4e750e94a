//! Where a running gateway tells its status: a Unix socket in its spool folder, so that `status` needs neither a file
//! that is written all the time nor an open network port. A reader that does not read, or a gateway that does not answer,
//! never holds up anybody for longer than a few seconds.

use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use model::host::Clock;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::status::{GatewayStatus, PointStatus};

/// Whoever asks and does not read is left after this time.
const READER_TIMEOUT: Duration = Duration::from_secs(1);
/// Readers that are served at the same time; the next one waits for one of them to end.
const READERS_MAX: usize = 32;
/// A status text of at least this many bytes is made once for all who ask within [`SHARED_FOR`].
const SHARED_BYTES_MIN: usize = 256 * 1024;
const SHARED_FOR: Duration = Duration::from_secs(1);
/// What is asked for. Whoever asks nothing within [`REQUEST_WAIT`] gets the summary: long enough for a program that asks on
/// a machine under load, which else would get another answer than it wants.
const SUMMARY: &[u8] = b"summary\n";
const ALL: &[u8] = b"all\n";
const REQUEST_WAIT: Duration = Duration::from_secs(1);
/// Points that are told at a time: what one reader of all of them costs in memory.
const PAGE_POINTS: usize = 500;
/// Longest answer that [`ask_all`] reads.
const ALL_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// Longest status text that is read.
const STATUS_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// How long [`ask`] waits for the whole answer.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// Where the gateway of this spool folder answers.
#[must_use]
pub fn socket_path(spool_folder: &Path) -> PathBuf {
    spool_folder.join("status.sock")
}

/// Where a status comes from.
pub(crate) trait StatusSource: Send + Sync + 'static {
    /// The summary.
    fn status(&self) -> impl Future<Output = GatewayStatus> + Send;
    /// At most `max` points from this one on, as they were when the summary was made last.
    fn points(&self, from: usize, max: usize) -> Vec<PointStatus>;
}

/// Asks a running gateway for its summary.
///
/// # Errors
/// Not found or refused when none runs on this spool; timed out after [`ASK_TIMEOUT`]; unexpected end or connection reset
/// when it ends in the middle of the answer, as one that stops does; invalid data when the answer is not one of a gateway.
pub async fn ask(spool_folder: &Path) -> std::io::Result<GatewayStatus> {
    ask_within(spool_folder, ASK_TIMEOUT).await
}

#[expect(clippy::disallowed_methods, reason = "environment: the status socket")]
async fn ask_within(spool_folder: &Path, limit: Duration) -> std::io::Result<GatewayStatus> {
    let answer = async {
        let mut stream = UnixStream::connect(socket_path(spool_folder)).await?;
        stream.write_all(SUMMARY).await?;
        let mut text = Vec::new();
        (&mut stream).take(STATUS_BYTES_MAX).read_to_end(&mut text).await?;
        Ok::<_, Error>(text)
    };
    let late = |_| Error::new(ErrorKind::TimedOut, format!("no answer within {limit:?}"));
    let text = tokio::time::timeout(limit, answer).await.map_err(late)??;
    serde_json::from_slice(&text).map_err(|e| {
        let is_cut = e.is_eof();
        Error::new(if is_cut { ErrorKind::UnexpectedEof } else { ErrorKind::InvalidData }, e)
    })
}

/// Asks a running gateway for all points: `first` is given the summary, `each` one point after the other. Holds one point
/// at a time.
///
/// # Errors
/// As [`ask`]; timed out when nothing comes for [`ASK_TIMEOUT`]; unexpected end when points are missing.
#[expect(clippy::disallowed_methods, reason = "environment: the status socket")]
pub async fn ask_all(
    spool_folder: &Path,
    first: impl FnOnce(&GatewayStatus),
    mut each: impl FnMut(&PointStatus),
) -> std::io::Result<GatewayStatus> {
    let late = |_| Error::new(ErrorKind::TimedOut, format!("no answer within {ASK_TIMEOUT:?}"));
    let bad = |e| Error::new(ErrorKind::InvalidData, e);
    let mut stream = UnixStream::connect(socket_path(spool_folder)).await?;
    stream.write_all(ALL).await?;
    let mut lines = BufReader::new(stream.take(ALL_BYTES_MAX)).lines();
    let ends = || Error::new(ErrorKind::UnexpectedEof, "the answer ends before all points");
    let line = tokio::time::timeout(ASK_TIMEOUT, lines.next_line()).await.map_err(late)??;
    let status: GatewayStatus = serde_json::from_str(&line.ok_or_else(ends)?).map_err(bad)?;
    first(&status);
    let mut told = 0;
    while let Some(line) =
        tokio::time::timeout(ASK_TIMEOUT, lines.next_line()).await.map_err(late)??
    {
        each(&serde_json::from_str(&line).map_err(bad)?);
        told += 1;
    }
    if told == status.point_counts.all { Ok(status) } else { Err(ends()) }
}

/// Answers until `stop`; the source is asked for each connection, for a long status once a second.
pub(crate) async fn serve<S>(
    listener: Arc<UnixListener>,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
    source: S,
) where
    S: StatusSource,
{
    let server = Arc::new(Server { source, clock, shared: Mutex::new(None) });
    let mut readers = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept(), if readers.len() < READERS_MAX => accepted,
            Some(ended) = readers.join_next() => {
                if let Err(Ok(payload)) = ended.map_err(tokio::task::JoinError::try_into_panic) {
                    // The supervisor counts it and starts the server again.
                    std::panic::resume_unwind(payload);
                }
                continue;
            }
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, _)) => {
                let server = Arc::clone(&server);
                readers.spawn(async move { server.answer(stream).await });
            }
            Err(e) => {
                tracing::warn!(error = %e, "cannot take a status connection");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

struct Server<S> {
    source: S,
    clock: Arc<dyn Clock>,
    /// The last long text and when it was made.
    shared: Mutex<Option<(Duration, Bytes)>>,
}

impl<S: StatusSource> Server<S> {
    async fn answer(&self, mut stream: UnixStream) {
        let mut request = [0; SUMMARY.len()];
        let asked = tokio::time::timeout(REQUEST_WAIT, stream.read(&mut request)).await;
        let asks_all = matches!(asked, Ok(Ok(length)) if request.get(..length) == Some(ALL));
        let text = self.text().await;
        let delivered = if asks_all {
            self.deliver_all(&mut stream, &text).await
        } else {
            deliver(&mut stream, &text).await
        };
        // Whoever asked may have gone, or not read; that is no fault of the gateway.
        match delivered {
            Ok(()) => part(stream).await,
            Err(e) => tracing::debug!(error = %e, "status not delivered"),
        }
    }

    /// The summary and each point, a line of JSON each.
    async fn deliver_all(&self, stream: &mut UnixStream, summary: &[u8]) -> std::io::Result<()> {
        deliver(stream, summary).await?;
        deliver(stream, b"\n").await?;
        let mut from = 0;
        loop {
            let page = self.source.points(from, PAGE_POINTS);
            if page.is_empty() {
                return Ok(());
            }
            from += page.len();
            let mut text = Vec::new();
            for point in &page {
                serde_json::to_writer(&mut text, point)?;
                text.push(b'\n');
            }
            deliver(stream, &text).await?;
        }
    }

    /// One text at a time is made, so that many who ask cannot take much memory.
    async fn text(&self) -> Bytes {
        let mut shared = self.shared.lock().await;
        if let Some((at, text)) = &*shared
            && self.clock.monotonic().saturating_sub(*at) < SHARED_FOR
        {
            return text.clone();
        }
        let status = self.source.status().await;
        let text =
            serde_json::to_vec(&status).expect("plain structs with text keys serialize to JSON");
        let text = Bytes::from(text);
        *shared = (text.len() >= SHARED_BYTES_MIN).then(|| (self.clock.monotonic(), text.clone()));
        text
    }
}

/// Ends a connection so that the answer arrives: one that is closed with a request unread, such as one that comes late, is
/// reset, and what was sent on it may be thrown away.
async fn part(mut stream: UnixStream) {
    let rest = async {
        stream.shutdown().await?;
        let mut unread = [0; 256];
        while stream.read(&mut unread).await? > 0 {}
        Ok::<_, Error>(())
    };
    let parted = tokio::time::timeout(READER_TIMEOUT, rest).await;
    tracing::trace!(?parted, "status connection ended");
}

/// Hands over a piece of an answer, or leaves a reader that does not take it.
async fn deliver(stream: &mut UnixStream, piece: &[u8]) -> std::io::Result<()> {
    let late = |_| Error::new(ErrorKind::TimedOut, "nobody reads it");
    tokio::time::timeout(READER_TIMEOUT, stream.write_all(piece)).await.map_err(late)?
}

#[cfg(test)]
mod tests;
