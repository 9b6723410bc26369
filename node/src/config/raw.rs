//! The configuration as it is written, and the checks that turn it into a [`Config`].

use std::{collections::BTreeMap, net::SocketAddr, ops::Range, path::PathBuf};

use identity::Role;
use serde::Deserialize;
use toml::Spanned;

use super::{
    ApiConfig, ClusterConfig, Config, DataplaneConfig, DataplaneMode, EXPECT_NODES_MAX, INTERFACE_NAME_BYTES_MAX,
    INTERFACES_MAX, InterfaceConfig, LogConfig, LogFormat, NAME_BYTES_MAX, Problem, SEEDS_MAX, SOCKET_DEFAULT,
    STATE_DIR_DEFAULT, XdpMode, tables::RawTables, timeouts::RawTimeouts,
};
use crate::nearest::nearest;

/// What is logged unless the configuration says otherwise: openraft tells every step of every election at `info`.
const LOG_FILTER_DEFAULT: &str = "info,openraft=error";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    name: Spanned<String>,
    state_dir: Option<PathBuf>,
    cluster: RawCluster,
    #[serde(default)]
    interface: Vec<RawInterface>,
    #[serde(default)]
    channel: Vec<Spanned<policy::Channel>>,
    #[serde(default)]
    api: RawApi,
    #[serde(default)]
    dataplane: RawDataplane,
    #[serde(default)]
    log: RawLog,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCluster {
    listen: Spanned<SocketAddr>,
    #[serde(default)]
    seeds: Vec<Spanned<SocketAddr>>,
    /// Of any sign and size, so that what is out of range is refused by the range.
    expect: Option<Spanned<i64>>,
    bootstrap_secret_file: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawInterface {
    name: Spanned<String>,
    role: Role,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawApi {
    socket: Option<Spanned<PathBuf>>,
    listen: Option<Spanned<SocketAddr>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawDataplane {
    #[serde(default)]
    mode: DataplaneMode,
    bpffs: Option<PathBuf>,
    #[serde(default)]
    xdp: XdpMode,
    #[serde(default)]
    tables: RawTables,
    #[serde(default)]
    timeouts: RawTimeouts,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawLog {
    #[serde(default)]
    format: LogFormat,
    filter: Option<Spanned<String>>,
}

/// Reads and checks a configuration.
pub(super) fn parse(file: &str, text: &str) -> Result<Config, Vec<Problem>> {
    let raw: RawConfig = toml::from_str(text).map_err(|error| vec![syntax_problem(file, text, &error)])?;
    let mut check = Check { file, text, problems: Vec::new() };
    check.all(&raw);
    if check.problems.is_empty() {
        return Ok(config(raw));
    }
    check.problems.sort_by_key(|problem| (problem.line, problem.column));
    Err(check.problems)
}

/// What toml or serde found, with a suggestion when a name is misspelt.
fn syntax_problem(file: &str, text: &str, error: &toml::de::Error) -> Problem {
    let message = error.message().trim().replace('\n', ", ");
    let message = match misspelt(&message) {
        Some((written, meant)) => format!("`{written}` is not known here; did you mean `{meant}`? ({message})"),
        None => in_plain_words(&message),
    };
    Problem::at(file, text, &error.span().unwrap_or(0..0), message)
}

/// Whole numbers as serde calls them, and the largest of each.
const WHOLE_NUMBERS: [(&str, u64); 4] =
    [("u8", u8::MAX as u64), ("u16", u16::MAX as u64), ("u32", u32::MAX as u64), ("usize", usize::MAX as u64)];

/// A sentence of serde or of the standard library without words that only a programmer knows, and with what to do.
fn in_plain_words(message: &str) -> String {
    if message == "invalid socket address syntax" {
        return "this is not an address with a port; write one such as `10.77.0.1:7400` or `[2001:db8::1]:7400` \
                (names are not looked up)"
            .to_owned();
    }
    if message == "wanted string or table" {
        return "this is not a word in quotes; write one of those that there are for this key".to_owned();
    }
    if message.starts_with("missing field") {
        return format!("{message}; add it");
    }
    // A key with a range takes any number there is, and answers with its range.
    if let Some(wrong) = message.strip_suffix("expected i64") {
        return format!("{wrong}write a whole number");
    }
    let number = WHOLE_NUMBERS.iter().find_map(|(name, most)| {
        let wrong = message.strip_suffix(&format!("expected {name}"))?;
        Some(format!("{wrong}write a whole number from 0 to {most}"))
    });
    number.unwrap_or_else(|| message.to_owned())
}

/// The name that was written and the nearest of those that were expected, from serde's sentence.
fn misspelt(message: &str) -> Option<(String, String)> {
    if !message.starts_with("unknown field") && !message.starts_with("unknown variant") {
        return None;
    }
    let mut quoted = message.split('`').skip(1).step_by(2);
    let written = quoted.next()?.to_owned();
    let meant = nearest(&written, quoted)?.to_owned();
    Some((written, meant))
}

/// The configuration, once it has no problems.
fn config(raw: RawConfig) -> Config {
    let cluster = ClusterConfig {
        listen: raw.cluster.listen.into_inner(),
        seeds: raw.cluster.seeds.into_iter().map(Spanned::into_inner).collect(),
        expect: raw.cluster.expect.and_then(|expect| usize::try_from(expect.into_inner()).ok()),
        bootstrap_secret_file: raw.cluster.bootstrap_secret_file,
    };
    let interface = |raw: RawInterface| InterfaceConfig { name: raw.name.into_inner(), role: raw.role };
    Config {
        name: raw.name.into_inner(),
        state_dir: raw.state_dir.unwrap_or_else(|| STATE_DIR_DEFAULT.into()),
        cluster,
        interfaces: raw.interface.into_iter().map(interface).collect(),
        channels: raw.channel.into_iter().map(Spanned::into_inner).collect(),
        api: ApiConfig {
            socket: raw.api.socket.map_or_else(|| SOCKET_DEFAULT.into(), Spanned::into_inner),
            listen: raw.api.listen.map(Spanned::into_inner),
        },
        dataplane: DataplaneConfig {
            mode: raw.dataplane.mode,
            bpffs: raw.dataplane.bpffs.unwrap_or_else(|| "/sys/fs/bpf".into()),
            xdp: raw.dataplane.xdp,
            tables: raw.dataplane.tables.sizes(),
            timeouts: raw.dataplane.timeouts.timeouts(),
        },
        log: LogConfig {
            format: raw.log.format,
            filter: raw.log.filter.map_or_else(|| LOG_FILTER_DEFAULT.to_owned(), Spanned::into_inner),
        },
    }
}

/// Collects problems.
struct Check<'a> {
    file: &'a str,
    text: &'a str,
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn wrong(&mut self, span: &Range<usize>, message: impl Into<String>) {
        self.problems.push(Problem::at(self.file, self.text, span, message.into()));
    }

    fn all(&mut self, raw: &RawConfig) {
        self.name(&raw.name);
        self.cluster(&raw.cluster);
        self.interfaces(raw);
        self.channels(raw);
        self.api(&raw.api);
        for (span, message) in raw.dataplane.tables.problems().chain(raw.dataplane.timeouts.problems()) {
            self.wrong(&span, message);
        }
        if let Some(filter) = &raw.log.filter
            && let Err(error) = filter.get_ref().parse::<tracing_subscriber::EnvFilter>()
        {
            self.wrong(
                &filter.span(),
                format!("this is not a log filter: {error}; write a level such as `info`, or `info,raft=debug`"),
            );
        }
    }

    fn name(&mut self, name: &Spanned<String>) {
        let text = name.get_ref();
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if text.is_empty() || text.len() > NAME_BYTES_MAX || !text.chars().all(plain) {
            self.wrong(
                &name.span(),
                format!("a node's name has 1 to {NAME_BYTES_MAX} letters, digits, dots, dashes or underscores"),
            );
        }
    }

    fn cluster(&mut self, cluster: &RawCluster) {
        let listen = cluster.listen.get_ref();
        if listen.ip().is_unspecified() || listen.ip().is_multicast() {
            self.wrong(
                &cluster.listen.span(),
                format!(
                    "peers must be told where to find this node: write the address of the cluster interface, not {}",
                    listen.ip()
                ),
            );
        }
        if listen.port() == 0 {
            self.wrong(&cluster.listen.span(), "the port must be fixed, since peers are told it; 7400 is usual");
        }
        self.seeds(&cluster.seeds);
        if let Some(expect) = &cluster.expect {
            self.expect(expect, cluster);
        }
    }

    fn seeds(&mut self, seeds: &[Spanned<SocketAddr>]) {
        if let Some(first_above) = seeds.get(SEEDS_MAX) {
            self.wrong(
                &first_above.span(),
                format!("there are more than {SEEDS_MAX} seeds; a few of the nodes are enough"),
            );
        }
        for (at, seed) in seeds.iter().enumerate() {
            if seeds[..at].iter().any(|earlier| earlier.get_ref() == seed.get_ref()) {
                self.wrong(&seed.span(), format!("the seed {} is there twice; remove one", seed.get_ref()));
            }
            if seed.get_ref().port() == 0 || seed.get_ref().ip().is_unspecified() {
                self.wrong(
                    &seed.span(),
                    format!("{} is not where a peer can listen; write its address and port", seed.get_ref()),
                );
            }
        }
    }

    fn expect(&mut self, expect: &Spanned<i64>, cluster: &RawCluster) {
        let count = usize::try_from(*expect.get_ref()).unwrap_or(0);
        if !(1..=EXPECT_NODES_MAX).contains(&count) {
            self.wrong(
                &expect.span(),
                format!(
                    "a cluster can form by itself from 1 to {EXPECT_NODES_MAX} nodes, not {}; let further nodes join by token",
                    expect.get_ref()
                ),
            );
        }
        let others = cluster.seeds.iter().filter(|seed| seed.get_ref() != cluster.listen.get_ref()).count();
        if count > 1 && others == 0 {
            self.wrong(&expect.span(), "to form a cluster with others, name at least one of them in `seeds`");
        }
        if cluster.bootstrap_secret_file.is_none() {
            self.wrong(
                &expect.span(),
                "`expect` needs `bootstrap_secret_file`: the nodes prove to each other that they know the same secret",
            );
        }
    }

    fn interfaces(&mut self, raw: &RawConfig) {
        let mut seen: BTreeMap<&str, Role> = BTreeMap::new();
        for interface in &raw.interface {
            let name = interface.name.get_ref();
            let usable = |c: char| !c.is_whitespace() && c != '/';
            if name.is_empty() || name.len() > INTERFACE_NAME_BYTES_MAX || !name.chars().all(usable) {
                self.wrong(
                    &interface.name.span(),
                    format!("an interface has a name of 1 to {INTERFACE_NAME_BYTES_MAX} bytes"),
                );
            }
            if let Some(role) = seen.insert(name, interface.role) {
                self.wrong(
                    &interface.name.span(),
                    format!("`{name}` is there already, with the role {role}; an interface has one role"),
                );
            }
        }
        if let Some(first_above) = raw.interface.get(INTERFACES_MAX) {
            self.wrong(&first_above.name.span(), format!("there are more than {INTERFACES_MAX} interfaces"));
        }
        let needed = raw.dataplane.mode != DataplaneMode::Off;
        if needed && !raw.interface.iter().any(|interface| interface.role == Role::Cluster) {
            self.wrong(
                &raw.cluster.listen.span(),
                "no interface has the role `cluster`: add [[interface]] with the name of the one that carries this address",
            );
        }
    }

    fn channels(&mut self, raw: &RawConfig) {
        for (at, channel) in raw.channel.iter().enumerate() {
            let declared = channel.get_ref();
            if raw.dataplane.mode != DataplaneMode::Off
                && !raw.interface.iter().any(|interface| interface.role == declared.interface)
            {
                self.wrong(
                    &channel.span(),
                    format!(
                        "the channel `{}` runs on the {} interface, and no interface has that role",
                        declared.name, declared.interface
                    ),
                );
            }
            let same = |earlier: &Spanned<policy::Channel>| {
                earlier.get_ref().name == declared.name && earlier.get_ref().interface == declared.interface
            };
            if raw.channel[..at].iter().any(same) {
                self.wrong(
                    &channel.span(),
                    format!(
                        "the channel `{}` is declared twice on the {} interface; remove one",
                        declared.name, declared.interface
                    ),
                );
            }
        }
    }

    fn api(&mut self, api: &RawApi) {
        if let Some(socket) = &api.socket
            && !socket.get_ref().is_absolute()
        {
            self.wrong(&socket.span(), format!("the socket's path must be absolute, such as {SOCKET_DEFAULT}"));
        }
        if let Some(listen) = &api.listen
            && listen.get_ref().port() == 0
        {
            self.wrong(&listen.span(), "the port of the API must be fixed; 7443 is usual");
        }
    }
}
