//! What the cluster knows now, for whoever must not be refused by what this member knew a moment ago.
//!
//! A member's own state may be behind, so that it does not know what another has committed (G3). The way out is a read
//! that a quorum confirms. Strangers can cause one, by naming tokens that do not exist; so all who wait share one read,
//! and there are only so many a second.

use std::{sync::Arc, time::Duration};

use raft::{ReadError, State};
use tokio::{sync::Mutex, time::Instant};

/// How long one read may wait for a quorum: longer than an election. Who comes while one read is running waits for two,
/// and both fit into the time of a handshake; unless whoever began one of them gives up.
pub(super) const CONFIRM_WITHIN: Duration = Duration::from_millis(700);

/// Between the beginnings of two reads, at least: no more than 20 a second, whatever strangers do.
const READ_EVERY: Duration = Duration::from_millis(50);

/// The last read, and the right to begin the next.
#[derive(Debug, Default)]
pub(crate) struct Confirmation {
    last: Mutex<Option<Round>>,
}

/// One read.
#[derive(Debug)]
struct Round {
    began: Instant,
    /// None while it runs, and for good if whoever ran it gave up.
    outcome: Option<Result<Arc<State>, ReadError>>,
}

impl Confirmation {
    /// A state that has everything which was acknowledged to anyone before this call: of a read that another began after
    /// it, or of a read of its own by `read`.
    ///
    /// # Errors
    /// No quorum confirmed in time what is current.
    pub(crate) async fn current<R>(&self, read: impl FnOnce() -> R) -> Result<Arc<State>, ReadError>
    where
        R: Future<Output = Result<Arc<State>, ReadError>>,
    {
        let asked = Instant::now();
        let mut last = self.last.lock().await;
        if let Some(Round { began, outcome }) = &*last {
            if let Some(outcome) = outcome.as_ref().filter(|_| *began > asked) {
                return outcome.clone();
            }
            tokio::time::sleep_until(*began + READ_EVERY).await;
        }
        *last = Some(Round { began: Instant::now(), outcome: None });
        let outcome = read().await;
        if let Some(round) = &mut *last {
            round.outcome = Some(outcome.clone());
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        sync::atomic::{AtomicU32, Ordering},
    };

    use futures_util::{FutureExt, future::join_all};
    use tokio::sync::Semaphore;

    use super::*;

    struct World {
        confirmation: Confirmation,
        begun: AtomicU32,
        /// Reads that may end.
        quorum: Semaphore,
    }

    impl World {
        fn new(quorum: usize) -> Self {
            let (confirmation, begun) = (Confirmation::default(), AtomicU32::new(0));
            Self { confirmation, begun, quorum: Semaphore::new(quorum) }
        }

        /// Asks, and says which read the answer is of: reads are told apart by the number of their next node.
        async fn ask(&self) -> u64 {
            let read = || async {
                let mut state = State::default();
                state.next_node = u64::from(self.begun.fetch_add(1, Ordering::Relaxed) + 1);
                self.quorum.acquire().await.unwrap().forget();
                Ok(Arc::new(state))
            };
            self.confirmation.current(read).await.unwrap().next_node
        }

        fn begun(&self) -> u32 {
            self.begun.load(Ordering::Relaxed)
        }
    }

    /// A read that began before the question may lack what was acknowledged in between: only a later one is an answer,
    /// and one is enough for all who wait.
    #[tokio::test]
    async fn g3_an_answer_is_of_a_read_that_began_after_the_question() {
        let world = World::new(0);
        let mut first = pin!(world.ask());
        assert_eq!(first.as_mut().now_or_never(), None);
        assert_eq!(world.begun(), 1);
        let (mut one, mut two) = (pin!(world.ask()), pin!(world.ask()));
        assert_eq!((one.as_mut().now_or_never(), two.as_mut().now_or_never()), (None, None));
        world.quorum.add_permits(2);
        assert_eq!(first.await, 1);
        assert_eq!(tokio::join!(one, two), (2, 2));
        assert_eq!(world.begun(), 2);
    }

    /// G15: a flood of questions costs twenty reads a second.
    #[tokio::test]
    async fn g15_a_flood_of_questions_is_few_reads() {
        let world = World::new(Semaphore::MAX_PERMITS);
        let begin = Instant::now();
        let stranger = || async {
            while begin.elapsed() < 6 * READ_EVERY {
                world.ask().await;
            }
        };
        join_all((0..64).map(|_| stranger())).await;
        let reads_max = 1 + begin.elapsed().as_millis() / READ_EVERY.as_millis();
        assert!(u128::from(world.begun()) <= reads_max, "{} reads, {reads_max} at most", world.begun());
    }

    /// Who gives up in the middle of a read leaves the next one to others, and not sooner.
    #[tokio::test]
    async fn who_gives_up_keeps_nobody_waiting() {
        let world = World::new(0);
        let begin = Instant::now();
        assert_eq!(world.ask().now_or_never(), None);
        world.quorum.add_permits(1);
        assert_eq!(world.ask().await, 2);
        assert!(begin.elapsed() >= READ_EVERY);
    }

    #[test]
    fn two_reads_fit_into_a_handshake() {
        assert!(2 * CONFIRM_WITHIN + READ_EVERY < transport::Limits::default().handshake_timeout);
    }
}
