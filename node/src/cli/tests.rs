use std::{
    io::{self, Read, Write},
    path::Path,
    sync::{Arc, Mutex},
};

use clap::CommandFactory;

use super::*;
use crate::{
    peer::{ApiError, double::Rig},
    view::{Applied, Finding},
};

/// A stream that a test can read afterwards.
#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Buffer {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// What came of a run.
struct Ran {
    exit: Exit,
    out: String,
    err: String,
}

fn run_with(socket: &Path, arguments: &[&str], input: impl Read + Send + 'static) -> Ran {
    let (out, err) = (Buffer::default(), Buffer::default());
    let terminal =
        Terminal { out: Box::new(out.clone()), err: Box::new(err.clone()), input: Box::new(input), colour: false };
    let socket = socket.to_str().unwrap();
    let start = ["hedgerow", "--socket", socket];
    let exit = run(start.iter().chain(arguments).map(OsString::from), terminal, |_| Box::pin(async { Ok(()) }));
    Ran { exit, out: out.text(), err: err.text() }
}

fn asked(rig: &Rig, arguments: &[&str]) -> Ran {
    run_with(&rig.socket, arguments, io::empty())
}

fn offline(arguments: &[&str]) -> Ran {
    run_with(Path::new("/nonexistent/api.sock"), arguments, io::empty())
}

#[test]
fn the_grammar_is_sound() {
    Cli::command().debug_assert();
}

/// Every verb, in every form.
#[test]
fn every_verb_prints_in_every_form() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("a.yaml"), "kind: Segment\n").unwrap();
    let files = directory.path().to_str().unwrap();
    let verbs: [&[&str]; 18] = [
        &["status"],
        &["status", "--wait", "5"],
        &["members"],
        &["channels"],
        &["flows", "--limit", "5"],
        &["cluster", "init"],
        &["cluster", "join", "hrt1.abc"],
        &["cluster", "leave", "--node", "n3"],
        &["cluster", "token", "create", "--ttl", "30m"],
        &["policy", "apply", "-f", files, "--prune", "--wait", "quorum", "--message", "why", "--timeout", "2s"],
        &["policy", "get"],
        &["policy", "get", "shop-web", "--local"],
        &["policy", "diff", "-f", files],
        &["policy", "explain", "10.0.0.1", "10.0.0.2", "tcp/443", "--at", "3"],
        &["policy", "history"],
        &["policy", "rollback", "3", "--expect-revision", "7"],
        &["segment", "list"],
        &["disarm", "--reason", "maintenance", "--for", "10m"],
    ];
    let rig = Rig::start();
    for verb in verbs {
        for form in ["table", "json", "yaml"] {
            let ran = asked(&rig, &[verb, &["-o", form]].concat());
            assert_eq!(ran.exit, Exit::Done, "{verb:?} {form}: {}", ran.err);
            let said = if verb.contains(&"token") { "good once, until 2026-11-22T12:00:00Z\n" } else { "" };
            assert_eq!(ran.err, said, "{verb:?} {form}");
            assert!(!ran.out.trim().is_empty(), "{verb:?} {form}");
            if form == "json" {
                serde_json::from_str::<serde_json::Value>(&ran.out).unwrap();
            }
        }
    }
}

#[test]
fn what_is_written_is_what_the_node_is_asked() {
    let rig = Rig::start();
    let id = "0123456789abcdef0123456789abcdef";
    let arguments = ["policy", "apply", "-f", "-", "--dry-run", "--request-id", id, "--expect-revision", "4"];
    let ran = run_with(&rig.socket, &arguments, "kind: Policy\n".as_bytes());
    assert_eq!(ran.exit, Exit::Done, "{}", ran.err);
    let call = rig.double.only_call();
    for asked in [
        "Source { name: \"<standard input>\", text: \"kind: Policy\\n\" }",
        "dry_run: true",
        "expect_revision: Some(4)",
        "wait: All",
        "timeout_ms: Some(10000)",
        &format!("RequestId({})", u128::from_str_radix(id, 16).unwrap()),
    ] {
        assert!(call.contains(asked), "missing: {asked}\nin: {call}");
    }
}

