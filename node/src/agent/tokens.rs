//! Which join tokens open this node.

use std::sync::Arc;

use raft::{ReadError, State, TokenRecord};
use tracing::debug;
use transport::{Refusal, Secret, SecretId};

use super::{life::Life, site::now_ms};

/// The secret of a token that the cluster knows and whose time has not passed.
///
/// # Errors
/// The reason for which the token opens nothing.
pub(crate) async fn secret(life: &Life, id: SecretId) -> Result<Secret, Refusal> {
    let mesh = life.mesh().ok_or(Refusal::NotReady)?;
    let (local, _) = mesh.raft.local();
    let token = find(id, &local, now_ms(), || mesh.current()).await?;
    Ok(Secret::from_hash(id, token.secret_hash).for_cluster(mesh.name.cluster))
}

/// Whether a token opens the stream. A used one does whatever the time: its one user may have lost the answer, and the log
/// tells it from others.
fn opens(token: &TokenRecord, now_ms: u64) -> bool {
    token.used_by.is_some() || token.expires_ms > now_ms
}

/// A token that opens, by its id. What this member does not know, or knows as expired without a use, it may only not know
/// yet: then the cluster is asked, by `current`. Of what opens it need not ask: a token is never taken back, and the log
/// judges its use.
async fn find<R>(id: SecretId, local: &State, now_ms: u64, current: impl FnOnce() -> R) -> Result<TokenRecord, Refusal>
where
    R: Future<Output = Result<Arc<State>, ReadError>>,
{
    if let Some(token) = local.tokens.get(&id.0).filter(|token| opens(token, now_ms)) {
        return Ok(token.clone());
    }
    let current = current().await.map_err(|error| {
        debug!(secret = %id, %error, "nobody can say whether a token is known");
        Refusal::Unconfirmed
    })?;
    let token = current.tokens.get(&id.0).ok_or(Refusal::Unknown)?;
    if opens(token, now_ms) { Ok(token.clone()) } else { Err(Refusal::Expired) }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use identity::{Digest, Fingerprint, NodeId};
    use raft::TokenUse;

    use super::*;

    const ID: SecretId = SecretId([3; 16]);
    const NOW_MS: u64 = 1_000;

    fn token() -> TokenRecord {
        TokenRecord { id: ID.0, secret_hash: Digest([7; 32]), expires_ms: u64::MAX, used_by: None }
    }

    fn state(tokens: &[TokenRecord]) -> State {
        let mut state = State::default();
        state.tokens = Arc::new(tokens.iter().map(|token| (token.id, token.clone())).collect::<BTreeMap<_, _>>());
        state
    }

    /// The bug: a follower that had just come back acknowledged a token and, 9 ms later, refused who brought it.
    #[tokio::test]
    async fn g3_a_token_that_this_member_has_not_applied_yet_is_known() {
        let current = || async { Ok(Arc::new(state(&[token()]))) };
        assert_eq!(find(ID, &state(&[]), NOW_MS, current).await, Ok(token()));
        let current = || async { Ok(Arc::new(state(&[]))) };
        assert_eq!(find(ID, &state(&[]), NOW_MS, current).await, Err(Refusal::Unknown));
    }

    #[tokio::test]
    async fn without_a_quorum_no_token_is_called_unknown() {
        let reason = "there is no leader".to_owned();
        let current = || async { Err(ReadError::Unavailable { waited: Duration::from_millis(700), reason }) };
        assert_eq!(find(ID, &state(&[]), NOW_MS, current).await, Err(Refusal::Unconfirmed));
    }

    /// The usual case costs no round through the cluster.
    #[tokio::test]
    async fn a_token_that_this_member_knows_is_not_asked_about() {
        let current = || async { panic!("asked about a token that is known") };
        assert_eq!(find(ID, &state(&[token()]), NOW_MS, current).await, Ok(token()));
    }
    /// Who used a token before it expired and lost the answer asks again, at a member that has not applied the use yet.
    #[tokio::test]
    async fn g3_a_use_that_this_member_has_not_applied_yet_outlives_the_token() {
        let expired = TokenRecord { expires_ms: NOW_MS, ..token() };
        let used = TokenRecord {
            used_by: Some(TokenUse { fingerprint: Fingerprint([9; 32]), node: NodeId::new(4).unwrap() }),
            ..expired.clone()
        };
        let current = || async { Ok(Arc::new(state(std::slice::from_ref(&used)))) };
        assert_eq!(find(ID, &state(std::slice::from_ref(&expired)), NOW_MS, current).await, Ok(used.clone()));
        let current = || async { Ok(Arc::new(state(std::slice::from_ref(&expired)))) };
        assert_eq!(find(ID, &state(std::slice::from_ref(&expired)), NOW_MS, current).await, Err(Refusal::Expired));
    }
}
