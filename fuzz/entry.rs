//! What libFuzzer calls. It brings its own `main`; a panic ends the process, and the input is kept.

use std::{env, fs, path::Path};

/// Where seeds are to be written, if at all; `cargo xtask fuzz` sets it.
const SEEDS: &str = "HEDGEROW_FUZZ_SEEDS";

/// Called once, before any input and before the corpus is read.
#[unsafe(no_mangle)]
extern "C" fn LLVMFuzzerInitialize(_arguments: *const i32, _values: *const *const *const u8) -> i32 {
    if let Some(folder) = env::var_os(SEEDS) {
        for (name, seed) in crate::seeds() {
            let file = Path::new(&folder).join(name);
            fs::write(&file, seed).unwrap_or_else(|error| panic!("{} cannot be written: {error}", file.display()));
        }
    }
    0
}

/// Called for every input.
#[unsafe(no_mangle)]
extern "C" fn LLVMFuzzerTestOneInput(data: *const u8, size: usize) -> i32 {
    // SAFETY: libFuzzer hands over `size` bytes that nobody changes meanwhile; of none, the pointer may be anything.
    let input = if size == 0 { &[] } else { unsafe { std::slice::from_raw_parts(data, size) } };
    crate::one(input);
    0
}
