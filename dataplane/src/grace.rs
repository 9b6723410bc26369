//! Waiting until no program runs any more that was running when the wait began: an RCU grace period. A few milliseconds.

use std::io;

use crate::sys;

/// Waits.
///
/// `membarrier(MEMBARRIER_CMD_GLOBAL)` is `synchronize_rcu` (kernel/sched/membarrier.c), and takes no capability. Kernels that were told to
/// leave processors alone (`nohz_full`) refuse it, and one can be built without it.
pub(crate) fn wait_for_grace() -> io::Result<()> {
    match sys::membarrier_global() {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS | libc::EPERM)) => {
            wait_by_map_of_maps()
        }
        other => other,
    }
}

/// Waits by putting a map into a map of maps.
///
/// Before that returns, the kernel waits with `synchronize_rcu` for every program that may still use what was there before
/// (`maybe_wait_bpf_programs` in kernel/bpf/syscall.c, since 4.20: commit 1ae80cf31938), whether or not a program knows the map.
fn wait_by_map_of_maps() -> io::Result<()> {
    let inner = sys::create_array("hr_grace", 4, 1)?;
    let outer = sys::create_array_of_maps("hr_graces", &inner)?;
    sys::put_object(&outer, 0, &inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_way_a_grace_period_is_had() {
        wait_for_grace().unwrap();
        if !rustix::process::geteuid().is_root() {
            println!("skipped: needs root");
            return;
        }
        let begin = std::time::Instant::now();
        wait_by_map_of_maps().unwrap();
        println!("by a map of maps: {:?}", begin.elapsed());
    }
}
