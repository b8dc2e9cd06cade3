//! The authorization endpoint: the checks, the page, the answer. RFC 6749 §4.1.1, RFC 7636.

use std::collections::HashMap;
use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Form, Query, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, LOCATION, REFERRER_POLICY};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use mcp_login::core::Secret;
use mcp_login::page::{self, ErrorPage};
use serde::Deserialize;
use url::Url;

use super::SignIn;
use super::person::{PEOPLE, Person};
use super::session::{Request, Scope};

/// What this page adds to the common style.
const STYLE: &str = include_str!("../../../templates/sign_in.css");
/// The longest `state` that is sent back.
const MAX_STATE: usize = 2048;

/// What is wrong with an authorization request.
#[derive(Debug)]
enum Fault {
    /// The client or the redirect URI is not known, so nobody is sent anywhere.
    Page { code: &'static str, what: &'static str },
    /// Told to the client (RFC 6749 §4.1.2.1).
    Redirect { code: &'static str, what: &'static str, state: Option<String> },
}

/// `GET /authorize`: checks the request and shows who one can be.
pub(super) async fn show(
    State(service): State<Arc<SignIn>>,
    query: Result<Query<Vec<(String, String)>>, QueryRejection>,
) -> Response {
    let Ok(Query(pairs)) = query else {
        return page_fault("invalid_request", "The request could not be read.");
    };
    match check(&service, &pairs) {
        Ok(request) => {
            let now = service.now();
            let Some(page) = service.sessions().open_page(request, now) else { return broken() };
            SignInPage { people: &PEOPLE, request: page.expose_secret() }.into_response()
        }
        Err(fault) => service.refuse(fault),
    }
}

/// The form's fields.
#[derive(Deserialize)]
pub(super) struct Answer {
    request: Secret,
    person: String,
}

/// `POST /authorize`: a person has chosen.
pub(super) async fn answer(
    State(service): State<Arc<SignIn>>,
    form: Result<Form<Answer>, FormRejection>,
) -> Response {
    let Ok(Form(answer)) = form else {
        return page_fault("invalid_request", "The form could not be read.");
    };
    let now = service.now();
    let Some(request) = service.sessions().close_page(&answer.request, now) else {
        return page_fault(
            "invalid_request",
            "This page has been answered before, or was left open for too long.",
        );
    };
    let state = request.state.clone();
    let Some(person) = Person::of(&answer.person) else {
        return service.refuse(Fault::Redirect {
            code: "access_denied",
            what: "nobody was chosen",
            state: Some(state),
        });
    };
    let Some(code) = service.sessions().issue_code(request, person, now) else { return broken() };
    service.redirect(&[("code", code.expose_secret()), ("state", &state)])
}

/// Any other path.
pub(super) async fn nothing_here() -> Response {
    let page = ErrorPage {
        status: 404,
        title: "There is nothing at this address",
        what_happened: "This is the sign-in service of the mcp-login demo. Its page is shown when a login is started.",
        what_to_do: "Add the demo's MCP server to your program, as the demo prints when it starts.",
        code: "not_found",
        request_id: None,
        back: None,
    };
    (StatusCode::NOT_FOUND, page::security_headers(&[]), page.render()).into_response()
}

