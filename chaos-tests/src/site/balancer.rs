//! One load balancer: a machine with keepalived, HAProxy and a Hedgerow peer, each of which may be missing for a while.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::addresses::{Addresses, BACK4, BACK6, HAPROXY_PEERS_PORT, VIP_LINK_LOCAL, VIP4, VIP6, WEB_PORT};
use super::api::Api;
use super::peer::Cli;
use super::plan::{Forming, Networks};
use super::{template, unprivileged};
use crate::lab::{Daemon, Lab, Namespace};
use crate::{LabError, probe, wait};

/// How long a daemon may take until its socket answers.
const READY_SECONDS_MAX: Duration = Duration::from_secs(20);
/// keepalived's priority of the first load balancer; each further one has less.
const PRIORITY_FIRST: u8 = 200;
const PRIORITY_STEP: u8 = 20;

/// A load balancer.
pub struct Balancer {
    /// Its machine.
    pub machine: Namespace,
    /// Its addresses.
    pub addresses: Addresses,
    /// The program on it that this laboratory is about, while it runs.
    pub agent: Option<Daemon>,
    number: u8,
    dir: PathBuf,
    bpffs: PathBuf,
    program: PathBuf,
    keepalived: Option<Daemon>,
    haproxy: Option<Daemon>,
}

impl Balancer {
    pub(super) fn new(lab: &Lab, networks: &Networks, number: u8, program: &Path) -> Result<Self, LabError> {
        let name = format!("lb{number}");
        let machine = lab.namespace(&name)?;
        // HAProxy listens on the virtual addresses before this machine holds them.
        machine.sysctl("net.ipv4.ip_nonlocal_bind", "1")?;
        machine.sysctl("net.ipv6.ip_nonlocal_bind", "1")?;
        let addresses = Addresses::of(number);
        networks.cluster.plug(&machine, "cluster0", &addresses.on_cluster())?;
        networks.vip.plug(&machine, "vip0", &addresses.on_vip())?;
        networks.backend.plug(&machine, "back0", &addresses.on_backend())?;
        let dir = lab.make_dir(&name)?;
        let bpffs = lab.bpffs(&format!("{name}/bpf"))?;
        unprivileged::give(&lab.make_dir(&format!("{name}/agent"))?)?;
        unprivileged::give(&bpffs)?;
        let program = program.to_owned();
        Ok(Self { machine, addresses, agent: None, number, dir, bpffs, program, keepalived: None, haproxy: None })
    }

    /// Its name, `lb1` and so on.
    pub fn name(&self) -> &str {
        self.machine.short()
    }

    /// The folder with its configuration, state and sockets.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The folder that belongs to the agent: its state and its socket.
    pub fn agent_dir(&self) -> PathBuf {
        self.dir.join("agent")
    }

    /// The BPF file system on which the agent pins.
    pub fn bpffs(&self) -> &Path {
        &self.bpffs
    }

    /// The agent's socket.
    pub fn socket(&self) -> PathBuf {
        self.agent_dir().join("api.sock")
    }

    /// The CLI, talking to this load balancer's own socket.
    pub fn cli(&self) -> Cli {
        Cli::new(&self.program, &self.socket(), &self.machine)
    }

    /// The same node's API, asked without the CLI.
    pub fn api(&self) -> Api {
        Api::new(&self.socket())
    }

    /// The `hedgerow` program that runs on it.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The file that keepalived's notify script writes.
    pub fn vrrp_events(&self) -> PathBuf {
        self.dir.join("vrrp.events")
    }

    /// Whether HAProxy was started on it.
    pub fn has_haproxy(&self) -> bool {
        self.haproxy.is_some()
    }

    /// HAProxy's statistics socket.
    pub fn haproxy_socket(&self) -> PathBuf {
        self.dir.join("haproxy.sock")
    }

    /// Whether it holds the virtual IPv4 address now.
    pub fn holds_vip(&self) -> Result<bool, LabError> {
        Ok(self.machine.ip(&["-4", "-o", "address", "show", "dev", "vip0"])?.contains(&format!("{VIP4}/")))
    }

