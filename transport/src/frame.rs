//! Frames on a stream: four bytes of length (little endian), then that many bytes. Above the limit the connection ends.

use std::{fmt, sync::Arc};

use bytes::{Buf, Bytes, BytesMut};
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::oneshot;
use tracing::warn;

use crate::{
    close::{CloseCode, Far, reason_of},
    codec::{self, DecodeError, EncodeError},
    stats::Counters,
};

/// Bytes of a frame's length.
const HEADER_BYTES: usize = 4;

/// How many bytes one read takes from the stream at most.
const READ_BYTES_MAX: usize = 64 << 10;

/// Why a frame was not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The frame is above the limit of the stream. Nothing was sent; the stream is still good.
    #[error(
        "a frame of {bytes} bytes for {peer} was not sent: this stream carries at most {bytes_max}; send it in parts"
    )]
    TooLong {
        /// Node or address at the other end.
        peer: String,
        /// Length of the frame.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// The value has no wire form. Nothing was sent; the stream is still good.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The connection or the stream ended. The peer may have received the frame or not.
    #[error("the stream to {peer} ended: {reason}; open a new one")]
    Lost {
        /// Node or address at the other end.
        peer: String,
        /// How it ended.
        reason: String,
    },
    /// An earlier send was given up half-way, so that the stream ends within a frame. Nothing was sent.
    #[error("an earlier frame for {peer} was given up half-way; open a new stream")]
    Interrupted {
        /// Node or address at the other end.
        peer: String,
    },
}

/// Why no frame was received. The stream gives no more frames afterwards, except after `Message`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecvError {
    /// The peer announced a frame above the limit; the connection has been closed.
    #[error(
        "{peer} announced a frame of {bytes} bytes, this stream carries at most {bytes_max}; the connection was closed"
    )]
    TooLong {
        /// Node or address at the other end.
        peer: String,
        /// Length that was announced.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// The frame is not the message that was expected. The next frame can still be received.
    #[error("a frame from {peer} was refused: {error}")]
    Message {
        /// Node or address at the other end.
        peer: String,
        /// What is wrong with it.
        error: DecodeError,
    },
    /// The stream ended within a frame.
    #[error("the stream from {peer} ended within a frame; the part was dropped")]
    Cut {
        /// Node or address at the other end.
        peer: String,
    },
    /// The connection or the stream ended before its time.
    #[error("the stream from {peer} ended: {reason}; open a new one")]
    Lost {
        /// Node or address at the other end.
        peer: String,
        /// How it ended.
        reason: String,
    },
}

/// What a stream's two halves know about their connection.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) far: Far,
    pub(crate) bytes_max: usize,
    pub(crate) connection: quinn::Connection,
    pub(crate) counters: Arc<Counters>,
    /// Dropped with the last half: the sign for a connection without owner to end.
    pub(crate) _hold: Option<Arc<oneshot::Sender<()>>>,
}

/// The sending half of a stream. Dropped, it ends the stream after what has been sent.
pub struct FrameSender {
    stream: quinn::SendStream,
    context: Context,
    within_frame: bool,
}

/// The receiving half of a stream. Dropped, it tells the peer to send no more.
pub struct FrameReceiver {
    stream: quinn::RecvStream,
    context: Context,
    received: BytesMut,
    refused: bool,
}

// === impl FrameSender ===

impl FrameSender {
    pub(crate) fn new(stream: quinn::SendStream, context: Context) -> Self {
        Self { stream, context, within_frame: false }
    }

    /// Sends one frame; waits while the peer does not read. Given up half-way, the stream is of no more use.
    ///
    /// # Errors
    /// The frame is above the limit, or the stream ended.
    pub async fn send(&mut self, frame: &[u8]) -> Result<(), SendError> {
        let peer = self.context.far;
        let bytes_max = self.context.bytes_max;
        let length = match u32::try_from(frame.len()) {
            Ok(length) if frame.len() <= bytes_max => length,
            _ => return Err(SendError::TooLong { peer: peer.to_string(), bytes: frame.len(), bytes_max }),
        };
        let mut bytes = BytesMut::with_capacity(HEADER_BYTES + frame.len());
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(frame);
        self.write(bytes.freeze()).await
    }

    /// Sends one value as a frame.
    ///
    /// # Errors
    /// As [`FrameSender::send`], or the value has no wire form.
    pub async fn send_msg<T: Serialize + Sync>(&mut self, message: &T) -> Result<(), SendError> {
        self.send(&codec::encode(message)?).await
    }

