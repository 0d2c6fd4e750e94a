//! The connection of one client as the broker reads it: packets that are half sent are bounded in sum and in time.
//! Writing passes through.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use mqtt5::broker::transport::WebSocketTransport;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use crate::framer::Framer;
use crate::half_read::Share;

/// Longest time for one packet, from its first byte to its last.
pub const PACKET_TIME_MAX: Duration = Duration::from_secs(20);
const CHUNK: usize = 4_096;

/// A client's connection under guard.
#[derive(Debug)]
pub struct Guarded {
    stream: TcpStream,
    framer: Framer,
    share: Share,
    /// For the broker, and how much of it was taken.
    ready: Vec<u8>,
    taken: usize,
    /// End of the time for the packet under way, and how many packets came before it.
    deadline: Option<Pin<Box<Sleep>>>,
    complete: u64,
}

impl Guarded {
    /// Guards `stream`; the broker first reads `connect`, then what follows `behind`, which was read already.
    ///
    /// # Errors
    ///
    /// When what was read already cannot be followed.
    pub fn new(
        stream: TcpStream,
        connect: Vec<u8>,
        behind: &[u8],
        mut framer: Framer,
        share: Share,
    ) -> io::Result<Self> {
        let mut ready = connect;
        framer.feed(behind, &mut ready).map_err(io::Error::other)?;
        Ok(Self { stream, framer, share, ready, taken: 0, deadline: None, complete: 0 })
    }

    /// Hands over what is ready; whether there was anything.
    fn hand_over(&mut self, into: &mut ReadBuf<'_>) -> bool {
        let rest = self.ready.get(self.taken..).unwrap_or_default();
        let count = rest.len().min(into.remaining());
        into.put_slice(rest.get(..count).unwrap_or_default());
        self.taken += count;
        if self.taken >= self.ready.len() {
            self.ready.clear();
            self.ready.shrink_to(2 * CHUNK);
            self.taken = 0;
        }
        count > 0
    }

    /// Bounds the packet under way in time and in the sum of all.
    fn account(&mut self, cx: &Context<'_>) -> io::Result<()> {
        let (half_read, complete) = (self.framer.half_read(), self.framer.complete());
        if half_read == 0 || complete != self.complete {
            self.complete = complete;
            self.deadline = None;
            self.share.set(0, cx.waker()).map_err(|_| given_up())?;
        }
        if half_read > 0 && self.deadline.is_none() {
            self.deadline = Some(Box::pin(sleep(PACKET_TIME_MAX)));
        }
        self.share.set(half_read, cx.waker()).map_err(|_| given_up())
    }
}

fn given_up() -> io::Error {
    let text = "a packet was not complete when others needed its room";
    io::Error::new(io::ErrorKind::TimedOut, text)
}

impl AsyncRead for Guarded {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if this.hand_over(into) || into.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            this.share.check(cx.waker()).map_err(|_| given_up())?;
            if this.deadline.as_mut().is_some_and(|end| end.as_mut().poll(cx).is_ready()) {
                let text = format!("a packet was not complete within {PACKET_TIME_MAX:?}");
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, text)));
            }
            let mut chunk = [0; CHUNK];
            let mut chunk = ReadBuf::new(&mut chunk);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut chunk))?;
            if chunk.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.framer.feed(chunk.filled(), &mut this.ready).map_err(io::Error::other)?;
            this.account(cx)?;
        }
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

impl WebSocketTransport for Guarded {
    fn peer_addr(&self) -> mqtt5::Result<std::net::SocketAddr> {
        Ok(self.stream.peer_addr()?)
    }
}
