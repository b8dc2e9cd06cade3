//! OAuth 2.1 §4.1.1: what comes of the query of an authorization request, with three known redirect URIs, two servers
//! and different scopes at each.
//!
//! Input: the query.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mcp_login_core::authorize::checks::{ScopesOf, check_redirect};
use mcp_login_core::authorize::{AuthorizationResponse, Checked, Context, check_client_id, check_request};
use mcp_login_core::client::{Client, ClientAuthMethod};
use mcp_login_core::params::{MAX_LENGTH, Params};
use mcp_login_core::resource_indicator::Resources;
use mcp_login_core::{OAuthError, Scopes};
use mcp_login_fuzz::{
    assert_error, assert_redirectable, has_duplicates, is_same_but_for_loopback_port, policies, values,
};
use url::Url;

const ISSUER: &str = "https://mcp.example.com";
const REGISTERED: [&str; 3] = ["https://claude.ai/cb?a=b", "http://localhost:8787/cb", "cursor://app/cb"];
const SERVERS: [(&str, &str); 2] = [
    ("https://mcp.example.com/mcp", "mcp mcp:write offline_access"),
    ("https://mcp.example.com/b", "read write"),
];

#[derive(Debug)]
struct Known;

impl ScopesOf for Known {
    fn baseline(&self, resource: &str) -> Scopes {
        let supported = self.supported(resource);
        let first = supported.iter().next().map(str::to_owned);
        Scopes::from_names(first).unwrap_or_default()
    }
    fn supported(&self, resource: &str) -> Scopes {
        let server =
            SERVERS.iter().find(|(url, _)| *url == resource).expect("scopes of a server that is known");
        Scopes::parse(server.1).expect("a list of scopes")
    }
}

fuzz_target!(|query: &[u8]| {
    let params = match Params::parse(query) {
        Ok(params) => params,
        Err(error) => return assert_error(&error),
    };
    assert!(query.len() <= MAX_LENGTH);
    let client_id = match check_client_id(&params) {
        Ok(client_id) => client_id,
        Err(error) => return assert_error(&error),
    };
    assert_eq!(values(query, "client_id"), [client_id]);
    assert!(!has_duplicates(query));
    let client = Client {
        client_id: client_id.to_owned(),
        client_name: None,
        client_uri: None,
        redirect_uris: REGISTERED.map(str::to_owned).to_vec(),
        auth_methods: ClientAuthMethod::None.into(),
        keys: None,
    };
    let [policy, _] = policies();
    let redirect_uri = match check_redirect(&params, &client, &policy) {
        Ok(redirect_uri) => redirect_uri,
        Err(error) => return assert_error(&error),
    };
    let uri = redirect_uri.as_str().to_owned();
    assert_eq!(values(query, "redirect_uri"), [uri.as_str()]);
    assert!(REGISTERED.iter().any(|registered| is_same_but_for_loopback_port(registered, &uri)), "{uri}");
    assert_redirectable(&uri, false);

    let resources = Resources::new(SERVERS.map(|(url, _)| url.to_owned())).expect("two servers");
    let context = Context { resources: &resources, scopes_of: &Known };
    match check_request(&params, client_id, redirect_uri, &context) {
        Ok(checked) => assert_checked(&checked, query, &uri, client_id),
        Err(refusal) => {
            assert_error(&refusal.error);
            assert_eq!(refusal.redirect_uri.as_str(), uri);
            assert_state(refusal.state.as_deref(), query);
            let answer = AuthorizationResponse {
                redirect_uri: &refusal.redirect_uri,
                state: refusal.state.as_deref(),
                issuer: ISSUER,
            };
            assert_refusal(&answer.error(&refusal.error), &uri, &refusal.error);
        }
    }
});

