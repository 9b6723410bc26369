//! Entries to one follower: pipelined, in order, over one long-lived stream.
//!
//! openraft opens a *session* whenever it begins to send from a new place in the log. Sessions follow one another on
//! the same stream; their numbers tell the answers of a session that was given up from those of the current one.

use futures_util::{Stream, StreamExt, future::Either};
use openraft::{
    OptionalSend,
    base::{BoxFuture, BoxStream},
    errors::RPCError,
    raft::{AppendEntriesRequest, StreamAppendResult},
};
use tokio::time::{Duration, Instant, sleep_until};

use super::{
    WireError,
    link::Reconnecting,
    protocol::{Append, AppendAnswer},
    rpc::rpc_error,
};
use crate::types::C;

/// Requests on their way to one follower, at most.
const IN_FLIGHT_MAX: usize = 64;

type Item = Result<StreamAppendResult<C>, RPCError<C>>;

/// The stream of entries to one follower.
pub(super) struct Appender {
    stream: Reconnecting<AppendAnswer>,
    session: u64,
    stall: Duration,
}

/// One session; it ends with its input, with a refusal of the follower, or with an error.
struct Session<'s, S> {
    appender: &'s mut Appender,
    input: Option<S>,
    in_flight: usize,
    /// When the oldest unanswered request has waited too long.
    stalls_at: Instant,
    is_over: bool,
}

impl Appender {
    pub(super) fn new(stream: Reconnecting<AppendAnswer>, stall: Duration) -> Self {
        Self { stream, session: 0, stall }
    }

    /// Begins a session.
    pub(super) fn begin<'s, S>(&'s mut self, input: S) -> BoxFuture<'s, Result<BoxStream<'s, Item>, RPCError<C>>>
    where
        S: Stream<Item = AppendEntriesRequest<C>> + OptionalSend + Unpin + 'static,
    {
        Box::pin(async move {
            self.stream.link().await.map_err(|error| rpc_error(&error))?;
            self.session += 1;
            let stalls_at = Instant::now() + self.stall;
            let session = Session { appender: self, input: Some(input), in_flight: 0, stalls_at, is_over: false };
            let answers = futures_util::stream::unfold(session, |mut session| async move {
                let item = session.next().await?;
                Some((item, session))
            });
            let answers: BoxStream<'s, Item> = Box::pin(answers);
            Ok(answers)
        })
    }
}

/// What a session waits for.
enum Event {
    Answer(Option<AppendAnswer>),
    Request(Option<AppendEntriesRequest<C>>),
    Stalled,
}

impl<S> Session<'_, S>
where
    S: Stream<Item = AppendEntriesRequest<C>> + OptionalSend + Unpin + 'static,
{
    /// The next answer; none when the session is over.
    async fn next(&mut self) -> Option<Item> {
        while !self.is_over && (self.input.is_some() || self.in_flight > 0) {
            match self.step().await {
                Ok(None) => {}
                Ok(Some(result)) => {
                    self.is_over = result.is_err();
                    return Some(Ok(result));
                }
                Err(error) => {
                    self.is_over = true;
                    self.appender.stream.failed(&error);
                    return Some(Err(rpc_error(&error)));
                }
            }
        }
        None
    }

    async fn step(&mut self) -> Result<Option<StreamAppendResult<C>>, WireError> {
        match self.event().await? {
            Event::Answer(None) => Err(WireError::Broken("the follower ended the stream".to_owned())),
            Event::Answer(Some(answer)) if answer.session != self.appender.session => Ok(None),
            Event::Answer(Some(answer)) => {
                self.appender.stream.answered();
                self.in_flight = self.in_flight.saturating_sub(1);
                self.stalls_at = Instant::now() + self.appender.stall;
                Ok(Some(answer.result))
            }
            Event::Request(None) => {
                self.input = None;
                Ok(None)
            }
            Event::Request(Some(request)) => {
                if self.in_flight == 0 {
                    self.stalls_at = Instant::now() + self.appender.stall;
                }
                self.in_flight += 1;
                let (session, stall) = (self.appender.session, self.appender.stall);
                self.appender.stream.current()?.send(&Append { session, request }, stall).await?;
                Ok(None)
            }
            Event::Stalled => Err(WireError::Broken(format!("no answer for {:?}", self.appender.stall))),
        }
    }

    async fn event(&mut self) -> Result<Event, WireError> {
        let may_send = self.in_flight < IN_FLIGHT_MAX;
        let request = match self.input.as_mut().filter(|_| may_send) {
            Some(input) => Either::Left(input.next()),
            None => Either::Right(std::future::pending()),
        };
        let link = self.appender.stream.current()?;
        Ok(tokio::select! {
            biased;
            answer = link.answer() => Event::Answer(answer),
            request = request => Event::Request(request),
            () = sleep_until(self.stalls_at), if self.in_flight > 0 => Event::Stalled,
        })
    }
}
