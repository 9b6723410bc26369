//! One run of a kernel under qemu: its serial line is our terminal, and what its first process says is read from it.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::shell::{line, say};

/// The emulator.
pub(crate) const QEMU: &str = "qemu-system-x86_64";
/// The longest that a guest runs: several times what booting and all tests take on two processors that do nothing else.
const GUEST_SECONDS_MAX: u64 = 2_400;
/// The guest's memory.
const MEMORY_MIB: u32 = 2_048;
/// The guest's processors: more than one, so that what runs in parallel does.
const PROCESSORS: u32 = 2;
/// Lines of the guest that wait to be printed.
const LINES_WAITING_MAX: usize = 1_024;
/// The kernel's command line: messages to the serial line, errors alone; a panic ends the guest, and so does a reboot. Mitigations cost
/// time under emulation and protect nothing.
const COMMAND_LINE: &str = "console=ttyS0 quiet panic=-1 mitigations=off";
/// What our first process puts before its words.
const MARK: &str = "hedgerow-guest: ";

/// What the first process said.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Words {
    /// The kernel that ran.
    pub(crate) release: Option<String>,
    /// The exit code of the tests.
    pub(crate) ended: Option<i32>,
}

impl Words {
    fn read(&mut self, line: &str) {
        let Some(at) = line.find(MARK) else { return };
        let words = &line[at + MARK.len()..];
        if let Some(release) = words.strip_prefix("Linux ") {
            self.release = Some(release.trim().to_owned());
        } else if let Some(code) = words.strip_prefix("tests ended with ") {
            // The kernel may say something of its own behind it, on the same line.
            self.ended = code.split(|letter: char| !letter.is_ascii_digit()).next().and_then(|code| code.parse().ok());
        }
    }

    /// Whether this kernel ran the tests to a good end.
    pub(crate) fn verdict(&self, release: &str) -> Result<(), Failure> {
        match (&self.release, self.ended) {
            (Some(ran), Some(0)) if ran == release => Ok(()),
            (Some(ran), _) if ran != release => Err(Failure::other(format!(
                "the guest ran Linux {ran}, not {release}: the cache is mixed up, remove it"
            ))),
            (_, Some(code)) => Err(Failure::other(format!("the tests ended with exit code {code}"))),
            (Some(_), None) => Err(Failure::other("the guest ended before its tests did: see the last lines above")),
            (None, None) => Err(Failure::other("the guest never came up: see the last lines above")),
        }
    }
}

/// Boots and hands every line on, until the guest turns itself off or its time is over.
pub(crate) fn boot(image: &Path, initramfs: &Path, mut each: impl FnMut(&str)) -> Result<Words, Failure> {
    let mut command = qemu(image, initramfs);
    say(format!("+ {}", line(&command)))?;
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut guest = Guest(child.map_err(|error| Failure::other(format!("could not start {QEMU}: {error}")))?);
    let pipe = guest.0.stdout.take().ok_or_else(|| Failure::other("the guest has no serial line"))?;
    let (sender, lines) = sync_channel(LINES_WAITING_MAX);
    // Ends with the pipe, which ends with the guest.
    let reader = thread::spawn(move || read_lines(pipe, &sender));
    let mut words = Words::default();
    let outcome = follow(&lines, |text| {
        words.read(text);
        each(text);
    });
    drop((lines, guest));
    let _ended = reader.join();
    outcome.map(|()| words)
}

fn qemu(image: &Path, initramfs: &Path) -> Command {
    let mut command = Command::new(QEMU);
    command.args(["-accel", "tcg,thread=multi", "-cpu", "max"]);
    command.args(["-m", &MEMORY_MIB.to_string(), "-smp", &PROCESSORS.to_string()]);
    command.args(["-nodefaults", "-nic", "none", "-display", "none", "-serial", "stdio", "-no-reboot"]);
    command.arg("-kernel").arg(image).arg("-initrd").arg(initramfs).args(["-append", COMMAND_LINE]);
    command
}

/// An emulator that does not outlive its handle.
struct Guest(Child);

impl Drop for Guest {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _status = self.0.wait();
    }
}

/// Lines end with a carriage return on a serial line; bytes that are no text may come while the kernel starts.
fn read_lines(pipe: impl Read, lines: &SyncSender<String>) {
    for bytes in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
        let text = String::from_utf8_lossy(&bytes).trim_end_matches('\r').to_owned();
        if lines.send(text).is_err() {
            return;
        }
    }
}

fn follow(lines: &Receiver<String>, mut each: impl FnMut(&str)) -> Result<(), Failure> {
    let end = Instant::now() + Duration::from_secs(GUEST_SECONDS_MAX);
    loop {
        match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(text) => {
                say(format!("  | {text}"))?;
                each(&text);
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
            Err(RecvTimeoutError::Timeout) => {
                return Err(Failure::other(format!(
                    "the guest was not through after {GUEST_SECONDS_MAX} s and was ended: look for the test above that has no end, or \
                     for what else this machine is doing"
                )));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Words {
        let (sender, lines) = sync_channel(LINES_WAITING_MAX);
        read_lines(text.as_bytes(), &sender);
        drop(sender);
        let mut words = Words::default();
        lines.iter().for_each(|line| words.read(&line));
        words
    }

    #[test]
    fn the_first_process_is_understood_between_other_lines() {
        let text = "\u{1b}cSeaBIOS\r\nhedgerow-guest: Linux 6.1.0-56-amd64\r\ntest a ... ok\r\n\
                    [ 9.1] hedgerow-guest: tests ended with 0\r\n";
        let said = words(text);
        assert_eq!(said, Words { release: Some("6.1.0-56-amd64".to_owned()), ended: Some(0) });
        assert!(said.verdict("6.1.0-56-amd64").is_ok());
        assert!(said.verdict("6.12.1").is_err());
        let interrupted = words("hedgerow-guest: tests ended with 0[   37.0] sysrq: Power Off\r\n");
        assert_eq!(interrupted.ended, Some(0));
    }

    #[test]
    fn a_guest_that_fails_or_says_nothing_has_not_passed() {
        let failed = words("hedgerow-guest: Linux 6.1\nhedgerow-guest: tests ended with 101\n");
        assert!(failed.verdict("6.1").unwrap_err().to_string().contains("101"));
        let panicked = words("hedgerow-guest: Linux 6.1\nKernel panic - not syncing\n");
        assert!(panicked.verdict("6.1").unwrap_err().to_string().contains("before its tests"));
        assert!(words("").verdict("6.1").unwrap_err().to_string().contains("never came up"));
    }
}
