//! G9: one bootstrap, one cluster. Forming under every order of delivery, loss, duplicates and restarts.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};

use identity::Fingerprint;
use membership::{
    Ballot, Candidate, Forming,
    forming::{Action, Input, Message, Status, Stuck},
};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IteratorRandom};

fn candidate(number: u8) -> Candidate {
    let addr = ([10, 77, 0, number], 7400).into();
    Candidate { fingerprint: key(number), addr, name: format!("lb{number}"), payload: vec![number; 3] }
}

fn key(number: u8) -> Fingerprint {
    Fingerprint([number; 32])
}

fn number(key: Fingerprint) -> u8 {
    key.0[0]
}

fn ballot(numbers: &[u8]) -> Ballot {
    Ballot::new(numbers.iter().copied().map(key).collect()).unwrap()
}

/// Nodes with disks on a network that loses, doubles and delays for ever.
struct Bootstrap {
    seed: u64,
    rng: StdRng,
    expect: usize,
    nodes: BTreeMap<u8, Node>,
    in_flight: Vec<(u8, u8, Message)>,
    /// What each election was over: the set, by who was elected to mint.
    elected: BTreeSet<(u8, Vec<u8>)>,
}

struct Node {
    forming: Forming,
    disk: Option<Ballot>,
    ballots_written: usize,
    elected: bool,
}

impl Bootstrap {
    fn new(count: u8, expect: usize, seed: u64) -> Self {
        let node = |number| Node {
            forming: Forming::new(candidate(number), expect, None),
            disk: None,
            ballots_written: 0,
            elected: false,
        };
        let nodes = (1..=count).map(|number| (number, node(number))).collect();
        Self { seed, rng: StdRng::seed_from_u64(seed), expect, nodes, in_flight: Vec::new(), elected: BTreeSet::new() }
    }

    /// One thing happens, drawn at random.
    fn step(&mut self) {
        let node = self.any_node();
        match self.rng.random_range(0..20) {
            0 => self.restart(node),
            1..4 => self.input(node, Input::Tick, true),
            4..7 => self.dial(node),
            _ => self.deliver_any(),
        }
    }

    /// A node tells a seed, whose fingerprint it may not know yet.
    fn dial(&mut self, from: u8) {
        let to = self.any_node();
        let message = self.nodes[&from].forming.message();
        // A node tells what it is sure of only after its ballot is on disk; between the two it is busy writing.
        assert_eq!(message.ballot, self.nodes[&from].disk);
        self.in_flight.push((from, to, message));
    }

    fn deliver_any(&mut self) {
        if self.in_flight.is_empty() {
            return;
        }
        let which = self.rng.random_range(0..self.in_flight.len());
        let (from, to, message) = match self.rng.random_range(0..10) {
            0 => return drop(self.in_flight.swap_remove(which)),
            1..3 => self.in_flight[which].clone(),
            _ => self.in_flight.swap_remove(which),
        };
        self.input(to, Input::Heard { from: key(from), message }, true);
    }

    fn restart(&mut self, number: u8) {
        let node = self.nodes.get_mut(&number).unwrap();
        node.forming = Forming::new(candidate(number), self.expect, node.disk.clone());
        node.elected = false;
    }

    /// The node reacts, and may be killed between any two of its actions.
    fn input(&mut self, number: u8, input: Input, may_die: bool) {
        let node = self.nodes.get_mut(&number).unwrap();
        let actions = node.forming.handle(input);
        let survives =
            if may_die && self.rng.random_bool(0.05) { self.rng.random_range(0..=actions.len()) } else { usize::MAX };
        let is_killed = survives < actions.len();
        for action in actions.into_iter().take(survives) {
            self.carry_out(number, action);
        }
        if is_killed {
            self.restart(number);
        }
    }

    fn carry_out(&mut self, from: u8, action: Action) {
        let node = self.nodes.get_mut(&from).unwrap();
        match action {
            Action::Persist(ballot) => {
                node.ballots_written += 1;
                assert_eq!(node.ballots_written, 1, "seed {}: a node votes once", self.seed);
                node.disk = Some(ballot);
            }
            Action::Tell { to, message, .. } => {
                assert_eq!(message.ballot, node.disk, "seed {}: nothing is told that is not on disk", self.seed);
                self.in_flight.push((from, number(to), message));
            }
            Action::Elected { lowest, set } => {
                assert!(!std::mem::replace(&mut node.elected, true), "told once in a life");
                let set: Vec<_> = set.iter().map(|candidate| number(candidate.fingerprint)).collect();
                assert_eq!(set.len(), self.expect, "seed {}", self.seed);
                self.elected.insert((number(lowest), set));
            }
            Action::Stuck(_) => {}
        }
    }