#[test]
fn an_apply_says_times_and_members() {
    let rig = Rig::start();
    let ran = run_with(&rig.socket, &["policy", "apply", "-f", "-"], "x: 1\n".as_bytes());
    assert!(
        ran.out.contains("revision 8 committed at log index 43 in 12 ms, active on 1 of 2 members in 45 ms"),
        "{}",
        ran.out
    );
    assert!(ran.out.lines().any(|line| line.starts_with("n2    lb2   down ")), "{}", ran.out);
}

#[test]
fn the_exit_code_says_what_came_of_an_apply() {
    let rig = Rig::start();
    for (outcome, wait, exit) in [
        (Applied::Active, "all", Exit::Done),
        (Applied::Unchanged, "all", Exit::Done),
        (Applied::Committed, "none", Exit::Done),
        (Applied::Committed, "all", Exit::NotReady),
        (Applied::Rejected, "all", Exit::Failed),
    ] {
        *rig.double.outcome.lock().unwrap() = Some(outcome);
        let ran = run_with(&rig.socket, &["policy", "apply", "-f", "-", "--wait", wait], "x: 1\n".as_bytes());
        assert_eq!(ran.exit, exit, "{outcome:?} {wait}");
    }
}

#[test]
fn findings_are_shown_with_the_line_and_a_caret() {
    let rig = Rig::start();
    rig.fail_with(ApiError::findings(vec![Finding {
        file: "<standard input>".to_owned(),
        line: 2,
        column: 7,
        length: 3,
        message: "no segment `shp`".to_owned(),
        help: Some("did you mean `shop`?".to_owned()),
    }]));
    let ran = run_with(&rig.socket, &["policy", "apply", "-f", "-"], "kind: Policy\nfrom: shp\n".as_bytes());
    assert_eq!(ran.exit, Exit::Failed);
    for shown in [
        "no segment `shp`",
        "<standard input>:2:7",
        "from: shp",
        "did you mean `shop`?",
        "1 error; nothing was applied",
    ] {
        assert!(ran.err.contains(shown), "missing: {shown}\nin:\n{}", ran.err);
    }
    assert_eq!(ran.out, "");
}

#[test]
fn a_refusal_is_a_sentence_and_what_to_do() {
    let rig = Rig::start();
    rig.fail_with(ApiError::not_ready("this node belongs to no cluster", "run `hedgerow cluster init`"));
    let ran = asked(&rig, &["cluster", "token", "create"]);
    assert_eq!(ran.exit, Exit::NotReady);
    assert_eq!(ran.err, "error: this node belongs to no cluster\nhelp: run `hedgerow cluster init`\n");

    rig.fail_with(ApiError::Conflict {
        message: "revision 4 was expected and 7 is the latest".to_owned(),
        revision: Some(7),
    });
    let ran = asked(&rig, &["policy", "rollback", "2"]);
    assert_eq!(ran.exit, Exit::Failed);
    assert!(ran.err.contains("--expect-revision 7"), "{}", ran.err);
}

/// A write whose outcome is open is shown with the id with which it can safely be sent again.
#[test]
fn an_open_outcome_is_shown_with_the_request_id() {
    let rig = Rig::start();
    rig.fail_with(ApiError::Deadline { message: "no answer in 10 s".to_owned(), may_have_committed: true });
    let ran = asked(&rig, &["policy", "rollback", "2", "--request-id", "ff"]);
    assert_eq!(ran.exit, Exit::Failed);
    assert!(ran.err.contains("may have been committed"), "{}", ran.err);
    assert!(ran.err.contains(&format!("--request-id {:032x}", 0xff)), "{}", ran.err);
}

#[test]
fn an_agent_that_is_not_there_is_named() {
    let ran = offline(&["status"]);
    assert_eq!(ran.exit, Exit::NotReady);
    assert!(
        ran.err.starts_with("error: cannot reach the agent at /nonexistent/api.sock: there is no such socket"),
        "{}",
        ran.err
    );
}

