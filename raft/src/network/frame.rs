//! Messages of any size over frames of a bounded size.
//!
//! A message is cut into frames of [`FRAME_BYTES_MAX`] at most. The first byte of a frame says whether more follow.

use serde::{Serialize, de::DeserializeOwned};

use super::{FrameSink, FrameSource, WireError};
use crate::codec::{self, MESSAGE_BYTES_MAX};

/// Bytes of one frame, at most, the leading byte included.
pub const FRAME_BYTES_MAX: usize = 512 << 10;

const LAST: u8 = 0;
const MORE: u8 = 1;

/// Encodes a message and sends it.
pub(crate) async fn send<T: Serialize + Sync>(sink: &mut dyn FrameSink, message: &T) -> Result<(), WireError> {
    let frame = codec::encode_after(vec![LAST], message).map_err(|error| WireError::Malformed(error.to_string()))?;
    if frame.len() <= FRAME_BYTES_MAX {
        return sink.send(frame).await;
    }
    let mut chunks = frame[1..].chunks(FRAME_BYTES_MAX - 1).peekable();
    while let Some(chunk) = chunks.next() {
        let mut frame = Vec::with_capacity(chunk.len() + 1);
        frame.push(if chunks.peek().is_some() { MORE } else { LAST });
        frame.extend_from_slice(chunk);
        sink.send(frame).await?;
    }
    Ok(())
}

/// Receives a message; none when the other side has ended the stream between two messages.
pub(crate) async fn receive<T: DeserializeOwned>(source: &mut dyn FrameSource) -> Result<Option<T>, WireError> {
    let malformed = |reason: &str| WireError::Malformed(reason.to_owned());
    let decode = |bytes: &[u8]| codec::decode(bytes).map(Some).map_err(|error| WireError::Malformed(error.to_string()));
    let Some(first) = source.recv().await? else { return Ok(None) };
    match first.split_first() {
        Some((&LAST, body)) => return decode(body),
        Some((&MORE, _)) => {}
        _ => return Err(malformed("a frame without its leading byte")),
    }
    let mut message = first[1..].to_vec();
    loop {
        let frame = source.recv().await?.ok_or_else(|| malformed("the stream ended inside a message"))?;
        let (&flag, body) = frame.split_first().ok_or_else(|| malformed("an empty frame"))?;
        if message.len() + body.len() > MESSAGE_BYTES_MAX {
            return Err(malformed("a message above the limit"));
        }
        message.extend_from_slice(body);
        match flag {
            LAST => return decode(&message),
            MORE => {}
            _ => return Err(malformed("a frame without its leading byte")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use async_trait::async_trait;

    use super::*;

    #[derive(Default)]
    struct Pipe(VecDeque<Vec<u8>>);

    #[async_trait]
    impl FrameSink for Pipe {
        async fn send(&mut self, frame: Vec<u8>) -> Result<(), WireError> {
            assert!(frame.len() <= FRAME_BYTES_MAX);
            self.0.push_back(frame);
            Ok(())
        }
    }

    #[async_trait]
    impl FrameSource for Pipe {
        async fn recv(&mut self) -> Result<Option<Vec<u8>>, WireError> {
            Ok(self.0.pop_front())
        }
    }

    #[tokio::test]
    async fn messages_of_every_size_get_through() {
        let mut pipe = Pipe::default();
        for bytes in [0, 1, FRAME_BYTES_MAX - 10, FRAME_BYTES_MAX, 3 * FRAME_BYTES_MAX + 7] {
            let message = vec![5u8; bytes];
            send(&mut pipe, &message).await.unwrap();
            assert_eq!(receive::<Vec<u8>>(&mut pipe).await.unwrap(), Some(message));
        }
        assert_eq!(receive::<Vec<u8>>(&mut pipe).await.unwrap(), None);
    }

    // G15: a peer cannot make this node collect more than the limit, or panic.
    #[tokio::test]
    async fn nonsense_is_an_error() {
        for frames in
            [vec![vec![]], vec![vec![9]], vec![vec![MORE, 1]], vec![vec![MORE], vec![]], vec![vec![LAST, 1, 2, 3]]]
        {
            let mut pipe = Pipe(frames.into());
            assert!(matches!(receive::<u64>(&mut pipe).await, Err(WireError::Malformed(_))));
        }
    }
}
