//! The peer: configuration, wiring, reconcile loop, HTTP API, CLI and metrics.
//!
//! The surface: [`config`] is what an operator writes, [`view`] what the API says, [`peer`] what the API asks of the
//! node behind it, [`http`] the API, [`client`] and [`cli`] its other end.

pub mod agent;
pub mod cli;
pub mod client;
pub mod config;
mod fit;
pub mod http;
pub mod logging;
pub mod metrics;
mod nearest;
pub mod peer;
pub mod service_manager;
pub mod view;
