//! Bad input: each finding with its line, column and suggestion.

mod limits;

use super::*;
use crate::model::limits::NAME_CHARS_MAX;

fn read(text: &str) -> Result<Vec<Document>, Diagnostics> {
    parse(&[SourceText { name: "p.yaml".to_owned(), text: text.to_owned() }])
}

/// The findings, one a line.
fn refused(text: &str) -> String {
    match read(text) {
        Ok(documents) => panic!("accepted: {documents:?}"),
        Err(findings) => findings.to_string(),
    }
}

const SEGMENT: &str = "\
apiVersion: hedgerow/v1
kind: Segment
metadata: {name: shop-web, labels: {app: shop, side: inbound}}
spec:
  role: vip
  addresses: [203.0.113.10/32, \"2001:db8::10/128\"]
  services: [{name: https, protocol: tcp, port: 443}]
";

const POLICY: &str = "\
apiVersion: hedgerow/v1
kind: Policy
metadata: {name: shop-web}
spec:
  tier: application          # emergency > platform > application > baseline
  appliesTo: {segment: shop-web}
  ingress:
    - {name: partners-only, action: allow, from: [{cidr: 198.51.100.0/24}], services: [https]}
  reviewBy: 2027-06-01
";

#[test]
fn the_example_of_the_design_is_read() {
    let documents = read(&format!("{SEGMENT}---\n{POLICY}")).unwrap();
    assert_eq!(documents.len(), 2);
    assert_eq!(
        documents[0].to_json(),
        concat!(
            r#"{"apiVersion":"hedgerow/v1","kind":"Segment","metadata":{"name":"shop-web","labels":{"app":"shop","side":"inbound"}},"#,
            r#""spec":{"role":"vip","addresses":["203.0.113.10/32","2001:db8::10/128"],"services":[{"name":"https","protocol":"tcp","port":443}]}}"#
        )
    );
    assert_eq!(
        documents[1].to_json(),
        concat!(
            r#"{"apiVersion":"hedgerow/v1","kind":"Policy","metadata":{"name":"shop-web"},"spec":{"tier":"application","appliesTo":{"segment":"shop-web"},"#,
            r#""ingress":[{"name":"partners-only","action":"allow","from":[{"cidr":"198.51.100.0/24"}],"services":["https"]}],"reviewBy":"2027-06-01"}}"#
        )
    );
    assert_eq!(documents[1].position.as_ref().unwrap().to_string(), "p.yaml:11:18");
}

#[test]
fn json_is_read_one_document_or_a_list() {
    let json = read(SEGMENT).unwrap()[0].to_json();
    assert_eq!(read(&json).unwrap(), read(SEGMENT).unwrap());
    assert_eq!(read(&format!("[{json},\n{json}]")).unwrap().len(), 2);
}

#[test]
fn what_is_no_yaml_is_refused_where_it_stops_being_it() {
    let found = refused("apiVersion: hedgerow/v1\nkind: [Segment\nspec: {}\n");
    assert!(found.starts_with("p.yaml:3:"), "{found}");
    let found = refused("a: 1\n\tb: 2\n");
    let says = "p.yaml:1:4: this cannot be read as YAML or JSON: while scanning a plain scalar, found a tab (look here";
    assert!(found.starts_with(says), "{found}");
    for (text, place) in [("a: {b: 1\nc", "1:4"), ("a:\n\t- b", "2:2"), ("\"abc", "1:1"), ("a: b: c", "1:5")] {
        let found = refused(text);
        assert!(found.starts_with(&format!("p.yaml:{place}: ")) && found.ends_with("does not match)"), "{found}");
    }
}

#[test]
fn a_field_given_twice_is_refused() {
    let found = refused("kind: Policy\nkind: Segment\n");
    assert!(found.starts_with("p.yaml:2:1: "), "{found}");
    assert!(found.contains("kind"), "{found}");
}

#[test]
fn an_unknown_field_suggests_the_nearest() {
    let found = refused(&POLICY.replace("ingress:", "ingres:"));
    assert!(
        found.starts_with("p.yaml:7:3: `spec` of a Policy has no field `ingres` (did you mean `ingress`?)"),
        "{found}"
    );
    let found = refused(&SEGMENT.replace("metadata: {name", "metadata: {nam"));
    assert!(found.contains("p.yaml:3:12: `metadata` has no field `nam` (did you mean `name`?)"), "{found}");
    assert!(found.contains("p.yaml:3:11: `metadata` has no `name`"), "{found}");
}

#[test]
fn from_and_to_are_told_apart() {
    let found = refused(&POLICY.replace("from:", "to:"));
    assert_eq!(found, "p.yaml:8:44: an ingress rule has no field `to` (the far end of an ingress rule is `from`)");
}

#[test]
fn an_unknown_kind_or_version_suggests() {
    let found = refused(&POLICY.replace("kind: Policy", "kind: Polcy"));
    assert_eq!(found, "p.yaml:2:7: there is no kind \"Polcy\" (did you mean Policy?)");
    let found = refused(&POLICY.replace("hedgerow/v1", "hedgerow/v2"));
    assert_eq!(found, "p.yaml:1:13: there is no language version \"hedgerow/v2\" (write \"hedgerow/v1\")");
}

#[test]
fn what_is_not_yet_supported_says_so() {
    let found = refused(&SEGMENT.replace("kind: Segment", "kind: AddressSet"));
    assert!(found.starts_with("p.yaml:2:7: the kind AddressSet is not yet supported"), "{found}");
    let found = refused(&POLICY.replace("  reviewBy: 2027-06-01", "  schedule: {days: [mon]}"));
    assert!(found.starts_with("p.yaml:9:3: `schedule` in `spec` of a Policy is not yet supported"), "{found}");
    let found = refused(&POLICY.replace("services: [https]", "schedule: {days: [mon]}"));
    assert!(found.starts_with("p.yaml:8:77: `schedule` in an ingress rule is not yet supported"), "{found}");
    let found = refused(&POLICY.replace("  reviewBy: 2027-06-01", "  limits: {newConnections: 10}"));
    assert!(found.starts_with("p.yaml:9:3: `limits` in `spec` of a Policy is not yet supported"), "{found}");
    let found = refused(&POLICY.replace("cidr: 198.51.100.0/24", "addressSet: partners"));
    assert!(found.contains("p.yaml:8:52: `addressSet` in a peer is not yet supported"), "{found}");
}

#[test]
fn host_bits_suggest_the_network_and_the_address() {
    let found = refused(&SEGMENT.replace("203.0.113.10/32", "203.0.113.10/24"));
    assert_eq!(
        found,
        "p.yaml:6:15: 203.0.113.10/24 has bits set after the first 24 \
         (write 203.0.113.0/24 for the network or 203.0.113.10/32 for the address)"
    );
    let found = refused(&POLICY.replace("198.51.100.0/24", "\"2001:db8::1/64\""));
    assert!(
        found.starts_with("p.yaml:8:58: 2001:db8::1/64 has bits set after the first 64 (write 2001:db8::/64"),
        "{found}"
    );
}

#[test]
fn what_is_no_network_is_refused() {
    let found = refused(&SEGMENT.replace("203.0.113.10/32", "203.0.113.0/33"));
    assert_eq!(
        found,
        "p.yaml:6:15: \"203.0.113.0/33\" is not an address or a network (an IPv4 network has at most /32)"
    );
    let found = refused(&SEGMENT.replace("203.0.113.10/32", "shop"));
    assert!(found.starts_with("p.yaml:6:15: \"shop\" is not an address or a network"), "{found}");
}

#[test]
fn a_bare_address_is_the_network_of_itself() {
    let text = SEGMENT.replace("203.0.113.10/32", "203.0.113.10").replace("2001:db8::10/128", "2001:db8::10");
    assert_eq!(read(&text).unwrap(), read(SEGMENT).unwrap());
}

#[test]
fn a_port_range_upside_down_suggests_the_other_way_round() {
    let found = refused(&SEGMENT.replace("port: 443", "portRange: 8099-8000"));
    assert_eq!(found, "p.yaml:7:54: the port range 8099-8000 is upside down (did you mean 8000-8099?)");
    for (wrong, says) in [
        ("port: 65536", "`port` cannot be 65536 (it is from 0 to 65535)"),
        ("port: -1", "`port` cannot be -1"),
        ("port: 8000-8099", "`port` is one port (use `portRange` for several)"),
        ("port: 0443", "`port` is a whole number, and this is a text"),
        ("port: 1_0", "`port` is a whole number, and this is a text"),
        ("port: https", "`port` is a whole number, and this is a text"),
        ("portRange: 80", "`portRange` is a text like 8000-8099, and this is a number"),
        ("portRange: 1-+2", "\"1-+2\" is not a range of ports"),
        ("port: 1, portRange: 1-2", "`port` and `portRange` are both given"),
        ("type: 8", "tcp has no `type` (only icmp and icmpv6 have them)"),
    ] {
        let found = refused(&SEGMENT.replace("port: 443", wrong));
        assert!(found.contains(says), "{wrong}: {found}");
        assert!(found.starts_with("p.yaml:7:"), "{wrong}: {found}");
    }
}

#[test]
fn protocols_are_names_or_numbers() {
    let found = refused(&SEGMENT.replace("protocol: tcp", "protocol: tpc"));
    assert_eq!(found, "p.yaml:7:38: there is no protocol \"tpc\" (did you mean tcp?)");
    let found = refused(&SEGMENT.replace("protocol: tcp", "protocol: vrrp"));
    assert!(found.contains("vrrp has no `port`"), "{found}");
    let by_number = read(&SEGMENT.replace("protocol: tcp", "protocol: 6")).unwrap();
    assert_eq!(by_number, read(SEGMENT).unwrap());
    assert!(refused(&SEGMENT.replace("protocol: tcp", "protocol: 256")).contains("it is from 0 to 255"));
}

#[test]
fn names_have_a_syntax() {
    let found = refused(&SEGMENT.replace("name: shop-web", "name: Shop_Web"));
    assert!(found.starts_with("p.yaml:3:18: `metadata.name` \"Shop_Web\""), "{found}");
    assert!(found.contains("for example \"shop-web\""), "{found}");
    let found = refused(&SEGMENT.replace("name: shop-web", &format!("name: {}", "a".repeat(NAME_CHARS_MAX + 1))));
    assert!(found.contains("is longer than 63 characters"), "{found}");
    let found = refused(&SEGMENT.replace("name: shop-web", "name: 7"));
    assert_eq!(found, "p.yaml:3:18: `metadata.name` is a text, and this is a number (put it in quotes)");
    for builtin in ["any", "members"] {
        let found = refused(&SEGMENT.replace("name: shop-web", &format!("name: {builtin}")));
        assert!(found.contains(&format!("the segment \"{builtin}\" is built in")), "{found}");
    }
}

#[test]
fn names_are_given_once() {
    let found = refused(&SEGMENT.replace("port: 443}]", "port: 443},\n    {name: https, protocol: udp}]"));
    assert_eq!(
        found,
        "p.yaml:8:12: there are two services named \"https\" (the other one is at line 7, column 21; rename or remove one)"
    );
    let found = refused(&POLICY.replace("  reviewBy", "    - {name: partners-only, action: deny}\n  reviewBy"));
    assert!(found.starts_with("p.yaml:9:14: there are two ingress rules named \"partners-only\""), "{found}");
}

#[test]
fn an_empty_list_is_not_everybody() {
    let found = refused(&POLICY.replace("[{cidr: 198.51.100.0/24}]", "[]"));
    assert_eq!(found, "p.yaml:8:50: `from` is empty (leave it out to mean everybody)");
    let found = refused(&POLICY.replace("[https]", "[]"));
    assert!(found.contains("`services` is empty (leave it out to mean all traffic)"), "{found}");
    assert!(read(&POLICY.replace("from: [{cidr: 198.51.100.0/24}], services: [https]", "log: true")).is_ok());
}

#[test]
fn choices_suggest() {
    for (right, wrong, says) in [
        (
            "tier: application",
            "tier: aplication",
            "p.yaml:5:9: `tier` cannot be \"aplication\" (did you mean application?)",
        ),
        (
            "action: allow",
            "action: permit",
            "p.yaml:8:37: `action` cannot be \"permit\" (it is one of allow, deny, pass)",
        ),
        ("2027-06-01", "2027-06-31", "p.yaml:9:13: `reviewBy` cannot be \"2027-06-31\" (write a day as YYYY-MM-DD"),
        ("segment: shop-web", "cidr: 10.0.0.0/8", "p.yaml:6:15: a policy cannot apply to a bare CIDR"),
        ("segment: shop-web", "selector: {}", "p.yaml:6:25: `selector` is empty"),
        ("segment: shop-web", "any: true, segment: x", "p.yaml:6:26: `appliesTo` has both `segment` and `any`"),
        ("  tier: application", "  order: 5", "p.yaml:5:3: `spec` of a Policy has no `tier`"),
    ] {
        let found = refused(&POLICY.replace(right, wrong));
        assert!(found.contains(says) || found.contains(&says.replace(":26:", ":15:")), "{wrong}: {found}");
    }
}

#[test]
fn a_policy_that_says_nothing_is_refused() {
    let text =
        "apiVersion: hedgerow/v1\nkind: Policy\nmetadata: {name: a}\nspec: {tier: platform, appliesTo: {any: true}}\n";
    assert!(refused(text).contains("neither `ingress` nor `egress`"));
    assert!(read(&text.replace("true}}", "true}, ingress: []}")).is_ok());
    let found = refused(&text.replace("true}}", "true}, ingress: }"));
    assert!(found.contains("`ingress` is a list, and this is nothing"), "{found}");
}

#[test]
fn all_findings_are_reported_together() {
    let text =
        SEGMENT.replace("role: vip", "role: vpi").replace("443", "70000") + "---\n" + &POLICY.replace("allow", "alow");
    let found = refused(&text);
    let places: Vec<&str> = found.lines().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(places, ["p.yaml:5:9", "p.yaml:7:49", "p.yaml:16:37"], "{found}");
}

#[test]
fn icmp_messages_have_names_and_numbers() {
    let with = |icmp: &str| POLICY.replace("services: [https]", &format!("icmp: [{icmp}]"));
    assert!(read(&with("echo-request, {family: ipv4, type: 3, code: 4}, {family: ipv6, type: 2}")).is_ok());
    assert!(refused(&with("echo-requst")).contains("did you mean echo-request?"));
    assert!(refused(&with("{type: 3}")).contains("an ICMP message has no `family`"));
    assert!(refused(&with("{family: ipv4, code: 3}")).contains("an ICMP message has no `type`"));
}

#[test]
fn sync_channels_are_documents() {
    let text = "apiVersion: hedgerow/v1\nkind: SyncChannel\nmetadata: {name: our-sync}\nspec: {protocol: udp, port: 9000, interface: vip}\n";
    let documents = read(text).unwrap();
    assert_eq!(
        documents[0].to_json(),
        concat!(
            r#"{"apiVersion":"hedgerow/v1","kind":"SyncChannel","metadata":{"name":"our-sync"},"#,
            r#""spec":{"interface":"vip","protocol":"udp","port":9000}}"#
        )
    );
    assert_eq!(crate::validate(&documents).unwrap().channels[0].name, "our-sync");
    let found = refused(&text.replace(", port: 9000", ""));
    assert!(found.starts_with("p.yaml:4:7: the channel \"our-sync\" has no port"), "{found}");
}

#[test]
fn g15_alias_bombs_and_depth_are_refused() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb += &format!("a{level}: &a{level} [{aliases}]\n");
    }
    assert!(read(&bomb).is_err());
    for deep in ["[".repeat(100_000), "{a: ".repeat(100_000), "- ".repeat(100_000)] {
        let found = refused(&deep);
        assert!(found.contains("nested more than 16 deep, which is the limit"), "{found}");
    }
    let found = refused(&"--- 1\n".repeat(DOCUMENTS_MAX + 2));
    assert!(found.starts_with("p.yaml:20002:1: the text has more documents than 20000"), "{found}");
    let found = refused(&format!("[{}]", "a,".repeat(NODES_MAX + 1)));
    assert!(found.contains("the text has more values than 2000000, which is the limit (use several files"), "{found}");
    let texts = ["a.yaml", "b.yaml", "c.yaml"]
        .map(|name| SourceText { name: name.to_owned(), text: " ".repeat(SOURCE_BYTES_MAX / 2) });
    let found = parse(&texts).unwrap_err().to_string();
    assert!(found.starts_with("c.yaml:1:1: the documents are 50331648 bytes long together"), "{found}");
}

