use dataplane::{ImageSize, PrepareError, TableSizes};
use policy::{CompileLimits, Image, SourceText};

use super::*;

fn config(tables: &str) -> Config {
    let text = format!(
        "name = \"lb1\"\n[cluster]\nlisten = \"10.77.0.1:7400\"\n[[interface]]\nname = \"eth0\"\nrole = \"cluster\"\n\
         [dataplane]\nmode = \"userspace\"\n[dataplane.tables]\n{tables}\n"
    );
    Config::parse("hedgerow.toml", &text).unwrap()
}

/// A policy with so many rules with rate limits, as every node compiles it.
fn limited(rules: u16) -> Image {
    let rule = |port: u16| {
        format!("{{name: r{port}, action: allow, services: [{{protocol: tcp, port: {port}}}], limits: {{packets: 1}}}}")
    };
    let rules: Vec<String> = (1..=rules).map(rule).collect();
    let text = format!(
        "apiVersion: hedgerow/v1\nkind: Policy\nmetadata: {{name: p}}\n\
         spec: {{tier: platform, appliesTo: {{any: true}}, ingress: [{}]}}\n",
        rules.join(", ")
    );
    let documents = policy::parse(&[SourceText { name: "p.yaml".to_owned(), text }]).unwrap();
    policy::compile(&policy::validate(&documents).unwrap(), &[], &CompileLimits::default()).unwrap()
}

#[test]
fn the_kernel_gets_the_sizes_of_the_configuration() {
    let sizes = kernel_config(&config("image = \"small\"\nflows = 2048"), &[]).sizes;
    assert_eq!(sizes, TableSizes { flows: 2_048, ..TableSizes::of(ImageSize::Small) });
    assert_eq!(kernel_config(&config(""), &[]).sizes, TableSizes::default());
}

/// G18: what the other nodes have room for may be too large for this one. It says what to do, and goes on with what it had.
#[test]
fn g18_a_policy_past_the_small_tables_is_refused_with_the_key_to_change() {
    let image = limited(1_025);
    let mut small = open_enforcer(&config("image = \"small\""), &[]).unwrap().enforcer;
    let fits = small.prepare(1, &limited(1_024), &[]).unwrap();
    let live = small.activate(fits).unwrap();
    let error = small.prepare(2, &image, &[]).unwrap_err();
    assert!(matches!(error, PrepareError::TooLarge { needed: 1_025, available: 1_024, .. }), "{error}");
    let says =
        "raise the table sizes (`dataplane.tables.image = \"large\"` in the configuration) or simplify the policy";
    assert!(error.to_string().contains(says), "{error}");
    assert_eq!(small.active(), Some(live));
    let mut large = open_enforcer(&config(""), &[]).unwrap().enforcer;
    assert!(large.prepare(2, &image, &[]).is_ok());
}
