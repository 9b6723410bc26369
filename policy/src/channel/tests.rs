//! Declarations and the catalogue.

use super::*;

fn declared(json: serde_json::Value) -> Result<Channel, String> {
    serde_json::from_value(json).map_err(|error| error.to_string())
}

#[test]
fn every_name_of_the_catalogue_is_known_and_no_other() {
    for name in NAMES {
        assert_eq!(catalogue(name).unwrap().name, name);
    }
    assert!(NAMES.is_sorted());
    assert_eq!(catalogue("vvrp"), None);
    assert_eq!(catalogue(HEDGEROW), None);
}

#[test]
fn a_name_alone_is_the_catalogue_but_where_something_must_be_said() {
    for name in NAMES {
        let result = declared(serde_json::json!({ "name": name }));
        match name {
            "haproxy-peers" => assert!(result.unwrap_err().contains("has no port; write `port = …`")),
            "management" => assert!(result.unwrap_err().contains("list the addresses in `from`")),
            _ => assert_eq!(result.unwrap(), catalogue(name).unwrap()),
        }
    }
}

#[test]
fn what_is_declared_changes_the_catalogue() {
    let vrrp = declared(serde_json::json!({
        "name": "vrrp", "interface": "backend", "group": "224.0.0.99", "unicast": false
    }))
    .unwrap();
    assert_eq!(vrrp.interface, Role::Backend);
    let group = "224.0.0.99".parse().unwrap();
    assert_eq!(vrrp.wires[0].ends, Ends::Members { groups: vec![group], unicast: false });
    assert_eq!(vrrp.wires[0].ttl, Some(255));
    let ipvs = declared(serde_json::json!({ "name": "ipvs-sync", "ports": 4 })).unwrap();
    assert_eq!(ipvs.wires[0].ports, Some(PortSpan { first: 8848, count: 4 }));
    let peers = declared(serde_json::json!({ "name": "haproxy-peers", "port": 10000 })).unwrap();
    assert_eq!(peers.wires[0].ports, Some(PortSpan::one(10000)));
    // Corosync's token goes round from node to node, whatever else is multicast.
    let corosync = declared(serde_json::json!({ "name": "corosync-udp", "group": "239.255.1.1" })).unwrap();
    let group = "239.255.1.1".parse().unwrap();
    assert_eq!(corosync.wires[1].ends, Ends::Members { groups: vec![group], unicast: true });
    let conntrackd = declared(serde_json::json!({ "name": "conntrackd", "protocol": "tcp", "group": "225.0.0.50" }));
    assert!(conntrackd.unwrap_err().contains("groups, which do not go with TCP"));
}

#[test]
fn a_channel_may_be_written_out_with_any_protocol() {
    let ospf =
        declared(serde_json::json!({ "name": "ospf", "protocol": 89, "group": "224.0.0.5", "interface": "backend" }));
    let ospf = ospf.unwrap();
    assert_eq!((ospf.wires[0].protocol, ospf.wires[0].ports), (89, None));
    let own = declared(serde_json::json!({ "name": "mine", "protocol": "udp", "port": 9000 })).unwrap();
    assert_eq!(own.wires[0].ends, Ends::Members { groups: vec![], unicast: true });
    let ssh = declared(serde_json::json!({ "name": "management", "from": ["198.51.100.7"] })).unwrap();
    assert_eq!(ssh.wires[0].ends, Ends::From(vec!["198.51.100.7".parse().unwrap()]));
}

#[test]
fn what_makes_no_sense_is_refused_with_advice() {
    let cases = [
        (serde_json::json!({}), "has no name"),
        (serde_json::json!({ "name": "hedgerow" }), "always on"),
        (serde_json::json!({ "name": "vvrp" }), "did you mean \"vrrp\"?"),
        (serde_json::json!({ "name": "x", "protocol": "quick", "port": 1 }), "not known"),
        (serde_json::json!({ "name": "x", "protocol": "tcp" }), "no port"),
        (serde_json::json!({ "name": "vrrp", "port": 112 }), "has no ports"),
        (serde_json::json!({ "name": "consul", "port": 1 }), "several protocols and ports"),
        (serde_json::json!({ "name": "bfd", "port": 0 }), "ports are 1 to 65535"),
        (serde_json::json!({ "name": "ipvs-sync", "port": 65535, "ports": 2 }), "ports are 1 to 65535"),
        (serde_json::json!({ "name": "conntrackd", "group": "10.0.0.1" }), "not a multicast address"),
        (serde_json::json!({ "name": "ssh-sync", "unicast": false }), "open to nobody"),
        (serde_json::json!({ "name": "vrrp", "from": ["10.0.0.1"] }), "needs TCP or UDP"),
        (serde_json::json!({ "name": "vrrp", "prot": 1 }), "unknown field"),
    ];
    for (json, expected) in cases {
        let error = declared(json.clone()).unwrap_err();
        assert!(error.contains(expected), "{json}: {error}");
    }
}
