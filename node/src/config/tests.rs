use std::{fs, os::unix::fs::PermissionsExt};

use dataplane::{ImageSize, TableSizes};

use super::*;

/// The configuration of the manual, every key written out.
const FULL: &str = r#"
name = "lb1"
state_dir = "/srv/hedgerow"
[cluster]
listen = "10.77.0.1:7400"
seeds = ["10.77.0.1:7400", "10.77.0.2:7400", "10.77.0.3:7400"]
expect = 3
bootstrap_secret_file = "/etc/hedgerow/bootstrap.secret"
[[interface]]
name = "eth0"
role = "cluster"
[[interface]]
name = "eth1"
role = "vip"
[[channel]]
name = "vrrp"
interface = "vip"
[[channel]]
name = "haproxy-peers"
interface = "cluster"
port = 10000
[api]
socket = "/run/hedgerow/other.sock"
listen = "10.77.0.1:7443"
[dataplane]
mode = "userspace"
bpffs = "/sys/fs/bpf"
xdp = "generic"
[dataplane.tables]
image = "small"
flows = 4096
sources = 2048
fragments = 1024
[dataplane.timeouts]
tcp_opening_s = 20
tcp_s = 3600
tcp_closing_s = 10
udp_opening_s = 15
udp_s = 90
other_s = 45
fragment_s = 5
pickup = false
[log]
format = "json"
filter = "info,raft=debug"
"#;

/// The least that a node needs.
const LEAST: &str = r#"
name = "lb1"
[cluster]
listen = "10.77.0.1:7400"
[[interface]]
name = "eth0"
role = "cluster"
"#;

fn problems(text: &str) -> Vec<Problem> {
    match Config::parse("hedgerow.toml", text) {
        Err(ConfigError::Wrong(problems)) => problems,
        other => panic!("should be wrong: {other:?}\n{text}"),
    }
}

