//! What a node shows: members, channels, numbers, health, its own description.

use node::view::{self, ChannelOrigin, MemberState};

use crate::{
    documents::WEB,
    lab::{Agent, Lab, Setup, until},
};

#[test]
fn members_tell_who_is_there_and_what_each_enforces() {
    let lab = Lab::formed(3);
    let file = lab.file("web.yaml", WEB);
    lab.agents[0].cli(["policy", "apply", "-f", &file]).done();
    let digest = lab.agents[0].status().enforcement.attested.unwrap().digest;
    for agent in &lab.agents {
        // By gossip, so not at once.
        until("everybody's attestation", || {
            let attested =
                |member: &view::Member| member.attested.is_some_and(|told| (told.revision, told.digest) == (1, digest));
            agent.members().iter().all(attested)
        });
        let members = agent.members();
        assert!(members.iter().all(|member| member.state == MemberState::Alive && member.voter && !member.witness));
        assert_eq!(members.iter().filter(|member| member.leader).count(), 1);
        assert_eq!(members.iter().filter(|member| member.me).count(), 1);
        assert!(members.iter().all(|member| member.version.as_deref() == Some(env!("CARGO_PKG_VERSION"))));
        assert!(members.iter().all(|member| member.api.is_some_and(|api| api.port() == 7443)));
        let names: Vec<_> = members.iter().map(|member| member.name.as_str()).collect();
        assert!(["lb1", "lb2", "lb3"].iter().all(|name| names.contains(name)), "{names:?}");
    }
    let table = lab.agents[1].cli(["members"]).done();
    assert_eq!(table.lines().count(), 4, "{table}");
}

#[test]
fn channels_tell_what_no_policy_can_cut() {
    let mut lab = Lab::new();
    let more = "[[channel]]\nname = \"haproxy-peers\"\ninterface = \"cluster\"\nport = 10000\n".to_owned();
    for number in 1..=2 {
        lab.agents.push(lab.node(number, &Setup { more: more.clone(), ..Setup::alike(2) }));
    }
    lab.agents.iter_mut().for_each(Agent::start);
    lab.agents.iter().for_each(|agent| drop(agent.ready()));
    let agent = &lab.agents[0];
    let channels: view::Channels = agent.cli(["channels", "-o", "json"]).json();
    let told: Vec<_> = channels
        .channels
        .iter()
        .map(|channel| (channel.name.as_str(), channel.wire.as_str(), channel.origin, channel.guard_entries > 0))
        .collect();
    let expected = [
        ("haproxy-peers", "tcp/10000", ChannelOrigin::Config, true),
        ("hedgerow", "udp/7400", ChannelOrigin::BuiltIn, true),
    ];
    assert_eq!(told, expected);
    assert!(channels.channels.iter().all(|channel| channel.interfaces == ["lo"]));
    // G0: the guard has exactly what the channels tell.
    let entries: u64 = channels.channels.iter().map(|channel| channel.guard_entries).sum();
    until("the guard to be set", || agent.status().enforcement.guard_entries == entries);

    // A channel may also come as a document.
    let document = "apiVersion: hedgerow/v1\nkind: SyncChannel\nmetadata: {name: sync}\n\
                    spec: {interface: cluster, protocol: udp, port: 3780}\n";
    agent.cli(["policy", "apply", "-f", &lab.file("sync.yaml", document)]).done();
    let channels: view::Channels = lab.agents[1].cli(["channels", "-o", "json"]).json();
    let sync = channels.channels.iter().find(|channel| channel.name == "sync").expect("the channel of the document");
    assert_eq!((sync.origin, sync.wire.as_str()), (ChannelOrigin::Document, "udp/3780"));
    let entries: u64 = channels.channels.iter().map(|channel| channel.guard_entries).sum();
    until("the guard to follow", || lab.agents[1].status().enforcement.guard_entries == entries);
}