#[test]
fn g15_findings_are_bounded() {
    let fields: String = (0..10_000).map(|number| format!("  f{number}: 1\n")).collect();
    let found =
        read(&format!("apiVersion: hedgerow/v1\nkind: Settings\nmetadata: {{name: a}}\nspec:\n{fields}")).unwrap_err();
    assert_eq!(found.0.len(), crate::diagnostic::DIAGNOSTICS_MAX + 1);
    assert!(found.to_string().ends_with(": and 9900 more findings"), "{found}");
    let found = refused(&SEGMENT.replace("role: vip", "role: \"\\e[31mvip\""));
    assert!(found.contains("\"\u{fffd}[31mvip\""), "{found}");
    let found = refused(&format!("? {}\n: 1\n", "x".repeat(100_000)));
    assert!(found.len() < 2_000, "{found}");
}

#[test]
fn tags_are_refused() {
    let found = refused(&SEGMENT.replace("role: vip", "role: !mine vip"));
    assert!(found.starts_with("p.yaml:5:"), "{found}");
}

#[test]
fn anchors_and_merges_are_read() {
    let text =
        SEGMENT.replace("[203.0.113.10/32, \"2001:db8::10/128\"]", "[&a 203.0.113.10/32, \"2001:db8::10/128\", *a]");
    assert_eq!(crate::validate(&read(&text).unwrap()), crate::validate(&read(SEGMENT).unwrap()));
}

