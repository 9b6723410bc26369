//! A network over plain TCP on the loopback interface: one connection for each stream. For measuring only.

use std::{collections::BTreeMap, io, net::SocketAddr, sync::Arc};

use async_trait::async_trait;
use identity::NodeId;
use raft::{Channel, FrameSink, FrameSource, Raft, Wire, WireError};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

pub(crate) struct Tcp {
    pub(crate) me: NodeId,
    pub(crate) peers: Arc<BTreeMap<NodeId, SocketAddr>>,
}

struct Sink(OwnedWriteHalf);

struct Source(BufReader<OwnedReadHalf>);

const CHANNELS: [Channel; 4] = [Channel::Append, Channel::Vote, Channel::Snapshot, Channel::Forward];

/// Serves what peers open, until the listener fails.
pub(crate) async fn accept(listener: TcpListener, raft: Raft) -> io::Result<()> {
    loop {
        let (mut stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let from = NodeId::new(stream.read_u64().await?).map_err(io::Error::other)?;
        let channel = CHANNELS.get(usize::from(stream.read_u8().await?)).copied().ok_or(io::ErrorKind::InvalidData)?;
        let (source, sink) = halves(stream);
        raft.serve(from, channel, sink, source);
    }
}

fn halves(stream: TcpStream) -> (Box<dyn FrameSource>, Box<dyn FrameSink>) {
    let (read, write) = stream.into_split();
    (Box::new(Source(BufReader::with_capacity(64 << 10, read))), Box::new(Sink(write)))
}

fn broken(error: &io::Error) -> WireError {
    WireError::Broken(error.to_string())
}

#[async_trait]
impl Wire for Tcp {
    async fn open(
        &self,
        target: NodeId,
        channel: Channel,
    ) -> Result<(Box<dyn FrameSink>, Box<dyn FrameSource>), WireError> {
        let open = async {
            let address = self.peers.get(&target).ok_or(io::ErrorKind::AddrNotAvailable)?;
            let mut stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let mut hello = self.me.get().to_be_bytes().to_vec();
            hello.extend(CHANNELS.iter().position(|each| *each == channel).and_then(|place| u8::try_from(place).ok()));
            stream.write_all(&hello).await?;
            Ok(stream)
        };
        let unreachable = |error: io::Error| WireError::Unreachable { target, reason: error.to_string() };
        let (source, sink) = halves(open.await.map_err(unreachable)?);
        Ok((sink, source))
    }
}

#[async_trait]
impl FrameSink for Sink {
    async fn send(&mut self, frame: Vec<u8>) -> Result<(), WireError> {
        let length = u32::try_from(frame.len()).map_err(|error| WireError::Malformed(error.to_string()))?;
        let mut bytes = Vec::with_capacity(frame.len() + 4);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&frame);
        self.0.write_all(&bytes).await.map_err(|error| broken(&error))
    }
}

#[async_trait]
impl FrameSource for Source {
    async fn recv(&mut self) -> Result<Option<Vec<u8>>, WireError> {
        let length = match self.0.read_u32().await {
            Ok(length) => length as usize,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(broken(&error)),
        };
        let mut frame = vec![0; length];
        self.0.read_exact(&mut frame).await.map_err(|error| broken(&error))?;
        Ok(Some(frame))
    }
}