    /// The network becomes good, and nobody dies any more.
    fn calm_down(&mut self) {
        for _ in 0..4 {
            for number in self.nodes.keys().copied().collect::<Vec<_>>() {
                self.input(number, Input::Tick, false);
                for other in self.nodes.keys().copied().collect::<Vec<_>>() {
                    self.in_flight.push((number, other, self.nodes[&number].forming.message()));
                }
            }
            while let Some((from, to, message)) = self.in_flight.pop() {
                self.input(to, Input::Heard { from: key(from), message }, false);
            }
        }
    }

    fn any_node(&mut self) -> u8 {
        self.nodes.keys().copied().choose(&mut self.rng).unwrap()
    }
}

#[test]
fn g9_nodes_started_alike_form_one_cluster_under_any_order_of_events() {
    for seed in 0..1_500 {
        let count = 1 + u8::try_from(seed % 5).unwrap();
        let mut bootstrap = Bootstrap::new(count, usize::from(count), seed);
        for _ in 0..300 {
            bootstrap.step();
        }
        bootstrap.calm_down();
        assert!(bootstrap.nodes.values().all(|node| node.elected), "seed {seed}: all are founders in the end");
        let everybody: Vec<u8> = (1..=count).collect();
        assert_eq!(bootstrap.elected, BTreeSet::from([(1, everybody)]), "seed {seed}");
    }
}

#[test]
fn g9_one_node_too_many_never_makes_two_clusters_and_is_named() {
    let (mut formed, mut stuck) = (0, 0);
    for seed in 0..1_500 {
        let expect = 2 + usize::try_from(seed % 3).unwrap();
        let extra = 1 + u8::try_from(seed % 2).unwrap();
        let count = u8::try_from(expect).unwrap() + extra.min(u8::try_from(expect).unwrap() - 1);
        let mut bootstrap = Bootstrap::new(count, expect, seed);
        for _ in 0..200 {
            bootstrap.step();
        }
        bootstrap.calm_down();
        // Fewer than 2N candidates: two unanimous sets would share a node, and a node votes once.
        assert!(bootstrap.elected.len() <= 1, "seed {seed}: {:?}", bootstrap.elected);
        formed += bootstrap.elected.len();
        for node in bootstrap.nodes.values().filter(|node| !node.elected) {
            assert!(matches!(node.forming.status(), Status::Stuck(_)), "seed {seed}: {:?}", node.forming.status());
            stuck += 1;
        }
    }
    println!(
        "one or two too many: {formed} of 1500 had formed before they heard; {stuck} nodes said why they are stuck"
    );
}

/// Every order of every event, exhaustively: two founders that may be killed after any of their actions. (With a third
/// there are too many orders to try them all: those are drawn at random above.)
#[test]
fn g9_every_interleaving_of_two_founders_forms_at_most_one_cluster() {
    let fresh = |number| (Forming::new(candidate(number), 2, None), None);
    let world = World { nodes: vec![fresh(1), fresh(2)], sent: BTreeSet::new(), elected: BTreeSet::new() };
    let (mut seen, mut queue) = (HashSet::from([world.clone()]), VecDeque::from([world]));
    let mut elected = BTreeSet::new();
    while let Some(world) = queue.pop_front() {
        elected.extend(world.elected.iter().cloned());
        queue.extend(world.successors().into_iter().filter(|next| seen.insert(next.clone())));
    }
    assert_eq!(elected, BTreeSet::from([vec![1, 2]]));
    println!("{} worlds", seen.len());
}

/// A world: nodes with disks, all messages ever sent (which may arrive at any time, any number of times, or never), and
/// the sets that have been elected.
#[derive(Clone, PartialEq, Eq, Hash)]
struct World {
    nodes: Vec<(Forming, Option<Ballot>)>,
    sent: BTreeSet<(u8, Vec<u8>, Option<BTreeSet<Fingerprint>>)>,
    elected: BTreeSet<Vec<u8>>,
}

impl World {
    fn successors(&self) -> Vec<World> {
        let mut next = Vec::new();
        for index in 0..self.nodes.len() {
            next.extend(self.react(index, &Input::Tick));
            for (from, heard, voted) in self.sent.iter().filter(|(from, ..)| *from != own(index)) {
                let candidates = heard.iter().copied().map(candidate).collect();
                let ballot = voted.clone().map(|set| Ballot::new(set).unwrap());
                let message = Message { expect: 2, candidates, ballot };
                next.extend(self.react(index, &Input::Heard { from: key(*from), message }));
            }
        }
        next
    }

