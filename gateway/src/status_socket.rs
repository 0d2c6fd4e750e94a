//! Where a running gateway tells its status: a Unix socket in its spool folder, so that `status` needs neither a file
//! that is written all the time nor an open network port. A reader that does not read, or a gateway that does not answer,
//! never holds up anybody for longer than a few seconds.

use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use model::host::Clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::status::GatewayStatus;

/// Whoever asks and does not read is left after this time.
const READER_TIMEOUT: Duration = Duration::from_secs(1);
/// Readers that are served at the same time; the next one waits for one of them to end.
const READERS_MAX: usize = 32;
/// A status text of at least this many bytes is made once for all who ask within [`SHARED_FOR`].
const SHARED_BYTES_MIN: usize = 256 * 1024;
const SHARED_FOR: Duration = Duration::from_secs(1);
/// Longest status text that is read.
const STATUS_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// How long [`ask`] waits for the whole answer.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// Where the gateway of this spool folder answers.
#[must_use]
pub fn socket_path(spool_folder: &Path) -> PathBuf {
    spool_folder.join("status.sock")
}

/// Asks a running gateway.
///
/// # Errors
/// Not found or refused when none runs on this spool; timed out after [`ASK_TIMEOUT`]; invalid data when the answer is
/// not one of a gateway.
pub async fn ask(spool_folder: &Path) -> std::io::Result<GatewayStatus> {
    ask_within(spool_folder, ASK_TIMEOUT).await
}

#[expect(clippy::disallowed_methods, reason = "environment: the status socket")]
async fn ask_within(spool_folder: &Path, limit: Duration) -> std::io::Result<GatewayStatus> {
    let answer = async {
        let mut stream = UnixStream::connect(socket_path(spool_folder)).await?;
        let mut text = Vec::new();
        (&mut stream).take(STATUS_BYTES_MAX).read_to_end(&mut text).await?;
        Ok::<_, Error>(text)
    };
    let late = |_| Error::new(ErrorKind::TimedOut, format!("no answer within {limit:?}"));
    let text = tokio::time::timeout(limit, answer).await.map_err(late)??;
    serde_json::from_slice(&text).map_err(|e| Error::new(ErrorKind::InvalidData, e))
}

/// Answers until `stop`; `status` is asked for each connection, for a long status once a second.
pub(crate) async fn serve<F, S>(
    listener: Arc<UnixListener>,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
    status: F,
) where
    F: Fn() -> S + Send + Sync + 'static,
    S: Future<Output = GatewayStatus> + Send,
{
    let server = Arc::new(Server { status, clock, shared: Mutex::new(None) });
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

struct Server<F> {
    status: F,
    clock: Arc<dyn Clock>,
    /// The last long text and when it was made.
    shared: Mutex<Option<(Duration, Bytes)>>,
}

impl<F, S> Server<F>
where
    F: Fn() -> S + Send + Sync,
    S: Future<Output = GatewayStatus> + Send,
{
    async fn answer(&self, mut stream: UnixStream) {
        let text = self.text().await;
        // Whoever asked may have gone, or not read; that is no fault of the gateway.
        match tokio::time::timeout(READER_TIMEOUT, stream.write_all(&text)).await {
            Ok(Ok(())) => {}
            Ok(Err(e)) => tracing::debug!(error = %e, "status not delivered"),
            Err(_) => tracing::debug!("status not delivered: nobody read it"),
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
        let status = (self.status)().await;
        let text =
            serde_json::to_vec(&status).expect("plain structs with text keys serialize to JSON");
        let text = Bytes::from(text);
        *shared = (text.len() >= SHARED_BYTES_MIN).then(|| (self.clock.monotonic(), text.clone()));
        text
    }
}

#[cfg(test)]
mod tests;