    /// Ends the stream in good order: the peer receives everything, then the end.
    pub fn finish(&mut self) {
        // It may have ended already, which is as good.
        let _ = self.stream.finish();
    }

    /// Waits until the peer has everything that was sent and this half is finished, or wants no more, or is lost.
    pub async fn drained(&mut self) {
        self.finish();
        let _ = self.stream.stopped().await;
    }

    pub(crate) async fn write(&mut self, bytes: Bytes) -> Result<(), SendError> {
        let peer = self.context.far;
        if self.within_frame {
            return Err(SendError::Interrupted { peer: peer.to_string() });
        }
        self.within_frame = true;
        let written = self.stream.write_chunk(bytes).await;
        written.map_err(|error| SendError::Lost {
            peer: peer.to_string(),
            reason: match &error {
                quinn::WriteError::ConnectionLost(lost) => reason_of(lost),
                other => other.to_string(),
            },
        })?;
        self.within_frame = false;
        Ok(())
    }
}

impl Drop for FrameSender {
    fn drop(&mut self) {
        if self.within_frame {
            // Quinn would end the stream in good order, and the peer would take a part for the whole.
            let _ = self.stream.reset(0u32.into());
        }
    }
}

// === impl FrameReceiver ===

impl FrameReceiver {
    pub(crate) fn new(stream: quinn::RecvStream, context: Context) -> Self {
        Self { stream, context, received: BytesMut::new(), refused: false }
    }

    pub(crate) fn set_bytes_max(&mut self, bytes_max: usize) {
        self.context.bytes_max = bytes_max;
    }

    /// The next frame; nothing once the peer has ended the stream in good order. May be given up and called again.
    ///
    /// # Errors
    /// A frame above the limit, or the stream ended otherwise.
    pub async fn recv(&mut self) -> Result<Option<Vec<u8>>, RecvError> {
        loop {
            if let Some(frame) = self.take_frame()? {
                return Ok(Some(frame));
            }
            let chunk = self.stream.read_chunk(READ_BYTES_MAX, true).await.map_err(|error| self.lost(&error))?;
            match chunk {
                Some(chunk) => self.received.extend_from_slice(&chunk.bytes),
                None if self.received.is_empty() => return Ok(None),
                None => {
                    self.received.clear();
                    return Err(RecvError::Cut { peer: self.context.far.to_string() });
                }
            }
        }
    }

    /// The next frame as a value.
    ///
    /// # Errors
    /// As [`FrameReceiver::recv`], or the frame is not such a value.
    pub async fn recv_msg<T: DeserializeOwned>(&mut self) -> Result<Option<T>, RecvError> {
        let Some(frame) = self.recv().await? else { return Ok(None) };
        let refused = |error| RecvError::Message { peer: self.context.far.to_string(), error };
        codec::decode(&frame).map(Some).map_err(refused)
    }

    /// A whole frame out of what was received. Memory grows with what arrives, not with what was announced.
    fn take_frame(&mut self) -> Result<Option<Vec<u8>>, RecvError> {
        if self.refused {
            return Err(RecvError::Lost {
                peer: self.context.far.to_string(),
                reason: "this node closed it".to_owned(),
            });
        }
        let Some(header) = self.received.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
        let length = u32::from_le_bytes(*header) as usize;
        if length > self.context.bytes_max {
            return Err(self.too_long(length));
        }
        if self.received.len() < HEADER_BYTES + length {
            return Ok(None);
        }
        self.received.advance(HEADER_BYTES);
        Ok(Some(self.received.split_to(length).to_vec()))
    }

    fn too_long(&mut self, bytes: usize) -> RecvError {
        let Context { far, bytes_max, connection, counters, .. } = &self.context;
        let error = RecvError::TooLong { peer: far.to_string(), bytes, bytes_max: *bytes_max };
        warn!(peer = %far, "{error}");
        Counters::add(&counters.frames_too_long);
        CloseCode::FrameTooLong
            .close(connection, &format!("a frame of {bytes} bytes, at most {bytes_max} are allowed"));
        self.refused = true;
        self.received.clear();
        error
    }

    fn lost(&self, error: &quinn::ReadError) -> RecvError {
        let reason = match error {
            quinn::ReadError::ConnectionLost(lost) => reason_of(lost),
            other => other.to_string(),
        };
        RecvError::Lost { peer: self.context.far.to_string(), reason }
    }
}

impl fmt::Debug for FrameSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FrameSender(to {})", self.context.far)
    }
}

impl fmt::Debug for FrameReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FrameReceiver(from {})", self.context.far)
    }
}
