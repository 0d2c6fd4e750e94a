//! An open link: bytes out, bytes in, and what is known of this one connection. Must never know a frame.

use std::io;
use std::time::Duration;

use driver::SerialLine;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::request::Request;

/// An open TCP connection or serial line.
pub(crate) struct OpenLink {
    wire: Wire,
    /// When it was opened, on the monotonic clock.
    pub(crate) opened: Duration,
    /// Whole replies that it brought.
    pub(crate) replies: u32,
    /// Requests on it in a row that got no answer.
    pub(crate) unanswered: u32,
    /// Requests that got no answer in time before its first reply: the first of them.
    pub(crate) ignored: Vec<Request>,
    /// Transactions of it that got no answer in time: replies to them are late, and no fault.
    pub(crate) late: Vec<u16>,
    /// Bytes that nobody asked for, and that nobody looked at yet: first those behind the last reply.
    pub(crate) left_over: Vec<u8>,
    /// What was heard with the last reply, and up to its end.
    pub(crate) last_heard: Vec<u8>,
    /// The request that was sent last: a line may bring it back.
    pub(crate) last_sent: Vec<u8>,
}

enum Wire {
    Tcp(TcpStream),
    Serial(SerialLine),
}

/// What was taken from a link without being asked for.
pub(crate) struct Drained {
    /// The first of them.
    pub(crate) bytes: Vec<u8>,
    /// How many there were.
    pub(crate) count: u64,
}

/// Bytes of what is drained that are looked at: several frames.
const DRAINED_BYTES_MAX: usize = 2048;

/// What lies on a link before anything is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stray {
    Nothing,
    /// Bytes that nobody asked for; draining takes them away.
    Bytes,
    /// The other side closed it.
    Closed,
}

impl OpenLink {
    pub(crate) fn tcp(stream: TcpStream, opened: Duration) -> Self {
        Self::new(Wire::Tcp(stream), opened)
    }

    pub(crate) fn serial(line: SerialLine, opened: Duration) -> Self {
        Self::new(Wire::Serial(line), opened)
    }

    fn new(wire: Wire, opened: Duration) -> Self {
        Self {
            wire,
            opened,
            replies: 0,
            unanswered: 0,
            ignored: Vec::new(),
            late: Vec::new(),
            left_over: Vec::new(),
            last_heard: Vec::new(),
            last_sent: Vec::new(),
        }
    }

    /// Sends all of `bytes`.
    ///
    /// # Errors
    /// The link is broken; they may have been sent in part.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.wire {
            Wire::Tcp(stream) => stream.write_all(bytes).await,
            Wire::Serial(line) => line.write_all(bytes).await,
        }
    }

    /// Appends what comes next to `heard`; 0 at the end.
    ///
    /// # Errors
    /// The link is broken.
    pub(crate) async fn receive(&mut self, heard: &mut Vec<u8>) -> io::Result<usize> {
        match &mut self.wire {
            Wire::Tcp(stream) => stream.read_buf(heard).await,
            Wire::Serial(line) => line.read_buf(heard).await,
        }
    }

    /// Whether something came that nobody asked for.
    pub(crate) fn stray(&mut self) -> Stray {
        match &mut self.wire {
            Wire::Serial(line) => self.left_over.extend(line.take_stray()),
            Wire::Tcp(stream) => {
                let mut bytes = [0_u8; 512];
                match stream.try_read(&mut bytes) {
                    Ok(0) => return Stray::Closed,
                    Ok(found) => self.left_over.extend(bytes.iter().take(found)),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(_) => return Stray::Closed,
                }
            }
        }
        if self.left_over.is_empty() { Stray::Nothing } else { Stray::Bytes }
    }

    /// Takes what comes until nothing has come for `silence`, or until `limit` is over.
    ///
    /// # Errors
    /// That it is broken.
    pub(crate) async fn drain(
        &mut self,
        silence: Duration,
        limit: Duration,
    ) -> io::Result<Drained> {
        let mut bytes = std::mem::take(&mut self.left_over);
        let count = bytes.len() as u64;
        bytes.truncate(DRAINED_BYTES_MAX);
        let mut drained = Drained { bytes, count };
        let mut piece = Vec::new();
        let until_silent = async {
            while let Ok(found) = timeout(silence, self.receive(&mut piece)).await {
                match found? {
                    0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
                    found => drained.count = drained.count.saturating_add(found as u64),
                }
                let room = DRAINED_BYTES_MAX.saturating_sub(drained.bytes.len());
                drained.bytes.extend(piece.drain(..).take(room));
            }
            Ok(())
        };
        // One that is never silent has been emptied as far as can be.
        timeout(limit, until_silent).await.unwrap_or(Ok(()))?;
        Ok(drained)
    }
}
