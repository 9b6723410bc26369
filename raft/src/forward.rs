//! Writes and reads that another node leads: sent to the leader over one stream, many at a time.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use identity::NodeId;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};

use crate::{
    command::Stamped,
    network::{Channel, FrameSink, FrameSource, Wire, WireError, receive, send},
    outcome::Response,
};

/// Requests to one leader that wait to be sent, at most; whoever has one more waits.
const OUTGOING_MAX: usize = 1024;
/// Requests of one peer that are served at the same time, at most.
const SERVED_MAX: usize = 1024;

#[derive(Serialize, Deserialize)]
struct Request {
    number: u64,
    body: Question,
}

/// What a node asks of the leader.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Question {
    /// Commit this; give up after so many milliseconds.
    Write { stamped: Arc<Stamped>, wait_ms: u64 },
    /// Up to where must a state be applied to be current?
    ReadIndex { wait_ms: u64 },
}

#[derive(Serialize, Deserialize)]
struct Reply {
    number: u64,
    body: Answer,
}

/// What the leader answers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// Committed and applied.
    Applied {
        /// Where in the log.
        index: u64,
        /// What it came to.
        response: Response,
    },
    /// A state applied up to here is current.
    ReadIndex(u64),
    /// Not done.
    NotDone {
        /// Whether it may happen yet, or may have happened: it was in a log.
        may_have_committed: bool,
        /// Why not.
        reason: String,
    },
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ForwardError {
    /// The question never left this node.
    #[error("{0}")]
    NotSent(WireError),
    /// The question left, and no answer came.
    #[error("no answer from the leader: {0}")]
    NoAnswer(String),
}

/// The streams of this node to leaders, present and past.
pub(crate) struct Forwarder {
    wire: Arc<dyn Wire>,
    connect: Duration,
    streams: tokio::sync::Mutex<HashMap<NodeId, Arc<Stream>>>,
}

type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<Answer>>>>;

struct Stream {
    outgoing: mpsc::Sender<Request>,
    waiting: Waiting,
    numbers: AtomicU64,
    reader: JoinHandle<()>,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Forwarder {
    pub(crate) fn new(wire: Arc<dyn Wire>, connect: Duration) -> Self {
        Self { wire, connect, streams: tokio::sync::Mutex::default() }
    }

    /// Asks the leader and waits for its answer. Dropping the future gives up waiting, not the question.
    pub(crate) async fn ask(&self, leader: NodeId, body: Question) -> Result<Answer, ForwardError> {
        let stream = self.stream(leader).await.map_err(ForwardError::NotSent)?;
        let number = stream.numbers.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        lock(&stream.waiting).insert(number, sender);
        // Whoever gives up waiting leaves no entry behind.
        let _forget = Forget { waiting: Arc::clone(&stream.waiting), number };
        if stream.outgoing.send(Request { number, body }).await.is_err() {
            let reason = "the stream to the leader broke".to_owned();
            return Err(ForwardError::NotSent(WireError::Broken(reason)));
        }
        answer.await.map_err(|_| ForwardError::NoAnswer("the stream broke".to_owned()))
    }

    async fn stream(&self, leader: NodeId) -> Result<Arc<Stream>, WireError> {
        let mut streams = self.streams.lock().await;
        if let Some(stream) = streams.get(&leader).filter(|stream| !stream.reader.is_finished()) {
            return Ok(Arc::clone(stream));
        }
        let slow = |_| WireError::Unreachable { target: leader, reason: format!("no answer for {:?}", self.connect) };
        let opened = timeout(self.connect, self.wire.open(leader, Channel::Forward)).await.map_err(slow)??;
        let stream = Arc::new(Stream::start(opened.0, opened.1));
        streams.insert(leader, Arc::clone(&stream));
        Ok(stream)
    }
}

struct Forget {
    waiting: Waiting,
    number: u64,
}

impl Drop for Forget {
    fn drop(&mut self) {
        lock(&self.waiting).remove(&self.number);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Stream {
    fn start(mut sink: Box<dyn FrameSink>, mut source: Box<dyn FrameSource>) -> Self {
        let (outgoing, mut requests) = mpsc::channel::<Request>(OUTGOING_MAX);
        let waiting = Waiting::default();
        let answered = Arc::clone(&waiting);
        let reader = tokio::spawn(async move {
            let sending = async {
                while let Some(request) = requests.recv().await {
                    if send(sink.as_mut(), &request).await.is_err() {
                        return;
                    }
                }
            };
            let receiving = async {
                while let Ok(Some(Reply { number, body })) = receive(source.as_mut()).await {
                    if let Some(waiting) = lock(&answered).remove(&number) {
                        waiting.send(body).ok();
                    }
                }
            };
            // Neither is taken up again after the other has ended: a cut frame hurts nobody.
            tokio::select! {
                () = sending => {}
                () = receiving => {}
            }
            requests.close();
            lock(&answered).clear();
        });
        Self { outgoing, waiting, numbers: AtomicU64::new(1), reader }
    }
}

/// Answers questions; implemented by the handle.
pub(crate) trait Leader: Clone + Send + Sync + 'static {
    fn answer(&self, from: NodeId, question: Question) -> impl Future<Output = Answer> + Send;
}

/// Serves the questions of one peer until its stream ends.
pub(crate) async fn serve(
    leader: impl Leader,
    from: NodeId,
    mut sink: Box<dyn FrameSink>,
    mut source: Box<dyn FrameSource>,
) -> Result<(), WireError> {
    let slots = Arc::new(Semaphore::new(SERVED_MAX));
    let (replies, mut outgoing) = mpsc::channel::<Reply>(SERVED_MAX);
    let replying = tokio::spawn(async move {
        while let Some(reply) = outgoing.recv().await {
            if send(sink.as_mut(), &reply).await.is_err() {
                return;
            }
        }
    });
    let served = async {
        while let Some(Request { number, body }) = receive(source.as_mut()).await? {
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return Ok(()) };
            let (leader, replies) = (leader.clone(), replies.clone());
            tokio::spawn(async move {
                let body = leader.answer(from, body).await;
                replies.send(Reply { number, body }).await.ok();
                drop(slot);
            });
        }
        Ok(())
    }
    .await;
    replying.abort();
    served
}
