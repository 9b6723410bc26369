//! What is done to a cluster on purpose. Each fault is a value that undoes itself when it is dropped.

mod pause;

pub use crate::lab::Cut;
pub use pause::Paused;
