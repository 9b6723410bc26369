//! Packages that start a service when they are installed: here they must not, and must not come up at the next boot either.

use std::path::Path;
use std::process::Stdio;

use crate::failure::Failure;
use crate::machine::Root;
use crate::shell::{run_quietly, say};

/// The file that Debian's maintainer scripts ask before they start a service; exit code 101 means "do not".
const POLICY: &str = "/usr/sbin/policy-rc.d";
/// The packages of ours that bring a service of the same name.
const WITH_SERVICE: [&str; 2] = ["haproxy", "keepalived"];

/// A time in which installing starts nothing.
pub(crate) struct Quiet {
    root: Root,
    ours: bool,
    services: Vec<&'static str>,
}

impl Quiet {
    /// Begins it; a policy that is there already is left as it is.
    pub(crate) fn begin(root: Root, packages: &[&str]) -> Result<Self, Failure> {
        let services: Vec<_> = WITH_SERVICE.into_iter().filter(|service| packages.contains(service)).collect();
        let ours = !services.is_empty() && !Path::new(POLICY).exists();
        if ours {
            as_root(root, &format!("printf '#!/bin/sh\\nexit 101\\n' > {POLICY} && chmod 755 {POLICY}"))?;
        }
        Ok(Self { root, ours, services })
    }

    /// Ends it, and turns the services off that came in meanwhile.
    pub(crate) fn end(self) -> Result<(), Failure> {
        if self.ours {
            as_root(self.root, &format!("rm -f {POLICY}"))?;
        }
        for service in self.services {
            let off =
                as_root(self.root, &format!("systemctl disable --now {service} || update-rc.d {service} disable"));
            say(match off {
                Ok(()) => format!("  {service} is installed; its service is neither running nor enabled"),
                Err(_) => format!(
                    "  {service} is installed and not started; disable its service if you do not want it at boot"
                ),
            })?;
        }
        Ok(())
    }
}

fn as_root(root: Root, script: &str) -> Result<(), Failure> {
    let mut command = root.command("sh").ok_or_else(|| Failure::other("installing needs root or sudo"))?;
    run_quietly(command.args(["-c", script]).stdout(Stdio::null()).stderr(Stdio::null()))
}