/// The only problem of `text`.
fn problem(text: &str) -> Problem {
    let mut all = problems(text);
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

#[test]
fn every_key_is_read() {
    let config = Config::parse("hedgerow.toml", FULL).unwrap();
    assert_eq!(config.name, "lb1");
    assert_eq!(config.state_dir, Path::new("/srv/hedgerow"));
    assert_eq!(config.cluster.seeds.len(), 3);
    assert_eq!(config.cluster.expect, Some(3));
    assert_eq!(config.interfaces[1], InterfaceConfig { name: "eth1".to_owned(), role: Role::Vip });
    let channels: Vec<&str> = config.channels.iter().map(|channel| channel.name.as_str()).collect();
    assert_eq!(channels, ["vrrp", "haproxy-peers"]);
    assert_eq!(config.api.listen, Some("10.77.0.1:7443".parse().unwrap()));
    assert_eq!((config.dataplane.mode, config.dataplane.xdp), (DataplaneMode::Userspace, XdpMode::Generic));
    let timeouts = dataplane::Timeouts {
        tcp_opening_s: 20,
        tcp_s: 3600,
        tcp_closing_s: 10,
        udp_opening_s: 15,
        udp_s: 90,
        other_s: 45,
        fragment_s: 5,
        pickup: false,
    };
    assert_eq!(config.dataplane.timeouts, timeouts);
    let small = TableSizes::of(ImageSize::Small);
    assert_eq!(config.dataplane.tables, TableSizes { flows: 4096, sources: 2048, fragments: 1024, ..small });
    assert_eq!(config.log.format, LogFormat::Json);
    assert!(!config.is_witness());
}

#[test]
fn what_is_not_written_has_a_default() {
    let config = Config::parse("hedgerow.toml", LEAST).unwrap();
    assert_eq!(config.state_dir, Path::new(STATE_DIR_DEFAULT));
    assert_eq!(config.api, ApiConfig { socket: SOCKET_DEFAULT.into(), listen: None });
    assert_eq!(config.dataplane.mode, DataplaneMode::Kernel);
    assert_eq!(config.dataplane.bpffs, Path::new("/sys/fs/bpf"));
    assert_eq!(config.dataplane.tables, TableSizes::default());
    assert_eq!(config.log, LogConfig { format: LogFormat::Text, filter: "info,openraft=error".to_owned() });
    assert_eq!(config.cluster.expect, None);
}

#[test]
fn a_misspelt_key_is_shown_with_its_place_and_the_right_one() {
    let found = problem(&LEAST.replace("listen", "lisen"));
    assert_eq!((found.line, found.column), (4, 1));
    assert!(found.message.contains("did you mean `listen`?"), "{}", found.message);
    let shown = found.to_string();
    assert!(shown.starts_with("hedgerow.toml:4:1: "), "{shown}");
    assert!(shown.ends_with(" 4 | lisen = \"10.77.0.1:7400\"\n   | ^^^^^"), "{shown}");
}

#[test]
fn a_misspelt_value_is_shown_with_its_place_and_the_right_one() {
    let found = problem(&LEAST.replace("\"cluster\"", "\"clutser\""));
    assert_eq!((found.line, found.column), (7, 8));
    assert!(found.message.contains("did you mean `cluster`?"), "{}", found.message);
}

#[test]
fn what_is_missing_and_what_is_no_toml_is_said() {
    assert_eq!(problem("name = \"lb1\"\n").message, "missing field `cluster`; add it");
    let found = problem("name = \"lb1\n");
    assert_eq!(found.line, 1, "{found}");
}

/// Nobody has to know what a `u16` is, or what the standard library calls an address.
#[test]
fn values_of_a_wrong_kind_are_refused_in_plain_words() {
    for listen in ["10.77.0.1", "lb1:7400"] {
        let found = problem(&LEAST.replace("10.77.0.1:7400", listen));
        assert!(found.message.starts_with("this is not an address with a port; write one such as"), "{found}");
    }
    let channel = |port: &str| format!("{LEAST}[[channel]]\nname = \"vrrp\"\ninterface = \"cluster\"\nport = {port}\n");
    for (port, says) in [("99999", "integer `99999`"), ("-1", "integer `-1`"), ("\"x\"", "string \"x\"")] {
        let message = problem(&channel(port)).message;
        assert!(message.contains(says) && message.ends_with("write a whole number from 0 to 65535"), "{message}");
    }
    let timeout = problem(&format!("{LEAST}[dataplane.timeouts]\ntcp_s = -1\n"));
    assert_eq!(timeout.message, "`tcp_s` is from 1 to 604800 seconds, not -1");
    let expect = &problems(&LEAST.replace("[cluster]", "[cluster]\nexpect = -3"))[0];
    assert!(expect.message.starts_with("a cluster can form by itself from 1 to 7 nodes, not -3;"), "{expect}");
}

#[test]
fn every_mistake_is_refused_with_what_to_do() {
    let cases = [
        (LEAST.replace("\"lb1\"", "\"lb 1\""), "a node's name has"),
        (LEAST.replace("10.77.0.1:7400", "0.0.0.0:7400"), "peers must be told where to find this node"),
        (LEAST.replace("10.77.0.1:7400", "10.77.0.1:0"), "the port must be fixed"),
        (LEAST.replace("\"cluster\"", "\"vip\""), "no interface has the role `cluster`"),
        (LEAST.replace("eth0", "an-interface-too-long"), "an interface has a name of 1 to 15 bytes"),
        (
            format!("{LEAST}[[interface]]\nname = \"eth0\"\nrole = \"vip\"\n"),
            "`eth0` is there already, with the role cluster",
        ),
        (format!("{LEAST}[[channel]]\nname = \"vrrp\"\ninterface = \"vip\"\n"), "no interface has that role"),
        (format!("{LEAST}[api]\nsocket = \"api.sock\"\n"), "the socket's path must be absolute"),
        (format!("{LEAST}[log]\nfilter = \"info,raft=loud\"\n"), "this is not a log filter"),
        (FULL.replace("expect = 3", "expect = 8"), "a cluster can form by itself from 1 to 7 nodes"),
        (
            FULL.replace("bootstrap_secret_file = \"/etc/hedgerow/bootstrap.secret\"\n", ""),
            "needs `bootstrap_secret_file`",
        ),
        (FULL.replace("10.77.0.3:7400", "10.77.0.2:7400"), "the seed 10.77.0.2:7400 is there twice"),
        (
            FULL.replace("\"haproxy-peers\"\ninterface = \"cluster\"\nport = 10000", "\"vrrp\"\ninterface = \"vip\""),
            "declared twice",
        ),
    ];
    for (text, said) in cases {
        let found = problem(&text);
        assert!(found.message.contains(said), "wanted: {said}\nfound: {found}");
    }
}

#[test]
fn all_mistakes_are_shown_at_once_in_the_order_of_lines() {
    let text = LEAST.replace("\"lb1\"", "\"\"").replace("10.77.0.1:7400", "0.0.0.0:0").replace("eth0", "");
    let lines: Vec<usize> = problems(&text).iter().map(|problem| problem.line).collect();
    assert_eq!(lines, [2, 4, 4, 6]);
}

#[test]
fn a_witness_needs_no_interfaces() {
    let text = "name = \"w\"\n[cluster]\nlisten = \"10.77.0.9:7400\"\n[dataplane]\nmode = \"off\"\n";
    assert!(Config::parse("hedgerow.toml", text).unwrap().is_witness());
}

#[test]
fn a_missing_file_is_named() {
    let error = Config::load(Path::new("/nonexistent/hedgerow.toml")).unwrap_err().to_string();
    assert!(error.starts_with("cannot read the configuration /nonexistent/hedgerow.toml"), "{error}");
}

#[test]
fn a_secret_is_read_without_the_line_end_and_never_printed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secret");
    fs::write(&path, "0123456789abcdef\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let secret = BootstrapSecret::read(&path).unwrap();
    assert_eq!(secret.bytes(), b"0123456789abcdef");
    assert_eq!(format!("{secret:?}"), "BootstrapSecret(..)");
}

#[test]
fn an_exposed_or_short_secret_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secret");
    fs::write(&path, "0123456789abcdef").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(BootstrapSecret::read(&path), Err(SecretError::Exposed { .. })));
    fs::write(&path, "short\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(matches!(BootstrapSecret::read(&path), Err(SecretError::Length { bytes: 5, .. })));
}

