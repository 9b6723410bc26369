//! Working with policy, at every node alike: apply, compare, explain, look back, go back.

use std::{collections::BTreeSet, time::Duration};

use node::{
    client::{Client, ClientError},
    view::{self, Applied, ApplyAnswer, ApplyRequest, ChangeKind, Consistency, ErrorKind, PolicyQuery, Wait},
};

use crate::{
    documents::{WEB, request, segment},
    lab::{Agent, Lab, Setup, eventually, run},
};

fn apply(agent: &Agent, request: &ApplyRequest) -> Result<ApplyAnswer, ClientError> {
    agent.ask(async |client: &Client| client.apply(request).await)
}

fn documents(agent: &Agent, consistency: Consistency) -> view::PolicyDocuments {
    let query = PolicyQuery { name: None, consistency };
    agent.ask(async |client: &Client| client.policy(&query).await).unwrap()
}

/// Any node takes writes and forwards them; the answer names revision, log index and digest, and what every member does.
/// G3: a read at any other node right after it sees the write. G5: the same digest everywhere.
#[test]
fn g3_g5_every_node_takes_writes_and_every_node_reads_them_at_once() {
    let lab = Lab::formed(3);
    let mut last = (0, 0);
    for (turn, round) in (0..9u64).enumerate() {
        let (writer, reader) = (&lab.agents[turn % 3], &lab.agents[(turn + 1) % 3]);
        let text = segment(&format!("round-{round}"), &format!("10.0.{round}.1/32"));
        let answer = apply(writer, &request(&text)).unwrap();
        assert_eq!((answer.revision, answer.outcome), (round + 1, Applied::Active));
        assert!(answer.index > last.1, "the log goes forward");
        assert_eq!(answer.nodes.len(), 3);
        assert!(answer.nodes.iter().all(|node| node.state == view::NodeStateKind::Active), "{:?}", answer.nodes);
        let read = documents(reader, Consistency::Linearizable);
        assert_eq!((read.revision, read.digest), (answer.revision, Some(answer.digest)));
        assert!(read.index >= answer.index);
        assert_eq!(read.documents.len() as u64, round + 1);
        last = (answer.revision, answer.index);
    }
    // Without waiting for activation the commit alone is what the next reader must see.
    for round in 0..9usize {
        let text = segment("again", &format!("10.9.{round}.1/32"));
        let unwaited = ApplyRequest { wait: Wait::None, ..request(&text) };
        let answer = apply(&lab.agents[round % 3], &unwaited).unwrap();
        assert_eq!(answer.outcome, Applied::Committed);
        assert_eq!(documents(&lab.agents[(round + 1) % 3], Consistency::Linearizable).revision, answer.revision);
    }
    lab.enforced(18);
    let digests: Vec<_> = lab.agents.iter().map(|agent| documents(agent, Consistency::Local).digest).collect();
    assert!(digests.iter().all(|digest| *digest == digests[0]));
}

/// Each node applies `writes` documents of its own, all nodes at once, each write followed by what is to come `after` it.
fn write_at_all_nodes(lab: &Lab, writes: usize, after: &[&[&str]]) {
    let file = |writer: usize, write: usize| {
        let name = format!("w{writer}-{write}");
        lab.file(&format!("{name}.yaml"), &segment(&name, &format!("10.{writer}.{write}.1/32")))
    };
    let of_writer = |writer: usize| (0..writes).map(|write| file(writer, write)).collect::<Vec<String>>();
    let files: Vec<_> = (0..lab.agents.len()).map(of_writer).collect();
    std::thread::scope(|scope| {
        for (agent, files) in lab.agents.iter().zip(&files) {
            let socket = agent.files.socket.clone();
            scope.spawn(move || {
                let policy = |words: &[&str]| {
                    let socket = ["--socket", socket.to_str().unwrap(), "policy"];
                    run([&socket[..], words, &["--wait", "none"]].concat()).done();
                };
                for file in files {
                    policy(&["apply", "-f", file]);
                    after.iter().for_each(|words| policy(words));
                }
            });
        }
    });
}

/// Many writers at all nodes at once: each write is one revision, none is lost, and all nodes say the same.
#[test]
fn g2_g5_concurrent_writes_at_all_nodes_are_all_there() {
    /// Writes of each writer.
    const WRITES: usize = 8;
    let lab = Lab::formed(3);
    write_at_all_nodes(&lab, WRITES, &[]);
    lab.enforced(3 * WRITES as u64);
    let all: Vec<_> = lab.agents.iter().map(|agent| documents(agent, Consistency::Linearizable)).collect();
    assert!(all.iter().all(|one| one.documents.len() == 3 * WRITES && one.digest == all[0].digest));
}

