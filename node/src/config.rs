//! The configuration file of a node: TOML, read once at start, every mistake shown with line and column.

mod bounded;
mod problem;
mod raw;
mod secret;
mod tables;
mod timeouts;

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use identity::Role;
use serde::Deserialize;

pub use problem::Problem;
pub use secret::{BootstrapSecret, SECRET_BYTES_MAX, SECRET_BYTES_MIN, SecretError};
pub use tables::{FLOWS, FRAGMENTS, SOURCES};
pub use timeouts::{FRAGMENT_S, IDLE_S};

/// Where the local API listens unless the configuration says otherwise.
pub const SOCKET_DEFAULT: &str = "/run/hedgerow/api.sock";
/// Where a node keeps its key, its log and its snapshots unless the configuration says otherwise.
pub const STATE_DIR_DEFAULT: &str = "/var/lib/hedgerow";
/// Where the configuration is looked for unless the command line says otherwise.
pub const CONFIG_DEFAULT: &str = "/etc/hedgerow/hedgerow.toml";
/// The largest configuration file that is read, in bytes.
pub const CONFIG_BYTES_MAX: u64 = 1 << 20;
/// The most nodes that a zero-touch cluster may expect: each of them becomes a voter.
pub const EXPECT_NODES_MAX: usize = 7;
/// The most seeds.
pub const SEEDS_MAX: usize = 64;
/// The most interfaces.
pub const INTERFACES_MAX: usize = 64;
/// The longest name of a node, in bytes.
pub const NAME_BYTES_MAX: usize = 63;
/// The longest name of an interface, in bytes: the kernel's IFNAMSIZ less the terminating zero.
pub const INTERFACE_NAME_BYTES_MAX: usize = 15;

/// What a node is told by its operator.
#[derive(Debug, Clone)]
pub struct Config {
    /// The name of the node: for people, in status and logs.
    pub name: String,
    /// Where the node keeps its key, its log and its snapshots.
    pub state_dir: PathBuf,
    /// How it finds and talks to its peers.
    pub cluster: ClusterConfig,
    /// The interfaces that it guards and enforces on.
    pub interfaces: Vec<InterfaceConfig>,
    /// The sync channels beyond those that are always on.
    pub channels: Vec<policy::Channel>,
    /// Where it answers operators.
    pub api: ApiConfig,
    /// How it enforces.
    pub dataplane: DataplaneConfig,
    /// What it logs.
    pub log: LogConfig,
}

/// How a node finds and talks to its peers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterConfig {
    /// The QUIC endpoint: an address of the cluster interface and a UDP port.
    pub listen: SocketAddr,
    /// Where to look for peers; may name this node too.
    pub seeds: Vec<SocketAddr>,
    /// Zero-touch: how many nodes form the cluster. Without it, `cluster init` and `cluster join` do.
    pub expect: Option<usize>,
    /// Where the secret of a zero-touch formation is. Read only while forming: it may be gone afterwards.
    pub bootstrap_secret_file: Option<PathBuf>,
}

/// An interface and what it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceConfig {
    /// The name of the interface in the kernel.
    pub name: String,
    /// What it is for.
    pub role: Role,
}

/// Where a node answers operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiConfig {
    /// The Unix socket of the local API.
    pub socket: PathBuf,
    /// The address of the remote API: TLS with client certificates. Absent: none.
    pub listen: Option<SocketAddr>,
}

/// How a node enforces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataplaneConfig {
    /// Where verdicts are made.
    pub mode: DataplaneMode,
    /// The BPF file system in which programs, links and maps outlive the process.
    pub bpffs: PathBuf,
    /// How XDP programs are attached.
    pub xdp: XdpMode,
    /// How much the tables hold.
    pub tables: dataplane::TableSizes,
    /// After how many idle seconds a remembered flow is forgotten.
    pub timeouts: dataplane::Timeouts,
}

/// Where verdicts are made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DataplaneMode {
    /// In the kernel, by eBPF.
    #[default]
    Kernel,
    /// In the process, on the same image; for tests and for looking, since no packet of the wire goes through it.
    Userspace,
    /// Nowhere: a witness, which votes and stores only.
    Off,
}

/// How XDP programs are attached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum XdpMode {
    /// In the driver where it can, generic elsewhere.
    #[default]
    Auto,
    /// In the driver, or not at all.
    Native,
    /// In the network stack.
    Generic,
    /// No XDP: ingress is judged by TCX or clsact.
    Off,
}

/// What a node logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// The form of a line.
    pub format: LogFormat,
    /// What is logged, in the syntax of tracing's environment filter, such as `info,raft=debug`.
    pub filter: String,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// Why a configuration was not accepted. Nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}: {source}; name another file with --config", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is larger than any configuration.
    #[error("the configuration {} is larger than {CONFIG_BYTES_MAX} bytes; it is probably another file", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The file says something wrong.
    #[error("{}", problem::render(.0))]
    Wrong(Vec<Problem>),
}

impl Config {
    /// Reads and checks a configuration file.
    ///
    /// # Errors
    /// The file cannot be read, or says something wrong.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let read = |source| ConfigError::Read { path: path.to_owned(), source };
        if std::fs::metadata(path).map_err(read)?.len() > CONFIG_BYTES_MAX {
            return Err(ConfigError::TooLarge { path: path.to_owned() });
        }
        let text = std::fs::read_to_string(path).map_err(read)?;
        Self::parse(&path.display().to_string(), &text)
    }

    /// Reads and checks a configuration; `file` is its name for messages.
    ///
    /// # Errors
    /// The text is not TOML, or says something wrong: every problem that can be found at once, in the order of lines.
    pub fn parse(file: &str, text: &str) -> Result<Self, ConfigError> {
        raw::parse(file, text).map_err(ConfigError::Wrong)
    }

    /// Whether the node is a witness: it votes and stores, and has no data path.
    #[must_use]
    pub fn is_witness(&self) -> bool {
        self.dataplane.mode == DataplaneMode::Off
    }
}

#[cfg(test)]
mod tests;