fn assert_checked(checked: &Checked, query: &[u8], uri: &str, client_id: &str) {
    let request = &checked.request;
    assert_eq!((request.redirect_uri.as_str(), request.client_id.as_str()), (uri, client_id));
    assert_eq!(values(query, "response_type"), ["code"]);
    assert!(values(query, "request").is_empty() && values(query, "request_uri").is_empty());
    assert!(values(query, "response_mode").iter().all(|mode| mode.is_empty() || mode == "query"));
    assert!(values(query, "prompt").iter().all(|prompt| prompt.split(' ').all(|one| one != "none")));
    assert_state(request.state.as_deref(), query);

    assert_eq!(values(query, "code_challenge_method"), ["S256"]);
    let challenge = request.code_challenge.as_str();
    assert_eq!(values(query, "code_challenge"), [challenge]);
    assert_eq!(challenge.len(), 43);
    assert!(challenge.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "{challenge}");
    assert!(!request.code_challenge.verify(challenge), "a challenge that is its own verifier");

    let server = SERVERS.iter().find(|(url, _)| *url == request.resource).expect("a known server");
    for named in values(query, "resource").iter().filter(|named| !named.is_empty()) {
        let (named, known) = (Url::parse(named).expect("a URL"), Url::parse(server.0).expect("a URL"));
        assert_eq!(named.origin(), known.origin());
        assert_eq!(named.path().trim_end_matches('/'), known.path());
        assert!(named.query().is_none() && named.fragment().is_none(), "{named}");
    }
    let supported: Vec<&str> = server.1.split(' ').filter(|name| *name != "offline_access").collect();
    assert!(!request.scope.is_empty());
    assert!(request.scope.iter().all(|name| supported.contains(&name)), "wider: {}", request.scope);
    let asked = values(query, "scope").concat();
    let asked: Vec<&str> = asked.split(' ').filter(|name| supported.contains(name)).collect();
    assert!(asked.iter().all(|name| request.scope.contains(name)), "less than asked: {}", request.scope);
    let only_baseline = request.scope.iter().eq(supported.iter().take(1).copied());
    assert!(if asked.is_empty() {
        only_baseline
    } else {
        request.scope.iter().all(|name| asked.contains(&name))
    });

    let response = AuthorizationResponse {
        redirect_uri: &request.redirect_uri,
        state: request.state.as_deref(),
        issuer: ISSUER,
    };
    let answer = response.success("a code & more");
    let pairs = added(&answer, uri);
    assert_eq!(pairs.first(), Some(&("code".to_owned(), "a code & more".to_owned())));
    assert_eq!(pairs.last(), Some(&("iss".to_owned(), ISSUER.to_owned())));
    let state = request.state.clone().map(|state| ("state".to_owned(), state));
    assert_eq!(pairs.get(1..pairs.len() - 1), Some(state.as_slice()));
}

/// The client's own value comes back as it was, or not at all.
fn assert_state(state: Option<&str>, query: &[u8]) {
    let sent = values(query, "state").concat();
    match state {
        Some(state) => assert!(state == sent && !state.is_empty() && state.len() <= 4096),
        None => assert!(sent.is_empty() || sent.len() > 4096, "forgotten: {sent:?}"),
    }
}

fn assert_refusal(answer: &str, uri: &str, error: &OAuthError) {
    let pairs = added(answer, uri);
    let get =
        |name: &str| pairs.iter().filter(|(held, _)| held == name).map(|(_, value)| value.as_str()).collect();
    let (codes, descriptions): (Vec<&str>, Vec<&str>) = (get("error"), get("error_description"));
    assert_eq!((codes, descriptions), (vec![error.code.as_str()], vec![error.description.as_ref()]));
    assert!(pairs.iter().all(|(name, _)| name != "code"));
}

/// The parameters that an answer adds to the redirect URI's own.
fn added(answer: &str, uri: &str) -> Vec<(String, String)> {
    assert!(answer.starts_with(uri), "{answer}");
    let own = Url::parse(uri).expect("a URL").query_pairs().count();
    let answer = Url::parse(answer).expect("a URL");
    answer.query_pairs().skip(own).map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}
