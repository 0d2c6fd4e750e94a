//! A serial line that two can hold: the Modbus library sends and receives on it, and its owner drains it when the two
//! ends are out of step. Must never know Modbus.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::time::{Instant, timeout};
use tokio_serial::SerialStream;

/// An open serial line; clones are the same line.
#[derive(Debug, Clone)]
pub(crate) struct SerialLine(Arc<Mutex<SerialStream>>);

impl SerialLine {
    /// Takes an open line.
    pub(crate) fn new(stream: SerialStream) -> Self {
        Self(Arc::new(Mutex::new(stream)))
    }

    /// Whether bytes have come that nobody asked for; they are taken away.
    pub(crate) fn take_stray(&self) -> bool {
        let mut bytes = [0_u8; 256];
        matches!(self.line().try_read(&mut bytes), Ok(1..))
    }

    /// Throws away what comes until nothing has come for `silence`.
    ///
    /// # Errors
    /// `TimedOut` when it is not silent for so long within `limit`, or what the line says.
    pub(crate) async fn drain(&mut self, silence: Duration, limit: Duration) -> io::Result<()> {
        let until = Instant::now() + limit;
        let mut bytes = [0_u8; 256];
        while Instant::now() < until {
            match timeout(silence, self.read(&mut bytes)).await {
                Err(_silent) => return Ok(()),
                Ok(Ok(0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(error),
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    /// The line; a panic while it was held leaves a file descriptor, which cannot be in a bad state.
    fn line(&self) -> MutexGuard<'_, SerialStream> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsyncRead for SerialLine {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.line()).poll_read(context, buffer)
    }
}

impl AsyncWrite for SerialLine {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.line()).poll_write(context, bytes)
    }

    /// Waits for nothing: what was written is the kernel's already. To flush the line itself would be `tcdrain`, which
    /// holds the thread until the last byte is on the wire, where no time limit reaches it.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use nix::pty::openpty;
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    /// A terminal pair has no wire, so a far end that takes nothing stands for a slow one.
    #[tokio::test]
    async fn a_request_does_not_hold_its_thread_until_it_is_on_the_wire() {
        let pair = openpty(None, None).unwrap();
        let path = nix::unistd::ttyname(&pair.slave).unwrap();
        let builder = tokio_serial::new(path.display().to_string(), 1200);
        let mut line = SerialLine::new(SerialStream::open(&builder).unwrap());
        let full = async { while line.write(&[0; 256]).await.unwrap() > 0 {} };
        timeout(Duration::from_millis(200), full).await.unwrap_err();
        let flushed = async { line.flush().await.and(line.shutdown().await) };
        timeout(Duration::from_millis(200), flushed).await.unwrap().unwrap();
    }
}
