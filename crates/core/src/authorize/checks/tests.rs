#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::client::ClientAuthMethod;

const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const RESOURCE: &str = "https://mcp.example.com/mcp";

#[derive(Debug)]
struct Known;

impl ScopesOf for Known {
    fn baseline(&self, _: &str) -> Scopes {
        Scopes::parse("mcp").unwrap()
    }
    fn supported(&self, _: &str) -> Scopes {
        Scopes::parse("mcp mcp:write").unwrap()
    }
}

fn client() -> Client {
    Client {
        client_id: "c".into(),
        client_name: None,
        client_uri: None,
        redirect_uris: vec!["https://claude.ai/cb".into(), "http://localhost/cb".into()],
        auth_methods: ClientAuthMethod::None.into(),
        keys: None,
    }
}

/// A request that holds, with one parameter replaced (or added) and, if the value is `None`, left out.
fn request(name: &str, value: Option<&str>) -> String {
    let mut pairs = vec![
        ("client_id", "c"),
        ("redirect_uri", "https://claude.ai/cb"),
        ("response_type", "code"),
        ("state", "s"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("resource", RESOURCE),
        ("scope", "mcp"),
    ];
    pairs.retain(|(held, _)| *held != name);
    pairs.extend(value.map(|value| (name, value)));
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

enum Outcome {
    Page(OAuthError),
    Redirect(RedirectError),
    Fine(Box<Checked>),
}

fn check(query: &str) -> Outcome {
    let params = Params::parse(query.as_bytes()).unwrap();
    let policy = RedirectPolicy::new(["claude.ai", "localhost"], [""; 0]);
    let resources = Resources::new([RESOURCE.to_owned()]).unwrap();
    let redirect_uri =
        match check_client_id(&params).and_then(|_| check_redirect(&params, &client(), &policy)) {
            Ok(uri) => uri,
            Err(error) => return Outcome::Page(error),
        };
    match check_request(&params, "c", redirect_uri, &Context { resources: &resources, scopes_of: &Known }) {
        Ok(checked) => Outcome::Fine(Box::new(checked)),
        Err(error) => Outcome::Redirect(error),
    }
}

fn fine(query: &str) -> Checked {
    match check(query) {
        Outcome::Fine(checked) => *checked,
        Outcome::Page(error) => panic!("page: {error}"),
        Outcome::Redirect(error) => panic!("redirect: {}", error.error),
    }
}

#[test]
fn a_good_request_holds() {
    let checked = fine(&request("", None));
    assert_eq!(checked.request.resource, RESOURCE);
    assert_eq!(checked.request.state.as_deref(), Some("s"));
    assert_eq!(checked.request.scope.to_string(), "mcp");
    assert!(!checked.prompt_consent);
}

#[test]
fn before_the_redirect_uri_is_verified_a_refusal_is_a_page() {
    let doubled = |name: &str| format!("{}&{name}=x", request("", None));
    for query in [
        request("client_id", None),
        request("redirect_uri", None),
        request("redirect_uri", Some("https://claude.ai/other")),
        request("redirect_uri", Some("https://claude.ai.evil.com/cb")),
        request("redirect_uri", Some("http://localhost.evil.com/cb")),
        request("redirect_uri", Some("javascript:alert(1)")),
        doubled("client_id"),
        doubled("redirect_uri"),
        doubled("state"),
        doubled("code_challenge"),
        doubled("anything") + "&anything=y",
    ] {
        assert!(matches!(check(&query), Outcome::Page(_)), "{query}");
    }
}

#[test]
fn after_it_a_refusal_goes_to_the_client_with_its_state() {
    use ErrorCode::*;
    let long = "a".repeat(128);
    for (name, value, code) in [
        ("request", Some("x"), RequestNotSupported),
        ("request_uri", Some("https://x/"), RequestUriNotSupported),
        ("response_type", None, InvalidRequest),
        ("response_type", Some("token"), UnsupportedResponseType),
        ("response_type", Some("code token"), UnsupportedResponseType),
        ("response_mode", Some("fragment"), InvalidRequest),
        ("code_challenge", None, InvalidRequest),
        ("code_challenge", Some("short"), InvalidRequest),
        ("code_challenge", Some(long.as_str()), InvalidRequest),
        ("code_challenge_method", None, InvalidRequest),
        ("code_challenge_method", Some("plain"), InvalidRequest),
        ("code_challenge_method", Some("s256"), InvalidRequest),
        ("dpop_jkt", Some("short"), InvalidRequest),
        ("dpop_jkt", Some(long.as_str()), InvalidRequest),
        ("resource", Some("https://evil.example/mcp"), InvalidTarget),
        ("scope", Some("a\"b"), InvalidScope),
        ("prompt", Some("none"), ConsentRequired),
    ] {
        let Outcome::Redirect(refusal) = check(&request(name, value)) else { panic!("{name}={value:?}") };
        assert_eq!(refusal.error.code, code, "{name}={value:?}");
        assert_eq!(refusal.state.as_deref(), Some("s"), "{name}={value:?}");
    }
    let Outcome::Redirect(refusal) = check(&request("state", Some(&"s".repeat(MAX_STATE_LENGTH + 1)))) else {
        panic!("a state without end")
    };
    assert_eq!((refusal.error.code, refusal.state), (InvalidRequest, None));
}

#[test]
fn scopes_are_cut_down_to_what_exists() {
    let scope = |asked| fine(&request("scope", asked)).request.scope.to_string();
    assert_eq!(scope(None), "mcp");
    assert_eq!(scope(Some("offline_access")), "mcp");
    assert_eq!(scope(Some("mcp:write admin offline_access")), "mcp:write");
    assert_eq!(scope(Some("openid profile")), "mcp", "what is unknown is never given");
}

#[test]
fn what_is_optional_may_be_absent() {
    assert_eq!(fine(&request("resource", None)).request.resource, RESOURCE);
    assert_eq!(fine(&request("state", None)).request.state, None);
    assert!(fine(&request("prompt", Some("consent"))).prompt_consent);
    assert_eq!(fine(&request("dpop_jkt", None)).request.dpop_jkt, None);
    let jkt = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
    let bound = fine(&request("dpop_jkt", Some(jkt))).request.dpop_jkt;
    assert_eq!(bound.map(|bound| bound.to_string()).as_deref(), Some(jkt));
}
