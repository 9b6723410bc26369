//! The grammar of the command line.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use identity::NodeId;

use super::span::parse_span;
use crate::{
    config::{CONFIG_DEFAULT, SOCKET_DEFAULT},
    http::FLOWS_LIMIT_DEFAULT,
    view::{Consistency, ConsistencyQuery, FlowService, RequestId, Wait},
};

/// A policy mesh for clusters of load balancers.
///
/// Exit code: 0 done, 1 refused or failed, 2 wrong usage or configuration, 3 not ready or not reachable.
#[derive(Debug, Parser)]
#[command(name = "hedgerow", version, propagate_version = true, arg_required_else_help = true)]
pub struct Cli {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// What every verb takes.
#[derive(Debug, Args)]
pub(super) struct Global {
    /// The Unix socket of the agent.
    #[arg(long, global = true, env = "HEDGEROW_SOCKET", default_value = SOCKET_DEFAULT, value_name = "PATH")]
    pub(super) socket: PathBuf,
    /// The form of the output.
    #[arg(short, long, global = true, env = "HEDGEROW_OUTPUT", value_enum, default_value_t, value_name = "FORM")]
    pub(super) output: Format,
}

/// The form of the output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    #[default]
    Table,
    /// One JSON value.
    Json,
    /// YAML.
    Yaml,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the agent of this node.
    Agent(AgentArgs),
    /// Form, join and leave a cluster.
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// List the members of the cluster.
    Members,
    /// Show what this node says about itself.
    Status(StatusArgs),
    /// List the sync channels that no policy can cut.
    Channels,
    /// Show which packets were refused, observed or logged on this node.
    Flows(FlowsArgs),
    /// Work with the policy.
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Work with segments.
    #[command(subcommand)]
    Segment(SegmentCommand),
    /// Let this node's data path pass everything for a while.
    Disarm(DisarmArgs),
    /// End a disarm before its time.
    Arm,
    /// Print a completion script for a shell.
    Completion {
        /// The shell.
        shell: Shell,
    },
}

#[derive(Debug, Args)]
pub(super) struct AgentArgs {
    /// The configuration file.
    #[arg(short, long, env = "HEDGEROW_CONFIG", default_value = CONFIG_DEFAULT, value_name = "FILE")]
    pub(super) config: PathBuf,
    /// Check the configuration file and stop.
    #[arg(long)]
    pub(super) check: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum ClusterCommand {
    /// Make this node the first of a new cluster.
    Init,
    /// Let this node join the cluster of a token.
    Join {
        /// The word that `cluster token create` printed on a member.
        token: String,
        /// How long to wait.
        #[arg(long, value_parser = parse_span, allow_negative_numbers = true, value_name = "TIME")]
        timeout: Option<Duration>,
    },
    /// Let this node leave its cluster.
    Leave {
        /// Remove this member instead: one that is gone for good.
        #[arg(long, value_name = "NODE")]
        node: Option<NodeId>,
    },
    /// Work with join tokens.
    #[command(subcommand)]
    Token(TokenCommand),
}

#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Make a token with which one more node can join.
    Create {
        /// How long it is good for, such as 30m or 1h.
        #[arg(
            long,
            value_parser = parse_span,
            allow_negative_numbers = true,
            default_value = "1h",
            value_name = "TIME"
        )]
        ttl: Duration,
    },
}

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// Wait until the node is ready, for at most this many seconds; exit code 3 if it is not by then.
    #[arg(long, value_parser = parse_seconds, allow_negative_numbers = true, value_name = "SECONDS")]
    pub(super) wait: Option<Duration>,
}

#[derive(Debug, Args)]
pub(super) struct FlowsArgs {
    /// Go on with what comes, until interrupted.
    #[arg(short, long)]
    pub(super) follow: bool,
    /// How many of the latest to show.
    #[arg(
        long,
        value_parser = parse_count,
        allow_negative_numbers = true,
        default_value_t = FLOWS_LIMIT_DEFAULT,
        value_name = "N"
    )]
    pub(super) limit: usize,
}

