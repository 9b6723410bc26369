//! Where the other members are, kept on disk: a node that comes back must find them before its log says who they are.

use std::net::SocketAddr;

use identity::NodeId;
use tracing::warn;

use super::disk::{Disk, DiskError};

const FILE: &str = "contacts";

/// The other members' endpoints, as last known.
#[derive(Debug)]
pub(crate) struct Contacts {
    disk: Disk,
    known: Vec<(NodeId, SocketAddr)>,
}

impl Contacts {
    /// What a former start kept.
    ///
    /// # Errors
    /// The file cannot be read, or is damaged.
    pub(crate) fn load(disk: &Disk) -> Result<Self, DiskError> {
        let known = match disk.read(FILE)? {
            Some(bytes) => transport::codec::decode(&bytes).map_err(|error| disk.damaged(FILE, &error))?,
            None => Vec::new(),
        };
        Ok(Self { disk: disk.clone(), known })
    }

    /// Every contact.
    #[must_use]
    pub(crate) fn all(&self) -> Vec<(NodeId, SocketAddr)> {
        self.known.clone()
    }

    /// Keeps these instead of what was known. That they are not durable is no reason to stop: others may find this node.
    pub(crate) fn keep(&mut self, contacts: Vec<(NodeId, SocketAddr)>) {
        if contacts == self.known {
            return;
        }
        let kept = transport::codec::encode(&contacts)
            .map_err(|error| self.disk.damaged(FILE, &error))
            .and_then(|bytes| self.disk.write(FILE, &bytes));
        match kept {
            Ok(()) => self.known = contacts,
            Err(error) => warn!(%error, "the addresses of the other members are not kept"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contacts_are_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::open(folder.path()).unwrap();
        let contacts = vec![(NodeId::new(2).unwrap(), "10.0.0.2:7400".parse().unwrap())];
        Contacts::load(&disk).unwrap().keep(contacts.clone());
        assert_eq!(Contacts::load(&disk).unwrap().all(), contacts);
    }
}
