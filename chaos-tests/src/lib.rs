//! A laboratory of network namespaces with real daemons, faults and invariants.
//!
//! * [`lab`]: namespaces, networks and daemons that are torn down whatever happens;
//! * [`site`]: the load balancers, web servers and clients that the demonstration and the tests stand on;
//! * [`probe`]: what is asked from outside (HTTP, TCP, VRRP events, HAProxy peers);
//! * [`faults`]: what is done to it (isolate, partition, pause, kill);
//! * [`invariants`]: what must hold meanwhile, one per file.

pub mod error;
pub mod faults;
pub mod invariants;
pub mod lab;
pub mod probe;
pub mod require;
pub mod run;
pub mod site;
pub mod wait;

pub use error::LabError;