#[derive(Debug, Subcommand)]
pub(super) enum PolicyCommand {
    /// Add documents to the policy; with --prune they become all of it.
    Apply(ApplyArgs),
    /// Show the documents of the latest revision.
    Get {
        /// Only documents of this name.
        name: Option<String>,
        #[command(flatten)]
        read: ReadArgs,
    },
    /// Show what documents would change.
    Diff {
        #[command(flatten)]
        files: FileArgs,
        /// As if every document that is not in the files were removed.
        #[arg(long)]
        prune: bool,
        #[command(flatten)]
        read: ReadArgs,
    },
    /// Show the verdict on a flow and every step to it.
    Explain(ExplainArgs),
    /// List the revisions.
    History(ReadArgs),
    /// Make a new revision with the documents of an old one.
    Rollback {
        /// The old revision.
        #[arg(value_parser = parse_revision, allow_negative_numbers = true, value_name = "N")]
        revision: u64,
        #[command(flatten)]
        write: WriteArgs,
    },
    /// Check documents without an agent.
    Validate {
        #[command(flatten)]
        files: FileArgs,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum SegmentCommand {
    /// List the segments of the latest revision.
    List(ReadArgs),
}

/// Where documents come from.
#[derive(Debug, Args)]
pub(super) struct FileArgs {
    /// A file, a directory (its *.yaml, *.yml and *.json), or - for standard input. May be given several times.
    #[arg(short, long = "file", required = true, value_name = "PATH")]
    pub(super) files: Vec<PathBuf>,
}

/// How fresh a read has to be.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct ReadArgs {
    /// Take what this node has applied; works without a quorum.
    #[arg(long)]
    pub(super) local: bool,
}

impl ReadArgs {
    pub(super) fn consistency(self) -> Consistency {
        if self.local { Consistency::Local } else { Consistency::Linearizable }
    }

    pub(super) fn query(self) -> ConsistencyQuery {
        ConsistencyQuery { consistency: self.consistency() }
    }
}

#[derive(Debug, Args)]
pub(super) struct ApplyArgs {
    #[command(flatten)]
    pub(super) files: FileArgs,
    /// Remove every document that is not in the files.
    #[arg(long)]
    pub(super) prune: bool,
    /// Validate, compile and compare; change nothing.
    #[arg(long)]
    pub(super) dry_run: bool,
    #[command(flatten)]
    pub(super) write: WriteArgs,
}

/// What every write takes.
#[derive(Debug, Args)]
pub(super) struct WriteArgs {
    /// What to wait for.
    #[arg(long, value_enum, default_value_t)]
    pub(super) wait: Wait,
    /// How long to wait, such as 10s.
    #[arg(long, value_parser = parse_span, allow_negative_numbers = true, default_value = "10s", value_name = "TIME")]
    pub(super) timeout: Duration,
    /// Refuse unless this is the latest revision.
    #[arg(long, value_parser = parse_revision, allow_negative_numbers = true, value_name = "N")]
    pub(super) expect_revision: Option<u64>,
    /// Why, for the history.
    #[arg(short, long, default_value = "", value_name = "TEXT")]
    pub(super) message: String,
    /// The id of an earlier try: if that one was committed, it is not done twice.
    #[arg(long, value_name = "HEX")]
    pub(super) request_id: Option<RequestId>,
}

#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// The source address.
    #[arg(value_parser = parse_address)]
    pub(super) src: IpAddr,
    /// The destination address.
    #[arg(value_parser = parse_address)]
    pub(super) dst: IpAddr,
    /// Protocol and port, such as tcp/443, icmp/8 or protocol/112.
    #[arg(value_name = "PROTO/PORT")]
    pub(super) service: FlowService,
    /// Ask this revision instead of the live one.
    #[arg(long, value_parser = parse_revision, allow_negative_numbers = true, value_name = "N")]
    pub(super) at: Option<u64>,
}

#[derive(Debug, Args)]
pub(super) struct DisarmArgs {
    /// Why; goes into the log for whoever asks later.
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: String,
    /// For how long, at most 4h.
    #[arg(long = "for", value_parser = parse_span, allow_negative_numbers = true, value_name = "TIME")]
    pub(super) duration: Duration,
}

/// Seconds, or a span with units.
fn parse_seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<u32>() {
        Ok(seconds) => Ok(Duration::from_secs(seconds.into())),
        Err(_) => parse_span(text),
    }
}

fn parse_revision(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("`{text}` is not a revision; write a number that `hedgerow policy history` lists"))
}

fn parse_count(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| format!("`{text}` is not a count; write a whole number, such as 100"))
}

fn parse_address(text: &str) -> Result<IpAddr, String> {
    let wrong =
        |_| format!("`{text}` is not an address; write one such as 192.0.2.1 or 2001:db8::1 (names are not looked up)");
    text.parse().map_err(wrong)
}
