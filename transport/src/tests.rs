//! Endpoints on the loopback, several in one process.

mod datagrams;
mod forming;
mod links;
mod refusals;
mod rogue;
mod streams;

use std::{future::Future, time::Duration};

use identity::NodeId;

use crate::{Arrival, Inbox, StreamKind};

/// No step of a test takes longer, however busy the machine.
const PATIENCE: Duration = Duration::from_secs(20);

async fn within<T>(step: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, step).await.expect("the step takes too long")
}

/// Waits for something that gives no sign of its own, such as a counter.
async fn eventually(mut holds: impl FnMut() -> bool) {
    within(async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// The next arrival of which `pick` makes something; others are passed over.
async fn expect<T>(inbox: &mut Inbox, mut pick: impl FnMut(Arrival) -> Option<T>) -> T {
    within(async {
        loop {
            if let Some(found) = pick(inbox.recv().await.expect("the endpoint is there")) {
                return found;
            }
        }
    })
    .await
}

async fn connected(inbox: &mut Inbox) -> NodeId {
    expect(inbox, |arrival| if let Arrival::Connected { node, .. } = arrival { Some(node) } else { None }).await
}

async fn disconnected(inbox: &mut Inbox) -> NodeId {
    expect(inbox, |arrival| if let Arrival::Disconnected { node } = arrival { Some(node) } else { None }).await
}

/// Answers each frame on each stream with the same frame, until the endpoint is gone.
fn echo(mut inbox: Inbox) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        while let Some(arrival) = inbox.recv().await {
            let Arrival::Stream { mut sender, mut receiver, .. } = arrival else { continue };
            tokio::spawn(async move {
                while let Ok(Some(frame)) = receiver.recv().await {
                    if sender.send(&frame).await.is_err() {
                        return;
                    }
                }
            });
        }
    })
}

/// Sends a frame to the echo of a member and waits for it.
async fn call(endpoint: &crate::Endpoint, node: NodeId, kind: StreamKind) -> Result<(), crate::OpenError> {
    let (mut sender, mut receiver) = endpoint.open(node, kind).await?;
    sender.send(b"ping").await.expect("the stream is open");
    assert_eq!(receiver.recv().await.expect("the stream is open").as_deref(), Some(&b"ping"[..]));
    Ok(())
}
