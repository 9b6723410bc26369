//! What the end-to-end tests share: one site at a time, or the reason for none.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chaos_tests::require;
use chaos_tests::site::{Addresses, Applied, Churn, Forming, Site, SiteConfig};
use serde_json::Value;

/// How long the cluster may take to agree after something changed.
pub(crate) const AGREED_SECONDS_MAX: Duration = Duration::from_secs(30);
/// The agent takes flow events every quarter of a second.
pub(crate) const TOLD_SECONDS_MAX: Duration = Duration::from_secs(10);
/// The addresses of the first load balancer, and of the client that the policies of the demonstration keep out.
pub(crate) const BALANCER: Addresses = Addresses::of(1);
pub(crate) const STRANGER: Addresses = Addresses::of(202);
/// The first load balancer's own addresses, as a segment, before another document.
pub(crate) const SELF: &str = r#"
apiVersion: hedgerow/v1
kind: Segment
metadata: {name: self}
spec: {role: vip, addresses: [203.0.113.1, "2001:db8:77::1", 10.88.0.1, "fd88::1"]}
---"#;
/// One second.
pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// A site has a dozen daemons: two at once would fight for the processors and not for the cluster.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A site and the right to have it.
pub(crate) struct Scene {
    pub(crate) site: Site,
    pub(crate) churn: Churn,
    _turn: MutexGuard<'static, ()>,
}

/// Stands a site up with this many load balancers and no agent yet; `None` when this machine cannot, which is printed.
pub(crate) fn scene(test: &str, balancers: u8) -> Option<Scene> {
    let program = match require::missing().map_or_else(require::peer_program, Err) {
        Ok(program) => program,
        Err(reason) => {
            require::say_skipped(test, &reason);
            return None;
        }
    };
    let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let lab_program: PathBuf = Path::new(env!("CARGO_BIN_EXE_hedgerow-lab")).into();
    let site = Site::new(&SiteConfig { balancers, program, lab_program }).expect("a site");
    let churn = Churn::new(&site.lab, "guests").expect("a folder for documents");
    Some(Scene { site, churn, _turn: turn })
}

impl Scene {
    /// Forms a cluster of the first `count` and applies the policies of the demonstration; returns their revision.
    pub(crate) fn formed(&mut self, count: u8) -> u64 {
        self.site.form(count).expect("a cluster");
        let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/demo/policies");
        let applied = self.site.balancers[0].cli().apply(&policies, &[]).expect("the policies");
        assert_eq!(applied.outcome, "active");
        applied.revision
    }

    /// Starts an agent, which founds a cluster of one.
    pub(crate) fn found(&mut self, index: usize) {
        self.site.start_agent(index, &Forming::ByHand).expect("an agent");
        self.site.balancers[index].cli().done(&["cluster", "init"]).expect("a cluster of one");
        self.site.balancers[index].wait_ready(AGREED_SECONDS_MAX).expect("a node that is ready");
    }

    /// Applies documents at a load balancer, and waits until every live member enforces them.
    pub(crate) fn apply_text(&self, index: usize, documents: &str) -> Applied {
        let file = self.site.lab.make_dir("documents").expect("a folder").join("documents.yaml");
        fs::write(&file, documents).expect("a file with documents");
        let applied = self.site.balancers[index].cli().apply(&file, &[]).expect("documents that are applied");
        assert_eq!(applied.outcome, "active");
        applied
    }

    /// How many segments a load balancer has picked up in mid-flow.
    pub(crate) fn picked_up(&self, index: usize) -> u64 {
        let packets = self.site.balancers[index].api().metric("hedgerow_packets_total", &["reason=\"picked-up\""]);
        packets.expect("metrics")
    }

    /// A flow event that a load balancer has told with all these values.
    pub(crate) fn event(&self, index: usize, wanted: &Value) -> Result<Value, String> {
        let flows = self.site.balancers[index].api().json("/v1/flows?limit=1000").map_err(|error| error.to_string())?;
        let events = flows["events"].as_array().expect("events");
        let wanted_fields = wanted.as_object().expect("an object");
        let is_it = |event: &&Value| wanted_fields.iter().all(|(name, value)| event[name] == *value);
        events.iter().find(is_it).cloned().ok_or_else(|| {
            let last = events.last().map_or_else(|| "no event".to_owned(), Value::to_string);
            format!("none of {} events is {wanted}; the last: {last}", events.len())
        })
    }

    /// The leader, and the others that run.
    pub(crate) fn leader_and_others(&self) -> (usize, Vec<usize>) {
        let (leader, _) = self.site.wait_leader(AGREED_SECONDS_MAX).expect("a leader");
        let runs = |index: &usize| *index != leader && self.site.balancers[*index].agent.is_some();
        (leader, (0..self.site.balancers.len()).filter(runs).collect())
    }
}