/// The checks, in the order that keeps an unchecked redirect URI from being used.
fn check(service: &SignIn, pairs: &[(String, String)]) -> Result<Request, Fault> {
    let mut parameters: HashMap<&str, &str> = HashMap::new();
    let mut twice = false;
    for (name, value) in pairs {
        // RFC 6749 §3.1: a parameter without a value is absent, and none may come twice.
        if !value.is_empty() {
            twice |= parameters.insert(name, value).is_some();
        }
    }
    let parameter = |name: &str| parameters.get(name).copied();
    let page = |what| Fault::Page { code: "invalid_request", what };
    if parameter("client_id") != Some(service.client_id.as_str()) {
        return Err(Fault::Page { code: "unauthorized_client", what: "The client_id is not known here." });
    }
    if parameter("redirect_uri") != Some(service.redirect_uri.as_str()) {
        return Err(page("The redirect_uri is missing or is not the one that is registered."));
    }
    if twice {
        return Err(page("A parameter was sent twice."));
    }
    let state = parameter("state").filter(|state| state.len() <= MAX_STATE);
    let fault = |code, what| Fault::Redirect { code, what, state: state.map(str::to_owned) };
    let Some(state_text) = state else {
        return Err(fault("invalid_request", "state is required, with 2048 characters at the most"));
    };
    match parameter("response_type") {
        Some("code") => {}
        None => return Err(fault("invalid_request", "response_type is missing")),
        Some(_) => return Err(fault("unsupported_response_type", "only response_type=code is served")),
    }
    let Some(code_challenge) = parameter("code_challenge").filter(|challenge| is_s256(challenge)) else {
        return Err(fault(
            "invalid_request",
            "code_challenge is required: 43 characters of base64url (RFC 7636)",
        ));
    };
    if parameter("code_challenge_method") != Some("S256") {
        return Err(fault("invalid_request", "code_challenge_method must be S256"));
    }
    let Some(scope) = Scope::parse(parameter("scope")) else {
        return Err(fault("invalid_scope", "the scopes are profile and email"));
    };
    Ok(Request { state: state_text.to_owned(), code_challenge: code_challenge.to_owned(), scope })
}

/// The form of base64url(SHA-256): RFC 7636 §4.2.
fn is_s256(challenge: &str) -> bool {
    challenge.len() == 43 && challenge.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

impl SignIn {
    fn refuse(&self, fault: Fault) -> Response {
        match fault {
            Fault::Page { code, what } => page_fault(code, what),
            Fault::Redirect { code, what, state } => {
                let mut answer = vec![("error", code), ("error_description", what)];
                if let Some(state) = &state {
                    answer.push(("state", state));
                }
                self.redirect(&answer)
            }
        }
    }

    /// 303, so that the browser comes with GET also after a form (RFC 9110 §15.4.4).
    fn redirect(&self, answer: &[(&str, &str)]) -> Response {
        let Ok(mut location) = Url::parse(&self.redirect_uri) else { return broken() };
        location.query_pairs_mut().extend_pairs(answer);
        let Ok(location) = HeaderValue::from_str(location.as_str()) else { return broken() };
        let headers = [
            (LOCATION, location),
            (CACHE_CONTROL, HeaderValue::from_static("no-store")),
            (REFERRER_POLICY, HeaderValue::from_static(page::REFERRER_POLICY)),
        ];
        (StatusCode::SEE_OTHER, headers).into_response()
    }
}

fn page_fault(code: &'static str, what: &'static str) -> Response {
    let page = ErrorPage {
        status: 400,
        title: "This sign-in cannot be used",
        what_happened: what,
        what_to_do: "Go back to your program and connect again.",
        code,
        request_id: None,
        back: None,
    };
    (StatusCode::BAD_REQUEST, page::security_headers(&[]), page.render()).into_response()
}

fn broken() -> Response {
    let page = ErrorPage {
        status: 500,
        title: "The demo sign-in has failed",
        what_happened: "The service could not finish what it was doing.",
        what_to_do: "Try again; if it stays like this, start the demo anew.",
        code: "server_error",
        request_id: None,
        back: None,
    };
    (StatusCode::INTERNAL_SERVER_ERROR, page::security_headers(&[]), page.render()).into_response()
}

/// Who one can be. The form works without a script; what it posts is the page's secret and the button pressed.
#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage<'a> {
    people: &'static [Person],
    request: &'a str,
}

impl SignInPage<'_> {
    fn into_response(self) -> Response {
        match self.render() {
            Ok(html) => (headers(), Html(html)).into_response(),
            Err(_) => broken(),
        }
    }
}

/// The common headers, with this page's own style let in beside the common one. There is no `form-action`,
/// because browsers hold it against what follows the form, too: the gateway's callback and the redirect URI of whichever
/// MCP client it is.
fn headers() -> HeaderMap {
    let mut headers = page::security_headers(&[]);
    let own = page::style_hash_of(STYLE);
    let policy = page::content_security_policy(&[page::style_hash(), &own], None);
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    headers
}
