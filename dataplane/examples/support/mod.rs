//! What the measurements share: a world of their own, policies with many prefixes.

use std::{collections::BTreeMap, fmt::Write, net::Ipv4Addr, path::PathBuf};

use policy::{Flow, Image, SourceText, compile, parse, sample::SplitMix64, validate};
use rustix::{
    mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount},
    thread::{UnshareFlags, unshare_unsafe},
};

/// Segments among which prefixes are spread.
const SEGMENTS: usize = 64;
/// The port that rules speak of.
pub(crate) const PORT: u16 = 443;

/// New network and mount namespaces for this thread, and a BPF file system in them.
pub(crate) struct World {
    pub(crate) bpffs: PathBuf,
    _directory: tempfile::TempDir,
}

impl World {
    pub(crate) fn new() -> World {
        assert!(rustix::process::geteuid().is_root(), "measuring in the kernel needs root");
        // SAFETY: namespaces of this thread alone; descriptors are not unshared.
        unsafe { unshare_unsafe(UnshareFlags::NEWNET | UnshareFlags::NEWNS) }.expect("namespaces");
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).expect("private mounts");
        let directory = tempfile::tempdir().expect("a directory");
        mount("bpf", directory.path(), "bpf", MountFlags::empty(), None).expect("a BPF file system");
        World { bpffs: directory.path().to_owned(), _directory: directory }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        unmount(&self.bpffs, UnmountFlags::DETACH).expect("the BPF file system can be unmounted");
    }
}

/// The identity of each prefix.
pub(crate) type Identities = BTreeMap<(Ipv4Addr, u8), u32>;
/// Identities that may talk, and the port.
pub(crate) type Allowed = BTreeMap<(u32, u32, u16), u32>;

/// Random prefixes, each in a segment.
pub(crate) struct Prefixes {
    pub(crate) list: Vec<(Ipv4Addr, u8, usize)>,
}

impl Prefixes {
    /// `count` prefixes, a tenth of them /16 and half of the rest each /24 and /32, each length in a part of the address space of
    /// its own: what overlaps would be for the compiler to tell apart, which is another measurement.
    pub(crate) fn random(count: usize, random: &mut SplitMix64) -> Prefixes {
        let mut found = BTreeMap::new();
        while found.len() < count {
            let (bits, first, last) = match random.below(20) {
                0 | 1 => (16u8, 1u32, 63u32),
                2..=10 => (24, 64, 126),
                _ => (32, 128, 223),
            };
            let top = first + u32::try_from(random.below((last - first + 1) as usize)).expect("a byte");
            let low = u32::from(random.byte()) << 16 | u32::from(random.word());
            let address = Ipv4Addr::from_bits((top << 24 | low) & (u32::MAX << (32 - bits)));
            let segment = found.len() % SEGMENTS;
            found.entry((address, bits)).or_insert(segment);
        }
        Prefixes { list: found.into_iter().map(|((address, bits), segment)| (address, bits, segment)).collect() }
    }

    fn segments(&self) -> usize {
        self.list.len().min(SEGMENTS)
    }

    /// Each segment lets in three others at the port; everything else is denied.
    pub(crate) fn image(&self) -> Image {
        let count = self.segments();
        let mut text = String::from(
            "apiVersion: hedgerow/v1\nkind: Settings\nmetadata: {name: cluster}\nspec: {defaultAction: deny}\n",
        );
        for segment in 0..count {
            let addresses: Vec<String> = self
                .list
                .iter()
                .filter(|p| p.2 == segment)
                .map(|(address, bits, _)| format!("{address}/{bits}"))
                .collect();
            let peers: Vec<String> = peers_of(segment, count).map(|peer| format!("{{segment: s{peer}}}")).collect();
            let peers = peers.join(", ");
            write!(
                text,
                "---\napiVersion: hedgerow/v1\nkind: Segment\nmetadata: {{name: s{segment}}}\nspec: {{role: backend, addresses: [{}]}}\n\
                 ---\napiVersion: hedgerow/v1\nkind: Policy\nmetadata: {{name: p{segment}}}\nspec:\n  tier: application\n  \
                 appliesTo: {{segment: s{segment}}}\n  ingress:\n    - {{name: in, action: allow, from: [{peers}], services: [{{protocol: tcp, port: {PORT}}}]}}\n  \
                 egress:\n    - {{name: out, action: allow, to: [{{segment: any}}]}}\n",
                addresses.join(", ")
            )
            .expect("a string can be written to");
        }
        compiled(&text)
    }

    /// The same for the reference: prefix to identity, and the identities that may talk.
    pub(crate) fn reference(&self) -> (Identities, Allowed) {
        let identity = |segment: usize| u32::try_from(segment).expect("few segments") + 1;
        let prefixes =
            self.list.iter().map(|(address, bits, segment)| ((*address, *bits), identity(*segment))).collect();
        let count = self.segments();
        let allowed = (0..count).flat_map(|segment| {
            peers_of(segment, count).map(move |peer| ((identity(peer), identity(segment), PORT), 1))
        });
        (prefixes, allowed.collect())
    }

    /// A flow between addresses of two prefixes.
    pub(crate) fn flow(&self, random: &mut SplitMix64) -> Flow {
        let mut address = || {
            let (network, bits, _) = *random.pick(&self.list);
            let host = u32::from(random.word()) << 16 | u32::from(random.word());
            let mask = u32::MAX.checked_shl(u32::from(32 - bits)).unwrap_or(0);
            Ipv4Addr::from_bits(network.to_bits() | (host & !mask))
        };
        let (src, dst) = (address().into(), address().into());
        let dst_port = if random.once_in(2) { PORT } else { random.word() };
        Flow { src, dst, protocol: 6, src_port: 40_000, dst_port }
    }

    /// A flow that is allowed, if the image allows one among many.
    pub(crate) fn allowed_flow(&self, image: &Image, random: &mut SplitMix64) -> Flow {
        let mut tries = (0..1_000_000).map(|_| Flow { dst_port: PORT, ..self.flow(random) });
        tries.find(|flow| image.classify(flow).verdict == policy::Verdict::Allow).expect("some flow is allowed")
    }
}

/// The image of documents.
pub(crate) fn compiled(text: &str) -> Image {
    let source = SourceText { name: "bench.yaml".to_owned(), text: text.to_owned() };
    let documents = parse(&[source]).unwrap_or_else(|error| panic!("{error}"));
    let model = validate(&documents).unwrap_or_else(|error| panic!("{error}"));
    compile(&model, &[], &policy::CompileLimits::default()).unwrap_or_else(|error| panic!("{error}"))
}

/// The segments that a segment lets in.
fn peers_of(segment: usize, count: usize) -> impl Iterator<Item = usize> {
    [1, 7, 20].into_iter().map(move |step| (segment + step) % count)
}
