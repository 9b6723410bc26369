//! The data path on a thread of its own: bpf(2) blocks, and the runtime must not.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
};

use dataplane::Enforcer;
use tokio::sync::oneshot;

/// Orders that may wait for the data path's thread.
const ORDERS_QUEUED_MAX: usize = 64;

type Order = Box<dyn FnOnce(&mut dyn Enforcer) + Send>;

/// The data path's thread has ended, and with it the agent should.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the data path's thread has ended; the agent restarts, the programs stay attached")]
pub(crate) struct EnforcerGone;

/// A data path as it was opened.
pub(crate) struct Opened {
    /// The data path.
    pub(crate) enforcer: Box<dyn Enforcer>,
    /// Whether programs of another layout judge packets, and go on until the first activation.
    pub(crate) others_judge: bool,
}

/// A handle on the one thread that may touch the enforcer.
#[derive(Clone)]
pub(crate) struct EnforcerHandle {
    orders: mpsc::SyncSender<Order>,
    /// Written once, before the first order is carried out.
    others_judged: Arc<AtomicBool>,
}

impl EnforcerHandle {
    /// Opens the enforcer on a thread of its own, which ends when the last handle is dropped. The verifier of the kernel
    /// takes its time: orders wait for it, the rest of the node does not. The receiver hears what the opening came to.
    #[must_use]
    pub(crate) fn spawn<E: Send + 'static>(
        open: impl FnOnce() -> Result<Opened, E> + Send + 'static,
    ) -> (Self, oneshot::Receiver<Result<(), E>>) {
        let (orders, inbox) = mpsc::sync_channel::<Order>(ORDERS_QUEUED_MAX);
        let (opened, outcome) = oneshot::channel();
        let others_judged = Arc::new(AtomicBool::new(false));
        let noted = others_judged.clone();
        let serve = move || {
            let (mut enforcer, said) = match open() {
                Ok(opened) => {
                    noted.store(opened.others_judge, Ordering::Relaxed);
                    (Some(opened.enforcer), Ok(()))
                }
                Err(error) => (None, Err(error)),
            };
            // Who does not listen learns it from the next order.
            let _ = opened.send(said);
            while let (Some(enforcer), Ok(order)) = (&mut enforcer, inbox.recv()) {
                order(enforcer.as_mut());
            }
        };
        thread::Builder::new().name("dataplane".to_owned()).spawn(serve).expect("the system can start one thread");
        (Self { orders, others_judged }, outcome)
    }

    /// Whether programs of another layout judged packets when this data path was opened. It is opened once any order was carried out.
    #[must_use]
    pub(crate) fn others_judged(&self) -> bool {
        self.others_judged.load(Ordering::Relaxed)
    }

    /// Runs `order` on the data path's thread and waits for what it returns.
    ///
    /// # Errors
    /// The thread is gone.
    pub(crate) async fn run<T, F>(&self, order: F) -> Result<T, EnforcerGone>
    where
        T: Send + 'static,
        F: FnOnce(&mut dyn Enforcer) -> T + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let orders = self.orders.clone();
        let boxed: Order = Box::new(move |enforcer| {
            // The asker may have given up; what was done stays done.
            let _ = answer.send(order(enforcer));
        });
        let sent = tokio::task::spawn_blocking(move || orders.send(boxed)).await;
        sent.map_err(|_| EnforcerGone)?.map_err(|_| EnforcerGone)?;
        answered.await.map_err(|_| EnforcerGone)
    }
}
