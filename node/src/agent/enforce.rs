//! The data path on a thread of its own: bpf(2) blocks, and the runtime must not.

use std::{sync::mpsc, thread};

use dataplane::Enforcer;
use tokio::sync::oneshot;

/// Orders that may wait for the data path's thread.
const ORDERS_QUEUED_MAX: usize = 64;

type Order = Box<dyn FnOnce(&mut dyn Enforcer) + Send>;

/// The data path's thread has ended, and with it the agent should.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the data path's thread has ended; the agent restarts, the programs stay attached")]
pub struct EnforcerGone;

/// A handle on the one thread that may touch the enforcer.
#[derive(Clone)]
pub struct EnforcerHandle {
    orders: mpsc::SyncSender<Order>,
}

impl EnforcerHandle {
    /// Gives the enforcer a thread; it ends when the last handle is dropped.
    #[must_use]
    pub fn spawn(enforcer: Box<dyn Enforcer>) -> Self {
        let (orders, inbox) = mpsc::sync_channel::<Order>(ORDERS_QUEUED_MAX);
        let serve = move || {
            let mut enforcer = enforcer;
            while let Ok(order) = inbox.recv() {
                order(enforcer.as_mut());
            }
        };
        thread::Builder::new().name("dataplane".to_owned()).spawn(serve).expect("the system can start one thread");
        Self { orders }
    }

    /// Runs `order` on the data path's thread and waits for what it returns.
    ///
    /// # Errors
    /// The thread is gone.
    pub async fn run<T, F>(&self, order: F) -> Result<T, EnforcerGone>
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
