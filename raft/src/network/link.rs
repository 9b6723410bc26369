//! One open stream, with a task that reads it.
//!
//! A future that reads a stream directly may be dropped half-way through a frame, and the stream would be out of step.
//! The task is never dropped half-way; whoever waits for an answer may be.

use std::sync::Arc;

use identity::NodeId;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    sync::{Mutex, mpsc},
    task::JoinHandle,
    time::{Duration, timeout},
};

use super::{Channel, FrameSink, Wire, WireError, frame};

/// Answers that wait to be looked at, at most; the reader waits with the next one.
const ANSWERS_MAX: usize = 256;

/// A stream to a node, and what came back on it.
pub(super) struct Link<A> {
    /// Only ever used through `&mut`; the lock is there because openraft wants what it shares to be `Sync`.
    sink: Mutex<Box<dyn FrameSink>>,
    answers: mpsc::Receiver<A>,
    reader: JoinHandle<()>,
    /// A frame was begun and not finished: nothing more may be sent.
    is_torn: bool,
}

impl<A> Drop for Link<A> {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl<A: DeserializeOwned + Send + 'static> Link<A> {
    async fn open(wire: &dyn Wire, target: NodeId, channel: Channel) -> Result<Self, WireError> {
        let (sink, mut source) = wire.open(target, channel).await?;
        let (sender, answers) = mpsc::channel(ANSWERS_MAX);
        let reader = tokio::spawn(async move {
            loop {
                match frame::receive::<A>(source.as_mut()).await {
                    Ok(Some(answer)) => {
                        if sender.send(answer).await.is_err() {
                            return;
                        }
                    }
                    Ok(None) => return,
                    Err(error) => return tracing::debug!(%target, ?channel, %error, "a stream ended"),
                }
            }
        });
        Ok(Self { sink: Mutex::new(sink), answers, reader, is_torn: false })
    }

    /// Sends a message; gives the stream up when that takes longer than `limit`, or when it is dropped meanwhile.
    pub(super) async fn send<T: Serialize + Sync>(&mut self, message: &T, limit: Duration) -> Result<(), WireError> {
        self.is_torn = true;
        timeout(limit, frame::send(self.sink.get_mut().as_mut(), message))
            .await
            .map_err(|_| WireError::Broken(format!("nothing could be sent for {limit:?}")))??;
        self.is_torn = false;
        Ok(())
    }

    /// The next answer; none when the stream has ended. May be dropped and called again.
    pub(super) async fn answer(&mut self) -> Option<A> {
        self.answers.recv().await
    }

    fn is_usable(&self) -> bool {
        !self.is_torn && !self.reader.is_finished()
    }
}

/// A link that is opened when it is needed, and again when it broke.
pub(super) struct Reconnecting<A> {
    wire: Arc<dyn Wire>,
    pub target: NodeId,
    channel: Channel,
    connect: Duration,
    link: Option<Link<A>>,
    /// Goes on when whoever needs it gives up waiting: the next one finds it further along.
    opening: Option<JoinHandle<Result<Link<A>, WireError>>>,
}

impl<A> Drop for Reconnecting<A> {
    fn drop(&mut self) {
        if let Some(opening) = &self.opening {
            opening.abort();
        }
    }
}

impl<A: DeserializeOwned + Send + 'static> Reconnecting<A> {
    pub(super) fn new(wire: Arc<dyn Wire>, target: NodeId, channel: Channel, connect: Duration) -> Self {
        Self { wire, target, channel, connect, link: None, opening: None }
    }

    /// The open link.
    pub(super) async fn link(&mut self) -> Result<&mut Link<A>, WireError> {
        let link = match self.link.take().filter(Link::is_usable) {
            Some(link) => link,
            None => self.open().await?,
        };
        Ok(self.link.insert(link))
    }

    /// The link that was opened last, even if it has broken since.
    pub(super) fn current(&mut self) -> Result<&mut Link<A>, WireError> {
        self.link.as_mut().ok_or_else(|| WireError::Broken("the stream was given up".to_owned()))
    }

    async fn open(&mut self) -> Result<Link<A>, WireError> {
        let opening = self.opening.get_or_insert_with(|| {
            let (wire, target, channel, connect) = (Arc::clone(&self.wire), self.target, self.channel, self.connect);
            tokio::spawn(async move {
                let slow = |_| WireError::Unreachable { target, reason: format!("no answer for {connect:?}") };
                timeout(connect, Link::open(wire.as_ref(), target, channel)).await.map_err(slow)?
            })
        });
        let opened = opening.await;
        self.opening = None;
        opened.map_err(|error| WireError::Broken(error.to_string()))?
    }

    /// Forgets the link; the next use opens a new one.
    pub(super) fn reset(&mut self) {
        self.link = None;
    }
}
