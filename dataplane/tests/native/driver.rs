//! The driver: `bpf/native/main.c`, compiled once for all tests, and run once for each.

use std::{
    fs,
    io::{self, BufWriter, Read, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::LazyLock,
};

use dataplane::testing::Wire;

/// Bytes of requests that are gathered before they are written.
const REQUESTS_BYTES: usize = 1 << 16;

/// The sanitizers of compiler-rt that watch; what they find ends the driver.
const SANITIZERS: &str = "-fsanitize=address,undefined";

/// The finished driver, or why there is none.
static DRIVER: LazyLock<Result<PathBuf, String>> = LazyLock::new(compile);

/// The compiler of the build script.
fn clang() -> Command {
    Command::new(std::env::var("CLANG").unwrap_or_else(|_| env!("HR_CLANG").to_owned()))
}

fn compile() -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("native");
    fs::create_dir_all(&folder).unwrap();
    has_sanitizers(&folder)?;
    let (native, driver) = (Path::new(env!("CARGO_MANIFEST_DIR")).join("bpf/native"), folder.join("driver"));
    let mut command = clang();
    command.args(["-O1", "-gline-tables-only", "-Wall", "-Wextra", "-Werror", "-DHR_NATIVE"]);
    command.args([SANITIZERS, "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"]);
    // Headers lie where the wire puts them, and both machines that are supported read them there.
    command.arg("-fno-sanitize=alignment");
    command.arg("-I").arg(native.join("include"));
    command.args([native.join("native.c"), native.join("main.c")]).arg("-o").arg(&driver);
    let output = command.output().unwrap();
    assert!(output.status.success(), "bpf/native does not compile:\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(driver)
}

/// Tells a compiler without the sanitizers' libraries from programs that do not compile.
fn has_sanitizers(folder: &Path) -> Result<(), String> {
    let (empty, program) = (folder.join("empty.c"), folder.join("empty"));
    fs::write(&empty, "int main(void) { return 0; }\n").unwrap();
    let output = clang().arg(SANITIZERS).arg(&empty).arg("-o").arg(&program).output().unwrap();
    if output.status.success() {
        return Ok(());
    }
    Err("clang has no sanitizers here (Debian, Ubuntu: apt-get install libclang-rt-dev)".to_owned())
}

/// A running driver. `None`, having said so, if there can be none here.
pub(crate) fn start() -> Option<Driver> {
    match &*DRIVER {
        Ok(program) => Some(Driver::start(program)),
        Err(why) => {
            println!("skipped: {why}");
            None
        }
    }
}

/// The process.
pub(crate) struct Driver {
    child: Child,
    requests: BufWriter<ChildStdin>,
    answers: ChildStdout,
}

impl Driver {
    fn start(program: &Path) -> Driver {
        let mut child = Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let requests = BufWriter::with_capacity(REQUESTS_BYTES, child.stdin.take().unwrap());
        let answers = child.stdout.take().unwrap();
        Driver { child, requests, answers }
    }
}

impl Wire for Driver {
    fn send(&mut self, request: &[u8]) -> io::Result<()> {
        self.requests.write_all(&u32::try_from(request.len()).unwrap().to_ne_bytes())?;
        self.requests.write_all(request)
    }

    fn receive(&mut self, answer: &mut [u8]) -> io::Result<()> {
        self.requests.flush()?;
        self.answers.read_exact(answer)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}
