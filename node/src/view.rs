//! The wire forms of the HTTP API: what a handler reads and writes as JSON, and what the command line prints.
//!
//! These types know serde, OpenAPI and the command line, and nothing of what is behind the API. Times on the wall clock are milliseconds since the Unix epoch
//! and end in `_at_ms` or `until_ms`; durations end in `_ms`.

mod cluster;
mod error;
mod flows;
mod metrics;
mod policy;
mod request_id;
mod service;
mod status;

pub use cluster::{
    ClusterAnswer, Done, InitRequest, JoinRequest, LeaveRequest, Member, MemberAddress, MemberState, Members,
    TokenAnswer, TokenRequest,
};
pub use error::{ErrorBody, ErrorKind, Finding};
pub use flows::{FlowDirection, FlowEvent, FlowVerdict, Flows, FlowsQuery};
pub use metrics::{FlowCounters, MetricsSnapshot, ReasonCounter, RuleCounter};
pub use policy::{
    Applied, ApplyAnswer, ApplyRequest, Change, ChangeKind, DiffAnswer, DiffRequest, ExplainQuery, Explanation,
    History, KernelAnswer, NodeState, NodeStateKind, PolicyDocuments, PolicyQuery, Revision, RollbackRequest, Segment,
    Segments, Source, Verdict, Wait,
};
pub use request_id::{RequestId, RequestIdError};
pub use service::{FlowService, FlowServiceError};
pub use status::{
    Alarm, ArmRequest, Attested, Channel, ChannelOrigin, Channels, Consistency, ConsistencyQuery, Disarm, DisarmAnswer,
    DisarmRequest, Enforcement, EnforcementMode, Hook, MemberCounts, Phase, PolicyState, Raft, RaftRole, Rejected,
    Status,
};
