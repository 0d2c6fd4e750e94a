//! The TCP connection under a session, with a guard that reads the length of each chunk as it arrives and ends the
//! connection before a longer one is kept than we agreed to: the library itself takes whatever length is announced.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use async_opcua::client::ConnectionSource;
use async_opcua::client::transport::{
    Connector, RequestRecv, SecureChannelState, StreamConnection, StreamConnector, StreamTransport,
    TransportConfiguration,
};
use async_opcua::core::comms::tcp_codec::TcpCodec;
use async_opcua::core::comms::url::hostname_port_from_url;
use async_opcua::types::{DecodingOptions, EndpointDescription, Error, StatusCode};
use thiserror::Error as ThisError;
use tokio::io::{AsyncRead, ReadBuf, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio_util::codec::FramedRead;

/// Longest chunk that we take, as our Hello says; the server may only make it shorter.
pub(crate) const CHUNK_BYTES_MAX: usize = 65_535;
/// Most chunks of one message. What a page of history or a notification needs is far below; a message that needs more
/// fails alone, and the connection goes on.
pub(crate) const CHUNKS_MAX: usize = 16;
/// Longest message, and so the longest text or array in one.
pub(crate) const MESSAGE_BYTES_MAX: usize = CHUNK_BYTES_MAX * CHUNKS_MAX;

const DEFAULT_TCP_PORT: u16 = 4840;
const HEADER_BYTES: usize = 8;

/// A chunk that ends the connection.
///
/// # Source
/// OPC 10000-6 §7.1.2.2 (message header: type, reserved, size with the header), §7.1.2.3 and §7.1.2.4 (Hello and
/// Acknowledge agree on the sizes of the buffers).
#[derive(Debug, Clone, Copy, PartialEq, Eq, ThisError)]
pub(crate) enum ChunkError {
    #[error("a chunk of {announced} bytes is announced, at most {CHUNK_BYTES_MAX} were agreed on")]
    TooLong { announced: u32 },
    #[error("a chunk of {announced} bytes is announced, its header alone has {HEADER_BYTES}")]
    TooShort { announced: u32 },
}

/// Where the guard leaves what it found; the library hands only a status code on.
pub(crate) type Found = Arc<OnceLock<ChunkError>>;

/// Reads lengths as they pass.
#[derive(Debug, Default)]
struct Lengths {
    header: [u8; HEADER_BYTES],
    header_filled: usize,
    body_left: usize,
}

impl Lengths {
    fn pass(&mut self, mut bytes: &[u8]) -> Result<(), ChunkError> {
        while !bytes.is_empty() {
            if self.body_left > 0 {
                let passed = self.body_left.min(bytes.len());
                self.body_left -= passed;
                bytes = bytes.get(passed..).unwrap_or_default();
                continue;
            }
            let Some((first, rest)) = bytes.split_first() else { break };
            if let Some(byte) = self.header.get_mut(self.header_filled) {
                *byte = *first;
            }
            bytes = rest;
            self.header_filled += 1;
            if self.header_filled == HEADER_BYTES {
                self.header_filled = 0;
                let [.., a, b, c, d] = self.header;
                let announced = u32::from_le_bytes([a, b, c, d]);
                let length = usize::try_from(announced).unwrap_or(usize::MAX);
                if length > CHUNK_BYTES_MAX {
                    return Err(ChunkError::TooLong { announced });
                }
                self.body_left =
                    length.checked_sub(HEADER_BYTES).ok_or(ChunkError::TooShort { announced })?;
            }
        }
        Ok(())
    }
}

/// The reading half of a connection.
pub(crate) struct Guarded<R> {
    inner: R,
    lengths: Lengths,
    found: Found,
}

impl<R: AsyncRead + Unpin> AsyncRead for Guarded<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        let passed = buf.filled().get(before..).unwrap_or_default();
        let Err(error) = self.lengths.pass(passed) else { return Poll::Ready(Ok(())) };
        buf.set_filled(before);
        self.found.get_or_init(|| error);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)))
    }
}

type Reader = Guarded<ReadHalf<TcpStream>>;
type Writer = WriteHalf<TcpStream>;

/// Connects to a server by TCP, with the guard.
#[derive(Debug, Clone)]
pub(crate) struct GuardedTcp {
    url: String,
    found: Found,
}

