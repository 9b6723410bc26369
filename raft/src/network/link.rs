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
    time::{Duration, sleep, timeout},
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

/// The pause before the second try; it doubles with each further one.
const PAUSE: Duration = Duration::from_millis(20);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_millis(250);
/// Fruitless tries that are nothing to speak of.
const NOTICED_AFTER: u32 = 3;

/// A peer that refuses at once must not be asked as fast as it refuses. openraft's own pause begins only when a stream
/// is open.
fn pause_after(fruitless: u32) -> Duration {
    match fruitless.checked_sub(1) {
        None => Duration::ZERO,
        Some(doublings) => (PAUSE * 2u32.saturating_pow(doublings.min(8))).min(PAUSE_MAX),
    }
}

/// A link that is opened when it is needed, and again when it broke.
pub(super) struct Reconnecting<A> {
    wire: Arc<dyn Wire>,
    pub target: NodeId,
    channel: Channel,
    connect: Duration,
    link: Option<Link<A>>,
    /// Links that were tried since the last one on which an answer came.
    fruitless: u32,
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
        Self { wire, target, channel, connect, link: None, fruitless: 0, opening: None }
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
            let pause = pause_after(self.fruitless);
            self.fruitless = self.fruitless.saturating_add(1);
            tokio::spawn(async move {
                sleep(pause).await;
                let slow = |_| WireError::Unreachable { target, reason: format!("no answer for {connect:?}") };
                timeout(connect, Link::open(wire.as_ref(), target, channel)).await.map_err(slow)?
            })
        });
        let opened = opening.await;
        self.opening = None;
        let opened = opened.map_err(|error| WireError::Broken(error.to_string())).flatten();
        opened.inspect_err(|error| self.failed(error))
    }

    /// Takes note that an answer came: the peer is there and speaks to this node.
    pub(super) fn answered(&mut self) {
        if self.fruitless > NOTICED_AFTER {
            tracing::info!(target_node = %self.target, channel = ?self.channel, "a peer answers again");
        }
        self.fruitless = 0;
    }

    /// Takes note that the link is of no use, and forgets it; the next use opens a new one, after a pause if many were
    /// fruitless.
    pub(super) fn failed(&mut self, error: &WireError) {
        if self.fruitless == NOTICED_AFTER {
            tracing::warn!(target_node = %self.target, channel = ?self.channel, %error, "a peer does not answer");
        }
        self.reset();
    }

    /// Forgets the link; the next use opens a new one.
    pub(super) fn reset(&mut self) {
        self.link = None;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use async_trait::async_trait;

    use super::*;
    use crate::network::FrameSource;

    /// A peer that refuses every stream at once.
    #[derive(Default)]
    struct Refusing(AtomicU32);

    #[async_trait]
    impl Wire for Refusing {
        async fn open(
            &self,
            target: NodeId,
            _: Channel,
        ) -> Result<(Box<dyn FrameSink>, Box<dyn FrameSource>), WireError> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Err(WireError::Unreachable { target, reason: "it belongs to another cluster".to_owned() })
        }
    }

    // A refusal that costs nothing was once asked for 70,000 times a second.
    #[tokio::test(start_paused = true)]
    async fn a_peer_that_refuses_at_once_is_not_asked_at_once() {
        let wire = Arc::new(Refusing::default());
        let target = NodeId::new(2).unwrap();
        let mut stream =
            Reconnecting::<u64>::new(Arc::clone(&wire) as Arc<dyn Wire>, target, Channel::Append, PAUSE_MAX * 4);
        let asking = async {
            loop {
                assert!(stream.link().await.is_err());
            }
        };
        let never: Result<(), _> = timeout(Duration::from_secs(10), asking).await;
        assert!(never.is_err());
        let asked = wire.0.load(Ordering::Relaxed);
        assert!((30..60).contains(&asked), "asked {asked} times in ten seconds");
    }
}
