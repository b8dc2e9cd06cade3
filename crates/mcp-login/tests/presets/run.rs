//! One login at one service, and every comparison that its shape asks for.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mcp_login::clock::Clock;
use mcp_login::core::{Secret, Timestamp};
use mcp_login::upstream::{
    Callback, Exchange, Login, Nonce, Provider, Rotation, Upstream, UpstreamError, UpstreamTokens, preset,
};
use mcp_login_testkit::client::param;
use mcp_login_testkit::client_key::ClientKey;
use mcp_login_testkit::clock::MockClock;
use serde_json::{Map, Value, json};
use url::Url;

use crate::server::{Seen, Services};
use crate::shape::{Auth, Request, Shape, Tokens};

pub(crate) const CLIENT: &str = "client-1";
/// With what Basic has to encode and a form has to escape.
pub(crate) const SECRET: &str = "the secret:+%/&";
pub(crate) const CALLBACK: &str = "https://mcp.example.com/callback";
pub(crate) const CODE: &str = "the-code";
pub(crate) const STATE: &str = "the-state";
const NONCE: &str = "the-nonce";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// A login at a service that is played.
pub(crate) struct Run<'a> {
    pub(crate) shape: &'a Shape,
    provider: Provider,
    pub(crate) services: Services,
    pub(crate) upstream: Upstream,
    /// What the `id_token` is signed with.
    key: ClientKey,
    /// What the client signs its own secret with.
    pub(crate) client_key: ClientKey,
    pub(crate) now: Timestamp,
}

impl<'a> Run<'a> {
    pub(crate) async fn new(name: &str, shape: &'a Shape) -> Self {
        Self::of(preset(name).unwrap(), shape).await
    }

    /// The same at a service of which this is known.
    pub(crate) async fn of(provider: Provider, shape: &'a Shape) -> Self {
        let (services, client_key) = (Services::start().await, ClientKey::new("KEY1234567"));
        let upstream = set_up(provider.clone(), shape, &services, &client_key);
        let key = ClientKey::new("key-1");
        Self { shape, provider, services, upstream, key, client_key, now: MockClock::new().now() }
    }

    /// The same service once more, as somebody would have set it up.
    pub(crate) fn set_up(&self, change: impl FnOnce(&mut Provider)) -> Upstream {
        let mut provider = self.provider.clone();
        change(&mut provider);
        set_up(provider, self.shape, &self.services, &self.client_key)
    }

