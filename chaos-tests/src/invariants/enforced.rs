//! Who gets an answer and who does not, found out by real connection attempts and not by asking anybody.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use crate::LabError;
use crate::lab::Namespace;
use crate::probe::{HttpProbe, connect};
use crate::site::{Site, vip4, vip6};

/// How long an allowed request may take.
const ANSWER_SECONDS_MAX: Duration = Duration::from_secs(2);
/// How long a denied one is waited for before silence counts as silence: several times what an answer takes here.
const SILENCE_MILLIS: Duration = Duration::from_millis(700);

/// What was tried, who was right and who was not.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// Attempts that went as they should, as words.
    pub right: Vec<String>,
    /// Attempts that did not.
    pub wrong: Vec<String>,
}

/// The policies of the demonstration hold through the virtual addresses: the allowed client is answered in both families, the
/// other hears nothing, and no web server opens a connection to any of the load balancers `at`.
pub fn enforced(site: &Site, at: &[usize]) -> Result<Findings, LabError> {
    let mut found = Findings::default();
    for to in [vip4(), vip6()] {
        found.answered(&site.allowed, to)?;
        found.silent(&site.denied, to)?;
    }
    for index in at {
        found.silent(site.web_machine(0), site.balancers[*index].addresses.health())?;
    }
    Ok(found)
}

/// The allowed client is answered in both families, which says nothing about anybody else and is quickly found out.
pub fn served(site: &Site) -> Result<Findings, LabError> {
    let mut found = Findings::default();
    for to in [vip4(), vip6()] {
        found.answered(&site.allowed, to)?;
    }
    Ok(found)
}

/// The same at one load balancer's own address, whoever holds the virtual one.
pub fn enforced_at(site: &Site, index: usize) -> Result<Findings, LabError> {
    let addresses = site.balancers[index].addresses;
    let mut found = Findings::default();
    found.answered(&site.allowed, addresses.own_shop())?;
    found.silent(&site.denied, addresses.own_shop())?;
    found.silent(site.web_machine(0), addresses.health())?;
    Ok(found)
}

/// Nothing is enforced: both clients are answered, and a web server reaches each load balancer of `at`. This is what makes the
/// silence of [`enforced`] mean something.
pub fn open(site: &Site, at: &[usize]) -> Result<Findings, LabError> {
    let mut found = Findings::default();
    for to in [vip4(), vip6()] {
        found.answered(&site.allowed, to)?;
        found.answered(&site.denied, to)?;
    }
    for index in at {
        found.answered(site.web_machine(0), site.balancers[*index].addresses.health())?;
    }
    Ok(found)
}

/// Under "deny everything to everyone" nobody reaches anybody.
pub fn locked_down(site: &Site, at: &[usize]) -> Result<Findings, LabError> {
    let mut found = Findings::default();
    for to in [vip4(), vip6()] {
        found.silent(&site.allowed, to)?;
        found.silent(&site.denied, to)?;
    }
    for index in at {
        found.silent(site.web_machine(0), site.balancers[*index].addresses.health())?;
    }
    Ok(found)
}

impl Findings {
    /// Fails with every attempt that went wrong.
    pub fn check(&self) -> Result<(), String> {
        if self.wrong.is_empty() { Ok(()) } else { Err(self.wrong.join("; ")) }
    }

    fn answered(&mut self, from: &Namespace, to: SocketAddr) -> Result<(), LabError> {
        let who = format!("{} to {to}", from.short());
        let probe = HttpProbe { to, limit: ANSWER_SECONDS_MAX };
        match probe.from(from)? {
            Ok(answer) if answer.status == 200 => {
                self.right.push(format!("{who}: {} in {:?}", answer.body.trim(), answer.took));
            }
            Ok(answer) => self.wrong.push(format!("{who}: status {}", answer.status)),
            Err(failure) => self.wrong.push(format!("{who}: {failure}")),
        }
        Ok(())
    }

    fn silent(&mut self, from: &Namespace, to: SocketAddr) -> Result<(), LabError> {
        let who = format!("{} to {to}", from.short());
        match connect(from, to, SILENCE_MILLIS)? {
            Err(error) if error.kind() == ErrorKind::TimedOut => self.right.push(format!("{who}: silence")),
            // A refused connection means that the packet came through to a socket that was not there.
            Err(error) => self.wrong.push(format!("{who}: not silence but {error}")),
            Ok(()) => self.wrong.push(format!("{who}: connected")),
        }
        Ok(())
    }
}
