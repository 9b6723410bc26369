//! The finished program, run as it is run in the field: real agents on the loopback, spoken to by the command line and by
//! the API. No root, no namespaces: verdicts are made in the process, so these tests are about everything but packets.

#[cfg(test)]
mod damage;
#[cfg(test)]
mod disarm;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod forming;
#[cfg(test)]
mod joining;
#[cfg(test)]
mod lab;
#[cfg(test)]
mod leaving;
#[cfg(test)]
mod life;
#[cfg(test)]
mod mistakes;
#[cfg(test)]
mod policy;
#[cfg(test)]
mod quorum;
#[cfg(test)]
mod surfaces;
