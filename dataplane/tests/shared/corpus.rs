//! The evasion corpus (`tests/corpus`): its reader and its world.

use std::{fs, path::Path};

use policy::{Direction, Guard, Image, LocalInterface, SpoofEntry};

use super::{
    members::{HERE_V4, HERE_V6, THERE_V4, THERE_V6, guard_of, member},
    policies::{DENY, compiled, policy, segment},
};

/// One frame and what must become of it.
pub(crate) struct Step {
    pub(crate) direction: Direction,
    pub(crate) verdict: String,
    pub(crate) frame: Vec<u8>,
}

fn steps(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
        let direction = match line.split_once(' ') {
            Some(("ingress", verdict)) => Some((Direction::Ingress, verdict)),
            Some(("egress", verdict)) => Some((Direction::Egress, verdict)),
            _ => None,
        };
        match direction {
            Some((direction, verdict)) => {
                steps.push(Step { direction, verdict: verdict.to_owned(), frame: Vec::new() });
            }
            None => {
                let bytes = line.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap());
                steps.last_mut().unwrap().frame.extend(bytes);
            }
        }
    }
    steps.into_iter().flat_map(lengths).collect()
}

/// Of a step that states verdicts by length (`cut 14 truncated 34 bad-length 54 allowed`), a step for each, up to that of the whole frame;
/// of another one itself. What is `shortened` and not merely `cut` says in its IP header that it is.
fn lengths(step: Step) -> Vec<Step> {
    let words: Vec<&str> = step.verdict.split(' ').collect();
    let told = words[0] == "shortened";
    if !told && words[0] != "cut" {
        return vec![step];
    }
    let bands: Vec<(usize, &str)> = words[1..].chunks(2).map(|band| (band[0].parse().unwrap(), band[1])).collect();
    let rising = bands.is_sorted_by(|one, next| one.0 < next.0) && bands[bands.len() - 1].0 <= step.frame.len();
    assert!(rising, "{} of a frame of {} bytes", step.verdict, step.frame.len());
    let of_length = |length: usize| {
        let mut frame = step.frame[..length].to_vec();
        if told {
            tell_length(&mut frame);
        }
        let (_, verdict) = bands.iter().rev().find(|(from, _)| *from <= length).unwrap();
        Step { direction: step.direction, verdict: (*verdict).to_owned(), frame }
    };
    (bands[0].0..=step.frame.len()).map(of_length).collect()
}

/// Writes how long the packet is into its IP header, as far as that is there.
fn tell_length(frame: &mut [u8]) {
    let tags = frame[12..].chunks(4).take_while(|tag| matches!(tag, [0x81, 0x00, ..] | [0x88, 0xa8, ..])).count();
    let ip = 14 + 4 * tags;
    let v6 = frame.get(ip - 2..ip) == Some(&[0x86, 0xdd]);
    let (at, before) = if v6 { (ip + 4, ip + 40) } else { (ip + 2, ip) };
    let length = u16::try_from(frame.len().saturating_sub(before)).unwrap().to_be_bytes();
    frame.iter_mut().skip(at).zip(length).for_each(|(place, byte)| *place = byte);
}

/// Every file of the corpus, by name, with its steps.
pub(crate) fn files() -> Vec<(String, Vec<Step>)> {
    // From this crate's folder, and from that of the fuzz targets.
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dataplane/tests/corpus");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    files.sort();
    let read = |path: &std::path::PathBuf| {
        (path.file_stem().unwrap().to_string_lossy().into_owned(), steps(&fs::read_to_string(path).unwrap()))
    };
    files.iter().map(read).collect()
}

/// The policy of the corpus, compiled. Everything is denied but: clients to the service at tcp/443 and sctp/3868, and this node (10.9.0.1)
/// to the backend at tcp/8080, tcp/32767-32768, udp/53 and sctp/3868.
pub(crate) fn image() -> Image {
    let offered = "services: [{protocol: tcp, port: 443}, {protocol: sctp, port: 3868}]";
    let node = "services: [{protocol: tcp, port: 8080}, {protocol: tcp, portRange: 32767-32768}, {protocol: udp, port: 53}, \
                {protocol: sctp, port: 3868}]";
    compiled(
        &[
            DENY,
            &segment("service", "203.0.113.10/32, \"2001:db8:a::10/128\""),
            &segment("clients", "198.51.100.0/24, \"2001:db8:c::/64\""),
            &segment("backend", "10.9.0.0/24"),
            &policy(
                "service",
                "service",
                &format!("  ingress: [{{name: web, action: allow, from: [{{segment: clients}}], {offered}}}]"),
            ),
            &policy(
                "clients",
                "clients",
                &format!("  egress: [{{name: web, action: allow, to: [{{segment: service}}], {offered}}}]"),
            ),
            &policy(
                "backend",
                "backend",
                &format!(
                    "  ingress: [{{name: node, action: allow, from: [{{cidr: 10.9.0.1/32}}], {node}}}]
  egress: [{{name: node, action: allow, to: [{{cidr: 10.9.0.5/32}}], {node}}}]"
                ),
            ),
        ]
        .concat(),
    )
}

/// The guard of the corpus: two members, and an address that lives behind another interface.
pub(crate) fn guard(interface: &LocalInterface) -> Guard {
    let members = [member(1, &[HERE_V4, HERE_V6]), member(2, &[THERE_V4, THERE_V6])];
    let mut guard = guard_of(std::slice::from_ref(interface), &members);
    guard.spoof.push(SpoofEntry { addr: "10.8.0.2".parse().unwrap(), ifindex_allowed: interface.ifindex + 1 });
    guard
}