/// Where documents declare channels, each write is judged by the revision before it (G0): who is overtaken is judged again, rollbacks
/// too, and every write is there in the end.
#[test]
fn g0_g2_writers_who_overtake_each_other_are_judged_again() {
    /// Writes of each writer, and as many rollbacks.
    const WRITES: usize = 4;
    let lab = Lab::formed(3);
    let channel = "apiVersion: hedgerow/v1\nkind: SyncChannel\nmetadata: {name: sync}\n\
                   spec: {interface: cluster, protocol: udp, port: 3780}\n";
    apply(&lab.agents[0], &request(channel)).unwrap();
    write_at_all_nodes(&lab, WRITES, &[&["rollback", "1"]]);
    lab.enforced(1 + 3 * 2 * WRITES as u64);
    let all: Vec<_> = lab.agents.iter().map(|agent| documents(agent, Consistency::Linearizable)).collect();
    assert!(all.iter().all(|one| one.digest == all[0].digest));
}

/// Compare-and-set, and the same write sent twice.
#[test]
fn a_write_can_expect_a_revision_and_be_repeated() {
    let lab = Lab::formed(3);
    let [first, second, third] = &lab.agents[..] else { panic!("three nodes") };
    let file = lab.file("one.yaml", &segment("one", "10.0.0.1/32"));
    let id = "00112233445566778899aabbccddeeff";
    let tried = ["policy", "apply", "-f", &file, "--expect-revision", "0", "--request-id", id, "-o", "json"];
    let answer: ApplyAnswer = first.cli(tried).json();
    assert_eq!((answer.revision, answer.outcome), (1, Applied::Active));

    // The answer was lost, the write is sent again, elsewhere: it is the same write, with the same answer.
    let again: ApplyAnswer = second.cli(tried).json();
    assert_eq!((again.revision, again.index, again.digest), (1, answer.index, answer.digest));
    // Also when others have written since.
    let other = lab.file("two.yaml", &segment("two", "10.0.0.2/32"));
    let answer: ApplyAnswer =
        third.cli(["policy", "apply", "-f", &other, "--expect-revision", "1", "-o", "json"]).json();
    assert_eq!(answer.revision, 2);
    let again: ApplyAnswer = third.cli(tried).json();
    assert_eq!(again.revision, 1);
    assert_eq!(first.status().policy.revision, 2);
    let rollback = ["policy", "rollback", "1", "--request-id", "0123", "-o", "json"];
    let (once, twice): (ApplyAnswer, ApplyAnswer) = (first.cli(rollback).json(), second.cli(rollback).json());
    assert_eq!((once.revision, once.index), (twice.revision, twice.index));
    assert_eq!(once.revision, 3);

    // Somebody was faster: nothing changes, and the answer says what is there now.
    let file = lab.file("three.yaml", &segment("three", "10.0.0.3/32"));
    let conflict = second.cli(["policy", "apply", "-f", &file, "--expect-revision", "2"]);
    conflict.refused(1, &["revision 2 was expected", "3", "--expect-revision 3"]);
    second.cli(["policy", "rollback", "1", "--expect-revision", "2"]).refused(1, &["revision 2 was expected"]);
    let stale = ApplyRequest { expect_revision: Some(7), ..request(&segment("three", "10.0.0.3/32")) };
    match apply(third, &stale).unwrap_err() {
        ClientError::Refused(body) => assert_eq!((body.kind, body.revision), (ErrorKind::Conflict, Some(3))),
        other => panic!("{other}"),
    }
    assert_eq!(first.status().policy.revision, 3);
}

/// What would change is shown, and nothing is changed by looking.
#[test]
fn dry_run_and_diff_show_what_would_change_and_change_nothing() {
    let lab = Lab::by_hand(0);
    let agent = &lab.agents[0];
    let file = lab.file("web.yaml", WEB);
    agent.cli(["policy", "apply", "-f", &file]).done();
    let before = agent.status().raft.unwrap().last_log;

    let changed = lab.file("changed.yaml", &WEB.replace("port: 443", "port: 8443"));
    let dry: ApplyAnswer = agent.cli(["policy", "apply", "--dry-run", "-f", &changed, "-o", "json"]).json();
    assert_eq!((dry.outcome, dry.revision, dry.index), (Applied::DryRun, 1, 0));
    assert_eq!(dry.changes.len(), 1);
    let diff: view::DiffAnswer = agent.cli(["policy", "diff", "-f", &changed, "-o", "json"]).json();
    assert_eq!((diff.revision, &diff.changes), (1, &dry.changes));
    let change = &diff.changes[0];
    assert_eq!((change.change, change.kind.as_str(), change.name.as_str()), (ChangeKind::Changed, "Segment", "web"));
    assert!(change.text.contains("443") && change.text.contains("8443"), "{}", change.text);

    let extra = lab.file("extra.yaml", &segment("extra", "10.0.0.1/32"));
    let pruned = agent.cli(["policy", "diff", "--prune", "-f", &extra]).done();
    assert!(pruned.contains("added    Segment extra") && pruned.contains("removed  Policy web"), "{pruned}");
    let same = agent.cli(["policy", "diff", "-f", &file]).done();
    assert!(same.contains("nothing would change: revision 1 says the same"), "{same}");
    assert_eq!(agent.status().raft.unwrap().last_log, before, "looking writes nothing");
}

