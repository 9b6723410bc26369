//! One TCP connection on which both ends send numbers: what is lost, comes twice or out of order is seen, and so is a reset.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::lab::Namespace;
use crate::{LabError, wait};

/// The pause between two numbers.
const PACE: Duration = Duration::from_millis(5);
/// How long an end waits for the next number before it calls the connection dead. Several times what a fail-over takes.
const SILENCE_SECONDS_MAX: Duration = Duration::from_secs(60);
/// Bytes of a number on the wire.
const NUMBER_BYTES: usize = 8;

/// A connection that goes on until it is finished or dropped.
pub struct Conversation {
    stop: Arc<AtomicBool>,
    client: End,
    server: End,
    threads: Vec<JoinHandle<()>>,
}

/// How a conversation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Numbers that the client has heard.
    pub by_client: u64,
    /// Numbers that the server has heard.
    pub by_server: u64,
}

/// One end: its socket, what it has sent and heard.
#[derive(Clone)]
struct End {
    name: &'static str,
    socket: Arc<TcpStream>,
    notes: Arc<Notes>,
}

#[derive(Default)]
struct Notes {
    sent: AtomicU64,
    heard: AtomicU64,
    /// The first thing that went wrong, in words.
    wrong: Mutex<Option<String>>,
}

impl Conversation {
    /// Opens a connection from one machine to an address of another, where it listens for this one connection.
    pub fn open(client: &Namespace, server: &Namespace, to: SocketAddr, limit: Duration) -> Result<Self, LabError> {
        let listener = server.within(|| TcpListener::bind(to))?.map_err(LabError::io(format!("listening on {to}")))?;
        let opening = || format!("opening a conversation of {} with {to}", client.short());
        let near = client.within(|| TcpStream::connect_timeout(&to, limit))?.map_err(LabError::io(opening()))?;
        // The kernel has accepted for the listener already: this waits for nobody.
        let (far, _) = listener.accept().map_err(LabError::io(opening()))?;
        let ends = [("the client", near), ("the server", far)].map(|(name, socket)| End::new(name, socket));
        let [client, server] = ends;
        let mut conversation = Self { stop: Arc::default(), client: client?, server: server?, threads: Vec::new() };
        for end in [conversation.client.clone(), conversation.server.clone()] {
            let (speaker, stop) = (end.clone(), conversation.stop.clone());
            conversation.threads.push(start(move || speaker.speak(&stop))?);
            conversation.threads.push(start(move || end.listen())?);
        }
        Ok(conversation)
    }

    /// How it stands.
    pub fn heard(&self) -> Heard {
        let of = |end: &End| end.notes.heard.load(Ordering::SeqCst);
        Heard { by_client: of(&self.client), by_server: of(&self.server) }
    }

    /// Waits until both ends have heard this many numbers more than now; ends at once when something went wrong.
    pub fn wait_for_more(&self, more: u64, limit: Duration) -> Result<Duration, LabError> {
        let from = self.heard();
        let enough = |now: Heard| now.by_client >= from.by_client + more && now.by_server >= from.by_server + more;
        let ask = || {
            let now = self.heard();
            match self.check() {
                Err(wrong) => Ok(Err(wrong)),
                Ok(()) if enough(now) => Ok(Ok(())),
                Ok(()) => Err(format!("{now} after {from}")),
            }
        };
        let (answer, took) = wait::until(&format!("{more} more numbers at both ends"), limit, ask)?;
        answer.map(|()| took).map_err(|wrong| LabError::Unexpected { what: "a conversation".to_owned(), answer: wrong })
    }

    /// Fails with the first thing that went wrong at either end.
    pub fn check(&self) -> Result<(), String> {
        self.client.check()?;
        self.server.check()
    }

    /// Says goodbye from both ends, and fails unless each has heard all that the other has sent.
    pub fn finish(mut self) -> Result<Heard, String> {
        self.stop.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            thread.join().map_err(|_| "an end panicked".to_owned())?;
        }
        self.check()?;
        for (from, to) in [(&self.client, &self.server), (&self.server, &self.client)] {
            let (sent, heard) = (from.notes.sent.load(Ordering::SeqCst), to.notes.heard.load(Ordering::SeqCst));
            if sent != heard {
                return Err(format!("{} sent {sent} numbers, {} heard {heard}", from.name, to.name));
            }
        }
        Ok(self.heard())
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        for end in [&self.client, &self.server] {
            // An end that is closed already waits for nothing.
            let _ = end.socket.shutdown(Shutdown::Both);
        }
        for thread in self.threads.drain(..) {
            // An end that panicked has told why on standard error.
            let _ = thread.join();
        }
    }
}

impl fmt::Display for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} numbers heard by the client, {} by the server", self.by_client, self.by_server)
    }
}

impl End {
    fn new(name: &'static str, socket: TcpStream) -> Result<Self, LabError> {
        let doing = || format!("preparing {name} of a conversation");
        socket.set_nodelay(true).map_err(LabError::io(doing()))?;
        socket.set_read_timeout(Some(SILENCE_SECONDS_MAX)).map_err(LabError::io(doing()))?;
        socket.set_write_timeout(Some(SILENCE_SECONDS_MAX)).map_err(LabError::io(doing()))?;
        Ok(Self { name, socket: Arc::new(socket), notes: Arc::default() })
    }

    /// Sends numbers from 0 on until it is told to stop, and then says that no more will come.
    fn speak(&self, stop: &AtomicBool) {
        let mut socket = &*self.socket;
        for number in 0_u64.. {
            if stop.load(Ordering::SeqCst) {
                break;
            }
            if let Err(error) = socket.write_all(&number.to_be_bytes()) {
                return self.wrong(format!("{} could not send number {number}: {error}", self.name));
            }
            self.notes.sent.store(number + 1, Ordering::SeqCst);
            thread::sleep(PACE);
        }
        // A connection that was reset has told so to whoever listens on it.
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    /// Hears numbers until the other end says that no more will come.
    fn listen(&self) {
        for expected in 0_u64.. {
            match self.hear() {
                Ok(Some(number)) if number == expected => self.notes.heard.store(expected + 1, Ordering::SeqCst),
                Ok(Some(number)) => return self.wrong(format!("{} heard {number}, not {expected}", self.name)),
                Ok(None) => return,
                Err(error) => {
                    return self.wrong(format!("{} heard {expected} numbers, and then: {error}", self.name));
                }
            }
        }
    }

    /// The next number; `None` at the end.
    fn hear(&self) -> io::Result<Option<u64>> {
        let mut bytes = [0; NUMBER_BYTES];
        let mut have = 0;
        while have < NUMBER_BYTES {
            match (&*self.socket).read(&mut bytes[have..]) {
                Ok(0) if have == 0 => return Ok(None),
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => have += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => (),
                Err(error) => return Err(error),
            }
        }
        Ok(Some(u64::from_be_bytes(bytes)))
    }

    fn check(&self) -> Result<(), String> {
        let wrong = self.notes.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        wrong.clone().map_or(Ok(()), Err)
    }

    fn wrong(&self, what: String) {
        self.notes.wrong.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(what);
    }
}

fn start(run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, LabError> {
    thread::Builder::new()
        .name("conversation".to_owned())
        .spawn(run)
        .map_err(LabError::io("starting one end of a conversation"))
}
