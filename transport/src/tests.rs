//! Endpoints on the loopback, several in one process.
