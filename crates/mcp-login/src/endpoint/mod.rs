//! The endpoints of the authorization server, one file each.

pub(crate) mod account;
pub(crate) mod answer;
mod authenticated;
pub(crate) mod authorize;
pub(crate) mod callback;
pub(crate) mod consent;
mod cookie;
mod ending;
pub(crate) mod introspect;
pub(crate) mod jwks;
pub(crate) mod metadata;
mod origin;
pub(crate) mod rate_limit;
pub(crate) mod register;
pub(crate) mod revoke;
mod session;
mod sign_in;
pub(crate) mod token;

use std::sync::Arc;

use mcp_login_core::Timestamp;
use mcp_login_core::authorize::{AuthorizationRequest, AuthorizationResponse};
use mcp_login_core::client::{DocumentHosts, RedirectPolicy};
use mcp_login_core::resource_indicator::Resources;
use mcp_login_core::token::GrantType;

use self::rate_limit::AddressLimits;
use crate::assertion::Signer;
use crate::client::Clients;
use crate::clock::Clock;
use crate::settings::{AccessRule, Lifetimes, ResourceList};
use crate::store::Store;
use crate::store::records::PersonKey;
use crate::upstream::{SignIns, TrustedIssuer};

/// What the endpoints work with.
#[derive(Debug)]
pub(crate) struct AuthorizationServer {
    /// The issuer identifier, byte for byte (RFC 8414 §2).
    pub(crate) issuer: String,
    /// The origin of the issuer: what our own pages' forms come from.
    pub(crate) origin: String,
    pub(crate) store: Store,
    pub(crate) clients: Clients,
    /// The services that people sign in to.
    pub(crate) sign_ins: SignIns,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) lifetimes: Lifetimes,
    pub(crate) redirects: RedirectPolicy,
    /// The hosts whose documents and keys the operator vouches for.
    pub(crate) document_hosts: DocumentHosts,
    /// Whether clients may register themselves (RFC 7591).
    pub(crate) registration: bool,
    pub(crate) access: AccessRule,
    pub(crate) resources: ResourceList,
    pub(crate) indicators: Resources,
    /// What may be exchanged for tokens.
    pub(crate) grant_types: Vec<GrantType>,
    /// Whose identity assertions are taken.
    pub(crate) trusted_issuers: Vec<TrustedIssuer>,
    pub(crate) limits: AddressLimits,
    /// Who signs assertions, and with which keys.
    pub(crate) signer: Arc<Signer>,
}

impl AuthorizationServer {
    /// The way back to the client that made this request.
    fn response_to<'a>(&'a self, request: &'a AuthorizationRequest) -> AuthorizationResponse<'a> {
        AuthorizationResponse {
            redirect_uri: &request.redirect_uri,
            state: request.state.as_deref(),
            issuer: &self.issuer,
        }
    }

    /// A person of the service of this name. The index of their logins is by what the service is, not by what it is called
    /// here: another service of the same name has other people.
    fn person(&self, upstream: &str, subject: &str) -> PersonKey {
        let realm = self.sign_ins.named(upstream).map(|sign_in| sign_in.upstream.realm());
        PersonKey::new(realm.unwrap_or_default(), subject)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Whether browsers reach us by https: then cookies are `__Host-` ones.
    pub(crate) fn is_https(&self) -> bool {
        self.issuer.starts_with("https:")
    }
}
