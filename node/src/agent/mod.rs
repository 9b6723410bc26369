//! The inside of a peer: everything that runs between the start of the process and its end.

mod admission;
mod admit;
mod answers;
mod arrivals;
mod capacity;
mod channels;
mod compiled;
mod confirmation;
mod contacts;
mod control;
mod coordinator;
mod disk;
mod enforce;
mod enforcement;
mod enrolment;
mod flows;
mod forming;
mod founding;
mod gossip;
mod inspect;
mod interfaces;
mod joining;
mod lead;
mod life;
mod mesh;
mod prepare;
mod reconcile;
mod site;
mod tokens;
mod wire;

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use dataplane::{Kernel, KernelConfig, Userspace};
use futures_util::stream::{FuturesUnordered, StreamExt};
use policy::LocalInterface;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{oneshot, watch},
};
use tokio_util::sync::CancellationToken;
use tracing::info;
use transport::{BindConfig, DenyList, Endpoint, Limits, NodeKey};

use self::{
    answers::Answers,
    disk::Disk,
    enforce::{EnforcerHandle, Opened},
    enrolment::Enrolment,
    flows::FlowLog,
    forming::FormingDesk,
    founding::Founding,
    life::{Life, Stage},
    mesh::Mesh,
    site::Site,
};
use crate::{
    config::{Config, DataplaneMode, XdpMode},
    http,
    metrics::Metrics,
    service_manager,
};

const KEY_FILE: &str = "node.key";

/// How often it is looked whether consensus still runs.
const FAULT_CHECK_EVERY: Duration = Duration::from_millis(500);

/// What a node must not take into its next cluster. Its key is among it: the cluster that it left denies that key.
const OF_THE_CLUSTER: [&str; 8] =
    [KEY_FILE, "enrolment", "founding", "ballot", "contacts", "incarnation", "raft", "disarm.json"];

/// Runs the agent until it is told to stop or has left its cluster.
///
/// # Errors
/// The node cannot be started: the sentence says what is wrong and what to do.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let disk = Disk::open(&config.state_dir)?;
    let key = node_key(&disk)?;
    let interfaces = interfaces::read(&config.interfaces)?;
    let bind = BindConfig { listen: config.cluster.listen, limits: Limits::default(), key: key.clone() };
    let (endpoint, inbox) = Endpoint::bind(bind)?;
    let (settings, attached_to) = (config.clone(), interfaces.clone());
    let (enforcer, opened) = EnforcerHandle::spawn(move || open_enforcer(&settings, &attached_to));
    let tls_keys = watch::Sender::new(None);
    let denied = watch::Sender::new(DenyList::default());
    let stop = CancellationToken::new();
    let flows = FlowLog::new(stop.clone());
    let site = Arc::new(Site { config, disk, key, endpoint, enforcer, flows, interfaces, tls_keys, denied });
    tokio::spawn(flows::drain(site.flows.clone(), site.enforcer.clone(), stop.clone()));
    let life = Life::new(site.clone());
    let desk = FormingDesk::open(&site)?;
    desk.let_in(&life);
    tokio::spawn(arrivals::serve(life.clone(), desk.clone(), inbox));

    let api = open_api(&life, &stop).await?;
    service_manager::ready("answering; not a member yet");
    let watched = life.clone();
    tokio::spawn(service_manager::watchdog(move || watched.fault().is_none(), stop.clone()));
    let begun = tokio::spawn(begin(life.clone(), desk));
    let enforcing = tokio::spawn(enforce(life.clone(), opened));
    let ended = until_end(&life, begun, enforcing).await;
    service_manager::stopping();
    end(&life, stop, api).await?;
    ended
}

fn node_key(disk: &Disk) -> anyhow::Result<NodeKey> {
    if let Some(pem) = disk.read_text(KEY_FILE)? {
        return Ok(NodeKey::from_pem(&pem).map_err(|error| disk.damaged(KEY_FILE, &error))?);
    }
    let key = NodeKey::generate()?;
    disk.write(KEY_FILE, key.to_pem().as_bytes())?;
    info!(fingerprint = %key.fingerprint(), "made a new key for this node");
    Ok(key)
}

fn open_enforcer(config: &Config, interfaces: &[LocalInterface]) -> anyhow::Result<Opened> {
    if config.dataplane.mode != DataplaneMode::Kernel {
        let userspace = Userspace::new(interfaces.to_vec(), config.dataplane.tables, config.dataplane.timeouts);
        return Ok(Opened { enforcer: Box::new(userspace), others_judge: false });
    }
    let kernel = Kernel::open(kernel_config(config, interfaces)).context("the data path cannot be opened")?;
    let others_judge = kernel.is_waiting();
    Ok(Opened { enforcer: Box::new(kernel), others_judge })
}

