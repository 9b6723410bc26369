//! Whole clusters in one process, over a network that can be cut.

#[cfg(test)]
mod chaos;
#[cfg(test)]
mod cluster;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod joining;
#[cfg(test)]
mod reads;
#[cfg(test)]
mod restarts;
#[cfg(test)]
mod wire;
#[cfg(test)]
mod writes;
