//! By hand: `cluster init`, `token create`, `cluster join`, and every token that opens nothing.

use node::view::{Applied, ApplyAnswer, Phase};
use transport::JoinToken;

use crate::{
    documents::segment,
    lab::{Agent, Lab, Setup, eventually, run, until},
};

/// One mechanism for every way in: a token, a certificate, the log, and after a while a vote.
#[test]
fn init_and_two_tokens_make_a_cluster_of_three_voters() {
    let lab = Lab::by_hand(2);
    for joiner in &lab.agents[1..] {
        joiner.waits_for("hedgerow cluster join");
        joiner.cli(["cluster", "join", &lab.agents[0].token()]).done();
        joiner.ready();
        // A learner takes writes like everybody.
        let name = joiner.node().to_string();
        let file = lab.file("by-learner.yaml", &segment(&name, "10.0.0.1/32"));
        let answer: ApplyAnswer = joiner.cli(["policy", "apply", "-f", &file, "-o", "json"]).json();
        assert_eq!(answer.outcome, Applied::Active);
    }
    lab.cluster();
    let numbers: Vec<_> = lab.agents.iter().map(|agent| agent.node().get()).collect();
    assert_eq!(numbers, [1, 2, 3]);
    for agent in &lab.agents {
        until("three voters", || agent.status().raft.is_some_and(|raft| raft.voters.len() == 3));
        assert_eq!(agent.members().len(), 3);
    }
}

/// Whether a refused node is as if it had never asked.
fn is_alone(agent: &Agent) -> bool {
    let status = agent.status();
    (status.phase, status.cluster) == (Phase::Alone, None)
}

/// G9: a token opens its own cluster, once, in its time, as it was printed.
#[test]
fn g9_used_expired_corrupted_and_invented_tokens_are_refused_and_said_why() {
    let lab = Lab::by_hand(2);
    let [member, second, third] = &lab.agents[..] else { panic!("three nodes") };
    let token = member.token();

    third.cli(["cluster", "join", "rubbish"]).refused(1, &["this is not a join token"]);
    let corrupted = format!("{}{}", &token[..token.len() - 1], if token.ends_with('A') { 'B' } else { 'A' });
    third.cli(["cluster", "join", &corrupted]).refused(1, &["the token is damaged"]);

    let mut invented: JoinToken = token.parse().unwrap();
    invented.id = [7; 16];
    third.cli(["cluster", "join", &invented.to_string()]).refused(1, &["refused", "is not known to this cluster"]);
    let mut guessed: JoinToken = token.parse().unwrap();
    guessed.secret = [7; 32];
    third.cli(["cluster", "join", &guessed.to_string()]).refused(1, &["refused", "the secret is wrong"]);

    second.cli(["cluster", "join", &token]).done();
    third.cli(["cluster", "join", &token]).refused(1, &["refused", "has been used"]);

    let short = member.cli(["cluster", "token", "create", "--ttl", "50ms"]).done();
    let parsed: JoinToken = short.trim().parse().unwrap();
    until("the token to expire", || parsed.is_expired(now_ms()));
    third.cli(["cluster", "join", short.trim()]).refused(1, &["the token has expired"]);
    // A joiner whose clock is behind asks all the same; the cluster decides.
    let late = JoinToken { expires_ms: u64::MAX, ..parsed };
    third.cli(["cluster", "join", &late.to_string()]).refused(1, &["refused", "the token has expired"]);

    member.cli(["cluster", "token", "create", "--ttl", "0s"]).refused(1, &["good for more than 0"]);
    assert!(is_alone(third));
    assert_eq!(member.members().len(), 2);
}

fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

