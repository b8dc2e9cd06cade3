//! An MCP client that does everything as the specifications say, one step at a time, so that a test can do one wrong.

use mcp_login::core::pkce::CodeChallenge;
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};
use url::Url;

use crate::browser::Browser;
use crate::server::TestServer;

/// A verifier (RFC 7636 appendix B).
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
/// Where the client listens. Nobody needs to: the address itself brings the answer.
pub const REDIRECT_URI: &str = "http://127.0.0.1:49152/callback";
/// What the client wants back, with everything that could be changed on the way.
pub const STATE: &str = "a+b c&d=e/ü%20\"'<>";

/// A client that has registered.
#[derive(Debug, Clone)]
pub struct OAuthClient {
    http: Client,
    base: String,
    /// What the `DPoP` headers of its requests hold.
    proofs: Vec<String>,
    /// What registration gave.
    pub registered: Value,
}

/// The answer of the token endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokens {
    /// The access token.
    pub access: String,
    /// The refresh token.
    pub refresh: String,
}

impl Tokens {
    /// From a good answer with a bearer token.
    pub async fn read(response: Response) -> Self {
        Self::read_as("Bearer", response).await
    }

    /// From a good answer with a token of this type.
    pub async fn read_as(token_type: &str, response: Response) -> Self {
        assert_eq!(response.status(), 200, "tokens");
        assert_eq!(response.headers()["cache-control"], "no-store");
        let answer: Value = response.json().await.unwrap();
        assert_eq!(answer["token_type"], token_type);
        let text =
            |name: &str| answer[name].as_str().unwrap_or_else(|| panic!("{name} in {answer}")).to_owned();
        Self { access: text("access_token"), refresh: text("refresh_token") }
    }
}

impl OAuthClient {
    /// Registers a public client for [`REDIRECT_URI`].
    pub async fn register(server: &TestServer) -> Self {
        Self::register_as(server, json!({"client_name": "Test", "redirect_uris": [REDIRECT_URI]})).await
    }

    /// Registers with this metadata.
    pub async fn register_as(server: &TestServer, metadata: Value) -> Self {
        let http = Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
        let response = http.post(format!("{}/register", server.url)).json(&metadata).send().await.unwrap();
        assert_eq!(response.status(), 201, "registration");
        Self {
            http,
            base: server.url.clone(),
            proofs: Vec::new(),
            registered: response.json().await.unwrap(),
        }
    }

    /// One that need not register: its `client_id` is known to the server, or the address of its metadata document.
    pub fn known_as(server: &TestServer, client_id: &str) -> Self {
        let http = Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
        Self {
            http,
            base: server.url.clone(),
            proofs: Vec::new(),
            registered: json!({"client_id": client_id}),
        }
    }

    /// Its `client_id`.
    pub fn id(&self) -> &str {
        self.registered["client_id"].as_str().unwrap()
    }

    /// The same client, whose requests carry these DPoP proofs.
    #[must_use]
    pub fn proving(&self, proofs: &[&str]) -> Self {
        Self { proofs: proofs.iter().map(|proof| (*proof).to_owned()).collect(), ..self.clone() }
    }

    /// The same client, which is led to another address of its server.
    #[must_use]
    pub fn through(&self, base: &str) -> Self {
        Self { base: base.to_owned(), ..self.clone() }
    }

    /// The authorization URL, with these parameters in the place of (or beside) the usual ones; an empty value leaves
    /// one out.
    pub fn authorization_url(&self, changes: &[(&str, &str)]) -> String {
        let challenge = CodeChallenge::of(VERIFIER);
        let resource = format!("{}/mcp", self.base);
        let usual = [
            ("response_type", "code"),
            ("client_id", self.id()),
            ("redirect_uri", REDIRECT_URI),
            ("state", STATE),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
            ("resource", resource.as_str()),
            ("scope", "mcp mcp:write"),
        ];
        let mut url = Url::parse(&format!("{}/authorize", self.base)).unwrap();
        url.query_pairs_mut().extend_pairs(changed(&usual, changes));
        url.into()
    }

    /// A whole login up to the code.
    pub async fn code(&self, browser: &Browser) -> String {
        let back = browser.log_in(&self.authorization_url(&[]), REDIRECT_URI).await;
        param(&back, "code").unwrap_or_else(|| panic!("a code in {back}"))
    }

    /// A whole login.
    pub async fn log_in(&self, browser: &Browser) -> Tokens {
        let code = self.code(browser).await;
        Tokens::read(self.exchange(&code, &[]).await).await
    }

    /// Exchanges a code, with these parameters changed.
    pub async fn exchange(&self, code: &str, changes: &[(&str, &str)]) -> Response {
        let resource = format!("{}/mcp", self.base);
        let usual = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", REDIRECT_URI),
            ("code_verifier", VERIFIER),
            ("client_id", self.id()),
            ("resource", resource.as_str()),
        ];
        self.form("/token", &changed(&usual, changes)).await
    }

    /// Refreshes, with these parameters changed.
    pub async fn refresh(&self, token: &str, changes: &[(&str, &str)]) -> Response {
        let usual = [("grant_type", "refresh_token"), ("refresh_token", token), ("client_id", self.id())];
        self.form("/token", &changed(&usual, changes)).await
    }

    /// Posts a form to an endpoint.
    pub async fn form(&self, path: &str, form: &[(&str, &str)]) -> Response {
        self.prove(self.http.post(format!("{}{path}", self.base))).form(form).send().await.unwrap()
    }

    /// Calls the MCP server at this path with this bearer token.
    pub async fn call(&self, path: &str, token: &str) -> Response {
        self.call_as("Bearer", path, token).await
    }

    /// Calls the MCP server at this path with this token, presented by this scheme.
    pub async fn call_as(&self, scheme: &str, path: &str, token: &str) -> Response {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "whoami"}});
        let request = self.prove(self.http.post(format!("{}{path}", self.base)));
        request.header("authorization", format!("{scheme} {token}")).json(&body).send().await.unwrap()
    }

    /// Opens the stream of events of the MCP server at this path, and reads the first.
    pub async fn open_stream(&self, path: &str, token: &str) -> Response {
        let request = self.prove(self.http.get(format!("{}{path}", self.base)));
        let request = request.header("accept", "text/event-stream").bearer_auth(token);
        let mut stream = request.send().await.unwrap();
        assert_eq!(stream.status(), 200, "a stream");
        assert!(stream.chunk().await.unwrap().is_some());
        stream
    }

    fn prove(&self, request: RequestBuilder) -> RequestBuilder {
        self.proofs.iter().fold(request, |request, proof| request.header("dpop", proof))
    }
}

/// The usual parameters, with changes.
pub fn changed<'a>(usual: &[(&'a str, &'a str)], changes: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let kept = usual.iter().filter(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
    kept.chain(changes.iter().filter(|(_, value)| !value.is_empty())).copied().collect()
}

/// A parameter of an address's query.
pub fn param(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(held, _)| held == name).map(|(_, value)| value.into_owned())
}

/// The OAuth error code of a JSON answer, which has to be one, with a description.
pub async fn error_of(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    let answer: Value = response.json().await.unwrap();
    assert!(answer["error_description"].as_str().is_some_and(|text| !text.is_empty()), "{answer}");
    (status, answer["error"].as_str().unwrap().to_owned())
}
