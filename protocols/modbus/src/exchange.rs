//! One request over an open link and the wait for its reply. Must never know what was asked before.

use std::io;
use std::time::Duration;

use tokio::time::timeout;

use crate::error::{HeardBytes, LinkError, Refusal};
use crate::link::OpenLink;
use crate::wire::{Asked, Framing, HEARD_BYTES_MAX, Heard};

/// Bytes of frames for others that are kept of one exchange.
const STRANGE_BYTES_MAX: usize = 2048;

/// A request that is to be sent.
pub(crate) struct Exchange<'a> {
    pub(crate) link: &'a mut OpenLink,
    pub(crate) asked: &'a Asked,
    /// How long the reply is waited for.
    pub(crate) limit: Duration,
    /// How long one with values is waited for behind an exception, which may be for another master.
    pub(crate) grace: Option<Duration>,
}

/// What was heard beside the reply.
#[derive(Default)]
pub(crate) struct Beside {
    /// Whole frames that are no reply to the request, and requests.
    pub(crate) frames: Vec<u8>,
    /// What was wrong with them, and where each stands.
    pub(crate) wrong: Vec<(LinkError, std::ops::Range<usize>)>,
}

impl Beside {
    fn push(&mut self, error: LinkError, frame: &[u8]) {
        let start = self.frames.len();
        if start + frame.len() <= STRANGE_BYTES_MAX {
            self.frames.extend(frame);
            self.wrong.push((error, start..self.frames.len()));
        }
    }
}

/// Why there is no reply.
pub(crate) struct Failure {
    pub(crate) error: LinkError,
    /// Whether the request may have reached the device.
    pub(crate) was_sent: bool,
    /// Whether not a byte came.
    pub(crate) nothing_came: bool,
}

/// Values or a refusal.
pub(crate) type Reply = Result<Vec<u16>, Refusal>;

impl Exchange<'_> {
    /// Sends the request and listens for its reply.
    ///
    /// # Errors
    /// Why there is no reply.
    pub(crate) async fn run(
        self,
        echo: &mut Option<bool>,
        beside: &mut Beside,
    ) -> Result<Reply, Failure> {
        let Self { link, asked, limit, grace } = self;
        let mut heard = Vec::with_capacity(HEARD_BYTES_MAX);
        let mut was_sent = false;
        let talk = async {
            link.send(&asked.frame()).await.map_err(LinkError::Broken)?;
            was_sent = true;
            listen(link, asked, &mut heard, echo, beside).await
        };
        let error = match timeout(limit, talk).await {
            Ok(Ok((reply, used))) => {
                let left_over = heard.split_off(used);
                if asked.framing == Framing::Rtu {
                    let before = used.saturating_sub(asked.rtu_length(&reply));
                    beside.frames.extend(heard.iter().take(before));
                }
                link.last_heard = heard;
                let (Err(refusal), Some(grace)) = (&reply, grace) else {
                    link.left_over = left_over;
                    return Ok(reply);
                };
                let refusal = *refusal;
                return Ok(
                    after_refusal(link, asked, left_over, refusal, (grace, echo, beside)).await
                );
            }
            Ok(Err(error)) => error,
            Err(_elapsed) => {
                // A request that did not leave within its time limit may still leave.
                was_sent = true;
                if asked.is_silence(&heard) {
                    LinkError::Timeout { timeout: limit }
                } else {
                    let bytes = HeardBytes::of(&heard);
                    LinkError::Garbled { why: "no whole reply in time", bytes }
                }
            }
        };
        let nothing_came = heard.is_empty();
        if asked.framing == Framing::Rtu {
            beside.frames.extend(heard.iter().take(STRANGE_BYTES_MAX));
        }
        Err(Failure { error, was_sent, nothing_came })
    }
}

/// The reply with values that comes behind an exception, which then was none of ours; else the exception.
async fn after_refusal(
    link: &mut OpenLink,
    asked: &Asked,
    mut heard: Vec<u8>,
    refusal: Refusal,
    (grace, echo, beside): (Duration, &mut Option<bool>, &mut Beside),
) -> Reply {
    let values = async {
        loop {
            match listen(link, asked, &mut heard, echo, beside).await {
                Ok((Ok(values), used)) => return Some((values, used)),
                Ok((Err(_), used)) => drop(heard.drain(..used)),
                Err(_) => return None,
            }
        }
    };
    let Ok(Some((values, used))) = timeout(grace, values).await else {
        link.left_over = heard;
        return Err(refusal);
    };
    // The exception, which was for somebody else.
    beside.frames.append(&mut link.last_heard);
    link.left_over = heard.split_off(used);
    link.last_heard = heard;
    Ok(values)
}

async fn listen(
    link: &mut OpenLink,
    asked: &Asked,
    heard: &mut Vec<u8>,
    echo: &mut Option<bool>,
    beside: &mut Beside,
) -> Result<(Reply, usize), LinkError> {
    loop {
        // More than one frame may have come at once, so what is there is looked at before more is waited for.
        match asked.hear(heard, echo) {
            Heard::Reply(reply, used) => return Ok((reply, used)),
            Heard::Wrong(LinkError::Transaction { found, .. }, frame)
                if link.late.contains(&found) =>
            {
                drop(heard.drain(frame));
                link.late.retain(|late| *late != found);
                continue;
            }
            // A reply that is late, or one to another master: neither keeps the one that is due from coming.
            Heard::Wrong(error, frame) if asked.framing == Framing::Rtu => {
                beside.push(error, heard.get(frame.clone()).unwrap_or_default());
                drop(heard.drain(frame));
                continue;
            }
            Heard::Wrong(error, _) => return Err(error),
            Heard::Garbled(why) => {
                return Err(LinkError::Garbled { why, bytes: HeardBytes::of(heard) });
            }
            Heard::Partial => {}
        }
        if heard.len() >= HEARD_BYTES_MAX {
            let bytes = HeardBytes::of(heard);
            return Err(LinkError::Garbled { why: "more bytes than any reply has", bytes });
        }
        match link.receive(heard).await {
            Ok(0) => return Err(closed()),
            Ok(_) => {}
            Err(error) => return Err(LinkError::Broken(error)),
        }
    }
}

/// The link was closed by the other side.
pub(crate) fn closed() -> LinkError {
    let closed = io::Error::new(io::ErrorKind::ConnectionAborted, "the other side closed it");
    LinkError::Broken(closed)
}
