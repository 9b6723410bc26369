//! The state machine as a pure function.

use std::sync::Arc;

use identity::{ClusterId, Digest, Fingerprint, MemberRecord, NodeId};
use proptest::prelude::*;

use super::{LogId, State, limits::*};
use crate::{
    command::{Command, Genesis, NewMember, Proposal, Stamped, TokenRecord},
    outcome::{Outcome, Refusal, Response},
};

const DAY_MS: u64 = 24 * 3600 * 1000;

/// Applies commands one after another, each as a request of its own.
#[derive(Clone, Default)]
struct Tester {
    state: State,
    index: u64,
    at_ms: u64,
}

impl Tester {
    fn founded(members: u64) -> Self {
        let mut tester = Self::default();
        let genesis = Genesis { cluster: ClusterId::from_bytes([7; 16]), epoch: 1, ca_pem: "pem".to_owned() };
        let members = (1..=members).map(record).collect();
        tester.done(Command::Found { genesis, members });
        tester
    }

    fn request(&mut self, request_id: u128, command: Command) -> Response {
        self.propose(request_id, None, command)
    }

    /// What was judged by this basis of the guard.
    fn judged(&mut self, guard_basis: Digest, command: Command) -> Response {
        self.propose(u128::from(self.index) + 1, Some(guard_basis), command)
    }

    fn propose(&mut self, request_id: u128, guard_basis: Option<Digest>, command: Command) -> Response {
        self.index += 1;
        let proposal = Proposal { request_id, actor: "alice".to_owned(), guard_basis, command };
        let stamped = Stamped { proposal, at_ms: self.at_ms };
        self.state.apply(&stamped, LogId { term: 1, index: self.index })
    }

    fn run(&mut self, command: Command) -> Response {
        self.request(u128::from(self.index) + 1, command)
    }

    fn done(&mut self, command: Command) -> Outcome {
        match self.run(command) {
            Response::Done(outcome) => outcome,
            other => panic!("{other:?}"),
        }
    }

    /// A refusal changes nothing but the position.
    fn refused(&mut self, command: Command) -> Refusal {
        let before = State { applied: None, ..self.state.clone() }.digest();
        let response = self.run(command);
        assert_eq!(State { applied: None, ..self.state.clone() }.digest(), before);
        match response {
            Response::Refused(refusal) => refusal,
            other => panic!("{other:?}"),
        }
    }

    fn apply(&mut self, names: &[&str]) -> Outcome {
        self.done(apply(names, false, None))
    }

    fn names(&self) -> Vec<&str> {
        self.state.documents.iter().map(|document| document.name.as_str()).collect()
    }
}

fn n(number: u64) -> NodeId {
    NodeId::new(number).unwrap()
}

fn newcomer(number: u8) -> NewMember {
    NewMember {
        name: format!("lb{number}"),
        endpoint: format!("10.0.0.{number}:7400").parse().unwrap(),
        api: None,
        fingerprint: Fingerprint([number; 32]),
        addresses: Vec::new(),
        witness: false,
    }
}

fn record(number: u64) -> MemberRecord {
    newcomer(u8::try_from(number).unwrap()).into_record(n(number))
}

fn token(id: u8) -> TokenRecord {
    TokenRecord { id: [id; 16], secret_hash: Digest([id; 32]), expires_ms: 60_000, used_by: None }
}

fn segment(name: &str) -> String {
    format!(
        r#"{{"apiVersion":"hedgerow/v1","kind":"Segment","metadata":{{"name":"{name}"}},"spec":{{"role":"backend","addresses":["10.1.0.0/16"]}}}}"#
    )
}

fn apply(names: &[&str], prune: bool, expect: Option<u64>) -> Command {
    let documents = names.iter().map(|name| segment(name)).collect();
    Command::Apply { documents, prune, expect, message: "why".to_owned() }
}

#[test]
fn nothing_happens_before_the_cluster_is_founded() {
    let mut tester = Tester::default();
    assert_eq!(tester.refused(apply(&["a"], false, None)), Refusal::NotFounded);
}