    /// Starts keepalived.
    pub fn start_keepalived(&mut self, lab: &Lab) -> Result<(), LabError> {
        let script = self.dir.join("notify.sh");
        template::write(&script, template::NOTIFY, &[("EVENTS", display(&self.vrrp_events()))])?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o700))
            .map_err(LabError::io(format!("making {} executable", script.display())))?;
        let config = self.dir.join("keepalived.conf");
        let priority = PRIORITY_FIRST - PRIORITY_STEP * (self.number - 1);
        let values = [
            ("NAME", self.name().to_owned()),
            ("PRIORITY", priority.to_string()),
            ("VIP4", VIP4.to_string()),
            ("VIP6", VIP6.to_string()),
            ("VIP_LINK_LOCAL", VIP_LINK_LOCAL.to_string()),
            ("BACK4", BACK4.to_string()),
            ("BACK6", BACK6.to_string()),
            ("NOTIFY", display(&script)),
        ];
        template::write(&config, template::KEEPALIVED, &values)?;
        let mut command = Command::new("keepalived");
        command.args(["--dont-fork", "--log-console", "--log-detail", "--vrrp", "--use-file"]).arg(&config);
        command.arg("--pid").arg(self.dir.join("keepalived.pid"));
        command.arg("--vrrp_pid").arg(self.dir.join("vrrp.pid"));
        self.keepalived = Some(lab.daemon(&self.machine, &format!("keepalived-{}", self.name()), &command)?);
        Ok(())
    }

    /// Starts HAProxy, with every load balancer of the site in its peers section, and waits for its socket.
    pub fn start_haproxy(&mut self, lab: &Lab, all: &[Addresses]) -> Result<(), LabError> {
        let config = self.dir.join("haproxy.cfg");
        let lines = all.iter().zip(1..);
        let peers: Vec<_> =
            lines.map(|(one, n)| format!("    peer lb{n} {}:{HAPROXY_PEERS_PORT}", one.cluster4())).collect();
        let values = [
            ("NAME", self.name().to_owned()),
            ("DIR", display(&self.dir)),
            ("PEERS", peers.join("\n")),
            ("VIP4", VIP4.to_string()),
            ("VIP6", VIP6.to_string()),
            ("OWN_VIP4", self.addresses.vip4().to_string()),
            ("OWN_BACKEND4", self.addresses.backend4().to_string()),
            ("WEB1", format!("{}:{WEB_PORT}", Addresses::of(11).backend4())),
            ("WEB2", format!("[{}]:{WEB_PORT}", Addresses::of(12).backend6())),
        ];
        template::write(&config, template::HAPROXY, &values)?;
        let mut command = Command::new("haproxy");
        command.args(["-db", "-f"]).arg(&config);
        let mut daemon = lab.daemon(&self.machine, &format!("haproxy-{}", self.name()), &command)?;
        let socket = self.haproxy_socket();
        wait::until_of(&mut daemon, &format!("HAProxy on {} to answer", self.name()), READY_SECONDS_MAX, || {
            probe::peers(&socket).map_err(|error| error.to_string())
        })?;
        self.haproxy = Some(daemon);
        Ok(())
    }

    /// Starts the Hedgerow agent and waits until its socket takes connections.
    pub fn start_agent(&mut self, lab: &Lab, forming: &Forming) -> Result<Duration, LabError> {
        let socket = self.socket();
        self.launch_agent(lab, forming)?;
        let Some(daemon) = self.agent.as_mut() else { return Ok(Duration::ZERO) };
        let name = daemon.name().to_owned();
        let ready = wait::until_of(daemon, &format!("{name} to open its socket"), READY_SECONDS_MAX, || {
            std::os::unix::net::UnixStream::connect(&socket).map_err(|error| error.to_string())
        });
        ready.map(|(_, took)| took)
    }

    /// Starts the Hedgerow agent and returns at once.
    pub fn launch_agent(&mut self, lab: &Lab, forming: &Forming) -> Result<(), LabError> {
        let config = self.dir.join("hedgerow.toml");
        let values = [
            ("NAME", self.name().to_owned()),
            ("DIR", display(&self.agent_dir())),
            ("OWN_CLUSTER4", self.addresses.cluster4().to_string()),
            ("FORMING", forming.lines()),
            ("BPFFS", display(&self.bpffs)),
        ];
        template::write(&config, template::HEDGEROW, &values)?;
        let command = unprivileged::command(&self.program, &["agent", "--config", &display(&config)]);
        self.agent = Some(lab.daemon(&self.machine, &format!("hedgerow-{}", self.name()), &command)?);
        Ok(())
    }

    /// Waits until the agent is a member that has caught up and enforces what the cluster agreed on.
    pub fn wait_ready(&mut self, limit: Duration) -> Result<Duration, LabError> {
        let cli = self.cli();
        let name = self.name().to_owned();
        let Some(agent) = self.agent.as_mut() else {
            return Err(LabError::Unexpected {
                what: format!("waiting for the agent on {name}"),
                answer: "it was not started".into(),
            });
        };
        let ask = || {
            let status = cli.status().map_err(|error| error.to_string())?;
            if status.ready { Ok(()) } else { Err(format!("it waits for {}", status.waiting_for.join("; "))) }
        };
        wait::until_of(agent, &format!("the agent on {name} to be ready"), limit, ask).map(|(_, took)| took)
    }

    /// SIGKILL to the Hedgerow agent.
    pub fn kill_agent(&mut self) -> Result<(), LabError> {
        self.agent.take().map_or(Ok(()), Daemon::kill)
    }

    /// SIGKILL to keepalived, which leaves its virtual addresses where they are.
    pub fn kill_keepalived(&mut self) -> Result<(), LabError> {
        self.keepalived.take().map_or(Ok(()), Daemon::kill)
    }

    /// Lets the daemons run on after this value is gone.
    pub(super) fn forget(self) {
        for daemon in [self.agent, self.keepalived, self.haproxy].into_iter().flatten() {
            daemon.forget();
        }
    }
}

fn display(path: &Path) -> String {
    path.display().to_string()
}
