//! `policy apply`, `get`, `diff`, `explain`, `history`, `rollback` and `validate`.

use policy::SourceText;

use super::{
    Exit,
    args::{ApplyArgs, ExplainArgs, FileArgs, Format, PolicyCommand, ReadArgs, WriteArgs},
    cluster::milliseconds,
    failure::Failure,
    output::Printer,
    show::Validated,
    sources,
};
use crate::{
    client::Client,
    fit::fit,
    view::{self, Applied, RequestId, Wait},
};

/// Runs a verb of `policy`.
pub(super) async fn run(command: PolicyCommand, client: &Client, printer: &mut Printer<'_>) -> Result<Exit, Failure> {
    match command {
        PolicyCommand::Apply(args) => apply(args, client, printer).await,
        PolicyCommand::Get { name, read } => get(name, read, client, printer).await,
        PolicyCommand::Diff { files, prune, read } => diff(&files, prune, read, client, printer).await,
        PolicyCommand::Explain(args) => explain(&args, client, printer).await,
        PolicyCommand::History(read) => printer.print(&client.history(read.query()).await?),
        PolicyCommand::Rollback { revision, write } => rollback(revision, write, client, printer).await,
        PolicyCommand::Validate { files } => validate(&files, printer),
    }
}

async fn apply(args: ApplyArgs, client: &Client, printer: &mut Printer<'_>) -> Result<Exit, Failure> {
    let texts = read(&args.files, printer)?;
    let write = args.write;
    let id = request_id(&write);
    let request = view::ApplyRequest {
        sources: sources::wire(&texts),
        prune: args.prune,
        expect_revision: write.expect_revision,
        message: write.message,
        dry_run: args.dry_run,
        wait: write.wait,
        timeout_ms: Some(milliseconds(write.timeout)),
        request_id: Some(id),
    };
    let answer = client.apply(&request).await.map_err(|error| Failure::of_write(error, texts, id))?;
    printer.print(&answer)?;
    Ok(exit_of(&answer, write.wait))
}

async fn rollback(
    revision: u64,
    write: WriteArgs,
    client: &Client,
    printer: &mut Printer<'_>,
) -> Result<Exit, Failure> {
    let id = request_id(&write);
    let request = view::RollbackRequest {
        to: revision,
        expect_revision: write.expect_revision,
        message: write.message,
        wait: write.wait,
        timeout_ms: Some(milliseconds(write.timeout)),
        request_id: Some(id),
    };
    let answer = client.rollback(&request).await.map_err(|error| Failure::of_write(error, Vec::new(), id))?;
    printer.print(&answer)?;
    Ok(exit_of(&answer, write.wait))
}

/// A revision that was refused is a failure; one that is not live yet although that was waited for is not ready.
fn exit_of(answer: &view::ApplyAnswer, wait: Wait) -> Exit {
    match answer.outcome {
        Applied::Rejected => Exit::Failed,
        Applied::Committed if wait != Wait::None => Exit::NotReady,
        Applied::Committed | Applied::DryRun | Applied::Unchanged | Applied::Active => Exit::Done,
    }
}

async fn get(
    name: Option<String>,
    read: ReadArgs,
    client: &Client,
    printer: &mut Printer<'_>,
) -> Result<Exit, Failure> {
    let query = view::PolicyQuery { name, consistency: read.consistency() };
    let answer = client.policy(&query).await?;
    let whole = printer.format == Format::Table && query.name.is_some();
    if whole || printer.format == Format::Yaml {
        return printer.print_documents(&answer.documents);
    }
    printer.print(&answer)
}

async fn diff(
    files: &FileArgs,
    prune: bool,
    read_args: ReadArgs,
    client: &Client,
    printer: &mut Printer<'_>,
) -> Result<Exit, Failure> {
    let texts = read(files, printer)?;
    let consistency = read_args.consistency();
    let request = view::DiffRequest { sources: sources::wire(&texts), prune, consistency };
    let answer = client.diff(&request).await.map_err(|error| Failure::of_request(error, texts))?;
    printer.print(&answer)
}

async fn explain(args: &ExplainArgs, client: &Client, printer: &mut Printer<'_>) -> Result<Exit, Failure> {
    let query = view::ExplainQuery { src: args.src, dst: args.dst, service: args.service, revision: args.at };
    printer.print(&client.explain(&query).await?)
}

/// Checks documents as an agent would, without one: by themselves, and as if the cluster had no members yet.
fn validate(files: &FileArgs, printer: &mut Printer<'_>) -> Result<Exit, Failure> {
    let texts = read(files, printer)?;
    let checked = policy::parse(&texts).and_then(|documents| fit(&documents, &[]).map(|_| documents));
    match checked {
        Ok(documents) => printer.print(&Validated { documents: documents.len(), files: texts.len() }),
        Err(findings) => Err(Failure::Documents { findings, sources: texts }),
    }
}

fn read(files: &FileArgs, printer: &mut Printer<'_>) -> Result<Vec<SourceText>, Failure> {
    sources::read(&files.files, &mut printer.terminal.input)
}

/// The id of an earlier try, or a new one.
fn request_id(write: &WriteArgs) -> RequestId {
    write.request_id.unwrap_or_else(|| RequestId(rand::random()))
}
