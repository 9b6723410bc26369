//! Flow events: what the data path tells of single packets.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::FlowService;

/// Which events, and how long to wait for them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct FlowsQuery {
    /// At most so many; 100 unless given, at most 1,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Only events after this number, oldest first: `next_since` of the answer before. Without it the latest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// How long to wait for one if there is none, in milliseconds. Without it the answer comes at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
}

/// Which way a packet went through an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FlowDirection {
    /// It arrived.
    Ingress,
    /// It was to leave.
    Egress,
}

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FlowVerdict {
    /// It went on.
    Pass,
    /// It went no further.
    Drop,
}

/// One packet that was refused or observed, or that a rule with `log: true` let pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FlowEvent {
    /// Its number; 1 is the first since the agent started.
    pub sequence: u64,
    /// When.
    pub at_ms: u64,
    /// The interface by name.
    pub interface: String,
    /// Which way through it.
    pub direction: FlowDirection,
    /// What became of it.
    pub verdict: FlowVerdict,
    /// Why, by name.
    pub reason: String,
    /// The source address.
    #[schema(value_type = String)]
    pub src: IpAddr,
    /// The source port; 0 for protocols without ports.
    pub src_port: u16,
    /// The destination address.
    #[schema(value_type = String)]
    pub dst: IpAddr,
    /// Protocol and destination port, such as `tcp/443`; type and code of ICMP.
    #[schema(value_type = String)]
    pub service: FlowService,
    /// The flags of TCP, such as `SYN ACK`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tcp_flags: String,
    /// Bytes of the whole frame.
    pub bytes: u32,
    /// The rule of the destination's ingress that decided, as `policy/side/rule`; absent if policy was not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress_rule: Option<String>,
    /// The rule of the source's egress, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress_rule: Option<String>,
    /// The generation of this node's data path that judged it.
    pub generation: u32,
    /// The revision of that generation; absent while the agent does not know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// Whether a rule asked for it.
    pub logged: bool,
}

/// Some of the latest flow events of this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Flows {
    /// Oldest first.
    pub events: Vec<FlowEvent>,
    /// Give this as `since` for what comes after them.
    pub next_since: u64,
    /// Events after `since` that have fallen out of the node's memory before they were asked for.
    pub missed: u64,
}
