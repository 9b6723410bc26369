//! `status` and `disarm`.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    Exit,
    args::{DisarmArgs, StatusArgs},
    cluster::milliseconds,
    failure::Failure,
    output::Printer,
};
use crate::{client::Client, client::ClientError, view};

/// How often a node is asked whether it is ready.
const POLL: Duration = Duration::from_millis(100);
/// How long an agent has for one answer, however short the wait.
const ANSWER_MIN: Duration = Duration::from_secs(1);

/// Shows what the node says about itself, once it is ready if that was asked for.
pub(super) async fn run(args: StatusArgs, client: &Client, printer: &mut Printer<'_>) -> Result<Exit, Failure> {
    let Some(wait) = args.wait else { return printer.print(&client.status().await?) };
    let deadline = Instant::now() + wait;
    let mut last = None;
    // An agent that is just starting, or that stands still, is waited for like one that is forming.
    let mut patience = deadline.max(Instant::now() + ANSWER_MIN);
    while let Ok(answer) = tokio::time::timeout_at(patience, client.status()).await {
        patience = deadline;
        match answer {
            Ok(status) if status.ready => return printer.print(&status),
            Ok(_) | Err(ClientError::Unreachable { .. }) => last = Some(answer),
            Err(error) => return Err(error.into()),
        }
        if Instant::now() + POLL > deadline {
            break;
        }
        tokio::time::sleep(POLL).await;
    }
    late(last, wait, printer)
}

/// The node was not ready in time: shows how far it is.
fn late(
    last: Option<Result<view::Status, ClientError>>,
    wait: Duration,
    printer: &mut Printer<'_>,
) -> Result<Exit, Failure> {
    let waited_s = wait.as_secs_f64();
    let Some(answer) = last else {
        return Err(Failure::NotReady(format!("the agent did not answer within {waited_s} s")));
    };
    let status = answer?;
    printer.print(&status)?;
    let mut waiting_for = status.waiting_for.join("; ");
    if waiting_for.is_empty() {
        waiting_for.push_str("it does not say what it waits for");
    }
    Err(Failure::NotReady(format!("the node was not ready after {waited_s} s: {waiting_for}")))
}

/// Lets the node's data path pass everything for a while.
pub(super) async fn disarm(args: DisarmArgs, client: &Client, printer: &mut Printer<'_>) -> Result<Exit, Failure> {
    let request = view::DisarmRequest { reason: args.reason, duration_ms: milliseconds(args.duration) };
    printer.print(&client.disarm(&request).await?)
}
