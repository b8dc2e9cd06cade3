//! [`Protection`]: what one MCP server asks of a request, and how it refuses.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::OriginalUri;
use axum::http::header::USER_AGENT;
use axum::http::{HeaderMap, Request};
use axum::response::Response;
use mcp_login_core::dpop::DpopError;
use mcp_login_core::mcp::{PublicMethods, ToolScopes};
use mcp_login_core::scope::Scopes;
use url::Url;

use super::access::ChallengeForm;
use super::challenge::{Challenge, Scheme};
use super::verify::Verifier;

/// What one MCP server asks of a request.
#[derive(Debug)]
pub(crate) struct Protection {
    pub(crate) verifier: Arc<Verifier>,
    /// The exact URL of the server: the audience of its tokens.
    pub(crate) resource: String,
    pub(crate) challenge: Challenge,
    /// What every token needs.
    pub(crate) baseline: Scopes,
    /// What single calls need besides.
    pub(crate) tool_scopes: ToolScopes,
    /// What anybody may do; `None` where every request needs a user.
    pub(crate) public: Option<PublicMethods>,
    /// How calls are refused that need a login, where discovery is public.
    pub(crate) form: ChallengeForm,
    /// Whether lists of tools leave out what the caller may not call.
    pub(crate) hides_tools: bool,
    /// The query parameter that names a session, where one does.
    pub(crate) session_query: Option<String>,
    /// Which clients read a refusal in a result, by their `User-Agent`, for [`ChallengeForm::Auto`].
    pub(crate) looks_into_results: fn(&str) -> bool,
}

impl Protection {
    /// The client learns that its token is not good; the operator reads why.
    pub(super) fn refuse_token(&self, reason: &'static str, scheme: Scheme) -> Response {
        tracing::info!(resource = self.resource, reason, "refused with 401: a bad token");
        self.challenge.invalid_token(scheme)
    }

    pub(super) fn refuse_proof(&self, reason: DpopError) -> Response {
        tracing::info!(resource = self.resource, %reason, "refused with 401: a bad DPoP proof");
        self.challenge.invalid_proof(reason)
    }

    pub(super) fn refuse_anonymous(&self, reason: &'static str, scheme: Scheme) -> Response {
        tracing::info!(resource = self.resource, reason, "refused with 401: no token");
        self.challenge.login_needed(scheme)
    }

    /// Whether a request is to the server's own URL, not to something below it.
    pub(super) fn is_own_path(&self, request: &Request<Body>) -> bool {
        let asked = asked_path(request);
        let own = Url::parse(&self.resource);
        own.is_ok_and(|own| own.path() == asked || asked.strip_suffix('/') == Some(own.path()))
    }

    /// Whether the client looks for a refusal in the result of its call.
    pub(super) fn is_read_in_result(&self, headers: &HeaderMap) -> bool {
        match self.form {
            ChallengeForm::Http => false,
            ChallengeForm::Result => true,
            ChallengeForm::Auto => {
                let agent = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok());
                agent.is_some_and(self.looks_into_results)
            }
        }
    }
}

/// The path that was asked for, whatever the routers in front have taken off it.
pub(super) fn asked_path(request: &Request<Body>) -> &str {
    let original = request.extensions().get::<OriginalUri>().map(|original| original.0.path());
    original.unwrap_or_else(|| request.uri().path())
}
