//! `flows`: what the data path tells of single packets.

use std::{io::Write, time::Duration};

use super::{Exit, args::FlowsArgs, cluster::milliseconds, failure::Failure, output::Printer};
use crate::{client::Client, http::FLOWS_LIMIT_MAX, view};

/// How long the agent is asked to wait for the next event.
const FOLLOW_WAIT: Duration = Duration::from_secs(20);

/// Shows the latest events, and goes on with what comes if that was asked for.
pub(super) async fn run(args: FlowsArgs, client: &Client, printer: &mut Printer<'_>) -> Result<Exit, Failure> {
    let query = view::FlowsQuery { limit: Some(args.limit), ..view::FlowsQuery::default() };
    let latest = client.flows(&query).await?;
    if args.follow { follow(latest, client, printer).await } else { printer.print(&latest) }
}

/// Ends only by a failure: the agent is gone, or nobody reads any more.
async fn follow(latest: view::Flows, client: &Client, printer: &mut Printer<'_>) -> Result<Exit, Failure> {
    let mut flows = latest;
    loop {
        if flows.missed > 0 {
            writeln!(printer.terminal.err, "{} events were too many to keep and are not shown", flows.missed)?;
        }
        for event in &flows.events {
            printer.print_one(event)?;
        }
        let query = view::FlowsQuery {
            limit: Some(FLOWS_LIMIT_MAX),
            since: Some(flows.next_since),
            wait_ms: Some(milliseconds(FOLLOW_WAIT)),
        };
        flows = client.flows(&query).await?;
    }
}
