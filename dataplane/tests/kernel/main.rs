//! Tests against the kernel: real programs, real maps, real packets. They need root, and say so when they are skipped.

mod agree;
mod guard;
mod lab;
mod outlive;
mod state;
mod traffic;
