//! G7: damage on disk is noticed, named, and never acted on.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::lab::{Agent, Lab};

/// Every file of a state directory, relative to it.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { open.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

/// Starts the agent on damaged state and expects that it names the file and ends.
#[track_caller]
fn is_named(agent: &Agent, file: &Path, how: &str) {
    let run = agent.fails_to_start();
    let name = file.strip_prefix(&agent.files.state).unwrap().components().next().unwrap();
    let path = agent.files.state.join(name).display().to_string();
    assert_eq!(run.code, 1, "{} {how}: {run}", file.display());
    assert!(run.err.contains(&path), "{} {how}: {run}", file.display());
}

/// G7: whatever file of a member is cut off or has a flipped bit, the agent names it and does not start with it.
#[test]
fn g7_a_damaged_file_is_named_and_never_used() {
    let mut lab = Lab::by_hand(0);
    let file = lab.file("web.yaml", crate::documents::WEB);
    let agent = &mut lab.agents[0];
    agent.cli(["policy", "apply", "-f", &file]).done();
    agent.cli(["disarm", "--reason", "a test", "--for", "1h"]).done();
    agent.terminate();
    let kept = files(&agent.files.state);
    assert!(kept.len() >= 5, "{kept:?}");
    for file in kept {
        let whole = fs::read(&file).unwrap();
        // The lock says nothing. The watermark is a witness about the log that may be torn; what it is for, `raft` tests.
        if file.ends_with("lock") || file.ends_with("raft.watermark") {
            continue;
        }
        fs::write(&file, &whole[..whole.len() / 2]).unwrap();
        is_named(agent, &file, "cut in half");
        let mut flipped = whole.clone();
        flipped[whole.len() / 3] ^= 0x04;
        fs::write(&file, flipped).unwrap();
        // A flipped bit in a page of the log's store that holds nothing is no damage.
        if !file.starts_with(agent.files.state.join("raft")) {
            is_named(agent, &file, "with a flipped bit");
        }
        fs::write(&file, whole).unwrap();
    }
    agent.start();
    let status = agent.ready();
    assert_eq!(status.policy.revision, 1);
    assert!(status.enforcement.disarmed.is_some());
}