/// G6: a rollback is a new revision and a new generation. G16: every revision has its author.
#[test]
fn g6_g16_history_tells_every_revision_and_rollback_makes_a_new_one() {
    let lab = Lab::formed(3);
    let [first, second, third] = &lab.agents[..] else { panic!("three nodes") };
    let web = lab.file("web.yaml", WEB);
    first.cli(["policy", "apply", "-f", &web, "-m", "the shop opens"]).done();
    let generation = second.status().enforcement.attested.unwrap().generation;
    let narrow = lab.file("narrow.yaml", &WEB.replace("198.51.100.0/24", "198.51.100.0/28"));
    second.cli(["policy", "apply", "-f", &narrow, "-m", "fewer partners"]).done();
    let said = third.cli(["policy", "rollback", "1", "-m", "too few"]).done();
    assert!(said.contains("changed  Policy web") && said.contains("revision 3 committed"), "{said}");
    lab.enforced(3);
    assert!(second.status().enforcement.attested.unwrap().generation >= generation + 2, "generations go forward");

    let history: view::History = first.cli(["policy", "history", "-o", "json"]).json();
    let numbers: Vec<_> = history.revisions.iter().map(|revision| revision.number).collect();
    assert_eq!(numbers, [3, 2, 1]);
    assert_eq!(history.revisions[0].digest, history.revisions[2].digest, "the content is the one of revision 1");
    assert_ne!(history.revisions[0].digest, history.revisions[1].digest);
    assert!(history.revisions.iter().all(|revision| !revision.actor.is_empty() && revision.documents == 2));
    assert_eq!(history.revisions[2].message, "the shop opens");
    assert_eq!(history.revisions[0].message, "too few");
    assert!(history.revisions[0].active && !history.revisions[1].active);
    first.cli(["policy", "rollback", "9"]).refused(1, &["revision 9 does not exist", "3"]);
    assert_eq!(first.status().policy.revision, 3);
    // Back to before the first revision: nothing is refused any more.
    first.cli(["policy", "rollback", "0"]).done();
    lab.enforced(4);
    assert!(documents(second, Consistency::Linearizable).documents.is_empty());
}

/// Why a flow passes or not, with the rule that decides; the reference, the image and the data path agree.
#[test]
fn explain_names_the_rule_and_the_reason() {
    let lab = Lab::by_hand(0);
    let agent = &lab.agents[0];
    let web = lab.file("web.yaml", WEB);
    let before = agent.cli(["policy", "explain", "192.0.2.1", "203.0.113.10", "tcp/443"]).done();
    assert!(before.starts_with("allowed by revision 0"), "{before}");
    agent.cli(["policy", "apply", "-f", &web]).done();

    let explain = |source: &str, service: &str| {
        agent.cli(["policy", "explain", source, "203.0.113.10", service, "-o", "json"]).json::<view::Explanation>()
    };
    let allowed = explain("198.51.100.7", "tcp/443");
    assert_eq!((allowed.revision, allowed.verdict), (1, view::Verdict::Allow));
    assert!(allowed.text.contains("web/ingress/partners") || allowed.text.contains("web/partners"), "{}", allowed.text);
    let stranger = explain("192.0.2.1", "tcp/443");
    assert_eq!(stranger.verdict, view::Verdict::Deny);
    assert!(stranger.text.contains("192.0.2.1 is not in 198.51.100.0/24"), "{}", stranger.text);
    assert_eq!(explain("198.51.100.7", "tcp/80").verdict, view::Verdict::Deny);
    let old = agent.cli(["policy", "explain", "192.0.2.1", "203.0.113.10", "tcp/443", "--at", "0"]).done();
    assert!(old.starts_with("allowed by revision 0"), "{old}");
    agent
        .cli(["policy", "explain", "192.0.2.1", "203.0.113.10", "tcp/443", "--at", "9"])
        .refused(1, &["revision 9 does not exist; the newest is 1"]);
    agent.cli(["policy", "explain", "192.0.2.1", "2001:db8::10", "tcp/443"]).refused(1, &["famil"]);
    agent.cli(["policy", "explain", "192.0.2.1", "203.0.113.10", "tpc/443"]).refused(2, &["`tpc` is not a protocol"]);

    // What comes in at this node's own interface is shown to its data path, which must say the same.
    let local = WEB.replace("203.0.113.10/32", "127.200.0.1/32").replace("198.51.100.0/24", "127.201.0.0/16");
    agent.cli(["policy", "apply", "-f", &lab.file("local.yaml", &local)]).done();
    for (source, verdict) in [("127.201.3.4", view::Verdict::Allow), ("127.202.3.4", view::Verdict::Deny)] {
        let explained: view::Explanation =
            agent.cli(["policy", "explain", source, "127.200.0.1", "tcp/443", "-o", "json"]).json();
        assert_eq!(explained.verdict, verdict);
        assert!(!explained.kernel.is_empty(), "{explained:?}");
        assert!(explained.kernel.iter().all(|answer| answer.agrees), "{:?}", explained.kernel);
    }
}

