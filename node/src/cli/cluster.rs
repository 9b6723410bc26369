//! `cluster init`, `join`, `leave` and `token`.

use std::{io::Write, time::Duration};

use super::{
    Exit,
    args::{ClusterCommand, TokenCommand},
    failure::Failure,
    output::Printer,
    show::instant,
};
use crate::{client::Client, view};

/// Runs a verb of `cluster`.
pub(super) async fn run(command: ClusterCommand, client: &Client, printer: &mut Printer<'_>) -> Result<Exit, Failure> {
    match command {
        ClusterCommand::Init => printer.print(&client.init().await?),
        ClusterCommand::Join { token, timeout } => {
            let request = view::JoinRequest { token, timeout_ms: timeout.map(milliseconds) };
            printer.print(&client.join(&request).await?)
        }
        ClusterCommand::Leave { node } => printer.print(&client.leave(&view::LeaveRequest { node }).await?),
        ClusterCommand::Token(TokenCommand::Create { ttl }) => {
            let request = view::TokenRequest { ttl_ms: Some(milliseconds(ttl)) };
            let answer = client.create_token(&request).await?;
            writeln!(printer.terminal.err, "good once, until {}", instant(answer.expires_at_ms))?;
            printer.print(&answer)
        }
    }
}

/// A span as the API takes it.
pub(super) fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