#[test]
fn status_waits_until_the_node_is_ready() {
    let rig = Rig::start();
    *rig.double.polls_until_ready.lock().unwrap() = 2;
    let ran = asked(&rig, &["status", "--wait", "30"]);
    assert_eq!(ran.exit, Exit::Done, "{}", ran.err);
    assert!(ran.out.contains("running, ready"), "{}", ran.out);
    assert_eq!(rig.double.calls.lock().unwrap().len(), 3);
}

#[test]
fn status_that_waits_in_vain_shows_how_far_it_is() {
    let rig = Rig::start();
    *rig.double.polls_until_ready.lock().unwrap() = u32::MAX;
    let ran = asked(&rig, &["status", "--wait", "300ms"]);
    assert_eq!(ran.exit, Exit::NotReady);
    assert!(ran.out.contains("forming, not ready"), "{}", ran.out);
    assert!(ran.err.contains("2 of 3 nodes have been heard of"), "{}", ran.err);
    assert_eq!(asked(&rig, &["status"]).exit, Exit::Done);
    assert_eq!(offline(&["status", "--wait", "50ms"]).exit, Exit::NotReady);
}

/// An agent that is stopped in its tracks keeps nobody waiting beyond the time that was asked for.
#[test]
fn status_gives_up_on_an_agent_that_stands_still() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("api.sock");
    let _silent = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let ran = run_with(&socket, &["status", "--wait", "200ms"], io::empty());
    assert_eq!(ran.exit, Exit::NotReady);
    assert_eq!(ran.err, "error: the agent did not answer within 0.2 s\n");
}

/// What is shipped as an example is in order.
#[test]
fn the_examples_are_in_order() {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
    let path = |below: &str| deploy.join(below).to_str().unwrap().to_owned();
    let ran = offline(&["agent", "--check", "--config", &path("examples/hedgerow.toml")]);
    assert_eq!(ran.exit, Exit::Done, "{}", ran.err);
    for policies in ["examples/policies", "demo/policies", "demo/deny-all"] {
        let ran = offline(&["policy", "validate", "-f", &path(policies)]);
        assert_eq!(ran.exit, Exit::Done, "{policies}: {}", ran.err);
    }
}

/// Numbers, addresses and times that are none: said in words of whoever wrote them, negative ones too.
#[test]
fn what_is_no_number_address_or_time_is_said_in_plain_words() {
    let apply = ["policy", "apply", "-f", "x.yaml"];
    for (arguments, says) in [
        (
            vec!["policy", "rollback", "-1"],
            "`-1` is not a revision; write a number that `hedgerow policy history` lists",
        ),
        (vec!["policy", "rollback", "abc"], "`abc` is not a revision"),
        ([&apply[..], &["--expect-revision", "-2"]].concat(), "`-2` is not a revision"),
        ([&apply[..], &["--timeout", "-5"]].concat(), "`-5` is not a span of time; write a number and a unit"),
        (vec!["policy", "explain", "1.2.3", "10.0.0.1", "tcp/443"], "`1.2.3` is not an address; write one such as"),
        (vec!["flows", "--limit", "-3"], "`-3` is not a count; write a whole number"),
        (vec!["status", "--wait", "-3"], "`-3` is not a span of time"),
        (vec!["cluster", "token", "create", "--ttl", "-1"], "`-1` is not a span of time"),
        (vec!["disarm", "--reason", "x", "--for", "-1"], "`-1` is not a span of time"),
    ] {
        let ran = offline(&arguments);
        assert_eq!(ran.exit, Exit::Usage, "{arguments:?}");
        assert!(ran.err.contains(says), "{arguments:?}: {}", ran.err);
    }
}

#[test]
fn wrong_usage_is_said() {
    for arguments in [
        &["policy", "explain", "10.0.0.1", "10.0.0.2", "tcp"][..],
        &["disarm", "--for", "10m"],
        &["disarm", "--reason", "r", "--for", "10"],
        &["policy", "apply"],
        &["frobnicate"],
        &["policy", "apply", "-f", "/nonexistent/policies"],
    ] {
        let ran = offline(arguments);
        assert_eq!(ran.exit, Exit::Usage, "{arguments:?}: {}", ran.err);
        assert!(!ran.err.is_empty(), "{arguments:?}");
    }
    let help = offline(&["--help"]);
    assert_eq!((help.exit, help.err.as_str()), (Exit::Done, ""));
    assert!(help.out.contains("Exit code: 0 done, 1 refused or failed"), "{}", help.out);
}

