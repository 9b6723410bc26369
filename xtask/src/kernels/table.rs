//! The kernels, in one table. The manual has the same one (docs/manual/kernels.md), and `cargo xtask tidy` compares them.

/// A kernel that a distribution ships, and what Hedgerow finds in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kernel {
    /// How the command line and the cache call it.
    pub(crate) name: &'static str,
    /// The package whose dependency is the newest kernel of the series.
    pub(crate) package: &'static str,
    /// What its releases begin with.
    pub(crate) release: &'static str,
    /// What newer kernels have and Hedgerow would use.
    pub(crate) lacks: &'static str,
    /// How Hedgerow attaches there.
    pub(crate) expected: &'static str,
}

/// All of them.
pub(crate) const KERNELS: &[Kernel] = &[Kernel {
    name: "debian-12",
    package: "linux-image-amd64",
    release: "6.1.",
    lacks: "TCX (Linux 6.6)",
    expected: "XDP in the driver, clsact",
}];

impl Kernel {
    /// The cells of its row in the manual.
    pub(crate) fn cells(&self) -> [&'static str; 5] {
        [self.name, self.package, self.release, self.lacks, self.expected]
    }
}