impl GuardedTcp {
    pub(crate) fn new(url: String, found: Found) -> Self {
        Self { url, found }
    }

    #[expect(clippy::disallowed_methods, reason = "environment: the connection to a device")]
    async fn open(
        url: String,
        options: DecodingOptions,
        found: Found,
    ) -> Result<StreamConnection<Reader, Writer>, Error> {
        let failed = |error: &dyn std::fmt::Display| {
            Error::new(StatusCode::BadCommunicationError, error.to_string())
        };
        let (host, tcp_port) = hostname_port_from_url(&url, DEFAULT_TCP_PORT)
            .map_err(|status| Error::new(status, "no host in the URL"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let socket = TcpStream::connect((host, tcp_port)).await.map_err(|error| failed(&error))?;
        let (reader, writer) = tokio::io::split(socket);
        let reader = Guarded { inner: reader, lengths: Lengths::default(), found };
        let frames = FramedRead::new(reader, TcpCodec::new(options));
        Ok(StreamConnection::new(frames, writer, url))
    }
}

impl Connector for GuardedTcp {
    type Transport = StreamTransport<Reader, Writer>;

    async fn connect(
        &self,
        channel: Arc<SecureChannelState>,
        outgoing: RequestRecv,
        config: TransportConfiguration,
    ) -> Result<Self::Transport, Error> {
        let open = |url, options| Self::open(url, options, Arc::clone(&self.found));
        StreamConnector::new(open, self.url.clone()).connect(channel, outgoing, config).await
    }

    fn default_endpoint(&self) -> EndpointDescription {
        EndpointDescription::from(self.url.as_str())
    }
}

/// What makes the connection of a session.
pub(crate) struct Source(pub(crate) Found);

impl ConnectionSource for Source {
    type Builder = GuardedTcp;

    fn get_connector(&self, endpoint: &EndpointDescription) -> Result<GuardedTcp, Error> {
        Ok(GuardedTcp::new(endpoint.endpoint_url.as_ref().to_owned(), Arc::clone(&self.0)))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn chunk(length: u32) -> Vec<u8> {
        let body = usize::try_from(length).unwrap().saturating_sub(HEADER_BYTES);
        [b"MSGF".as_slice(), &length.to_le_bytes(), &vec![7; body]].concat()
    }

    #[test]
    fn lengths_are_read_however_the_bytes_come() {
        let agreed = u32::try_from(CHUNK_BYTES_MAX).unwrap();
        let good = [chunk(8), chunk(28), chunk(agreed), chunk(9)].concat();
        for step in [1, 3, 8, 1_000, good.len()] {
            let mut lengths = Lengths::default();
            for part in good.chunks(step) {
                assert_eq!(lengths.pass(part), Ok(()), "{step}");
            }
            let announced = agreed + 1;
            let bytes = [b"OPNF".as_slice(), &announced.to_le_bytes()].concat();
            let found: Result<(), ChunkError> =
                bytes.chunks(step).try_for_each(|part| lengths.pass(part));
            assert_eq!(found, Err(ChunkError::TooLong { announced }), "{step}");
        }
        let mut lengths = Lengths::default();
        let zero = lengths.pass(&[b"ERRF".as_slice(), &[0; 4]].concat());
        assert_eq!(zero, Err(ChunkError::TooShort { announced: 0 }));
    }

    #[tokio::test]
    async fn nothing_of_a_chunk_that_is_too_long_reaches_the_library() {
        let (mut theirs, ours) = tokio::io::duplex(1 << 20);
        let found = Found::default();
        let mut reader =
            Guarded { inner: ours, lengths: Lengths::default(), found: Arc::clone(&found) };
        theirs.write_all(&chunk(28)).await.unwrap();
        let mut read = vec![0; 28];
        reader.read_exact(&mut read).await.unwrap();
        theirs
            .write_all(&[b"MSGC\xff\xff\xff\x7f".as_slice(), &[0; 4_096]].concat())
            .await
            .unwrap();
        let mut rest = Vec::new();
        let error = reader.read_to_end(&mut rest).await.unwrap_err();
        assert!(error.to_string().contains("2147483647 bytes"), "{error}");
        assert!(rest.is_empty());
        assert_eq!(found.get(), Some(&ChunkError::TooLong { announced: 0x7fff_ffff }));
    }
}
