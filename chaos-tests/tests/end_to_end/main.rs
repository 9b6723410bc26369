//! The end-to-end tests: real programs in network namespaces. Without root they say why they do nothing.

mod bad_input;
mod datagrams;
mod fail_over;
mod failures;
mod flows;
mod guard;
mod hooks;
mod laboratory;
mod observe;
mod scene;
mod tightened;
