//! The whole site, stood up from nothing.

use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use super::addresses::{Addresses, vip4, vip6};
use super::balancer::Balancer;
use super::hosts::{self, Web};
use super::unprivileged;
use crate::invariants::masters_now;
use crate::lab::{Daemon, Lab, Namespace, Network};
use crate::probe::{self, HttpProbe, Stall, events, peers};
use crate::{LabError, wait};

/// Host numbers on the networks.
pub(super) const WEB_HOSTS: [u8; 2] = [11, 12];
const ALLOWED_HOST: u8 = 201;
const DENIED_HOST: u8 = 202;
/// How long the daemons may take to elect a master and to connect to each other.
const SETTLED_SECONDS_MAX: Duration = Duration::from_secs(30);

/// Where the moments are written at which the machine stood still, in the laboratory's folder.
const PULSE_FILE: &str = "pulse";
/// How long VRRP must have been without a change: ten adverts.
const CALM: Duration = Duration::from_secs(1);
/// How long agents may take to form a cluster.
const FORMED_SECONDS_MAX: Duration = Duration::from_secs(60);

/// What a site is made of.
#[derive(Clone, Debug)]
pub struct SiteConfig {
    /// How many load balancers there are in all, those that join later included.
    pub balancers: u8,
    /// The `hedgerow` program.
    pub program: PathBuf,
    /// The `hedgerow-lab` program, which serves the web pages.
    pub lab_program: PathBuf,
}

/// How an agent finds its cluster.
#[derive(Clone, Debug)]
pub enum Forming {
    /// With so many others that were started alike.
    Expect {
        /// How many agents form the cluster.
        count: u8,
        /// The file with the secret that they share.
        secret_file: PathBuf,
    },
    /// By a command: `cluster init` or `cluster join`.
    ByHand,
}

/// The three networks of the site.
pub struct Networks {
    /// Between the load balancers.
    pub cluster: Network,
    /// Towards the clients.
    pub vip: Network,
    /// Towards the web servers.
    pub backend: Network,
}

/// The site. Fields are dropped in order: daemons before the laboratory.
pub struct Site {
    /// The load balancers, `lb1` first.
    pub balancers: Vec<Balancer>,
    /// The client that policy lets in.
    pub allowed: Namespace,
    /// The client that policy keeps out.
    pub denied: Namespace,
    /// Its networks, to cut and to heal.
    pub networks: Networks,
    webs: Vec<Web>,
    pulse: Daemon,
    secret_file: PathBuf,
    /// The roof over everything.
    pub lab: Lab,
}

impl Site {
    /// Lays the networks and starts the web servers; on the load balancers nothing runs yet.
    pub fn new(config: &SiteConfig) -> Result<Self, LabError> {
        let lab = Lab::new()?;
        let networks = Networks {
            cluster: Network::new(&lab, "cluster")?,
            vip: Network::new(&lab, "vip")?,
            backend: Network::new(&lab, "backend")?,
        };
        // A site without agents needs no program.
        let program = match config.program.is_file() {
            true => unprivileged::within_reach(&lab, &config.program)?,
            false => config.program.clone(),
        };
        let balancer = |number| Balancer::new(&lab, &networks, number, &program);
        let balancers = (1..=config.balancers).map(balancer).collect::<Result<_, _>>()?;
        let start = |(host, name): (u8, &str)| Web::start(&lab, &networks.backend, name, host, &config.lab_program);
        let webs = WEB_HOSTS.into_iter().zip(["web1", "web2"]).map(start).collect::<Result<_, _>>()?;
        let allowed = hosts::client(&lab, &networks.vip, "allowed", ALLOWED_HOST)?;
        let denied = hosts::client(&lab, &networks.vip, "denied", DENIED_HOST)?;
        let pulse = hosts::pulse(&lab, &allowed, &config.lab_program, &lab.dir().join(PULSE_FILE))?;
        let secret_file = lab.dir().join("bootstrap.secret");
        write_secret(&secret_file)?;
        unprivileged::give(&secret_file)?;
        Ok(Self { balancers, allowed, denied, networks, webs, pulse, secret_file, lab })
    }

    /// The moments at which this machine itself stood still.
    pub fn stalls(&self) -> Vec<Stall> {
        probe::stalls(&self.lab.dir().join(PULSE_FILE))
    }

    /// A web server's machine, from which a connection to a load balancer is tried.
    pub fn web_machine(&self, index: usize) -> &Namespace {
        &self.webs[index].machine
    }

    /// Zero-touch forming of the first `count` load balancers.
    pub fn expect(&self, count: u8) -> Forming {
        Forming::Expect { count, secret_file: self.secret_file.clone() }
    }

    /// Starts keepalived and HAProxy on a load balancer.
    pub fn start_services(&mut self, index: usize) -> Result<(), LabError> {
        let all: Vec<_> = self.balancers.iter().map(|balancer| balancer.addresses).collect();
        let balancer = &mut self.balancers[index];
        balancer.start_haproxy(&self.lab, &all)?;
        balancer.start_keepalived(&self.lab)
    }

