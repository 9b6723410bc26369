//! A web server that answers every request with its own name.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::Context;

/// How long a client may take to send its request.
const REQUEST_SECONDS_MAX: Duration = Duration::from_secs(5);
/// The longest request that is read, in bytes.
const REQUEST_BYTES_MAX: u64 = 16 * 1024;

/// Serves on all addresses until the process is killed.
pub(crate) fn serve(name: &str, addresses: &[&str]) -> anyhow::Result<()> {
    let name: Arc<str> = name.into();
    let mut threads = Vec::new();
    for address in addresses {
        let listener = TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"))?;
        let name = name.clone();
        threads.push(thread::spawn(move || accept(&listener, &name)));
    }
    for thread in threads {
        thread.join().map_err(|_| anyhow::anyhow!("a listener panicked"))?;
    }
    Ok(())
}

fn accept(listener: &TcpListener, name: &Arc<str>) {
    for stream in listener.incoming().flatten() {
        let name = name.clone();
        thread::spawn(move || {
            // A client that goes away is its own business.
            let _ = answer(stream, &name);
        });
    }
}

fn answer(mut stream: TcpStream, name: &str) -> std::io::Result<()> {
    stream.set_read_timeout(Some(REQUEST_SECONDS_MAX))?;
    let mut head = BufReader::new(std::io::Read::take(stream.try_clone()?, REQUEST_BYTES_MAX));
    let mut line = String::new();
    while head.read_line(&mut line)? > 0 && line.trim_end() != "" {
        line.clear();
    }
    let body = format!("{name}\n");
    let length = body.len();
    write!(
        stream,
        "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}
