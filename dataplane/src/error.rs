//! What can go wrong, one enum for each operation. Each says whether what is enforced has changed.

use std::{io, path::PathBuf};

use identity::Digest;

use crate::enforcer::Hook;

/// The data path could not be opened. What was enforced before is still enforced.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The pins cannot be kept.
    #[error(
        "the directory for pins {path} cannot be used: {source}; mount a BPF file system there (mount -t bpf bpf {path}); nothing was changed"
    )]
    Pins {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Memory or permission is missing for a map.
    #[error(
        "the map {map} cannot be made or opened: {source}; it takes CAP_BPF and memory for its size; what was enforced is unchanged"
    )]
    Map {
        /// Its name.
        map: String,
        /// What the system said.
        source: io::Error,
    },
    /// The tables are larger than this kernel allows.
    #[error(
        "an element of the map {map} takes {bytes} bytes and this kernel allows {max} (all before 6.0 do); set \
         `dataplane.tables.image = \"small\"` in the configuration, or take a newer kernel; nothing was changed"
    )]
    TooLarge {
        /// The map.
        map: &'static str,
        /// Bytes needed.
        bytes: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// The kernel refuses the programs.
    #[error(
        "the kernel refuses the program {program}: {message}; this is a fault of Hedgerow or of the kernel, please report both versions; what was enforced is unchanged"
    )]
    Program {
        /// Its name.
        program: String,
        /// What the verifier or the loader said.
        message: String,
    },
    /// The kernel does not say which interface is a VLAN of which other one.
    #[error(
        "the kernel does not say which interfaces are VLANs of which (rtnetlink): {source}; without that, sync flows in a VLAN would be cut on its \
         parent; allow AF_NETLINK sockets to the service, or try again; what was enforced is unchanged"
    )]
    Links {
        /// What the system said.
        source: io::Error,
    },
    /// A program cannot be attached.
    #[error(transparent)]
    Attach(#[from] AttachError),
}

/// A program could not be attached to an interface. What was attached there before still is.
#[derive(Debug, thiserror::Error)]
#[error("the program {program} cannot be attached to {interface} ({how}): {message}")]
pub struct AttachError {
    /// The program.
    pub program: String,
    /// The interface.
    pub interface: String,
    /// XDP native, XDP generic, TCX, clsact.
    pub how: String,
    /// What the system said.
    pub message: String,
}

/// Why an interface without Ethernet headers is refused.
#[derive(Debug, thiserror::Error)]
#[error(
    "packets of this interface have no Ethernet header (its link type is {kind}; Ethernet is 1): it is a tunnel or the like, and everything would pass \
     unjudged as not-ip; take it out of the configuration, and attach to the interface that carries the tunnel"
)]
pub struct NoEthernet {
    /// `ARPHRD_*`.
    pub kind: u16,
}

/// The guard could not be replaced. At every point the guard in force includes the old one.
#[derive(Debug, thiserror::Error)]
pub enum GuardSetError {
    /// A map has no room.
    #[error("the guard needs {needed} {what} and the kernel map holds {available}; the guard in force is unchanged")]
    Full {
        /// Of what.
        what: &'static str,
        /// Entries needed.
        needed: usize,
        /// Entries there are.
        available: usize,
    },
    /// Joiners at two ports.
    #[error(
        "the guard opens the door for joiners at port {one} and at port {other}, and there is one cluster port; the guard in force is unchanged"
    )]
    JoinPorts {
        /// A port.
        one: u16,
        /// Another one.
        other: u16,
    },
    /// The kernel refused a change.
    #[error(
        "an entry of the guard cannot be {what}: {message}; what was already added stays, and nothing that was asked for was removed"
    )]
    Write {
        /// Added or removed.
        what: &'static str,
        /// What the system said.
        message: String,
    },
}

/// An image could not be made ready. The live one is untouched.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The image is larger than the tables (G18).
    #[error(
        "the policy needs {needed} {table} and the tables hold {available}; raise the table sizes (`dataplane.tables.image = \"large\"` in the \
         configuration) or simplify the policy; the live revision is unchanged"
    )]
    TooLarge {
        /// The table that is too small.
        table: &'static str,
        /// Elements needed.
        needed: usize,
        /// Elements there are.
        available: usize,
    },
    /// What was read back is not what was written (G5).
    #[error("the tables read back as {found} after {expected} was written; the live revision is unchanged")]
    Digest {
        /// Of the compiled image.
        expected: Digest,
        /// Of what the maps hold.
        found: Digest,
    },
    /// The guard answered a frame wrongly (G0).
    #[error(
        "the loaded programs answer wrongly at {hook}: {why}; expected {expected}, the answer was {answer}; the live revision is unchanged"
    )]
    Obligation {
        /// Where.
        hook: Hook,
        /// What the frame is.
        why: String,
        /// What the guard must say.
        expected: &'static str,
        /// What the program said.
        answer: String,
    },
    /// The test run itself failed.
    #[error("the proof could not be run: {0}; the live revision is unchanged")]
    Judge(#[from] JudgeError),
    /// No grace period could be had.
    #[error("the kernel grants no grace period for the idle tables: {0}; the live revision is unchanged")]
    Grace(io::Error),
}

/// A prepared image could not be activated. The live one is untouched, unless a variant says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum ActivateError {
    /// It was prepared for another generation.
    #[error(
        "generation {prepared} was prepared and {expected} is next: another image was prepared or activated meanwhile; prepare again; nothing was changed"
    )]
    Stale {
        /// As prepared.
        prepared: u32,
        /// As it would have to be.
        expected: u32,
    },
    /// The new programs could not replace the old ones.
    #[error(
        "the new tables are ready but {0}; where the programs could not be exchanged the old ones go on enforcing the old revision"
    )]
    Exchange(#[source] Box<OpenError>),
}

/// What is enforced could not be read back. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum AttestError {
    /// The kernel does not say what is loaded.
    #[error("the loaded programs cannot be asked for: {0}")]
    Programs(String),
}

/// A frame could not be judged. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// Too short or too long to be a frame.
    #[error("a frame of {bytes} bytes cannot be judged: it takes {min} to {max}")]
    Length {
        /// Its length.
        bytes: usize,
        /// The least.
        min: usize,
        /// The most.
        max: usize,
    },
    /// The kernel refused the test run.
    #[error("the kernel refuses the test run: {0}")]
    TestRun(String),
    /// A number that is no reason.
    #[error("the program answered with {0}, which is no reason; programs and maps are of different versions")]
    UnknownReason(u32),
}

/// The attachments could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// The pins are gone, and cannot be made again.
    #[error(
        "the programs are attached but no longer pinned below {path}, and cannot be pinned again: {message}; packets are judged until this \
         process ends; mount a BPF file system there (mount -t bpf bpf {path})"
    )]
    Pins {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        message: String,
    },
    /// The VLANs cannot be looked at, or told to the programs.
    #[error(
        "which VLANs are on the interfaces could not be looked at or told to the programs: {message}; packets go on as if there were those of \
         the last look; it is tried again; if it stays, list fewer VLANs in the configuration"
    )]
    Vlans {
        /// What the system said.
        message: String,
    },
}