    /// Starts the agent of a load balancer.
    pub fn start_agent(&mut self, index: usize, forming: &Forming) -> Result<Duration, LabError> {
        self.balancers[index].start_agent(&self.lab, forming)
    }

    /// Waits until the first `count` load balancers have one master, connected peers and an answering shop in both families.
    pub fn settle(&self, count: usize) -> Result<Duration, LabError> {
        let (_, took) = wait::until("one master and connected peers", SETTLED_SECONDS_MAX, || self.settled(count))?;
        Ok(took)
    }

    fn settled(&self, count: usize) -> Result<(), String> {
        let balancers = &self.balancers[..count];
        if let Some(age) = youngest_event(balancers).filter(|age| *age < CALM) {
            return Err(format!("VRRP changed state {age:?} ago"));
        }
        let masters = masters_now(balancers).map_err(|error| error.to_string())?;
        if masters.len() != 1 {
            return Err(format!("masters: {masters:?}"));
        }
        for balancer in balancers {
            let connected = connected_peers(balancer).map_err(|error| error.to_string())?;
            if connected < count - 1 {
                return Err(format!("{} has {connected} HAProxy peers connected", balancer.name()));
            }
        }
        for to in [vip4(), vip6()] {
            let probe = HttpProbe { to, limit: Duration::from_secs(1) };
            let answer = probe.from(&self.allowed).map_err(|error| error.to_string())?;
            let answer = answer.map_err(|failure| format!("{to}: {failure}"))?;
            if answer.status != 200 {
                return Err(format!("{to} answers {}", answer.status));
            }
        }
        Ok(())
    }

    /// The load balancer whose agent leads, as the agents themselves see it.
    pub fn leader(&self) -> Option<usize> {
        self.balancers
            .iter()
            .position(|one| one.agent.is_some() && one.cli().status().is_ok_and(|status| status.leads()))
    }

    /// Waits for a leader among the agents that run.
    pub fn wait_leader(&self, limit: Duration) -> Result<(usize, Duration), LabError> {
        wait::until("a leader", limit, || self.leader().ok_or("no agent says that it leads"))
    }

    /// Starts the agents of the first `count` load balancers at once, to form a cluster by themselves, and waits until all are ready.
    pub fn form(&mut self, count: u8) -> Result<Duration, LabError> {
        let forming = self.expect(count);
        let started = std::time::Instant::now();
        for balancer in self.balancers.iter_mut().take(count.into()) {
            balancer.launch_agent(&self.lab, &forming)?;
        }
        for balancer in self.balancers.iter_mut().take(count.into()) {
            balancer.wait_ready(FORMED_SECONDS_MAX)?;
        }
        Ok(started.elapsed())
    }

    /// Leaves everything running and returns the laboratory's name.
    pub fn keep(self) -> Result<String, LabError> {
        self.lab.keep()?;
        let name = self.lab.name().to_owned();
        self.balancers.into_iter().for_each(Balancer::forget);
        self.webs.into_iter().for_each(Web::forget);
        self.pulse.forget();
        Ok(name)
    }
}

impl Forming {
    /// The lines of `[cluster]` in the agent's configuration.
    pub(super) fn lines(&self) -> String {
        match self {
            Self::ByHand => String::new(),
            Self::Expect { count, secret_file } => {
                let seeds: Vec<_> = (1..=*count).map(|host| format!("\"{}\"", Addresses::of(host).peer())).collect();
                format!(
                    "seeds = [{}]\nexpect = {count}\nbootstrap_secret_file = \"{}\"",
                    seeds.join(", "),
                    secret_file.display()
                )
            }
        }
    }
}

impl fmt::Display for Forming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expect { count, .. } => write!(f, "expect = {count}"),
            Self::ByHand => f.write_str("by hand"),
        }
    }
}

/// How long ago VRRP last changed state on one of these.
fn youngest_event(balancers: &[Balancer]) -> Option<Duration> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?;
    let last = balancers.iter().filter_map(|one| events(&one.vrrp_events()).last().map(|event| event.at));
    let last = last.max_by(f64::total_cmp)?;
    Some(Duration::try_from_secs_f64(now.as_secs_f64() - last).unwrap_or_default())
}

/// How many of its HAProxy peers a load balancer is connected to.
fn connected_peers(balancer: &Balancer) -> Result<usize, LabError> {
    Ok(peers(&balancer.haproxy_socket())?.iter().filter(|peer| peer.is_connected()).count())
}

/// A new secret for zero-touch forming, from the kernel's random numbers.
fn write_secret(file: &std::path::Path) -> Result<(), LabError> {
    let doing = || format!("writing the bootstrap secret {}", file.display());
    let mut bytes = [0_u8; 32];
    let mut source = fs::File::open("/dev/urandom").map_err(LabError::io(doing()))?;
    std::io::Read::read_exact(&mut source, &mut bytes).map_err(LabError::io(doing()))?;
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    fs::write(file, text + "\n").map_err(LabError::io(doing()))?;
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).map_err(LabError::io(doing()))
}