// G9: one founding, one cluster id.
#[test]
fn a_cluster_is_founded_once() {
    let mut tester = Tester::founded(3);
    assert_eq!((tester.state.members.len(), tester.state.next_node), (3, 4));
    let genesis = Genesis { cluster: ClusterId::from_bytes([8; 16]), epoch: 1, ca_pem: String::new() };
    let again = Command::Found { genesis, members: vec![record(9)] };
    assert_eq!(tester.refused(again), Refusal::AlreadyFounded(ClusterId::from_bytes([7; 16])));
}

#[test]
fn applying_merges_and_pruning_replaces() {
    let mut tester = Tester::founded(1);
    assert_eq!(tester.apply(&["b", "a"]).revision, Some(1));
    assert_eq!(tester.apply(&["c"]).revision, Some(2));
    assert_eq!(tester.names(), ["a", "b", "c"]);
    tester.done(apply(&["c"], true, None));
    assert_eq!(tester.names(), ["c"]);
    assert_eq!(tester.state.revision(), 3);
    assert_eq!(tester.state.find_revision(2).unwrap().documents().unwrap().len(), 3);
}

#[test]
fn invalid_documents_are_refused_whole() {
    let mut tester = Tester::founded(1);
    let documents = vec![segment("a"), "{".to_owned()];
    let command = Command::Apply { documents, prune: false, expect: None, message: String::new() };
    assert!(matches!(tester.refused(command), Refusal::Invalid(_)));
    let Refusal::Invalid(lines) = tester.refused(apply(&["a", "a"], false, None)) else { panic!() };
    assert!(lines[0].contains("given twice"), "{lines:?}");
    let bits = segment("a").replace("10.1.0.0/16", "10.1.0.1/16");
    let command = Command::Apply { documents: vec![bits], prune: false, expect: None, message: String::new() };
    assert!(matches!(tester.refused(command), Refusal::Invalid(_)));
}

#[test]
fn compare_and_set_by_revision() {
    let mut tester = Tester::founded(1);
    tester.done(apply(&["a"], false, Some(0)));
    assert_eq!(tester.refused(apply(&["b"], false, Some(0))), Refusal::Conflict { expected: 0, current: 1 });
    assert_eq!(tester.done(apply(&["b"], false, Some(1))).revision, Some(2));
}

#[test]
fn a_retry_is_not_a_second_write() {
    let mut tester = Tester::founded(1);
    let first = tester.request(99, apply(&["a"], false, None));
    let again = tester.request(99, apply(&["a"], false, None));
    let (Response::Done(first), Response::Done(again)) = (first, again) else { panic!() };
    assert_eq!(again, Outcome { repeated: true, ..first });
    assert_eq!(tester.state.revision(), 1);
    assert_eq!(tester.state.audit_entries().count(), 2);
}

#[test]
fn rolling_back_makes_a_new_revision() {
    let mut tester = Tester::founded(1);
    let first = tester.apply(&["a"]);
    tester.apply(&["b"]);
    let back = tester.done(Command::Rollback { to: 1, expect: None, message: String::new() });
    assert_eq!((back.revision, back.digest), (Some(3), first.digest));
    assert_eq!(tester.names(), ["a"]);
    let (first, third) = (tester.state.find_revision(1).unwrap(), tester.state.find_revision(3).unwrap());
    assert!(Arc::ptr_eq(&first.texts[0], &third.texts[0]), "revisions share what they have in common");
    assert_eq!(
        tester.refused(Command::Rollback { to: 9, expect: None, message: String::new() }),
        Refusal::UnknownRevision { revision: 9, newest: 3 }
    );
}

