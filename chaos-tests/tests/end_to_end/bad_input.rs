//! Bad input at the door: each is refused, says why, and changes nothing.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::thread;

use crate::scene::{AGREED_SECONDS_MAX, SECOND, scene};
use chaos_tests::site::{Answer, Forming};

/// Fails unless the command was refused with a sentence that contains one of these words.
fn refused(answer: &Answer, words: &[&str]) {
    assert_ne!(answer.code, 0, "{answer}");
    let text = answer.stderr.to_lowercase();
    assert!(words.iter().any(|word| text.contains(word)), "it should say one of {words:?}: {answer}");
}

/// G9: a token opens the cluster once, in its time, and only its own cluster; garbage is called garbage.
#[test]
fn g9_tokens_used_twice_expired_foreign_or_broken_are_refused() {
    let Some(mut scene) = scene("g9_tokens_used_twice_expired_foreign_or_broken_are_refused", 4) else { return };
    scene.found(0);
    for index in [1, 2] {
        scene.site.start_agent(index, &Forming::ByHand).unwrap();
    }
    let cli = |index: usize| scene.site.balancers[index].cli();
    let token = cli(0).token(&["--ttl", "1h"]).unwrap();
    let mut broken = token.clone();
    let last = broken.pop().unwrap();
    broken.push(if last == 'A' { 'B' } else { 'A' });
    refused(&cli(1).run(&["cluster", "join", &broken]).unwrap(), &["token"]);
    refused(&cli(1).run(&["cluster", "join", "rubbish"]).unwrap(), &["token"]);

    cli(1).done(&["cluster", "join", &token]).unwrap();
    refused(&cli(2).run(&["cluster", "join", &token]).unwrap(), &["used"]);

    let short = cli(0).token(&["--ttl", "1s"]).unwrap();
    thread::sleep(2 * SECOND);
    refused(&cli(2).run(&["cluster", "join", &short]).unwrap(), &["expired"]);
    assert_eq!(cli(2).status().unwrap().cluster, None, "a refused node belongs to no cluster");
    assert_eq!(cli(0).status().unwrap().members.total, 2);
}

/// G9: a token of one cluster opens no other, and a member of one cluster cannot join another.
#[test]
fn g9_a_token_of_another_cluster_is_refused() {
    let Some(mut scene) = scene("g9_a_token_of_another_cluster_is_refused", 3) else { return };
    scene.found(0);
    scene.found(1);
    let ids = [0, 1].map(|index| scene.site.balancers[index].cli().status().unwrap().cluster.unwrap());
    assert_ne!(ids[0], ids[1]);
    let token = scene.site.balancers[0].cli().token(&[]).unwrap();
    refused(&scene.site.balancers[1].cli().run(&["cluster", "join", &token]).unwrap(), &["cluster"]);
    let after = [0, 1].map(|index| scene.site.balancers[index].cli().status().unwrap().cluster.unwrap());
    assert_eq!(ids, after, "two clusters never merge");
}

/// G9: an agent that comes back with the certificate of another cluster, at the address of a member, is refused by both sides.
#[test]
fn g9_a_certificate_of_another_cluster_is_refused_on_both_sides() {
    let Some(mut scene) = scene("g9_a_certificate_of_another_cluster_is_refused_on_both_sides", 2) else { return };
    scene.found(0);
    scene.site.start_agent(1, &Forming::ByHand).unwrap();
    let token = scene.site.balancers[0].cli().token(&[]).unwrap();
    scene.site.balancers[1].cli().done(&["cluster", "join", &token]).unwrap();
    scene.site.balancers[1].wait_ready(AGREED_SECONDS_MAX).unwrap();
    // The same machine and address, and the identity of a cluster of its own.
    scene.site.balancers[1].kill_agent().unwrap();
    let state = scene.site.balancers[1].agent_dir().join("state");
    fs::rename(&state, state.with_file_name("state.first")).unwrap();
    scene.found(1);
    let logs = [0, 1].map(|index| scene.site.balancers[index].agent.as_ref().unwrap().log().to_owned());
    for log in logs {
        let what = format!("{} to have the refusal", log.display());
        chaos_tests::wait::until_true(&what, 20 * SECOND, || has_line(&log, "two clusters never merge")).unwrap();
    }
    let other = scene.site.balancers[1].cli().status().unwrap();
    assert_eq!(other.members.total, 1, "{other:?}");
}

/// Whether a log has a line with these words among its first ones; a log may be long.
fn has_line(log: &Path, words: &str) -> bool {
    let file = fs::File::open(log).expect("a log");
    BufReader::new(file).lines().map_while(Result::ok).any(|line| line.contains(words))
}

/// A write without quorum: a clear error within its deadline that says whether it may have been committed.
#[test]
fn g11_a_write_without_quorum_is_refused_in_time() {
    let Some(mut scene) = scene("g11_a_write_without_quorum_is_refused_in_time", 3) else { return };
    scene.formed(3);
    for index in [1, 2] {
        scene.site.balancers[index].kill_agent().unwrap();
    }
    let file = scene.churn.write_next().unwrap().display().to_string();
    let cli = scene.site.balancers[0].cli();
    let answer = cli.run(&["policy", "apply", "-f", &file, "--wait", "none", "--timeout", "2s"]).unwrap();
    refused(&answer, &["committed"]);
    assert!(answer.took < 5 * SECOND, "the deadline was 2 s: {answer}");
}

/// Bad documents: refused with file, line and column, and nothing of the directory is applied.
#[test]
fn bad_documents_point_at_the_mistake_and_change_nothing() {
    let Some(mut scene) = scene("bad_documents_point_at_the_mistake_and_change_nothing", 1) else { return };
    scene.found(0);
    let cli = scene.site.balancers[0].cli();
    let before = cli.status().unwrap().policy.revision;
    let dir = scene.site.lab.make_dir("bad").unwrap();
    let good = "apiVersion: hedgerow/v1\nkind: Segment\nmetadata: {name: good}\nspec:\n  role: client\n  addresses: [10.0.0.0/24]\n";
    fs::write(dir.join("a-good.yaml"), good).unwrap();
    let head = "apiVersion: hedgerow/v1\nkind: Segment\nmetadata: {name: bad}\nspec:\n  role: client\n";
    let policy = "apiVersion: hedgerow/v1\nkind: Policy\nmetadata: {name: bad}\nspec:\n  tier: application\n";
    let cases = [
        ("not yaml", "kind: [Segment\n".to_owned(), ":"),
        ("host bits", format!("{head}  addresses: [10.1.2.3/24]\n"), "6:"),
        ("an unknown name", format!("{policy}  appliesTo: {{segment: goood}}\n  ingress: []\n"), "6:"),
        (
            "ports upside down",
            format!("{head}  addresses: []\n  services: [{{name: x, protocol: tcp, ports: 90-80}}]\n"),
            "7:",
        ),
        ("a name twice", good.to_owned(), "good"),
    ];
    for (what, text, place) in cases {
        fs::write(dir.join("b-bad.yaml"), text).unwrap();
        let answer = cli.run(&["policy", "apply", "-f", &dir.display().to_string()]).unwrap();
        assert_ne!(answer.code, 0, "{what} must be refused: {answer}");
        let text = format!("{}{}", answer.stdout, answer.stderr);
        assert!(text.contains("b-bad.yaml") && text.contains(place), "{what} must point at its place: {answer}");
    }
    assert_eq!(cli.status().unwrap().policy.revision, before, "nothing is half-applied");
}
