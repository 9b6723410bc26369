//! Tests against the kernel: real programs, real maps, real packets. They need root, and say so when they are skipped.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests fail and report as tests do")]

mod agree;
mod bed;
mod channels;
mod child;
mod corpus;
mod detached;
mod exchange;
mod fragments;
mod guard;
mod hammer;
mod killed;
mod lab;
mod limits;
mod limits_agree;
mod links;
mod outlive;
#[path = "../shared/mod.rs"]
mod shared;
mod state;
mod streams;
mod traffic;
mod unwanted;
mod variants;