#[test]
fn rolling_back_to_before_the_first_revision_empties_the_policy() {
    let mut tester = Tester::founded(1);
    tester.apply(&["a"]);
    let stale = Command::Rollback { to: 0, expect: Some(7), message: String::new() };
    assert_eq!(tester.refused(stale), Refusal::Conflict { expected: 7, current: 1 });
    let back = tester.done(Command::Rollback { to: 0, expect: Some(1), message: "too early".to_owned() });
    assert_eq!(back.revision, Some(2));
    assert!(tester.state.documents.is_empty());
    assert_eq!(tester.state.find_revision(2).unwrap().message, "too early");
}

#[test]
fn g16_an_override_on_one_node_is_in_the_audit_log() {
    let mut tester = Tester::founded(1);
    tester.done(Command::Note { what: "n1 disarmed for 10 minutes: lock-out".to_owned() });
    let last = tester.state.audit_entries().last().unwrap();
    assert_eq!(last.action, "n1 disarmed for 10 minutes: lock-out");
}

#[test]
fn old_revisions_are_compacted_and_say_so() {
    let mut tester = Tester::founded(1);
    for number in 0..HISTORY_REVISIONS_MAX + 10 {
        tester.apply(&[&format!("s{}", number % 3)]);
    }
    assert_eq!(tester.state.revisions.len(), HISTORY_REVISIONS_MAX);
    assert_eq!(
        tester.refused(Command::Rollback { to: 10, expect: None, message: String::new() }),
        Refusal::CompactedRevision { revision: 10, oldest: 11 }
    );
    assert_eq!(
        tester.done(Command::Rollback { to: 11, expect: None, message: String::new() }).revision,
        Some(HISTORY_REVISIONS_MAX as u64 + 11)
    );
}

// G6: generations only go forward.
#[test]
fn activation_only_goes_forward() {
    let mut tester = Tester::founded(1);
    tester.apply(&["a"]);
    tester.apply(&["b"]);
    let activate = |revision, image| Command::Activate { revision, image: Digest([image; 32]) };
    assert_eq!(tester.done(activate(2, 1)).epoch, Some(1));
    assert_eq!(tester.done(activate(2, 1)).epoch, Some(1), "the same activation again is the same epoch");
    assert_eq!(tester.done(activate(2, 2)).epoch, Some(2), "other members, other image");
    assert_eq!(tester.refused(activate(1, 1)), Refusal::OlderThanActive { revision: 1, active: 2 });
    assert_eq!(tester.refused(activate(3, 1)), Refusal::UnknownRevision { revision: 3, newest: 2 });
    tester.apply(&["c"]);
    tester.done(Command::Abort { revision: 3, reason: "n2: a sync flow was denied".to_owned() });
    assert_eq!(tester.state.aborted.as_ref().unwrap().revision, 3);
    assert_eq!(tester.state.active.unwrap().revision, 2);
}

#[test]
fn a_token_admits_one_node_once() {
    let mut tester = Tester::founded(3);
    tester.done(Command::CreateToken(token(1)));
    let admit = |number| Command::Admit { token: [1; 16], member: newcomer(number) };
    assert_eq!(tester.done(admit(4)).node, Some(n(4)));
    assert_eq!(tester.done(admit(4)).node, Some(n(4)), "the answer was lost, the node asks again");
    assert_eq!(tester.refused(admit(5)), Refusal::UsedToken(n(4)));
    assert_eq!(tester.state.members.len(), 4);
    let unknown = Command::Admit { token: [9; 16], member: newcomer(5) };
    assert_eq!(tester.refused(unknown), Refusal::UnknownToken);
    assert_eq!(tester.refused(Command::CreateToken(token(1))), Refusal::DuplicateToken);
}

// G0: each of two members fits as long as the other is not there. Whoever comes second is judged again.
#[test]
fn g0_what_was_judged_by_another_guard_is_refused() {
    let mut tester = Tester::founded(1);
    tester.done(Command::CreateToken(token(1)));
    tester.done(Command::CreateToken(token(2)));
    let judged = tester.state.guard_basis();
    let admit = |id, number| Command::Admit { token: [id; 16], member: newcomer(number) };
    assert!(matches!(tester.judged(judged, admit(1, 2)), Response::Done(Outcome { node: Some(_), .. })));
    let before = State { applied: None, ..tester.state.clone() }.digest();
    assert_eq!(tester.judged(judged, admit(2, 3)), Response::Refused(Refusal::GuardMoved));
    assert_eq!(State { applied: None, ..tester.state.clone() }.digest(), before);
    // Judged anew it is admitted.
    let again = tester.state.guard_basis();
    assert!(matches!(tester.judged(again, admit(2, 3)), Response::Done(_)));
}

