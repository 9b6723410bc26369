//! What the tests against the kernel, those against the native programs and the fuzz targets have in common.

pub(crate) mod corpus;
pub(crate) mod frames;
pub(crate) mod guards;
pub(crate) mod members;
pub(crate) mod policies;