#[test]
fn timeouts_have_ranges_and_an_order() {
    let with = |lines: &str| format!("{LEAST}[dataplane.timeouts]\n{lines}\n");
    let usual = Config::parse("hedgerow.toml", &with("pickup = true")).unwrap();
    assert_eq!(usual.dataplane.timeouts, dataplane::Timeouts::default());
    for (lines, words) in [
        ("tcp_s = 0", "`tcp_s` is from 1 to 604800 seconds, not 0"),
        ("other_s = 604801", "`other_s` is from 1 to 604800 seconds, not 604801"),
        ("fragment_s = 121", "`fragment_s` is from 1 to 120 seconds, not 121"),
        ("udp_opening_s = 181", "`udp_opening_s` is 181 s and `udp_s` is 180 s"),
        ("tcp_opening_s = 30\ntcp_s = 20", "make `tcp_opening_s` the smaller one"),
        ("tcp_idle_s = 20", "`tcp_idle_s`"),
        ("udp_s = -1", "-1"),
    ] {
        let problem = problem(&with(lines));
        assert!(problem.message.contains(words), "{lines}: {}", problem.message);
        assert!(problem.line > LEAST.lines().count() + 1, "{problem}");
    }
}

/// The sizes that `lines` of `[dataplane.tables]` come to.
fn tables(lines: &str) -> TableSizes {
    let text = format!("{LEAST}[dataplane.tables]\n{lines}\n");
    Config::parse("hedgerow.toml", &text).unwrap().dataplane.tables
}

#[test]
fn each_size_of_a_table_may_be_written_alone() {
    let usual = TableSizes::default();
    assert_eq!(tables(""), usual);
    assert_eq!(tables("image = \"large\""), usual);
    assert_eq!(tables("image = \"small\""), TableSizes::of(ImageSize::Small));
    assert_eq!(tables("flows = 1024"), TableSizes { flows: 1_024, ..usual });
    assert_eq!(tables("flows = 4194304"), TableSizes { flows: 4_194_304, ..usual });
    assert_eq!(tables("sources = 1024"), TableSizes { sources: 1_024, ..usual });
    assert_eq!(tables("sources = 4194304"), TableSizes { sources: 4_194_304, ..usual });
    assert_eq!(tables("fragments = 1024"), TableSizes { fragments: 1_024, ..usual });
    assert_eq!(tables("fragments = 1048576"), TableSizes { fragments: 1_048_576, ..usual });
}

#[test]
fn sizes_of_tables_have_ranges() {
    for (lines, words) in [
        ("flows = 1023", "`flows` is from 1024 to 4194304 flows of each family, not 1023"),
        ("flows = 4194305", "`flows` is from 1024 to 4194304 flows of each family, not 4194305"),
        ("sources = 1023", "`sources` is from 1024 to 4194304 sources, not 1023"),
        ("sources = 4194305", "`sources` is from 1024 to 4194304 sources, not 4194305"),
        ("fragments = 1023", "`fragments` is from 1024 to 1048576 datagrams in fragments, not 1023"),
        ("fragments = 1048577", "`fragments` is from 1024 to 1048576 datagrams in fragments, not 1048577"),
        ("flows = -1", "not -1"),
        ("flows = 4294968320", "not 4294968320"),
        ("flows = \"many\"", "write a whole number"),
        ("flows = 65536.0", "write a whole number"),
        ("image = \"smal\"", "did you mean `small`?"),
        ("image = \"medium\"", "`large` or `small`"),
        ("image = 1", "this is not a word in quotes"),
        ("flow = 1024", "did you mean `flows`?"),
    ] {
        let problem = problem(&format!("{LEAST}[dataplane.tables]\n{lines}\n"));
        assert!(problem.message.contains(words), "{lines}: {}", problem.message);
        assert_eq!(problem.line, LEAST.lines().count() + 2, "{problem}");
    }
    let all = problems(&format!("{LEAST}[dataplane.tables]\nsources = 1\nflows = 1\nfragments = 0\n"));
    assert_eq!(all.len(), 3, "{all:?}");
}