    /// The node reacts, whole or killed after any of its actions.
    fn react(&self, index: usize, input: &Input) -> Vec<World> {
        let mut forming = self.nodes[index].0.clone();
        let actions = forming.handle(input.clone());
        let mut worlds = Vec::new();
        for survives in 0..=actions.len() {
            let mut world = self.clone();
            for action in &actions[..survives] {
                world.carry_out(index, action);
            }
            let killed = Forming::new(candidate(own(index)), 2, world.nodes[index].1.clone());
            world.nodes[index].0 = if survives == actions.len() { forming.clone() } else { killed };
            if survives == actions.len() {
                world.say(own(index), &forming.message()); // It may be dialled, or dial, at any time.
            }
            worlds.push(world);
        }
        worlds
    }

    fn carry_out(&mut self, index: usize, action: &Action) {
        match action {
            Action::Persist(ballot) => {
                assert_eq!(self.nodes[index].1, None, "a node votes once");
                self.nodes[index].1 = Some(ballot.clone());
            }
            Action::Tell { message, .. } => self.say(own(index), message),
            Action::Elected { set, .. } => {
                self.elected.insert(set.iter().map(|candidate| number(candidate.fingerprint)).collect());
            }
            Action::Stuck(_) => {}
        }
    }

    fn say(&mut self, from: u8, message: &Message) {
        let heard = message.candidates.iter().map(|candidate| number(candidate.fingerprint)).collect();
        self.sent.insert((from, heard, message.ballot.as_ref().map(|ballot| ballot.set().clone())));
    }
}

fn own(index: usize) -> u8 {
    u8::try_from(index + 1).unwrap()
}

// === what a person is told ===

fn hear(forming: &mut Forming, from: u8, expect: usize, candidates: &[u8], ballot: Option<Ballot>) -> Vec<Action> {
    let candidates = candidates.iter().copied().map(candidate).collect();
    forming.handle(Input::Heard { from: key(from), message: Message { expect, candidates, ballot } })
}

#[test]
fn a_missing_node_means_waiting() {
    let mut forming = Forming::new(candidate(1), 3, None);
    for _ in 0..100 {
        hear(&mut forming, 2, 3, &[1, 2], None);
        forming.handle(Input::Tick);
    }
    let Status::Gathering { expect: 3, heard } = forming.status() else { panic!("{:?}", forming.status()) };
    assert_eq!(heard, ["lb1 (010101010101 at 10.77.0.1:7400)", "lb2 (020202020202 at 10.77.0.2:7400)"]);
}

#[test]
fn a_node_known_by_hearsay_only_is_not_voted_for() {
    let mut forming = Forming::new(candidate(1), 3, None);
    hear(&mut forming, 2, 3, &[1, 2, 3], None);
    assert!(matches!(forming.status(), Status::Gathering { .. }));
    hear(&mut forming, 3, 3, &[1, 3], None);
    assert!(matches!(forming.status(), Status::Gathering { .. }), "n3 does not know n2 yet");
    let actions = hear(&mut forming, 3, 3, &[1, 2, 3], None);
    assert_eq!(actions.first(), Some(&Action::Persist(ballot(&[1, 2, 3]))));
    let Status::Voting { missing } = forming.status() else { panic!("{:?}", forming.status()) };
    assert_eq!(missing.len(), 2);
}

#[test]
fn a_node_alone_that_expects_nobody_else_forms_at_once() {
    let mut forming = Forming::new(candidate(1), 1, None);
    let actions = forming.handle(Input::Tick);
    assert_eq!(actions[0], Action::Persist(ballot(&[1])));
    assert_eq!(actions[1], Action::Elected { lowest: key(1), set: vec![candidate(1)] });
}

#[test]
fn a_restart_goes_on_with_the_ballot_on_disk() {
    let mut forming = Forming::new(candidate(1), 2, Some(ballot(&[1, 2])));
    assert!(matches!(forming.status(), Status::Voting { .. }));
    assert_eq!(hear(&mut forming, 2, 2, &[2], None).len(), 1, "tells it, and votes no second time");
    let actions = hear(&mut forming, 2, 2, &[1, 2], Some(ballot(&[1, 2])));
    assert!(actions.contains(&Action::Elected { lowest: key(1), set: vec![candidate(1), candidate(2)] }));
}