// G0: what the guard is made of are members and channels, and nothing else.
#[test]
fn g0_the_basis_of_the_guard_is_members_and_revisions() {
    let mut tester = Tester::founded(2);
    let mut bases = vec![tester.state.guard_basis()];
    let moved = MemberRecord { endpoint: "10.9.9.9:1".parse().unwrap(), ..record(2) };
    for write in [
        Command::UpdateMember(moved),
        Command::RemoveMember { node: n(2) },
        Command::Apply { documents: vec![], prune: false, expect: None, message: String::new() },
        Command::Activate { revision: 1, image: Digest([1; 32]) },
        Command::Apply { documents: vec![], prune: false, expect: None, message: String::new() },
        Command::Abort { revision: 2, reason: "no room".to_owned() },
    ] {
        tester.done(write);
        bases.push(tester.state.guard_basis());
    }
    let different: std::collections::BTreeSet<_> = bases.iter().map(|basis| basis.0).collect();
    assert_eq!(different.len(), bases.len());
    let before = tester.state.guard_basis();
    tester.done(Command::CreateToken(token(1)));
    tester.done(Command::Note { what: "n1 was disarmed".to_owned() });
    assert_eq!(tester.state.guard_basis(), before);
}

#[test]
fn an_expired_token_is_refused_and_forgotten_later() {
    let mut tester = Tester::founded(1);
    tester.done(Command::CreateToken(token(1)));
    tester.at_ms = 63_000;
    let admit = || Command::Admit { token: [1; 16], member: newcomer(4) };
    assert_eq!(tester.refused(admit()), Refusal::ExpiredToken { seconds: 3 });
    tester.at_ms = 60_001 + DAY_MS;
    tester.done(Command::CreateToken(TokenRecord { expires_ms: 2 * DAY_MS, ..token(2) }));
    assert_eq!(tester.refused(admit()), Refusal::UnknownToken);
}

// G9, G12: a node id is never reused, a removed key never comes back.
#[test]
fn a_removed_member_is_denied_and_its_id_is_gone() {
    let mut tester = Tester::founded(3);
    tester.done(Command::RemoveMember { node: n(3) });
    assert!(tester.state.denied.contains(&Fingerprint([3; 32])));
    assert!(tester.state.removed.contains_key(&n(3)));
    tester.done(Command::CreateToken(token(1)));
    let with_old_key = Command::Admit { token: [1; 16], member: newcomer(3) };
    assert_eq!(tester.refused(with_old_key), Refusal::DeniedKey);
    let admit = Command::Admit { token: [1; 16], member: newcomer(4) };
    assert_eq!(tester.done(admit).node, Some(n(4)));
    assert_eq!(tester.refused(Command::RemoveMember { node: n(3) }), Refusal::UnknownMember(n(3)));
}

#[test]
fn names_and_keys_are_unique_and_somebody_stays() {
    let mut tester = Tester::founded(2);
    tester.done(Command::CreateToken(token(1)));
    let named = |name: &str, key| NewMember { name: name.to_owned(), ..newcomer(key) };
    let admit = |member| Command::Admit { token: [1; 16], member };
    assert_eq!(tester.refused(admit(named("x", 2))), Refusal::DuplicateKey(n(2)));
    let refusal = Refusal::DuplicateName { name: "lb1".to_owned(), node: n(1) };
    assert_eq!(tester.refused(admit(named("lb1", 9))), refusal);
    tester.done(Command::RemoveMember { node: n(1) });
    assert_eq!(tester.refused(Command::RemoveMember { node: n(2) }), Refusal::LastMember(n(2)));
    let moved = MemberRecord { endpoint: "10.9.9.9:1".parse().unwrap(), ..record(2) };
    tester.done(Command::UpdateMember(moved.clone()));
    assert_eq!(tester.state.members[&n(2)], moved);
}