    /// With what the service publishes as its key.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        self.key.sign(claims)
    }

    /// The key set that goes with it.
    pub(crate) fn jwks(&self) -> String {
        self.key.jwks().to_string()
    }

    /// With what anybody can know as if it were a secret.
    pub(crate) fn forged(&self, claims: &Value) -> String {
        self.key.sign_with_public_half(claims)
    }

    /// Everything that the shape says.
    pub(crate) async fn compare(&self) {
        self.compare_scopes().await;
        self.compare_authorization_url().await;
        let login = self.log_in().await.unwrap();
        self.compare_requests();
        self.compare_tokens(&login.tokens, &self.shape.tokens);
        self.compare_identity(&login);
        self.compare_refresh(&login.tokens).await;
        self.compare_revocation(&login).await;
        assert_eq!(self.services.unasked(), [""; 0], "answers that nobody fetched");
        let provider = self.upstream.provider();
        assert_eq!(provider.nonce == Nonce::Skip, self.shape.no_nonce);
    }

    async fn compare_authorization_url(&self) {
        let shape = self.shape;
        self.discover();
        let callback = Url::parse(CALLBACK).unwrap();
        let (state, nonce) = (Secret::from(STATE), Secret::from(NONCE));
        let url =
            self.upstream.authorization_url(&callback, &state, &nonce, CHALLENGE, self.now).await.unwrap();
        let sent = Url::parse(&self.services.meant(url.as_str())).unwrap();
        let wanted = Url::parse(&shape.authorize).unwrap();
        assert_eq!(without_query(&sent), without_query(&wanted), "the authorization endpoint");
        let mut usual = vec![
            ("response_type", "code"),
            (shape.client_id_param.as_str(), CLIENT),
            ("redirect_uri", CALLBACK),
            ("state", STATE),
        ];
        if shape.pkce {
            usual.extend([("code_challenge", CHALLENGE), ("code_challenge_method", "S256")]);
        }
        if shape.id_token.is_some() {
            usual.push(("nonce", NONCE));
        }
        let usual = usual.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        let wanted = usual.chain(wanted.query_pairs().into_owned()).collect();
        assert_eq!(sorted(sent.query_pairs().into_owned().collect()), sorted(wanted), "its parameters");
    }

    /// Plays the discovery document, where it has to be asked.
    pub(crate) fn discover(&self) {
        let Some(discovered) = &self.shape.discovered else { return };
        let issuer = self.claims()["iss"].as_str().unwrap().to_owned();
        let mut document = Map::from_iter([("issuer".to_owned(), json!(issuer))]);
        document.extend(discovered.iter().map(|(k, v)| (k.clone(), json!(self.services.moved(v)))));
        let location = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        self.services.answers(&self.services.meant(&location), Value::Object(document).to_string());
    }

    /// How two scopes of an operator are sent.
    async fn compare_scopes(&self) {
        let upstream = self.set_up(|provider| provider.scopes = Vec::new()).scopes(["one", "two"]);
        let upstream = if self.shape.discovered.is_some() {
            upstream.authorization_endpoint("https://x.example/authorize").jwks_uri("https://x.example/jwks")
        } else {
            upstream
        };
        let callback = Url::parse(CALLBACK).unwrap();
        let url =
            upstream.authorization_url(&callback, &STATE.into(), &NONCE.into(), CHALLENGE, self.now).await;
        let (name, separator) = (&self.shape.scope_param, &self.shape.scope_separator);
        let sent = param(&url.unwrap(), name).unwrap();
        assert!(sent.ends_with(&format!("one{separator}two")), "{sent}");
    }

    /// The claims of the `id_token`.
    pub(crate) fn claims(&self) -> Value {
        let mut claims: Value = serde_json::from_str(self.shape.id_token.as_deref().unwrap()).unwrap();
        claims["iss"] = json!(self.services.moved(claims["iss"].as_str().unwrap()));
        claims["aud"] = json!(CLIENT);
        claims["iat"] = json!(self.now.as_secs());
        claims["exp"] = json!(self.now.as_secs() + 3600);
        if !self.shape.no_nonce {
            claims["nonce"] = json!(NONCE);
        }
        claims
    }

    /// Plays the answers of a login, and logs in.
    pub(crate) async fn log_in(&self) -> Result<Login, UpstreamError> {
        let id_token = self.shape.id_token.as_ref().map(|_| self.key.sign(&self.claims()));
        self.play(&self.shape.answer, id_token.as_deref());
        self.exchange(&self.shape.callback).await
    }

    /// Plays the answers of a login, with this one to the code.
    pub(crate) fn play(&self, answer: &str, id_token: Option<&str>) {
        let (shape, services) = (self.shape, &self.services);
        services.answers(&shape.exchange.to, answer.replace("{id_token}", id_token.unwrap_or_default()));
        if let Some(longer) = &shape.longer {
            services.answers(&shape.exchange.to, longer);
        }
        if let Some(jwks) = &shape.jwks {
            services.answers(jwks, self.jwks());
        }
        if let (Some(userinfo), Some(person)) = (&shape.userinfo, &shape.person) {
            services.answers(&userinfo.to, person);
        }
        if let Some((emails, addresses)) = &shape.emails {
            services.answers(emails, addresses);
        }
    }

    /// The way back, with these parameters beside the code.
    pub(crate) async fn exchange(&self, callback: &BTreeMap<String, String>) -> Result<Login, UpstreamError> {
        let callback: BTreeMap<_, _> =
            callback.iter().map(|(name, value)| (name.as_str(), self.services.moved(value))).collect();
        let mut parameters = vec![("code", CODE), ("state", STATE)];
        parameters.extend(callback.iter().map(|(name, value)| (*name, value.as_str())));
        let exchange = Exchange {
            code: &CODE.into(),
            iss: callback.get("iss").map(String::as_str),
            callback: Callback(&parameters),
            redirect_uri: &Url::parse(CALLBACK).unwrap(),
            code_verifier: &VERIFIER.into(),
            nonce: &NONCE.into(),
            now: self.now,
        };
        self.upstream.exchange(exchange).await
    }

    /// What went over the wire up to the login, in order.
    fn compare_requests(&self) {
        let shape = self.shape;
        let mut seen = self.services.seen().into_iter();
        let mut next = |what: &str| seen.next().unwrap_or_else(|| panic!("no request for {what}"));
        if shape.discovered.is_some() {
            let url = next("discovery").url;
            assert!(url.ends_with("/.well-known/openid-configuration"), "{url}");
        }
        let mut usual =
            vec![("grant_type", "authorization_code"), ("code", CODE), ("redirect_uri", CALLBACK)];
        if shape.pkce {
            usual.push(("code_verifier", VERIFIER));
        }
        self.compare_request(&next("tokens"), &shape.exchange, &usual, "");
        if shape.longer.is_some() {
            let first: Value = serde_json::from_str(&shape.answer).unwrap();
            let usual = [
                ("grant_type", "fb_exchange_token"),
                ("fb_exchange_token", first["access_token"].as_str().unwrap()),
            ];
            self.compare_request(&next("a longer life"), &shape.exchange, &usual, "");
        }
        if let Some(jwks) = &shape.jwks {
            assert_eq!(next("keys").url, *jwks);
        }
        let token = &shape.tokens.access_token;
        if let Some(userinfo) = &shape.userinfo {
            self.compare_request(&next("userinfo"), userinfo, &[], token);
        }
        if let Some((emails, _)) = &shape.emails {
            let request = next("addresses");
            assert_eq!((request.method.as_str(), &request.url), ("GET", emails));
            assert_eq!(request.header("authorization"), Some(format!("Bearer {token}").as_str()));
        }
        assert_eq!(seen.map(|request| request.url).collect::<Vec<_>>(), [""; 0], "more requests");
    }

    /// One request, whole: `usual` are the members of its body that go without saying.
    fn compare_request(&self, seen: &Seen, wanted: &Request, usual: &[(&str, &str)], token: &str) {
        assert_eq!((seen.method.as_str(), &seen.url), (wanted.method.as_str(), &wanted.to));
        let mut members: Vec<(String, String)> =
            usual.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        members.extend(wanted.form.clone());
        members.extend(wanted.json.clone().unwrap_or_default());
        let mut in_body = |secret: &str| {
            members.push((self.shape.client_id_param.clone(), CLIENT.to_owned()));
            members.push(("client_secret".to_owned(), secret.to_owned()));
        };
        let authorization = match wanted.auth {
            Auth::None => None,
            Auth::Basic => Some(format!("Basic {}", STANDARD.encode("client-1:the+secret%3A%2B%25%2F%26"))),
            Auth::Post => {
                in_body(SECRET);
                None
            }
            Auth::Jwt => {
                in_body(&seen.get("client_secret").unwrap());
                None
            }
            Auth::Secret => Some(format!("Bearer {SECRET}")),
            Auth::Token => Some(format!("Bearer {token}")),
        };
        assert_eq!(seen.header("authorization"), authorization.as_deref(), "{}", seen.url);
        assert!(seen.header("user-agent").unwrap().starts_with("mcp-login/"));
        let accept = wanted.headers.get("accept").map_or("application/json", String::as_str);
        assert_eq!(seen.header("accept"), Some(accept));
        for (name, value) in &wanted.headers {
            assert_eq!(seen.header(name), Some(value.as_str()), "{name}");
        }
        if let Some(body) = &wanted.body {
            assert_eq!(&seen.body, body);
        } else if wanted.json.is_some() {
            assert_eq!(seen.header("content-type"), Some("application/json"));
            let wanted: Map<String, Value> =
                members.into_iter().map(|(name, value)| (name, json!(value))).collect();
            assert_eq!(serde_json::from_str::<Value>(&seen.body).unwrap(), Value::Object(wanted));
        } else if members.is_empty() {
            assert_eq!(seen.body, "");
            assert!(
                seen.method == "GET" || seen.method == "DELETE" || seen.header("content-length") == Some("0")
            );
        } else {
            assert_eq!(sorted(seen.form()), sorted(members), "{}", seen.url);
        }
    }

    fn compare_tokens(&self, tokens: &UpstreamTokens, wanted: &Tokens) {
        let expires_at = wanted.expires_in.map(|seconds| self.now.plus(Duration::from_secs(seconds)));
        assert_eq!(tokens.access_token.expose_secret(), wanted.access_token);
        let refresh_token = tokens.refresh_token.as_ref().map(Secret::expose_secret);
        assert_eq!(refresh_token, wanted.refresh_token.as_deref(), "refresh_token");
        assert_eq!(tokens.expires_at, expires_at, "expires_in");
        assert_eq!(tokens.scope, wanted.scope, "scope");
        assert_eq!(tokens.token_type, "Bearer");
    }

    fn compare_identity(&self, login: &Login) {
        let (shape, identity) = (self.shape, &login.identity);
        assert_eq!(identity.subject, shape.subject);
        assert_eq!(identity.email, shape.email, "email");
        assert_eq!(identity.name, shape.name, "name");
        assert_eq!(identity.preferred_username, shape.username, "username");
        let provider = self.upstream.provider();
        let keeps = provider.keep_response.iter().chain(&provider.keep_callback);
        let kept: BTreeMap<_, _> = keeps
            .map(|name| (name.clone(), identity.claims.get(name).cloned().unwrap_or_default()))
            .collect();
        assert_eq!(kept, shape.kept, "kept claims");
    }

    async fn compare_refresh(&self, tokens: &UpstreamTokens) {
        let Some(refresh) = &self.shape.refresh else {
            assert_eq!(tokens.refresh_token, None);
            assert!(self.upstream.refresh(tokens, self.now).await.unwrap_err().ends_grant());
            assert!(self.services.seen().is_empty(), "there is nothing to send");
            return;
        };
        let mut request = self.shape.exchange.clone();
        request.to = refresh.to.clone().unwrap_or(request.to);
        request.form.clone_from(&refresh.form);
        self.services.answers(&request.to, &refresh.answer);
        let renewed = self.upstream.refresh(tokens, self.now).await.unwrap();
        self.compare_tokens(&renewed, &refresh.tokens);
        let old = tokens.refresh_token.as_ref().unwrap();
        let usual = [("grant_type", "refresh_token"), ("refresh_token", old.expose_secret())];
        let seen = self.services.seen();
        assert_eq!(seen.len(), 1, "{seen:?}");
        self.compare_request(&seen[0], &request, &usual, "");
        match self.upstream.provider().rotation {
            Some(Rotation::SingleUse | Rotation::Replaces) => {
                assert_ne!(renewed.refresh_token.as_ref(), Some(old));
            }
            Some(Rotation::Static) => assert_eq!(renewed.refresh_token.as_ref(), Some(old)),
            _ => {}
        }
        let usual = (400, r#"{"error":"invalid_grant"}"#.to_owned());
        let (status, said) = refresh.dead.clone().unwrap_or(usual);
        self.services.answers_with(&request.to, status, said);
        let dead = self.upstream.refresh(tokens, self.now).await.unwrap_err();
        assert!(dead.ends_grant(), "a dead refresh token: {dead}");
        self.services.answers_with(&request.to, 422, r#"{"error":"something_else","message":"x"}"#);
        let other = self.upstream.refresh(tokens, self.now).await.unwrap_err();
        assert!(!other.ends_grant(), "{other}");
        self.services.seen();
    }

    async fn compare_revocation(&self, login: &Login) {
        let Login { tokens, identity } = login;
        let Some(revoke) = &self.shape.revoke else {
            assert!(!self.upstream.revoke(tokens, &identity.subject, self.now).await.unwrap());
            return;
        };
        self.services.answers(&revoke.to, r#"{"ok":true}"#);
        assert!(self.upstream.revoke(tokens, &identity.subject, self.now).await.unwrap());
        let seen = self.services.seen();
        assert_eq!(seen.len(), 1, "{seen:?}");
        self.compare_request(&seen[0], revoke, &[], tokens.access_token.expose_secret());
    }
}

fn set_up(provider: Provider, shape: &Shape, services: &Services, client_key: &ClientKey) -> Upstream {
    let secret = if shape.exchange.auth == Auth::Jwt { client_key.p8() } else { SECRET.to_owned() };
    let mut upstream = Upstream::new(provider, CLIENT, Some(secret.into()));
    for (param, value) in &shape.params {
        upstream = upstream.param(param, services.moved(value));
    }
    if !shape.scopes.is_empty() {
        upstream = upstream.scopes(&shape.scopes);
    }
    assert_eq!(upstream.validate(), Ok(()), "as it is");
    let upstream = services.play(upstream);
    assert_eq!(upstream.validate(), Ok(()), "played");
    upstream
}

fn without_query(url: &Url) -> String {
    url.as_str().split('?').next().unwrap_or_default().to_owned()
}

fn sorted(mut pairs: Vec<(String, String)>) -> Vec<(String, String)> {
    pairs.sort();
    pairs
}