#[test]
fn rendering_points_at_the_place() {
    let text = SEGMENT.replace("203.0.113.10/32", "203.0.113.10/24");
    let source = [SourceText { name: "p.yaml".to_owned(), text }];
    let shown = parse(&source).unwrap_err().render(&source, false);
    assert!(shown.contains("p.yaml:6:15"), "{shown}");
    assert!(shown.contains("addresses: [203.0.113.10/24"), "{shown}");
    assert!(shown.contains("help: write 203.0.113.0/24"), "{shown}");
    let one_line =
        [SourceText { name: "p.json".to_owned(), text: format!("{{\"kind\": \"{}\"}}", "x".repeat(100_000)) }];
    let shown = parse(&one_line).unwrap_err().render(&one_line, false);
    assert!(shown.contains("p.json:1:10: there is no kind \"xxx") && shown.len() < 2_000, "{shown}");
    let colour = parse(&source).unwrap_err().render(&source, true);
    assert!(colour.contains('\u{1b}') && !shown.contains('\u{1b}'));
}

/// Not a benchmark: only that reading does not grow with the square of the input.
#[test]
fn ten_thousand_rules_are_read() {
    let rules: String = (0..10_000u32)
        .map(|number| {
            let [_, _, high, low] = number.to_be_bytes();
            format!("    - {{name: r{number}, action: allow, from: [{{cidr: 10.1.{high}.{low}}}], services: [https, {{protocol: udp, port: 53}}]}}\n")
        })
        .collect();
    let rules: Vec<&str> = rules.lines().collect();
    let policies: String = rules
        .chunks(1_000)
        .enumerate()
        .map(|(number, rules)| {
            let head = POLICY.split("    - ").next().unwrap().replace("name: shop-web}", &format!("name: p{number}}}"));
            format!("---\n{head}{}\n", rules.join("\n"))
        })
        .collect();
    let documents = read(&format!("{SEGMENT}{policies}")).unwrap();
    let model = crate::validate(&documents).unwrap();
    assert_eq!(model.policies.len(), 10);
    let canonical: Vec<Document> =
        documents.iter().map(|document| Document::from_json(&document.to_json()).unwrap()).collect();
    assert_eq!(canonical, documents);
}

#[test]
fn log_sampling_is_one_of_so_many_and_leaves_the_digest_alone_where_it_says_nothing() {
    let settings = |fields: &str| {
        format!(
            "apiVersion: hedgerow/v1\nkind: Settings\nmetadata: {{name: a}}\nspec: {{defaultAction: deny{fields}}}\n"
        )
    };
    let documents = |fields: &str| read(&settings(fields)).unwrap();
    let sampling = |fields: &str| crate::validate(&documents(fields)).unwrap().settings.log_sampling.get();
    assert_eq!((sampling(""), sampling(", logSampling: 100")), (1, 100));
    let digest = |fields: &str| crate::content_digest(&documents(fields));
    assert_eq!(digest(""), digest(", logSampling: 1"));
    assert_ne!(digest(""), digest(", logSampling: 100"));
    let json = documents("")[0].to_json();
    assert!(!json.contains("logSampling"), "{json}");
    assert!(refused(&settings(", logSampling: 0")).contains("take `log` off the rules"));
    assert!(refused(&settings(", logSampling: 1000001")).contains("it is from 0 to 1000000"));
}
