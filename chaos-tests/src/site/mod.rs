//! The site that the demonstration and the end-to-end tests stand on: load balancers, web servers and clients on three networks.
//!
//! ```text
//!   allowed client  denied client
//!        |               |
//!   =====+===============+==== vip      203.0.113.0/24  2001:db8:77::/64   (one virtual address per family)
//!      |      |      |     |
//!     lb1    lb2    lb3   lb4 ==== cluster  10.77.0.0/24  fd77::/64        (Hedgerow, HAProxy peers)
//!      |      |      |     |
//!   =====+===============+==== backend  10.88.0.0/24    fd88::/64
//!        |               |
//!       web1            web2
//! ```

mod addresses;
mod api;
mod balancer;
mod churn;
mod gateway;
mod hosts;
mod peer;
mod plan;
mod status;
mod template;
mod unprivileged;

pub use addresses::{Addresses, HTTP_PORT, VIP4, VIP6, WEB_PORT, vip4, vip6};
pub use api::Api;
pub use balancer::Balancer;
pub use churn::Churn;
pub use peer::{Answer, Cli};
pub use plan::{Forming, Networks, Site, SiteConfig};
pub use status::{Applied, Attested, Explained, Status};
