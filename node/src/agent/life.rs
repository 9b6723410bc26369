//! Where a node is in its life, from alone to running to left, and the ways between.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::watch;
use tracing::{info, warn};

use super::{
    disk::DiskError,
    enforce::EnforcerGone,
    mesh::Mesh,
    site::{SharedSite, now_ms},
};
use crate::view;

const DISARM_FILE: &str = "disarm.json";

/// A stage of a node's life.
#[derive(Clone)]
pub(crate) enum Stage {
    /// Belongs to no cluster.
    Alone,
    /// Takes part in a zero-touch forming; the sentence says what it waits for.
    Forming(String),
    /// Asks a member to be admitted.
    Joining,
    /// Is a member.
    Running(Arc<Mesh>),
    /// Has left; what was its membership is shut down and the process ends.
    Left(Arc<Mesh>),
}

/// The life of this node.
pub(crate) struct Life {
    /// What does not change.
    pub(crate) site: SharedSite,
    /// When the process started.
    pub(crate) started: Instant,
    stage: watch::Sender<Stage>,
    /// Held while the node founds, joins or leaves: one way at a time.
    pub(crate) passage: tokio::sync::Mutex<()>,
    disarm: Mutex<Option<view::Disarm>>,
}

/// A disarm could not be begun or ended; the data path is as it was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DisarmError {
    /// The order could not be kept on disk, so it would not survive a restart.
    #[error("the order cannot be kept: {0}")]
    Disk(#[from] DiskError),
    /// The data path's thread is gone.
    #[error(transparent)]
    Gone(#[from] EnforcerGone),
}

impl Life {
    /// A life at its beginning.
    #[must_use]
    pub(crate) fn new(site: SharedSite) -> Arc<Self> {
        let life = Self {
            site,
            started: Instant::now(),
            stage: watch::Sender::new(Stage::Alone),
            passage: tokio::sync::Mutex::new(()),
            disarm: Mutex::new(None),
        };
        Arc::new(life)
    }

    /// The stage now.
    #[must_use]
    pub(crate) fn stage(&self) -> Stage {
        self.stage.borrow().clone()
    }

    /// The running member, if the node is one.
    #[must_use]
    pub(crate) fn mesh(&self) -> Option<Arc<Mesh>> {
        match &*self.stage.borrow() {
            Stage::Running(mesh) => Some(mesh.clone()),
            _ => None,
        }
    }

    /// Why this node cannot go on and must be restarted, if consensus has ended on it.
    #[must_use]
    pub(crate) fn fault(&self) -> Option<String> {
        let fatal = self.mesh()?.raft.metrics().fatal?;
        Some(format!("consensus has ended on this node: {fatal}; the data path stays attached"))
    }

    /// Goes on to a stage.
    pub(crate) fn enter(&self, stage: Stage) {
        self.stage.send_replace(stage);
    }

    /// Where stages can be watched.
    #[must_use]
    pub(crate) fn stages(&self) -> watch::Receiver<Stage> {
        self.stage.subscribe()
    }

    /// The order to pass everything, if it stands.
    #[must_use]
    pub(crate) fn disarmed(&self) -> Option<view::Disarm> {
        self.disarm.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes up an order that stood when the process ended.
    ///
    /// # Errors
    /// The order cannot be read or kept, or the data path's thread is gone.
    pub(crate) async fn resume_disarm(self: &Arc<Self>) -> Result<(), DisarmError> {
        match self.site.disk.read_json::<view::Disarm>(DISARM_FILE)? {
            Some(order) if order.until_ms > now_ms() => self.disarm(order).await,
            _ => self.arm().await,
        }
    }

    /// Lets the data path pass everything until the order ends by itself.
    ///
    /// # Errors
    /// The order cannot be kept, or the data path's thread is gone; enforcement goes on.
    pub(crate) async fn disarm(self: &Arc<Self>, order: view::Disarm) -> Result<(), DisarmError> {
        self.site.disk.write_json(DISARM_FILE, &order)?;
        self.site.enforcer.run(|enforcer| enforcer.set_disarmed(true)).await?;
        warn!(
            reason = order.reason,
            actor = order.actor,
            until_ms = order.until_ms,
            "DISARMED: this node passes everything"
        );
        self.set_order(Some(order.clone()));
        let life = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(order.until_ms.saturating_sub(now_ms()))).await;
            // A later order, or an earlier end, has taken this one's place.
            if life.disarmed().as_ref() != Some(&order) {
                return;
            }
            if let Err(error) = life.arm().await {
                warn!(%error, "the disarm has run out, but the data path is not armed");
            }
        });
        Ok(())
    }

    /// Ends a disarm.
    ///
    /// # Errors
    /// The data path's thread is gone, or the order cannot be removed from the disk.
    pub(crate) async fn arm(&self) -> Result<(), DisarmError> {
        self.site.enforcer.run(|enforcer| enforcer.set_disarmed(false)).await?;
        self.site.disk.remove(DISARM_FILE)?;
        if self.disarmed().is_some() {
            info!("armed: this node enforces again");
        }
        self.set_order(None);
        Ok(())
    }

    fn set_order(&self, order: Option<view::Disarm>) {
        *self.disarm.lock().unwrap_or_else(PoisonError::into_inner) = order;
    }
}
