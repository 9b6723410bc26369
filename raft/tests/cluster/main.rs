//! Whole clusters in one process, over a network that can be cut.

mod cluster;
mod faults;
mod joining;
mod reads;
mod restarts;
mod wire;
mod writes;
