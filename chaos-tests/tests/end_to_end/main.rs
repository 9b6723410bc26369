//! The end-to-end tests: real programs in network namespaces. Without root they say why they do nothing.

mod bad_input;
mod fail_over;
mod failures;
mod guard;
mod laboratory;
mod scene;