#[test]
fn completion_is_printed_without_an_agent() {
    let ran = offline(&["completion", "bash"]);
    assert_eq!(ran.exit, Exit::Done);
    assert!(ran.out.contains("hedgerow"), "{}", ran.out);
}

/// What `policy get -o yaml` prints can be applied again: as many documents, the same content.
#[test]
fn documents_are_printed_as_yaml_that_is_read_back() {
    let rig = Rig::start();
    let ran = asked(&rig, &["policy", "get", "-o", "yaml"]);
    let documents: Vec<serde_json::Value> = serde_saphyr::from_multiple(&ran.out).unwrap();
    assert_eq!(documents.len(), 2, "{}", ran.out);
    assert_eq!(documents[0]["metadata"]["name"], "shop-web");
}

#[test]
fn documents_are_checked_offline() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.yaml");
    let document = "apiVersion: hedgerow/v1\nkind: Segment\nmetadata: {name: web}\nspec: {role: vip, addresses: [203.0.113.10/32]}\n";
    std::fs::write(&file, document).unwrap();
    let path = file.to_str().unwrap();
    let ran = offline(&["policy", "validate", "-f", path]);
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Done, "1 document is in order\n"), "{}", ran.err);

    std::fs::write(&file, document.replace("203.0.113.10/32", "203.0.113.10/24")).unwrap();
    let ran = offline(&["policy", "validate", "-f", path]);
    assert_eq!(ran.exit, Exit::Failed);
    assert!(ran.err.contains("a.yaml:4:") && ran.err.contains("203.0.113"), "{}", ran.err);
}

#[test]
fn a_configuration_is_checked_and_a_wrong_one_is_usage() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("hedgerow.toml");
    let text =
        "name = \"lb1\"\n[cluster]\nlisten = \"10.77.0.1:7400\"\n[[interface]]\nname = \"eth0\"\nrole = \"cluster\"\n";
    std::fs::write(&file, text).unwrap();
    let path = file.to_str().unwrap();
    let ran = offline(&["agent", "--config", path, "--check"]);
    assert_eq!(ran.exit, Exit::Done, "{}", ran.err);
    assert!(ran.out.ends_with("is in order\n"));

    std::fs::write(&file, text.replace("listen", "lisen")).unwrap();
    let ran = offline(&["agent", "--config", path, "--check"]);
    assert_eq!(ran.exit, Exit::Usage);
    assert!(ran.err.contains(":3:1: ") && ran.err.contains("did you mean `listen`?"), "{}", ran.err);
    assert_eq!(offline(&["agent", "--config", "/nonexistent.toml"]).exit, Exit::Usage);
}

/// What follows is printed as it comes, in a form that a program can read line by line; the end of the agent is a failure.
#[test]
fn flows_are_followed_one_by_one() {
    let rig = Rig::start();
    let ran = asked(&rig, &["flows", "-f", "-o", "json"]);
    assert_eq!(ran.exit, Exit::Failed);
    assert!(ran.err.contains("nothing follows the sample"), "{}", ran.err);
    let event: serde_json::Value = serde_json::from_str(ran.out.trim()).unwrap();
    assert_eq!((ran.out.lines().count(), &event["service"]), (1, &"tcp/22".into()));
    let followed = rig.double.calls.lock().unwrap()[1].clone();
    assert!(followed.contains("since: Some(17), wait_ms: Some(20000)"), "{followed}");
    let shown = asked(&rig, &["flows"]).out;
    let words: Vec<&str> = shown.split_whitespace().collect();
    assert_eq!(words[..5], ["2026-11-22T12:00:00.123Z", "eth1", "ingress", "drop", "denied"], "{shown}");
    let ends = "198.51.100.7:50000 -> 203.0.113.10 tcp/22";
    let rules = "shop-web/ingress (no rule matched) and default action; revision 7; SYN";
    assert!(shown.contains(ends) && shown.trim_end().ends_with(rules), "{shown}");
}