/// Documents come back as they were given, at any node, and segments are listed with the built-in ones.
#[test]
fn documents_and_segments_are_read_back() {
    let lab = Lab::formed(2);
    let [first, second] = &lab.agents[..] else { panic!("two nodes") };
    let empty: view::PolicyDocuments = second.cli(["policy", "get", "-o", "json"]).json();
    assert_eq!((empty.revision, empty.documents.len()), (0, 0));
    first.cli(["policy", "apply", "-f", &lab.file("web.yaml", WEB)]).done();
    let table = second.cli(["policy", "get"]).done();
    assert!(table.contains("Segment") && table.contains("Policy"), "{table}");
    let text = second.cli(["policy", "get", "web"]).done();
    // What is printed can be applied, and is the same.
    let back = lab.file("back.yaml", &text);
    let said = first.cli(["policy", "apply", "--prune", "-f", &back]).done();
    assert!(said.contains("nothing changed: revision 1 says the same"), "{said}\n{text}");
    second.cli(["policy", "get", "wbe"]).refused(1, &["there is no document `wbe`", "web"]);

    let segments: view::Segments = second.cli(["segment", "list", "-o", "json"]).json();
    let names: Vec<_> = segments.segments.iter().map(|segment| segment.name.as_str()).collect();
    assert_eq!(names, ["any", "members", "web"]);
    let members = first.members();
    let addresses: BTreeSet<_> = members.iter().flat_map(|member| &member.addresses).map(|one| one.addr).collect();
    let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    assert_eq!(segments.segments[1].addresses, addresses, "in the order of the addresses, not of the text");
    assert_eq!(segments.segments[2].policies, ["web"]);
    assert_eq!(segments.segments[2].services, ["https tcp/443"]);
}

/// A node that comes back with tables too small for what the cluster has made live passes everything, and said nothing of it but in its log,
/// twice a second.
#[test]
fn a_node_without_room_for_the_live_revision_raises_an_alarm() {
    let mut lab = Lab::by_hand(0);
    let (web, _) = WEB.split_once("    - {name: partners").unwrap();
    let rules = |part: u16| -> String {
        let rule =
            |n| format!("    - {{name: r{n}, action: allow, from: [{{cidr: 10.{part}.{}.{}}}]}}\n", n / 250, n % 250);
        (0..3_000).map(rule).collect()
    };
    let (segment, policy) = web.split_once("---\n").unwrap();
    let policies = (0..3).map(|part| policy.replace("{name: web}", &format!("{{name: web{part}}}")) + &rules(part));
    let many = [segment.to_owned()].into_iter().chain(policies).collect::<Vec<_>>().join("---\n");
    let file = lab.file("many.yaml", &many);
    let agent = &mut lab.agents[0];
    agent.cli(["policy", "apply", "-f", &file]).done();
    agent.terminate();
    let small = "[dataplane.tables]\nimage = \"small\"\n".to_owned();
    agent.setup(&Setup { more: small, ..Setup::by_hand() });
    agent.start();
    let alarm = eventually("an alarm", || {
        let alarms = agent.try_status()?.alarms;
        alarms.into_iter().find(|alarm| alarm.message.contains("live in the cluster and not here"))
    });
    assert!(alarm.message.contains("dataplane.tables.image = \"large\""), "{alarm:?}");
    // Four rounds, or more: so often it would be tried, and twice each time.
    std::thread::sleep(Duration::from_secs(2));
    let said = agent.log().lines().filter(|line| line.contains("not prepared")).count();
    assert!(said <= 2, "{said} times");
    agent.setup(&Setup::by_hand());
    agent.restart();
    lab.enforced(1);
}
