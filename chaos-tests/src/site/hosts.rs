//! The machines around the load balancers: web servers and clients.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::addresses::{Addresses, WEB_PORT};
use crate::lab::{Daemon, Lab, Namespace, Network};
use crate::probe::HttpProbe;
use crate::{LabError, wait};

/// How long a web server may take to answer first.
const WEB_READY_SECONDS_MAX: Duration = Duration::from_secs(10);

/// Above keepalived's real-time priority in `deploy/demo/keepalived.conf`, so that keepalived is not what makes it late.
const PULSE_PRIORITY: &str = "60";

/// A web server on the backend network.
pub(super) struct Web {
    pub(super) machine: Namespace,
    daemon: Daemon,
}

impl Web {
    /// Starts one that answers with its name, over IPv4 and IPv6.
    pub(super) fn start(lab: &Lab, backend: &Network, name: &str, host: u8, program: &Path) -> Result<Self, LabError> {
        let machine = lab.namespace(name)?;
        let addresses = Addresses::of(host);
        backend.plug(&machine, "back0", &addresses.on_backend())?;
        let mut command = Command::new(program);
        command.args(["web", "--name", name]);
        let listen: [SocketAddr; 2] =
            [(addresses.backend4(), WEB_PORT).into(), (addresses.backend6(), WEB_PORT).into()];
        command.args(listen.iter().map(SocketAddr::to_string));
        let daemon = lab.daemon(&machine, name, &command)?;
        let mut web = Self { machine, daemon };
        for to in listen {
            let probe = HttpProbe { to, limit: Duration::from_secs(1) };
            let Self { machine, daemon } = &mut web;
            wait::until_of(daemon, &format!("{name} to answer"), WEB_READY_SECONDS_MAX, || {
                let answer = probe.from(machine).map_err(|error| error.to_string())?;
                answer.map_err(|failure| failure.to_string())
            })?;
        }
        Ok(web)
    }

    pub(super) fn forget(self) {
        self.daemon.forget();
    }
}

/// A client on the VIP network.
pub(super) fn client(lab: &Lab, vip: &Network, name: &str, host: u8) -> Result<Namespace, LabError> {
    let machine = lab.namespace(name)?;
    vip.plug(&machine, "vip0", &Addresses::of(host).on_vip())?;
    Ok(machine)
}

/// Starts what notices when the machine itself stands still, with real-time priority; it writes to `file`.
pub(super) fn pulse(lab: &Lab, machine: &Namespace, program: &Path, file: &Path) -> Result<Daemon, LabError> {
    let mut command = Command::new("chrt");
    command.args(["--fifo", PULSE_PRIORITY]).arg(program).arg("pulse").arg(file);
    lab.daemon(machine, "pulse", &command)
}
