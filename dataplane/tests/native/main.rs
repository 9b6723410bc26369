//! The programs compiled for this machine, under the sanitizers: they and the userspace enforcer say the same. No root is needed.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests fail and report as tests do")]

mod agree;
mod corpus;
mod driver;
mod fragments;
mod sequences;
#[path = "../shared/mod.rs"]
mod shared;
mod told;
mod vlans;
