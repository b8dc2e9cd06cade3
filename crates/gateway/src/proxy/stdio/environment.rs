//! What a process finds in its environment: what it needs of ours, and what the operator's templates say of its user.

use mcp_login::core::Secret;
use mcp_login::resource::Caller;
use sha2::{Digest, Sha256};

use super::Launch;
use crate::proxy::error::ProxyError;
use crate::proxy::template::{Template, Values};

/// What every process gets of the gateway's own environment. Secrets of the gateway are often in the rest.
const INHERITED: [&str; 4] = ["PATH", "HOME", "LANG", "TMPDIR"];

/// Tells whether two environments are the same, without holding what is in them.
pub(super) type Fingerprint = [u8; 32];

/// The variables that one user's templates give.
pub(super) struct Environment {
    pub(super) variables: Vec<(String, Secret)>,
    /// What the log must not show.
    pub(super) token: Option<Secret>,
    pub(super) fingerprint: Fingerprint,
    /// The same for every token that its user may have, one after another.
    pub(super) place: Fingerprint,
}

impl Environment {
    /// For this user. Without one there is none where a template needs one: the layer in front asks for a login.
    pub(super) async fn of(launch: &Launch, caller: Option<&Caller>) -> Result<Self, ProxyError> {
        let templates = || launch.env.iter().map(|(_, template)| template);
        let token = match caller {
            None if templates().any(Template::needs_user) => return Err(ProxyError::LoginNeeded),
            Some(caller) if templates().any(Template::needs_upstream_token) => {
                Some(caller.upstream_token().await?)
            }
            _ => None,
        };
        let values = caller.map(|caller| Values { caller, upstream_token: token.as_ref() });
        let blank = Secret::from(String::new());
        let without_token =
            caller.map(|caller| Values { caller, upstream_token: token.as_ref().map(|_| &blank) });
        let (mut hash, mut place) = (Sha256::new(), Sha256::new());
        let mut variables = Vec::new();
        for (name, template) in &launch.env {
            let Some(value) = template.fill_variable(values) else {
                tracing::debug!(variable = name, "left out: a value is missing");
                continue;
            };
            add(&mut hash, name, &value);
            add(&mut place, name, &template.fill_variable(without_token).unwrap_or_default());
            variables.push((name.clone(), Secret::from(value)));
        }
        Ok(Self { variables, token, fingerprint: hash.finalize().into(), place: place.finalize().into() })
    }
}

fn add(hash: &mut Sha256, name: &str, value: &str) {
    for part in [name, value] {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
}

/// The names that a process inherits.
pub(super) fn inherited(launch: &Launch) -> impl Iterator<Item = &str> {
    INHERITED.into_iter().chain(launch.inherit_env.iter().map(String::as_str))
}
