use std::{
    collections::BTreeSet,
    io::{Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    time::Duration,
};

use super::*;
use crate::{
    client::ClientError,
    peer::{ApiError, double::Rig},
    view::{self, ErrorBody, Finding},
};

/// Sends bytes on a connection of their own and reads the whole answer.
fn raw(rig: &Rig, request: &str) -> String {
    let mut stream = UnixStream::connect(&rig.socket).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn raw_post(rig: &Rig, path: &str, body: &str) -> String {
    let length = body.len();
    raw(rig, &format!("POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"))
}

fn raw_get(rig: &Rig, path: &str) -> String {
    raw(rig, &format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"))
}

fn refused(error: ClientError) -> ErrorBody {
    match error {
        ClientError::Refused(body) => *body,
        other => panic!("not refused by the agent: {other}"),
    }
}

fn apply_request() -> view::ApplyRequest {
    view::ApplyRequest {
        sources: vec![view::Source { name: "a.yaml".to_owned(), text: "kind: Segment\n".to_owned() }],
        prune: false,
        expect_revision: Some(7),
        message: "why".to_owned(),
        dry_run: false,
        wait: view::Wait::Quorum,
        timeout_ms: Some(500),
        request_id: Some(view::RequestId(0xff)),
    }
}

#[test]
fn what_the_client_asks_is_what_the_node_is_asked() {
    let rig = Rig::start();
    let request = apply_request();
    let answer = rig.wait(rig.client().apply(&request)).unwrap();
    assert_eq!(answer.revision, 8);
    let call = rig.double.only_call();
    assert!(call.contains(&format!("{request:?}")), "{call}");
}

#[test]
fn every_request_of_the_client_is_answered() {
    let rig = Rig::start();
    let client = rig.client();
    rig.wait(async {
        let read = view::ConsistencyQuery { consistency: view::Consistency::Local };
        let explain = view::ExplainQuery {
            src: "2001:db8::1".parse().unwrap(),
            dst: "2001:db8::2".parse().unwrap(),
            service: "icmpv6/135".parse().unwrap(),
            revision: Some(3),
        };
        assert!(client.health().await.unwrap().ready);
        client.status().await.unwrap();
        client.members().await.unwrap();
        client.channels().await.unwrap();
        client.flows(&view::FlowsQuery { limit: Some(3), ..Default::default() }).await.unwrap();
        client.policy(&view::PolicyQuery { name: Some("shop web".to_owned()), ..Default::default() }).await.unwrap();
        client.explain(&explain).await.unwrap();
        client.history(read).await.unwrap();
        client.segments(read).await.unwrap();
        client.init().await.unwrap();
        client.join(&view::JoinRequest { token: " hrt1.abc\n".to_owned(), timeout_ms: None }).await.unwrap();
        client.leave(&view::LeaveRequest { node: None }).await.unwrap();
        client.create_token(&view::TokenRequest { ttl_ms: None }).await.unwrap();
        client.arm().await.unwrap();
    });
    let calls = rig.double.calls.lock().unwrap().join("\n");
    for asked in [
        "name: Some(\"shop web\")",
        "src: 2001:db8::1, dst: 2001:db8::2, service: FlowService { protocol: 58, port: 34560 }, revision: Some(3)",
        "flows FlowsQuery { limit: Some(3), since: None, wait_ms: None }",
        "history Local",
        "token: \"hrt1.abc\"",
        "3600s",
    ] {
        assert!(calls.contains(asked), "missing: {asked}\nin:\n{calls}");
    }
}

/// G16: the actor is the user that the kernel says is at the other end.
#[test]
fn the_actor_is_the_user_at_the_other_end() {
    let rig = Rig::start();
    rig.wait(rig.client().arm()).unwrap();
    let me = nix::unistd::User::from_uid(nix::unistd::Uid::current()).unwrap().unwrap().name;
    assert_eq!(rig.double.only_call(), format!("arm Actor({me:?})"));
}

#[test]
fn only_owner_and_group_may_use_the_socket() {
    let rig = Rig::start();
    let mode = std::fs::metadata(&rig.socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
}

#[test]
fn every_kind_of_error_has_its_status_and_says_what_it_says() {
    let finding = Finding {
        file: "a.yaml".to_owned(),
        line: 3,
        column: 8,
        length: 4,
        message: "no segment `shp`".to_owned(),
        help: Some("did you mean `shop`?".to_owned()),
    };
    let message = || "because".to_owned();
    let unavailable = ApiError::Unavailable { message: message(), may_have_committed: false };
    let cases = [
        (ApiError::findings(vec![finding]), 400),
        (ApiError::Forbidden { message: message() }, 403),
        (ApiError::NotFound { message: message(), help: None }, 404),
        (ApiError::Conflict { message: message(), revision: Some(9) }, 409),
        (ApiError::TooLarge { message: message() }, 413),
        (ApiError::not_ready("because", "wait"), 503),
        (unavailable, 503),
        (ApiError::Deadline { message: message(), may_have_committed: true }, 504),
        (ApiError::internal("because"), 500),
    ];
    let rig = Rig::start();
    for (error, status) in cases {
        rig.fail_with(error.clone());
        let line = raw_get(&rig, "/v1/members");
        assert!(line.starts_with(&format!("HTTP/1.1 {status} ")), "{error:?}: {line}");
        let mut body = refused(rig.wait(rig.client().members()).unwrap_err());
        assert!(body.request_id.take().is_some_and(|id| !id.is_empty()));
        assert_eq!(body, error.body());
    }
}

/// A write without a quorum says whether it may have been committed.
#[test]
fn an_open_outcome_is_said() {
    let rig = Rig::start();
    for may_have_committed in [false, true] {
        rig.fail_with(ApiError::Unavailable { message: "no quorum".to_owned(), may_have_committed });
        let body = refused(rig.wait(rig.client().apply(&apply_request())).unwrap_err());
        assert_eq!(body.may_have_committed, Some(may_have_committed));
        assert!(body.help.unwrap().contains(if may_have_committed {
            "may have been committed"
        } else {
            "nothing was committed"
        }));
    }
}

#[test]
fn requests_out_of_bounds_never_reach_the_node() {
    let rig = Rig::start();
    let four_hours_and_more = DISARM_MAX.as_millis() + 1;
    let long = "x".repeat(MESSAGE_BYTES_MAX + 1);
    let cases = [
        ("/v1/disarm", r#"{"reason": " ", "duration_ms": 1000}"#.to_owned(), "a disarm needs a reason"),
        ("/v1/disarm", format!(r#"{{"reason": "r", "duration_ms": {four_hours_and_more}}}"#), "at most 4 hours"),
        ("/v1/cluster/tokens", r#"{"ttl_ms": 0}"#.to_owned(), "a token is good for more than 0"),
        ("/v1/cluster/join", r#"{"token": ""}"#.to_owned(), "this is not a token"),
        ("/v1/policy", r#"{"sources": []}"#.to_owned(), "there is nothing to apply"),
        ("/v1/policy/rollback", r#"{"to": 1, "timeout_ms": 999999999}"#.to_owned(), "at most 300 s"),
        ("/v1/policy/rollback", format!(r#"{{"to": 1, "message": "{long}"}}"#), "a message has at most 1000"),
        ("/v1/policy", r#"{"source": []}"#.to_owned(), "unknown field `source`"),
        ("/v1/policy", "{".to_owned(), "EOF while parsing"),
        ("/v1/policy/rollback", r#"{"to": 1, "request_id": "zz"}"#.to_owned(), "`zz` is not a request id"),
    ];
    for (path, body, said) in cases {
        let answer = raw_post(&rig, path, &body);
        assert!(answer.starts_with("HTTP/1.1 400 "), "{path}: {answer}");
        assert!(answer.contains(said), "wanted: {said}\nfound: {answer}");
    }
    for (path, said) in [
        ("/v1/policy/explain?src=10.0.0.1&dst=::1&service=tcp/80", "not of one address family"),
        ("/v1/policy/explain?src=10.0.0.1&dst=10.0.0.2&service=tpc/80", "`tpc` is not a protocol"),
        ("/v1/policy/explain?src=10.0.0.1", "missing field `dst`"),
        ("/v1/policy?consistency=sometimes", "unknown variant `sometimes`"),
        ("/v1/flows?limit=0", "from 1 to 1000 flow events, not 0"),
        ("/v1/flows?wait_ms=300001", "at most 300 s"),
    ] {
        let answer = raw_get(&rig, path);
        assert!(answer.starts_with("HTTP/1.1 400 "), "{path}: {answer}");
        assert!(answer.contains(said), "wanted: {said}\nfound: {answer}");
    }
    assert!(rig.double.calls.lock().unwrap().is_empty());
}

/// G15: a body beyond the bound is refused, before it is read if its length is announced.
#[test]
fn a_body_beyond_the_bound_is_refused() {
    let rig = Rig::start();
    let head = "POST /v1/policy HTTP/1.1\r\nhost: x\r\nconnection: close\r\n";
    let announced = format!("{head}content-length: {}\r\n\r\n", BODY_BYTES_MAX + 1);
    let chunk = "x".repeat(BODY_BYTES_MAX + 1);
    let in_chunks = format!("{head}transfer-encoding: chunked\r\n\r\n{:x}\r\n{chunk}", chunk.len());
    for request in [announced, in_chunks] {
        let answer = raw(&rig, &request);
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        assert!(answer.contains("\"kind\":\"too_large\""), "{answer}");
        assert!(answer.contains("apply the documents in parts"), "the way on is said: {answer}");
    }
}

#[test]
fn what_does_not_exist_is_said_in_the_same_form() {
    let rig = Rig::start();
    let no_path = raw_get(&rig, "/v2/status");
    assert!(no_path.starts_with("HTTP/1.1 404 ") && no_path.contains("there is nothing at /v2/status"), "{no_path}");
    let no_method = raw_post(&rig, "/v1/status", "");
    assert!(no_method.contains("/v1/status does not answer to POST"), "{no_method}");
}

#[test]
fn the_id_of_a_request_is_kept_if_it_is_plain() {
    let rig = Rig::start();
    let with = |id: &str| {
        raw(&rig, &format!("GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-request-id: {id}\r\n\r\n"))
    };
    assert!(with("abc-1.2_3").contains("x-request-id: abc-1.2_3\r\n"));
    let forged = with("a b");
    assert!(forged.contains("x-request-id: ") && !forged.contains("x-request-id: a b"), "{forged}");
}

/// The document describes every route, and nothing that is not there: the paths of the contract.
#[test]
fn the_document_describes_every_route() {
    let document = openapi();
    let described: BTreeSet<&str> = document.paths.paths.keys().map(String::as_str).collect();
    let expected = BTreeSet::from([
        "/healthz",
        "/metrics",
        "/openapi.json",
        "/v1/arm",
        "/v1/channels",
        "/v1/cluster/init",
        "/v1/cluster/join",
        "/v1/cluster/leave",
        "/v1/cluster/tokens",
        "/v1/disarm",
        "/v1/flows",
        "/v1/members",
        "/v1/policy",
        "/v1/policy/diff",
        "/v1/policy/explain",
        "/v1/policy/history",
        "/v1/policy/rollback",
        "/v1/segments",
        "/v1/status",
    ]);
    assert_eq!(described, expected);
    let policy = &document.paths.paths["/v1/policy"];
    assert!(policy.get.is_some() && policy.post.is_some());
}

/// Every schema that the document refers to is in it.
#[test]
fn the_document_is_whole() {
    let rig = Rig::start();
    let text = rig.wait(rig.client().text("/openapi.json")).unwrap();
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    let marker = "\"#/components/schemas/";
    let referred: BTreeSet<&str> =
        text.match_indices(marker).filter_map(|(at, _)| text[at + marker.len()..].split('"').next()).collect();
    assert!(referred.contains("Status") && referred.contains("ErrorBody"), "{referred:?}");
    for name in referred {
        assert!(document.pointer(&format!("/components/schemas/{name}")).is_some(), "{name} is not described");
    }
}

#[test]
fn numbers_are_answered_as_openmetrics() {
    let rig = Rig::start();
    rig.wait(rig.client().status()).unwrap();
    let answer = raw_get(&rig, "/metrics");
    assert!(answer.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"), "{answer}");
    assert!(answer.contains("hedgerow_revision_applied 7"), "{answer}");
    assert!(answer.contains("route=\"/v1/status\",code=\"200\""), "{answer}");
}

#[test]
fn a_second_agent_on_the_socket_is_refused_and_a_stale_socket_is_replaced() {
    let rig = Rig::start();
    let socket = rig.socket.clone();
    let again = rig.wait(async { UnixApi::bind(&socket) }).unwrap_err();
    assert!(matches!(again, ServeError::InUse { .. }), "{again}");

    let directory = tempfile::tempdir().unwrap();
    let stale = directory.path().join("api.sock");
    drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
    rig.wait(async { UnixApi::bind(&stale) }).unwrap();
}

/// A stop lets connections go that have nothing under way, and takes the socket away.
#[test]
fn a_stop_is_prompt_and_leaves_nothing_behind() {
    let rig = Rig::start();
    let socket = rig.socket.clone();
    let idle = UnixStream::connect(&socket).unwrap();
    rig.wait(rig.client().health()).unwrap();
    let started = std::time::Instant::now();
    rig.stop();
    assert!(started.elapsed() < SHUTDOWN_MAX + Duration::from_secs(1));
    assert!(!socket.exists());
    drop(idle);
}

mod remote;
