//! Why a flow passes or not: by the documents, by the compiled image, and by the kernel's own answer.

use std::{net::IpAddr, sync::Arc};

use dataplane::{Hook, Reason};
use policy::{Direction, Flow, LocalInterface};

use crate::{
    agent::{
        compiled::{self, Compiled},
        mesh::Mesh,
        site::Site,
    },
    peer::ApiError,
    view,
};

/// The source port of the packet that is shown to the kernel: any of the ephemeral ones does.
const EPHEMERAL_PORT: u16 = 40_000;

pub(super) async fn explain(
    site: &Site,
    mesh: &Mesh,
    query: &view::ExplainQuery,
) -> Result<view::Explanation, ApiError> {
    if query.src.is_ipv4() != query.dst.is_ipv4() {
        return Err(ApiError::invalid(format!(
            "{} and {} are of two families; a packet has one",
            query.src, query.dst
        )));
    }
    let live = mesh.enforcement.borrow().compiled.clone();
    let compiled = revision(mesh, query.revision, live.as_ref()).await?;
    let flow = Flow {
        src: query.src,
        dst: query.dst,
        protocol: query.service.protocol,
        src_port: EPHEMERAL_PORT,
        dst_port: query.service.port,
    };
    let explanation = policy::explain(&compiled.model, &compiled.members, &compiled.image, &flow);
    let is_live = live.is_some_and(|live| live.target == compiled.target);
    let verdict = verdict(explanation.decision.verdict);
    let kernel = if is_live { ask_kernel(site, &flow, verdict).await? } else { Vec::new() };
    Ok(view::Explanation {
        revision: compiled.target.revision,
        verdict,
        text: explanation.to_string(),
        steps: serde_json::to_value(&explanation).map_err(ApiError::internal)?,
        kernel,
    })
}

fn verdict(verdict: policy::Verdict) -> view::Verdict {
    match verdict {
        policy::Verdict::Allow => view::Verdict::Allow,
        policy::Verdict::Deny => view::Verdict::Deny,
    }
}

/// The revision asked for; the live one, or the newest where nothing is live, if none was.
async fn revision(mesh: &Mesh, asked: Option<u64>, live: Option<&Arc<Compiled>>) -> Result<Arc<Compiled>, ApiError> {
    if let Some(live) = live.filter(|live| asked.is_none_or(|asked| asked == live.target.revision)) {
        return Ok(live.clone());
    }
    let (state, _) = mesh.raft.local();
    let number = asked.unwrap_or_else(|| state.revision());
    let compiling = tokio::task::spawn_blocking(move || compiled::compile(&state, number)).await;
    let compiled = compiling.map_err(ApiError::internal)?;
    compiled.map(Arc::new).map_err(|error| ApiError::NotFound { message: error.to_string(), help: None })
}

/// Shows the loaded programs such a packet, at each hook of this node that it would meet.
async fn ask_kernel(site: &Site, flow: &Flow, expected: view::Verdict) -> Result<Vec<view::KernelAnswer>, ApiError> {
    let frame = policy::frame(flow);
    let mut answers = Vec::new();
    for (interface, direction) in hooks_of(&site.interfaces, flow) {
        let hook = Hook { ifindex: interface.ifindex, direction };
        let shown = frame.clone();
        let judged =
            site.enforcer.run(move |enforcer| enforcer.judge(hook, &shown)).await.map_err(ApiError::internal)?;
        let judgement = judged.map_err(ApiError::internal)?;
        let verdict = if judgement.pass { view::Verdict::Allow } else { view::Verdict::Deny };
        answers.push(view::KernelAnswer {
            hook: format!("{} {direction}", interface.name),
            verdict,
            reason: judgement.reason.name().to_owned(),
            // Above policy stand the guard and an order to disarm: where they let a packet pass, policy was not asked.
            agrees: verdict == expected || judgement.reason.is_guard() || judgement.reason == Reason::Disarmed,
        });
    }
    Ok(answers)
}

/// Arriving where the source lives, and leaving where the destination lives, unless that is this node itself.
fn hooks_of<'a>(interfaces: &'a [LocalInterface], flow: &Flow) -> Vec<(&'a LocalInterface, Direction)> {
    let own = |addr: IpAddr| interfaces.iter().any(|one| one.addresses.iter().any(|net| net.addr() == addr));
    let towards = |addr: IpAddr| {
        let connected = interfaces.iter().find(|one| one.addresses.iter().any(|net| net.contains(&addr)));
        // What is not connected is behind the router, and that is on the side of the clients.
        connected.or_else(|| interfaces.iter().find(|one| one.role == identity::Role::Vip))
    };
    let mut hooks = Vec::new();
    if !own(flow.src) {
        hooks.extend(towards(flow.src).map(|interface| (interface, Direction::Ingress)));
    }
    if !own(flow.dst) && (own(flow.src) || !same(towards(flow.dst), towards(flow.src))) {
        hooks.extend(towards(flow.dst).map(|interface| (interface, Direction::Egress)));
    }
    hooks
}

fn same(one: Option<&LocalInterface>, other: Option<&LocalInterface>) -> bool {
    one.map(|interface| interface.ifindex) == other.map(|interface| interface.ifindex)
}
