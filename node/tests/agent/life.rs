//! The life of a process: checked configuration, one agent per socket and directory, a clean end.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use crate::lab::{Lab, Setup, run};

/// An end by SIGTERM is an end with 0, quickly, and nothing is lost by it.
#[test]
fn sigterm_ends_an_agent_cleanly() {
    let mut lab = Lab::by_hand(1);
    let (founder, alone) = lab.agents.split_at_mut(1);
    for agent in [&mut founder[0], &mut alone[0]] {
        assert_eq!(agent.terminate().code(), Some(0));
        assert!(!agent.files.socket.exists(), "it takes its socket away");
        assert!(agent.log().contains("stopped; the data path stays attached"));
        agent.cli(["status"]).refused(3, &["cannot reach the agent"]);
    }
    lab.agents[0].start();
    assert_eq!(lab.agents[0].ready().node.unwrap().get(), 1);
}

/// Two agents must not share an address, a socket or a state directory; the one that is there goes on.
#[test]
fn a_second_agent_in_the_place_of_another_is_refused() {
    let lab = Lab::by_hand(0);
    let first = &lab.agents[0];
    let config = fs::read_to_string(&first.files.config).unwrap();

    let state = first.files.state.display().to_string();
    first.fails_to_start().refused(1, &["another agent uses the state directory", &state]);

    // Each time the second one shares only one thing with the first.
    let other = lab.node(2, &Setup::by_hand());
    let text = fs::read_to_string(&other.files.config).unwrap();
    let sharing = |theirs: String, ours: String| {
        let shared = text.replace(&theirs, &ours);
        assert_ne!(shared, text);
        fs::write(&other.files.config, shared).unwrap();
        other.fails_to_start()
    };
    let shown = |path: &Path| path.display().to_string();
    sharing(shown(&other.files.state), state.clone()).refused(1, &["another agent uses the state directory", &state]);
    let socket = shown(&first.files.socket);
    sharing(shown(&other.files.socket), socket.clone()).refused(1, &["another agent already answers on", &socket]);
    let listen = |text: &str| text.lines().find(|line| line.starts_with("listen")).unwrap().to_owned();
    let address = listen(&config);
    sharing(listen(&text), address.clone()).refused(1, &[address.split('"').nth(1).unwrap(), "in use"]);
    assert!(first.status().ready, "{:?}", first.status().waiting_for);
}

/// A node that is to form a cluster and has no secret to prove does not wait for ever: it says so.
#[test]
fn a_bootstrap_secret_that_is_missing_exposed_or_short_is_refused_at_once() {
    let mut lab = Lab::new();
    let agent = lab.node(1, &Setup::alike(2));
    let secret = &agent.files.secret;
    let shown = secret.display().to_string();
    fs::set_permissions(secret, fs::Permissions::from_mode(0o644)).unwrap();
    agent.fails_to_start().refused(1, &["everybody on this machine can read", &shown]);
    fs::set_permissions(secret, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(secret, "short").unwrap();
    agent.fails_to_start().refused(1, &["has 5 bytes", &shown]);
    fs::remove_file(secret).unwrap();
    agent.fails_to_start().refused(1, &["cannot read the bootstrap secret", &shown]);

    // Once the cluster has formed, the secret is not needed any more.
    lab.agents = vec![lab.node(1, &Setup::alike(1))];
    lab.agents[0].start();
    lab.agents[0].ready();
    lab.agents[0].terminate();
    fs::remove_file(&lab.agents[0].files.secret).unwrap();
    lab.agents[0].start();
    lab.agents[0].ready();
}

/// Logs for programs are one JSON value a line.
#[test]
fn logs_can_be_json() {
    let mut lab = Lab::new();
    let more = "[log]\nformat = \"json\"\n".to_owned();
    lab.agents.push(lab.node(1, &Setup { more, ..Setup::by_hand() }));
    lab.agents[0].start();
    lab.agents[0].answers();
    lab.agents[0].cli(["cluster", "init"]).done();
    lab.agents[0].terminate();
    let log = lab.agents[0].log();
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().any(|line| line["message"] == "cluster founded"), "{log}");
    assert!(lines.iter().all(|line| line["level"].is_string() && line["timestamp"].is_string()));
}

/// A configuration is checked without starting anything, and its mistakes are shown where they are.
#[test]
fn a_configuration_is_checked_before_anything_starts() {
    let lab = Lab::new();
    let agent = lab.node(1, &Setup::alike(3));
    let config = agent.files.config.display().to_string();
    let said = run(["agent", "--config", &config, "--check"]).done();
    assert_eq!(said.trim(), format!("{config} is in order"));
    assert!(!agent.files.state.exists(), "checking makes nothing");

    let text = fs::read_to_string(&agent.files.config).unwrap();
    fs::write(&agent.files.config, text.replace("expect = 3", "expekt = 3")).unwrap();
    let at = format!("{config}:6:1");
    run(["agent", "--config", &config, "--check"]).refused(2, &[&at, "did you mean `expect`"]);
    agent.fails_to_start().refused(2, &[&at]);
    assert!(!agent.files.state.exists());

    fs::write(&agent.files.config, text.replace("\"lo\"", "\"nosuch0\"")).unwrap();
    agent.fails_to_start().refused(1, &["there is no interface `nosuch0`"]);
    run(["agent", "--config", "/nowhere/hedgerow.toml"]).refused(2, &["cannot read the configuration"]);
}
