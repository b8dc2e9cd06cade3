//! The checks of an authorization request, in the order in which they are made.
//!
//! Until the redirect URI is verified a refusal is shown to the person ([`check_client_id`], then
//! [`crate::client::redirect_uri::check_redirect_uri`]); after that it is sent to the client ([`check_request`]).

use super::AuthorizationRequest;
use crate::client::{
    Client, RedirectPolicy, RedirectUriError, VerifiedRedirectUri, redirect_uri::check_redirect_uri,
};
use crate::dpop::JwkThumbprint;
use crate::error::{ErrorCode, OAuthError};
use crate::params::Params;
use crate::pkce::{self, CodeChallenge};
use crate::resource_indicator::Resources;
use crate::scope::{OFFLINE_ACCESS, Scopes};

/// The longest `state` that is carried back, in bytes: it stands in a URL that browsers and servers have to take.
pub const MAX_STATE_LENGTH: usize = 4096;

/// Which client asks. A refusal is a page.
///
/// Any parameter given twice is refused here already, since two readers could take different copies
/// (RFC 6749 §3.1); identical copies of `resource` are the exception that a real client needs.
pub fn check_client_id(params: &Params) -> Result<&str, OAuthError> {
    if params.has_duplicates(&["resource"]) {
        return Err(OAuthError::invalid_request("a parameter is given more than once"));
    }
    params.one("client_id")?.ok_or_else(|| OAuthError::invalid_request("client_id is missing"))
}

/// Where the answer goes. A refusal is a page.
pub fn check_redirect(
    params: &Params,
    client: &Client,
    policy: &RedirectPolicy,
) -> Result<VerifiedRedirectUri, OAuthError> {
    check_redirect_uri(params.one("redirect_uri")?, &client.redirect_uris, policy)
        .map_err(|error: RedirectUriError| OAuthError::invalid_request(error.to_string()))
}

/// What the checks need to know besides the request.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The servers that tokens are given for.
    pub resources: &'a Resources,
    /// Which scopes a server knows, by its exact URL.
    pub scopes_of: &'a dyn ScopesOf,
}

/// Which scopes there are.
pub trait ScopesOf: std::fmt::Debug {
    /// The baseline that a token for this server needs: what a client gets that asks for nothing.
    fn baseline(&self, resource: &str) -> Scopes;
    /// Every scope that a token for this server can have.
    fn supported(&self, resource: &str) -> Scopes;
}

/// A request whose checks have held.
#[derive(Debug)]
pub struct Checked {
    /// The request.
    pub request: AuthorizationRequest,
    /// The client wants the page shown whatever was approved before (`prompt=consent`).
    pub prompt_consent: bool,
}

/// A refusal that goes to the client.
#[derive(Debug)]
pub struct RedirectError {
    /// Where to.
    pub redirect_uri: VerifiedRedirectUri,
    /// The client's `state`.
    pub state: Option<String>,
    /// Why.
    pub error: OAuthError,
}

/// What the checks find out on their way.
#[derive(Debug, Default)]
struct Findings {
    state: Option<String>,
    resource: String,
    scope: Scopes,
    code_challenge: Option<CodeChallenge>,
    dpop_jkt: Option<JwkThumbprint>,
    prompt_consent: bool,
}