/// G9: two ids never merge: a token of one cluster opens no other, whoever it names as the way in.
#[test]
fn g9_a_token_of_another_cluster_is_refused() {
    let lab = Lab::by_hand(2);
    let [member, other, joiner] = &lab.agents[..] else { panic!("three nodes") };
    other.cli(["cluster", "init"]).done();
    let (ours, theirs): (JoinToken, JoinToken) = (member.token().parse().unwrap(), other.token().parse().unwrap());

    // The way in leads to a member of another cluster: its certificate gives it away.
    let astray = JoinToken { seeds: theirs.seeds.clone(), ..ours };
    let run = joiner.cli(["cluster", "join", &astray.to_string(), "--timeout", "3s"]);
    run.refused(1, &["did not show a certificate of the token's cluster"]);
    assert!(!run.err.contains("policy history"), "a join is not a revision: {run}");
    // The authority is the other's, the token is ours: the member that is asked gives it away.
    let mixed = JoinToken { ca: theirs.ca, ..astray };
    joiner.cli(["cluster", "join", &mixed.to_string()]).refused(1, &["refused", "of another cluster"]);
    assert!(is_alone(joiner));

    // A member of one joins no other, and founds no other.
    other.cli(["cluster", "join", &ours.to_string()]).refused(1, &["already", "leave first"]);
    other.cli(["cluster", "init"]).refused(1, &["already"]);
    joiner.cli(["cluster", "join", &ours.to_string()]).done();
    assert_eq!(joiner.ready().cluster, member.status().cluster);
    assert_eq!(other.members().len(), 1);
}

/// G9: two nodes with one token at the same instant: one is in, the other is not.
#[test]
fn g9_one_token_admits_one_of_two_that_use_it_at_once() {
    let lab = Lab::by_hand(2);
    let token = lab.agents[0].token();
    let runs = std::thread::scope(|scope| {
        let join = |agent: &Agent| {
            let socket = agent.files.socket.display().to_string();
            let token = token.clone();
            scope.spawn(move || run(["--socket", &socket, "cluster", "join", &token]))
        };
        [join(&lab.agents[1]), join(&lab.agents[2])].map(|run| run.join().unwrap())
    });
    let (done, refused): (Vec<_>, Vec<_>) = runs.into_iter().partition(|run| run.code == 0);
    assert_eq!((done.len(), refused.len()), (1, 1), "{done:?} {refused:?}");
    refused[0].refused(1, &["refused", "has been used"]);
    assert_eq!(lab.agents[0].members().len(), 2);
}

/// A member may move: the others find it at its new address.
#[test]
fn a_member_that_moves_is_found_at_its_new_address() {
    let mut lab = Lab::by_hand(1);
    lab.agents[1].cli(["cluster", "join", &lab.agents[0].token()]).done();
    lab.agents[1].ready();
    lab.agents[1].terminate();
    let elsewhere = Setup { at: Some(7), ..Setup::by_hand() };
    lab.agents[1].setup(&elsewhere);
    let old = lab.agents[0].members()[1].endpoint;
    lab.agents[1].start();
    lab.agents[1].ready();
    until("the new address in the records", || lab.agents[0].members()[1].endpoint != old);
    until("the member to be alive there", || lab.agents[0].status().members.alive == 2);
    let file = lab.file("moved.yaml", &segment("moved", "10.0.0.1/32"));
    lab.agents[0].cli(["policy", "apply", "-f", &file]).done();
    lab.enforced(1);
}

/// Names are unique, and a token that was refused for that reason is still good.
#[test]
fn a_name_that_is_taken_is_refused_and_the_token_stays_good() {
    let mut lab = Lab::by_hand(0);
    let twin = Setup { name: Some("lb1".to_owned()), ..Setup::by_hand() };
    lab.agents.push(lab.node(2, &twin));
    lab.agents[1].start();
    lab.agents[1].answers();
    let token = lab.agents[0].token();
    lab.agents[1].cli(["cluster", "join", &token]).refused(1, &["refused", "the name `lb1` belongs to member n1"]);

    lab.agents[1].terminate();
    lab.agents[1] = lab.node(2, &Setup::by_hand());
    lab.agents[1].start();
    lab.agents[1].answers();
    lab.agents[1].cli(["cluster", "join", &token]).done();
    assert_eq!(lab.agents[1].ready().node.unwrap().get(), 2, "a refused node has used up no number");
}