// G16: every write that took effect has its actor in the chain.
#[test]
fn every_write_is_in_the_audit_chain() {
    let mut tester = Tester::founded(1);
    tester.apply(&["a"]);
    tester.refused(Command::Rollback { to: 7, expect: None, message: String::new() });
    tester.done(Command::CreateToken(token(1)));
    let mut link = Digest([0; 32]);
    for entry in tester.state.audit_entries() {
        assert_eq!(entry.link, entry.link_after(link));
        assert_eq!(entry.actor, "alice");
        link = entry.link;
    }
    assert_eq!(tester.state.audit_head(), link);
    assert_eq!(tester.state.audit_entries().count(), 3);
}

#[test]
fn what_is_too_long_is_refused_with_its_limit() {
    let mut tester = Tester::founded(1);
    let reason = "x".repeat(crate::command::MESSAGE_TEXT_BYTES_MAX + 1);
    tester.apply(&["a"]);
    assert!(matches!(tester.refused(Command::Abort { revision: 1, reason }), Refusal::AboveLimit { .. }));
}

#[test]
fn secrets_do_not_reach_logs() {
    let tester = Tester::founded(1);
    assert!(!format!("{:?}", tester.state).contains("pem"));
    let genesis = Genesis { cluster: ClusterId::from_bytes([7; 16]), epoch: 1, ca_pem: "the-key".to_owned() };
    assert!(!format!("{genesis:?}").contains("the-key"));
    assert!(!format!("{:?}", token(1)).contains("0101"));
}

fn any_command() -> impl Strategy<Value = Command> {
    let names = prop::collection::vec(prop::sample::select(vec!["a", "b", "c", "d"]), 1..3);
    prop_oneof![
        (names, any::<bool>(), prop::option::of(0u64..4))
            .prop_map(|(names, prune, expect)| apply(&names, prune, expect)),
        (0u64..6).prop_map(|to| Command::Rollback { to, expect: None, message: String::new() }),
        (0u64..6, any::<u8>()).prop_map(|(revision, image)| Command::Activate { revision, image: Digest([image; 32]) }),
        (0u64..6).prop_map(|revision| Command::Abort { revision, reason: "r".to_owned() }),
        any::<u8>().prop_map(|id| Command::CreateToken(token(id % 4))),
        (any::<u8>(), 0u8..9).prop_map(|(id, number)| Command::Admit { token: [id % 4; 16], member: newcomer(number) }),
        (1u64..9).prop_map(|node| Command::RemoveMember { node: n(node) }),
        (1u64..9).prop_map(|node| Command::UpdateMember(record(node))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    // G5: the same log gives the same state, on a node that saw it all and on one that came by a snapshot half-way.
    #[test]
    fn a_snapshot_on_the_way_changes_nothing(commands in prop::collection::vec(any_command(), 0..40), half in 0usize..40) {
        let mut through = Tester::founded(3);
        let mut by_snapshot = Tester::founded(3);
        for (place, command) in commands.into_iter().enumerate() {
            if place == half {
                by_snapshot.state = State::decode(&by_snapshot.state.encode().unwrap()).unwrap();
            }
            prop_assert_eq!(through.run(command.clone()), by_snapshot.run(command));
            prop_assert_eq!(through.state.digest(), by_snapshot.state.digest());
        }
        let read_back = State::decode(&through.state.encode().unwrap()).unwrap();
        prop_assert_eq!(read_back.documents.as_slice(), through.state.documents.as_slice());
    }

    // G15: no bytes are a panic.
    #[test]
    fn any_bytes_are_a_state_or_an_error(bytes: Vec<u8>) {
        let _ = State::decode(&bytes);
    }
}