/// The addresses here are of IPv4 alone, and ICMPv6 is of IPv6: such a channel keeps nothing open, and says so. One whose role this
/// node has no interface of is another node's business.
#[test]
fn a_channel_that_keeps_nothing_open_is_alarmed() {
    let lab = Lab::by_hand(0);
    let agent = &lab.agents[0];
    let channel = |name: &str, role: &str| {
        format!(
            "---\napiVersion: hedgerow/v1\nkind: SyncChannel\nmetadata: {{name: {name}}}\n\
             spec: {{interface: {role}, protocol: icmpv6, unicast: true}}\n"
        )
    };
    let documents = channel("here", "cluster") + &channel("elsewhere", "backend");
    agent.cli(["policy", "apply", "-f", &lab.file("sync.yaml", &documents)]).done();
    let unplaced = || {
        let alarms = agent.status().alarms.into_iter().filter(|alarm| alarm.name == "channel_unplaced");
        alarms.map(|alarm| alarm.message).collect::<Vec<_>>()
    };
    until("the alarm", || !unplaced().is_empty());
    let alarms = unplaced();
    assert!(alarms.len() == 1 && alarms[0].contains("the channel `here` keeps nothing open"), "{alarms:?}");
    let shown = agent.cli(["status"]).done();
    assert!(shown.contains("channel_unplaced"), "{shown}");
    agent.cli(["policy", "rollback", "0"]).done();
    until("the alarm to end", || unplaced().is_empty());
}

#[test]
fn numbers_health_and_description_are_served() {
    let mut lab = Lab::by_hand(1);
    let (member, alone) = (&lab.agents[0], &lab.agents[1]);
    let health = alone.ask(async |client| client.health().await).unwrap();
    assert!(!health.ready);
    assert!(member.ask(async |client| client.health().await).unwrap().ready);
    member.cli(["policy", "apply", "-f", &lab.file("web.yaml", WEB)]).done();

    let metrics = |agent: &Agent| agent.ask(async |client| client.text("/metrics").await).unwrap();
    let text = metrics(member);
    let number = |name: &str| {
        let line = text.lines().find(|line| line.split(' ').next() == Some(name));
        let value = line.and_then(|line| line.split(' ').nth(1)).unwrap_or_else(|| panic!("no {name} in {text}"));
        value.parse::<f64>().unwrap()
    };
    for (name, value) in [
        ("hedgerow_ready", 1.0),
        ("hedgerow_quorum", 1.0),
        ("hedgerow_members", 1.0),
        ("hedgerow_revision_applied", 1.0),
        ("hedgerow_revision_active", 1.0),
        ("hedgerow_revision_enforced", 1.0),
        ("hedgerow_disarmed", 0.0),
        ("hedgerow_others_judge", 0.0),
        ("hedgerow_flow_events_taken_total", 0.0),
        ("hedgerow_flow_events_lost_total", 0.0),
        ("hedgerow_policy_commit_seconds_count", 1.0),
        ("hedgerow_policy_activation_seconds_count", 1.0),
    ] {
        assert!((number(name) - value).abs() < 0.1, "{name} is {}, not {value}", number(name));
    }
    assert!(number("hedgerow_generation") >= 1.0);
    assert!(text.contains("policy=\"web\"") && text.contains("rule=\"partners\""), "{text}");
    assert!(text.trim_end().ends_with("# EOF"));
    assert!(metrics(alone).lines().any(|line| line == "hedgerow_ready 0"));

    let description = member.ask(async |client| client.text("/openapi.json").await).unwrap();
    let description: serde_json::Value = serde_json::from_str(&description).unwrap();
    for path in ["/v1/status", "/v1/flows", "/v1/policy", "/v1/policy/explain", "/v1/cluster/join", "/metrics"] {
        assert!(description["paths"][path].is_object(), "{path}");
    }
    // No packet of the wire goes through these data paths; what there is to say of flows is said all the same.
    let flows: view::Flows = member.cli(["flows", "-o", "json"]).json();
    assert_eq!(flows, view::Flows { events: Vec::new(), next_since: 0, missed: 0 });
    member.cli(["flows", "--limit", "1001"]).refused(1, &["from 1 to 1000 flow events, not 1001"]);
    let script = member.cli(["completion", "bash"]).done();
    assert!(script.contains("hedgerow"));

    // A witness votes and stores, and has no data path.
    lab.agents.push(lab.node(3, &Setup { mode: "off", ..Setup::by_hand() }));
    lab.agents[2].start();
    lab.agents[2].answers();
    lab.agents[2].cli(["cluster", "join", &lab.agents[0].token()]).done();
    let status = lab.agents[2].ready();
    assert_eq!((status.policy.revision, status.enforcement.mode), (1, view::EnforcementMode::Off));
    assert!(lab.agents[0].members().iter().any(|member| member.witness));
    let more = lab.file("more.yaml", &crate::documents::segment("more", "10.0.0.1/32"));
    let answer: view::ApplyAnswer = lab.agents[2].cli(["policy", "apply", "-f", &more, "-o", "json"]).json();
    assert_eq!(answer.outcome, view::Applied::Active);
    assert_eq!(answer.nodes.len(), 1, "a witness enforces nothing: {:?}", answer.nodes);
}