/// A member that is renamed to a name that is taken is told so, and does not fill the log with its asking.
#[test]
fn a_member_renamed_to_a_taken_name_does_not_flood_the_log() {
    let mut lab = Lab::by_hand(1);
    lab.agents[1].cli(["cluster", "join", &lab.agents[0].token()]).done();
    lab.agents[1].ready();
    lab.agents[1].kill();
    lab.agents[1] = lab.node(2, &Setup { name: Some("lb1".to_owned()), ..Setup::by_hand() });
    lab.agents[1].start();
    lab.agents[1].logs("the name `lb1` belongs to member n1");
    lab.agents[1].ready();
    let written = |lab: &Lab| lab.agents[0].status().raft.unwrap().last_log;
    let before = written(&lab);
    (0..5).for_each(|_| drop(lab.agents[0].token()));
    let entries = written(&lab) - before;
    assert!(entries < 10, "{entries} entries beside five tokens");
}

/// G9: a node that comes back with the certificate of another cluster, at the address of a member, is refused by both.
#[test]
fn g9_a_certificate_of_another_cluster_is_refused_on_both_sides() {
    let mut lab = Lab::by_hand(1);
    lab.agents[1].cli(["cluster", "join", &lab.agents[0].token()]).done();
    lab.agents[1].ready();
    // The same address, and the identity of a cluster of its own.
    lab.agents[1].terminate();
    std::fs::remove_dir_all(&lab.agents[1].files.state).unwrap();
    lab.agents[1].start();
    lab.agents[1].answers();
    lab.agents[1].cli(["cluster", "init"]).done();
    for agent in &lab.agents {
        agent.logs("two clusters never merge");
    }
    let alien = lab.agents[1].status();
    assert_eq!(alien.members.total, 1);
    assert_ne!(alien.cluster, lab.agents[0].status().cluster);
    let members = eventually("the lost member to be down", || {
        let members = lab.agents[0].members();
        (members[1].state == node::view::MemberState::Down).then_some(members)
    });
    assert_eq!(members.len(), 2);
}

/// So many channels of 64 ports each, from member to member.
fn channels(count: u16) -> String {
    let one = |number: u16| {
        let port = 2_000 + 64 * number;
        format!(
            "[[channel]]\nname = \"c{number}\"\ninterface = \"cluster\"\nprotocol = \"tcp\"\nport = {port}\nports = 64\n"
        )
    };
    (0..count).map(one).collect()
}

/// G0: capacity is checked before a member is admitted. The refusal names the limit and what is needed, and costs no token.
#[test]
fn g0_a_node_for_which_the_guard_has_no_room_is_refused() {
    let mut lab = Lab::new();
    let full = Setup { more: channels(128), ..Setup::by_hand() };
    lab.agents.push(lab.node(1, &full));
    lab.agents.push(lab.node(2, &Setup::by_hand()));
    lab.agents.iter_mut().for_each(|agent| {
        agent.start();
        agent.answers();
    });
    lab.agents[0].cli(["cluster", "init"]).done();
    lab.agents[0].ready();
    let token = lab.agents[0].token();
    let words = ["n1 could not keep every sync flow open", "guard entries and holds 32768", "the token is still good"];
    lab.agents[1].cli(["cluster", "join", &token]).refused(1, &words);
    assert_eq!(lab.agents[0].members().len(), 1);

    // With fewer channels there is room, and a channel that comes as a document is judged alike.
    lab.agents[0].setup(&Setup { more: channels(2), ..Setup::by_hand() });
    lab.agents[0].terminate();
    lab.agents[0].start();
    lab.agents[0].ready();
    lab.agents[1].cli(["cluster", "join", &token]).done();
    lab.agents[1].ready();
    let text: String = (0..128).map(document).collect();
    let file = lab.file("channels.yaml", &text);
    // The first 63 fit, and `d63` is named in line 5 * 63 + 4.
    let words =
        ["guard entries and", "holds 32768", &format!("{file}:319:18"), "\"d63\" is the first channel past that"];
    lab.agents[0].cli(["policy", "apply", "-f", &file]).refused(1, &words);
    assert_eq!(lab.agents[0].status().policy.revision, 0);
}

/// A channel of 64 ports as a document.
fn document(number: u16) -> String {
    let port = 2_000 + 64 * number;
    format!(
        "---\napiVersion: hedgerow/v1\nkind: SyncChannel\nmetadata: {{name: d{number}}}\n\
         spec: {{interface: cluster, protocol: tcp, port: {port}, ports: 64}}\n"
    )
}