fn stuck(actions: &[Action]) -> &Stuck {
    let reason = |action: &'_ Action| matches!(action, Action::Stuck(_));
    match actions.iter().find(|action| reason(action)) {
        Some(Action::Stuck(stuck)) => stuck,
        _ => panic!("not stuck: {actions:?}"),
    }
}

#[test]
fn g9_a_fourth_candidate_stops_three_who_have_voted() {
    let mut forming = Forming::new(candidate(1), 3, Some(ballot(&[1, 2, 3])));
    hear(&mut forming, 2, 3, &[1, 2, 3, 4], Some(ballot(&[1, 2, 3])));
    let actions = hear(&mut forming, 3, 3, &[1, 2, 3], Some(ballot(&[1, 2, 3])));
    assert!(!actions.iter().any(|action| matches!(action, Action::Elected { .. })));
    let Status::Stuck(reason @ Stuck::TooMany { expect: 3, .. }) = forming.status() else {
        panic!("{:?}", forming.status())
    };
    assert!(reason.to_string().contains("lb4 (040404040404 at 10.77.0.4:7400)"), "{reason}");
}

#[test]
fn a_replaced_disk_is_noticed() {
    // n3 voted, lost its disk, and is back with the key of 4.
    let mut forming = Forming::new(candidate(1), 3, Some(ballot(&[1, 2, 3])));
    let actions = hear(&mut forming, 4, 3, &[4], None);
    let reason = stuck(&actions).to_string();
    assert!(
        reason.contains("one not heard since this node voted (030303030303)") && reason.contains("lb4"),
        "{reason}"
    );
}

#[test]
fn another_expectation_is_named_and_forgiven_when_corrected() {
    let mut forming = Forming::new(candidate(1), 2, None);
    let actions = hear(&mut forming, 2, 3, &[1, 2], None);
    assert_eq!(
        *stuck(&actions),
        Stuck::ExpectDiffers { peer: "lb2 (020202020202 at 10.77.0.2:7400)".into(), theirs: 3, ours: 2 }
    );
    let actions = hear(&mut forming, 2, 2, &[1, 2], None);
    assert!(actions.contains(&Action::Persist(ballot(&[1, 2]))));
}

#[test]
fn a_ballot_that_is_not_ours_is_not_used() {
    for (expect, persisted) in [(2, ballot(&[2, 3])), (3, ballot(&[1, 2])), (0, ballot(&[1])), (33, ballot(&[1]))] {
        let mut forming = Forming::new(candidate(1), expect, Some(persisted));
        stuck(&forming.handle(Input::Tick));
    }
}

#[test]
fn a_node_that_votes_twice_is_named() {
    let mut forming = Forming::new(candidate(1), 3, None);
    hear(&mut forming, 2, 3, &[1, 2, 3], Some(ballot(&[1, 2, 3])));
    let actions = hear(&mut forming, 2, 3, &[1, 2, 3], Some(ballot(&[2, 3, 4])));
    assert!(matches!(stuck(&actions), Stuck::VotedTwice { .. }));
}

#[test]
fn a_vote_for_others_is_named() {
    let mut forming = Forming::new(candidate(1), 3, None);
    let actions = hear(&mut forming, 2, 3, &[1, 2], Some(ballot(&[2, 3, 4])));
    assert!(matches!(stuck(&actions), Stuck::VotesDiffer { .. }));
}

fn any_message() -> impl Strategy<Value = (u8, Message)> {
    let ballots = prop::option::of(prop::collection::btree_set(0u8..90, 1..40));
    (0u8..90, 0usize..80, prop::collection::vec(0u8..90, 0..90), ballots).prop_map(|(from, expect, heard, voted)| {
        let candidates = heard.into_iter().map(candidate).collect();
        let ballot = voted.and_then(|set| Ballot::new(set.into_iter().map(key).collect()).ok());
        (from, Message { expect, candidates, ballot })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// G15: whatever peers tell, the machine keeps within its bounds, never panics, and votes at most once.
    #[test]
    fn g15_any_messages_are_survived(messages in prop::collection::vec(any_message(), 1..60)) {
        let mut forming = Forming::new(candidate(1), 3, None);
        let mut votes = 0;
        for (from, message) in messages {
            for action in forming.handle(Input::Heard { from: key(from), message }) {
                votes += usize::from(matches!(action, Action::Persist(_)));
            }
            prop_assert!(forming.message().candidates.len() <= membership::forming::CANDIDATES_MAX + 1);
        }
        prop_assert!(votes <= 1);
    }
}
