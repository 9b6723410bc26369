//! The configuration files of agents.

use std::{
    fs,
    net::Ipv4Addr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// A bootstrap secret.
const SECRET: &str = "a secret for tests: 0123456789abcdef";

/// The UDP port of every node; addresses differ.
const PORT: u16 = 7400;
/// The port of the API over TLS.
const API_PORT: u16 = 7443;

/// What distinguishes the configuration of one node from another's.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    /// The name, if it is not the usual one.
    pub(crate) name: Option<String>,
    /// The number that its address is made of, if it is not the node's own.
    pub(crate) at: Option<u8>,
    /// Zero-touch: how many nodes form the cluster, with which secret.
    pub(crate) expect: Option<(u8, String)>,
    /// Where verdicts are made.
    pub(crate) mode: &'static str,
    /// More of the configuration, as it is.
    pub(crate) more: String,
}

impl Setup {
    /// For `cluster init` and `cluster join`.
    pub(crate) fn by_hand() -> Self {
        Self { name: None, at: None, expect: None, mode: "userspace", more: String::new() }
    }

    /// For zero-touch forming by so many nodes.
    pub(crate) fn alike(expect: u8) -> Self {
        Self { expect: Some((expect, SECRET.to_owned())), ..Self::by_hand() }
    }

    /// Writes the file of node `number`; the seeds are the first `expect` nodes.
    pub(super) fn write(&self, number: u8, files: &Files, host: &dyn Fn(u8) -> Ipv4Addr) {
        let name = self.name.clone().unwrap_or_else(|| format!("lb{number}"));
        let zero_touch = self.expect.as_ref().map(|(expect, secret)| {
            fs::write(&files.secret, secret).unwrap();
            fs::set_permissions(&files.secret, fs::Permissions::from_mode(0o600)).unwrap();
            let seeds: Vec<_> = (1..=*expect).map(|seed| format!("\"{}:{PORT}\"", host(seed))).collect();
            let secret = files.secret.display();
            format!("seeds = [{}]\nexpect = {expect}\nbootstrap_secret_file = \"{secret}\"\n", seeds.join(", "))
        });
        let text = format!(
            "name = \"{name}\"\nstate_dir = \"{state}\"\n\
             [cluster]\nlisten = \"{host}:{PORT}\"\n{zero_touch}\
             [[interface]]\nname = \"lo\"\nrole = \"cluster\"\n\
             [api]\nsocket = \"{socket}\"\nlisten = \"{host}:{API_PORT}\"\n\
             [dataplane]\nmode = \"{mode}\"\n{more}",
            state = files.state.display(),
            host = host(self.at.unwrap_or(number)),
            zero_touch = zero_touch.unwrap_or_default(),
            socket = files.socket.display(),
            mode = self.mode,
            more = self.more,
        );
        fs::write(&files.config, text).unwrap();
    }
}

/// The files of one node.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    /// Its configuration.
    pub(crate) config: PathBuf,
    /// Its state directory.
    pub(crate) state: PathBuf,
    /// The socket of its API.
    pub(crate) socket: PathBuf,
    /// What it logs.
    pub(crate) log: PathBuf,
    /// Its bootstrap secret.
    pub(crate) secret: PathBuf,
}

impl Files {
    pub(super) fn of(dir: &Path, number: u8) -> Self {
        let file = |suffix: &str| dir.join(format!("n{number}.{suffix}"));
        Self {
            config: file("toml"),
            state: file("state"),
            socket: file("sock"),
            log: file("log"),
            secret: file("secret"),
        }
    }
}