type Check = fn(&Params, &Context<'_>, &mut Findings) -> Result<(), OAuthError>;

/// The table. `state` comes first, because every later refusal has to return it.
const CHECKS: [Check; 9] = [
    check_state,
    check_request_object,
    check_response_type,
    check_response_mode,
    check_code_challenge,
    check_dpop_jkt,
    check_resource,
    check_scope,
    check_prompt,
];

/// Everything about the request that is not the client or its redirect URI. A refusal is a redirect.
pub fn check_request(
    params: &Params,
    client_id: &str,
    redirect_uri: VerifiedRedirectUri,
    context: &Context<'_>,
) -> Result<Checked, RedirectError> {
    let mut findings = Findings::default();
    for check in CHECKS {
        if let Err(error) = check(params, context, &mut findings) {
            return Err(RedirectError { redirect_uri, state: findings.state, error });
        }
    }
    let Some(code_challenge) = findings.code_challenge else {
        return Err(RedirectError { redirect_uri, state: findings.state, error: challenge_missing() });
    };
    let request = AuthorizationRequest {
        client_id: client_id.to_owned(),
        redirect_uri,
        state: findings.state,
        scope: findings.scope,
        resource: findings.resource,
        code_challenge,
        confidential: false,
        dpop_jkt: findings.dpop_jkt,
    };
    Ok(Checked { request, prompt_consent: findings.prompt_consent })
}

/// OAuth 2.1 §4.1.1: opaque, returned as it came.
fn check_state(params: &Params, _: &Context<'_>, findings: &mut Findings) -> Result<(), OAuthError> {
    match params.one("state")? {
        Some(state) if state.len() > MAX_STATE_LENGTH => {
            Err(OAuthError::invalid_request("state may be 4096 bytes long"))
        }
        state => {
            findings.state = state.map(str::to_owned);
            Ok(())
        }
    }
}

/// RFC 9101 request objects are not taken (`OpenID` Connect Core §3.1.2.6 has the codes).
fn check_request_object(params: &Params, _: &Context<'_>, _: &mut Findings) -> Result<(), OAuthError> {
    if params.has("request") {
        let description = "request objects are not supported";
        return Err(OAuthError::new(ErrorCode::RequestNotSupported, description));
    }
    if params.has("request_uri") {
        let description = "request_uri is not supported";
        return Err(OAuthError::new(ErrorCode::RequestUriNotSupported, description));
    }
    Ok(())
}

/// OAuth 2.1 §4.1.1: `code` is the only one.
fn check_response_type(params: &Params, _: &Context<'_>, _: &mut Findings) -> Result<(), OAuthError> {
    match params.one("response_type")? {
        Some("code") => Ok(()),
        Some(_) => Err(OAuthError::new(ErrorCode::UnsupportedResponseType, "response_type has to be code")),
        None => Err(OAuthError::invalid_request("response_type is missing; it has to be code")),
    }
}

/// The metadata lists `query` only.
fn check_response_mode(params: &Params, _: &Context<'_>, _: &mut Findings) -> Result<(), OAuthError> {
    match params.one("response_mode")? {
        None | Some("query") => Ok(()),
        Some(_) => Err(OAuthError::invalid_request("response_mode has to be query")),
    }
}

fn challenge_missing() -> OAuthError {
    OAuthError::invalid_request("code_challenge is missing: PKCE with S256 is required (RFC 7636)")
}

/// RFC 7636 §4.3 and §4.4.1. A missing method means `plain` there, which is not offered.
fn check_code_challenge(params: &Params, _: &Context<'_>, findings: &mut Findings) -> Result<(), OAuthError> {
    let challenge = params.one("code_challenge")?.ok_or_else(challenge_missing)?;
    if params.one("code_challenge_method")? != Some(pkce::S256) {
        return Err(OAuthError::invalid_request("code_challenge_method has to be S256"));
    }
    let challenge = CodeChallenge::parse(challenge).map_err(|_| {
        OAuthError::invalid_request("code_challenge is not 43 characters of base64url (RFC 7636 section 4.2)")
    })?;
    findings.code_challenge = Some(challenge);
    Ok(())
}

/// RFC 9449 §10.
fn check_dpop_jkt(params: &Params, _: &Context<'_>, findings: &mut Findings) -> Result<(), OAuthError> {
    findings.dpop_jkt = params.one("dpop_jkt")?.map(JwkThumbprint::parse).transpose().map_err(|_| {
        OAuthError::invalid_request("dpop_jkt is not the SHA-256 thumbprint of a key (RFC 9449 section 10)")
    })?;
    Ok(())
}

/// RFC 8707 §2.
fn check_resource(params: &Params, context: &Context<'_>, findings: &mut Findings) -> Result<(), OAuthError> {
    let named = context.resources.named(params)?;
    named.unwrap_or_else(|| context.resources.default()).clone_into(&mut findings.resource);
    Ok(())
}

/// OAuth 2.1 §3.2.2.1: unknown scopes are left out, and the token answer tells what was given. Some clients ask for
/// scopes of their own and nothing else: they get what one gets that asks for nothing.
fn check_scope(params: &Params, context: &Context<'_>, findings: &mut Findings) -> Result<(), OAuthError> {
    let asked = Scopes::parse(params.one("scope")?.unwrap_or_default())
        .map_err(|_| {
            OAuthError::new(ErrorCode::InvalidScope, "scope is not a list of scopes (RFC 6749 section 3.3)")
        })?
        .without(OFFLINE_ACCESS);
    findings.scope = asked.intersection(&context.scopes_of.supported(&findings.resource));
    if findings.scope.is_empty() {
        findings.scope = context.scopes_of.baseline(&findings.resource);
    }
    Ok(())
}

/// `OpenID` Connect Core §3.1.2.1: nobody can be logged in without a page here.
fn check_prompt(params: &Params, _: &Context<'_>, findings: &mut Findings) -> Result<(), OAuthError> {
    let prompts: Vec<&str> = params.one("prompt")?.unwrap_or_default().split(' ').collect();
    if prompts.contains(&"none") {
        let description = "a person has to see the page; ask again without prompt=none";
        return Err(OAuthError::new(ErrorCode::ConsentRequired, description));
    }
    findings.prompt_consent =
        prompts.iter().any(|prompt| matches!(*prompt, "consent" | "login" | "select_account"));
    Ok(())
}

#[cfg(test)]
#[path = "checks/tests.rs"]
mod tests;
