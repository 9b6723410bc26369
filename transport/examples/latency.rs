//! How fast two endpoints on the loopback talk: `cargo run -p transport --release --example latency`.
//!
//! Prints the time to connect, the round trip of a small frame on one stream against that of TCP, and the throughput of
//! large frames. A sanity check while working on this crate, not a benchmark of the product.
#![expect(clippy::print_stdout, reason = "printing is what this program is for")]

use std::{
    error::Error,
    time::{Duration, Instant, SystemTime},
};

use identity::{CertName, ClusterId, NodeId};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use transport::{
    Arrival, Authority, BindConfig, CERT_LIFETIME, Credentials, Endpoint, Inbox, Limits, NodeKey, StreamKind,
};

const ROUND_TRIPS: usize = 20_000;
const FRAME_BYTES: usize = 256;
const LARGE_FRAMES: usize = 256;
const LARGE_FRAME_BYTES: usize = 1 << 20;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let authority = Authority::mint(ClusterId::from_bytes([7; 16]), 1)?;
    let (a, _inbox) = member(&authority, 1)?;
    let (b, inbox) = member(&authority, 2)?;
    a.set_directory(vec![(NodeId::new(2)?, b.local_addr())]);
    tokio::spawn(echo(inbox));
    let begun = Instant::now();
    let (mut sender, mut receiver) = a.open(NodeId::new(2)?, StreamKind::Append).await?;
    println!("connect and open          {:>10.1?}", begun.elapsed());

    let mut samples = Vec::with_capacity(ROUND_TRIPS);
    for _ in 0..ROUND_TRIPS {
        let begun = Instant::now();
        sender.send(&[1; FRAME_BYTES]).await?;
        receiver.recv().await?;
        samples.push(begun.elapsed());
    }
    let ours = report("QUIC stream round trip", samples);
    let tcp = report("TCP round trip", tcp_round_trips().await?);
    println!("ratio of the medians      {:>10.2}", ours.as_secs_f64() / tcp.as_secs_f64());

    let (mut sender, mut receiver) = a.open(NodeId::new(2)?, StreamKind::Snapshot).await?;
    let begun = Instant::now();
    let sending = tokio::spawn(async move {
        let frame = vec![1; LARGE_FRAME_BYTES];
        for _ in 0..LARGE_FRAMES {
            sender.send(&frame).await?;
        }
        Ok::<_, transport::SendError>(())
    });
    for _ in 0..LARGE_FRAMES {
        receiver.recv().await?;
    }
    sending.await??;
    let mebibytes = (LARGE_FRAMES * LARGE_FRAME_BYTES) >> 20;
    println!("{mebibytes} MiB there and back      {:>10.1?}", begun.elapsed());
    Ok(())
}

fn member(authority: &Authority, number: u64) -> Outcome<(Endpoint, Inbox)> {
    let key = NodeKey::generate()?;
    let name = CertName { cluster: authority.cluster(), epoch: authority.epoch(), node: NodeId::new(number)? };
    let certificate = authority.issue(&name, &key.public_key(), &[], SystemTime::now(), CERT_LIFETIME)?;
    let credentials = Credentials {
        name,
        chain: vec![certificate.into()],
        key: key.private_der(),
        roots: vec![authority.certificate_der()],
    };
    let listen = "127.0.0.1:0".parse()?;
    let (endpoint, inbox) = Endpoint::bind(BindConfig { listen, limits: Limits::default(), key })?;
    endpoint.set_credentials(&credentials)?;
    Ok((endpoint, inbox))
}

async fn echo(mut inbox: Inbox) {
    while let Some(arrival) = inbox.recv().await {
        let Arrival::Stream { mut sender, mut receiver, .. } = arrival else { continue };
        tokio::spawn(async move {
            while let Ok(Some(frame)) = receiver.recv().await {
                if sender.send(&frame).await.is_err() {
                    return;
                }
            }
        });
    }
}

async fn tcp_round_trips() -> Outcome<Vec<Duration>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let mut near = TcpStream::connect(listener.local_addr()?).await?;
    let (mut far, _) = listener.accept().await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    tokio::spawn(async move {
        let mut frame = [0; FRAME_BYTES];
        while far.read_exact(&mut frame).await.is_ok() && far.write_all(&frame).await.is_ok() {}
    });
    let mut samples = Vec::with_capacity(ROUND_TRIPS);
    let mut frame = [1; FRAME_BYTES];
    for _ in 0..ROUND_TRIPS {
        let begun = Instant::now();
        near.write_all(&frame).await?;
        near.read_exact(&mut frame).await?;
        samples.push(begun.elapsed());
    }
    Ok(samples)
}

fn report(what: &str, mut samples: Vec<Duration>) -> Duration {
    samples.sort_unstable();
    let (half, most) = (samples[samples.len() / 2], samples[samples.len() * 99 / 100]);
    println!("{what:<25} {half:>10.1?} p50 {most:>10.1?} p99");
    half
}
