//! Policy documents for tests.

use node::view::{ApplyRequest, Source, Wait};

/// A segment `web` and a policy that lets one network in; everything else to it is refused.
pub(crate) const WEB: &str = r#"apiVersion: hedgerow/v1
kind: Segment
metadata: {name: web, labels: {app: shop}}
spec:
  role: vip
  addresses: [203.0.113.10/32, "2001:db8::10/128"]
  services: [{name: https, protocol: tcp, port: 443}]
---
apiVersion: hedgerow/v1
kind: Policy
metadata: {name: web}
spec:
  tier: application
  appliesTo: {segment: web}
  ingress:
    - {name: partners, action: allow, from: [{cidr: 198.51.100.0/24}], services: [https]}
"#;

/// A segment of this name with this address: one document that differs from the next.
pub(crate) fn segment(name: &str, address: &str) -> String {
    format!(
        "apiVersion: hedgerow/v1\nkind: Segment\nmetadata: {{name: {name}}}\n\
         spec: {{role: backend, addresses: [{address}]}}\n"
    )
}

/// A request to apply one text.
pub(crate) fn request(text: &str) -> ApplyRequest {
    ApplyRequest {
        sources: vec![Source { name: "test.yaml".to_owned(), text: text.to_owned() }],
        prune: false,
        expect_revision: None,
        message: "a test".to_owned(),
        dry_run: false,
        wait: Wait::All,
        timeout_ms: None,
        request_id: None,
    }
}