fn kernel_config(config: &Config, interfaces: &[LocalInterface]) -> KernelConfig {
    KernelConfig {
        bpffs: config.dataplane.bpffs.clone(),
        interfaces: interfaces.to_vec(),
        sizes: config.dataplane.tables,
        xdp: match config.dataplane.xdp {
            XdpMode::Auto => dataplane::XdpMode::Auto,
            XdpMode::Native => dataplane::XdpMode::Native,
            XdpMode::Generic => dataplane::XdpMode::Generic,
            XdpMode::Off => dataplane::XdpMode::Off,
        },
        tc: dataplane::TcMode::default(),
        timeouts: config.dataplane.timeouts,
    }
}

/// The listeners of the API while they run.
type Api = tokio_util::task::TaskTracker;

async fn open_api(life: &Arc<Life>, stop: &CancellationToken) -> anyhow::Result<Api> {
    let api = Api::new();
    let metrics = Arc::new(Metrics::new(&life.site.config.name));
    let peer = Arc::new(Answers::new(life.clone(), metrics.clone()));
    let router = http::router(http::Api { peer, metrics });
    let local = http::UnixApi::bind(&life.site.config.api.socket)?;
    api.spawn(local.serve(router.clone(), stop.clone()));
    if let Some(addr) = life.site.config.api.listen {
        let remote = http::TlsApi::bind(addr).await?.deny(life.site.denied.subscribe());
        api.spawn(remote.serve(router, life.site.tls_keys.subscribe(), stop.clone()));
    }
    Ok(api)
}

/// Becomes a member again, or for the first time if the configuration says how.
async fn begin(life: Arc<Life>, desk: Arc<FormingDesk>) -> anyhow::Result<()> {
    let _passage = life.passage.lock().await;
    let site = &life.site;
    let mesh = match (Founding::load(&site.disk)?, Enrolment::load(&site.disk)?) {
        (Some(founding), _) => founding.begin(site).await?,
        (None, Some(enrolment)) => Mesh::start(site, &enrolment, &[]).await?,
        (None, None) if site.config.cluster.expect.is_some() => desk.form(&life).await?,
        (None, None) => return Ok(()),
    };
    life.enter(Stage::Running(mesh));
    Ok(())
}

/// Waits for the data path, and takes up an order to disarm that stood when the process ended.
async fn enforce(life: Arc<Life>, opened: oneshot::Receiver<anyhow::Result<()>>) -> anyhow::Result<()> {
    opened.await.context("the data path's thread ended while it was opening")??;
    info!(ms = life.started.elapsed().as_millis(), "data path open");
    life.resume_disarm().await.context("cannot take up the order to disarm")
}

type Starting = tokio::task::JoinHandle<anyhow::Result<()>>;

async fn until_end(life: &Arc<Life>, begun: Starting, enforcing: Starting) -> anyhow::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut stages = life.stages();
    let mut starting: FuturesUnordered<Starting> = [begun, enforcing].into_iter().collect();
    let mut look = tokio::time::interval(FAULT_CHECK_EVERY);
    loop {
        tokio::select! {
            _ = look.tick() => if let Some(fault) = life.fault() { anyhow::bail!("{fault}") },
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            Some(outcome) = starting.next() => outcome.context("the start ended in a panic")??,
            _ = stages.changed() => match &*stages.borrow_and_update() {
                Stage::Running(mesh) => service_manager::status(&format!("{} of cluster {}", mesh.me(), mesh.name.cluster)),
                Stage::Left(_) => return Ok(()),
                _ => {}
            }
        }
    }
}

async fn end(life: &Arc<Life>, stop: CancellationToken, api: Api) -> anyhow::Result<()> {
    let stage = life.stage();
    stop.cancel();
    api.close();
    api.wait().await;
    if let Stage::Running(mesh) | Stage::Left(mesh) = &stage {
        mesh.shutdown().await;
    }
    life.site.endpoint.shutdown().await;
    match &stage {
        Stage::Left(mesh) => retire(&life.site, mesh)?,
        _ => info!("stopped; the data path stays attached"),
    }
    Ok(())
}

/// Takes the data path off the interfaces of a node that has left, and sets its membership aside: it may join anew.
fn retire(site: &Site, mesh: &Mesh) -> anyhow::Result<()> {
    if site.config.dataplane.mode == DataplaneMode::Kernel {
        Kernel::open(kernel_config(&site.config, &site.interfaces))?.detach_all()?;
    }
    let suffix = format!("left-{}-{}", mesh.name.cluster, mesh.me());
    site.disk.archive(&OF_THE_CLUSTER, &suffix)?;
    info!(suffix, "left; the data path is detached, what belonged to the cluster is set aside");
    Ok(())
}

#[cfg(test)]
mod tests;
