//! Enterprise-managed authorization (SEP-990): a company's identity provider vouches for a person.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mcp_login::clock::Clock;
use mcp_login::core::Secret;
use mcp_login::settings::{AccessRule, StaticClient};
use mcp_login::upstream::TrustedIssuer;
use mcp_login_testkit::browser::Browser;
use mcp_login_testkit::client::{OAuthClient, Tokens, error_of};
use mcp_login_testkit::dpop::DpopKey;
use mcp_login_testkit::fake_upstream::{FakeUpstream, Fault};
use mcp_login_testkit::server::{Options, TestServer};
use reqwest::Response;
use serde_json::{Value, json};

const SECRET: &str = "a secret of an agent that nobody can guess";
const TYP: &str = "oauth-id-jag+jwt";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

struct Company {
    idp: FakeUpstream,
    server: TestServer,
    agent: OAuthClient,
}

impl Company {
    async fn start() -> Self {
        Self::with(|options| options).await
    }

    async fn with(change: impl FnOnce(Options) -> Options) -> Self {
        let idp = FakeUpstream::start().await;
        let trusted_issuers = vec![TrustedIssuer::new(idp.issuer())];
        let agent = StaticClient::new("agent").secret(Secret::from(SECRET)).grant_types([JWT_BEARER]);
        let usual = Options::usual().await;
        let server =
            TestServer::with(change(Options { trusted_issuers, static_clients: vec![agent], ..usual })).await;
        let agent = OAuthClient::known_as(&server, "agent");
        Self { idp, server, agent }
    }

    /// What the identity provider says of Ada, with a `jti` of its own, and with changes; `null` leaves one out.
    fn claims(&self, changes: &Value) -> Value {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let now = self.server.clock.now().as_secs();
        let mut claims = json!({
            "iss": self.idp.issuer(), "aud": self.server.url, "client_id": "agent", "sub": "ada-at-work",
            "iat": now, "exp": now + 300, "jti": NEXT.fetch_add(1, Ordering::Relaxed).to_string(),
            "resource": self.server.mcp(), "scope": "mcp mcp:write", "email": "ada@acme.example", "email_verified": true,
        });
        for (name, value) in changes.as_object().unwrap() {
            match value {
                Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
                value => claims[name] = value.clone(),
            }
        }
        claims
    }

    async fn present(&self, assertion: &str, more: &[(&str, &str)]) -> Response {
        let usual = [
            ("grant_type", JWT_BEARER),
            ("assertion", assertion),
            ("client_id", "agent"),
            ("client_secret", SECRET),
        ];
        self.agent.form("/token", &mcp_login_testkit::client::changed(&usual, more)).await
    }

    async fn says(&self, changes: &Value) -> Response {
        self.present(&self.idp.sign(TYP, &self.claims(changes)), &[]).await
    }
}

async fn json(response: Response) -> Value {
    assert_eq!(response.status(), 200);
    response.json().await.unwrap()
}

#[tokio::test]
async fn an_assertion_gives_an_access_token_and_nothing_that_lasts() {
    let company = Company::start().await;
    let answer = json(company.says(&json!({})).await).await;
    assert_eq!(answer["token_type"], "Bearer");
    assert_eq!(answer["scope"], "mcp mcp:write");
    assert_eq!(answer["resource"], company.server.mcp());
    assert!(answer.get("refresh_token").is_none(), "{answer}");
    let token = answer["access_token"].as_str().unwrap();
    let seen = json(company.agent.call("/mcp", token).await).await;
    assert_eq!(seen["subject"], format!("{}#ada-at-work", company.idp.issuer()));
    assert_eq!(seen["email"], "ada@acme.example");
    assert_eq!(seen["client_id"], "agent");
    assert_eq!(seen["upstream_token"]["error"], "this login has no account at the upstream service");
    company.server.clock.advance(Duration::from_secs(3600));
    assert_eq!(company.agent.call("/mcp", token).await.status(), 401);
}

#[tokio::test]
async fn metadata_tells_of_it_only_where_it_is() {
    let company = Company::start().await;
    let of = async |url: &str| {
        let document = format!("{url}/.well-known/oauth-authorization-server");
        json(reqwest::get(document).await.unwrap()).await
    };
    let metadata = of(&company.server.url).await;
    assert!(metadata["grant_types_supported"].as_array().unwrap().contains(&json!(JWT_BEARER)));
    let profiles = json!(["urn:ietf:params:oauth:grant-profile:id-jag"]);
    assert_eq!(metadata["authorization_grant_profiles_supported"], profiles);
    let plain = TestServer::start().await;
    let metadata = of(&plain.url).await;
    assert_eq!(metadata["grant_types_supported"], json!(["authorization_code", "refresh_token"]));
    assert!(metadata.get("authorization_grant_profiles_supported").is_none());
    let client = OAuthClient::register(&plain).await;
    let refused = client
        .form("/token", &[("grant_type", JWT_BEARER), ("assertion", "a.b.c"), ("client_id", client.id())])
        .await;
    assert_eq!(error_of(refused).await, (400, "unsupported_grant_type".to_owned()));
}

#[tokio::test]
async fn one_that_does_not_hold_is_refused() {
    let company = Company::start().await;
    let now = company.server.clock.now().as_secs();
    for changes in [
        json!({"aud": "https://other.example"}),
        json!({"aud": [company.server.url, "https://other.example"]}),
        json!({"client_id": "other"}),
        json!({"exp": now - 31}),
        json!({"exp": now + 4000}),
        json!({"iat": now + 60}),
        json!({"jti": null}),
        json!({"sub": null}),
        json!({"iss": "https://unknown.example"}),
    ] {
        let refused = error_of(company.says(&changes).await).await;
        assert_eq!(refused, (400, "invalid_grant".to_owned()), "{changes}");
    }
    let other = error_of(company.says(&json!({"resource": "https://other.example/mcp"})).await).await;
    assert_eq!(other, (400, "invalid_target".to_owned()));
    let wide = error_of(company.says(&json!({"scope": "admin"})).await).await;
    assert_eq!(wide, (400, "invalid_scope".to_owned()));
    // Another provider's key, another kind of token, no signature, and nothing at all.
    let claims = company.claims(&json!({}));
    let stranger = FakeUpstream::start().await;
    let (head, signature) = claims_of(&company.idp.sign(TYP, &claims));
    for assertion in [
        stranger.sign(TYP, &claims),
        company.idp.sign("JWT", &claims),
        company.idp.sign("at+jwt", &claims),
        format!("{head}."),
        format!("{head}.{}", signature.chars().rev().collect::<String>()),
        "x".to_owned(),
        "a.b.c".to_owned(),
        "a".repeat(10_000),
    ] {
        let refused = error_of(company.present(&assertion, &[]).await).await;
        assert_eq!(refused, (400, "invalid_grant".to_owned()), "{assertion}");
    }
    // None of this has used it up.
    json(company.present(&company.idp.sign(TYP, &claims), &[]).await).await;
}

/// Everything before the signature, and the signature.
fn claims_of(token: &str) -> (String, String) {
    let (head, signature) = token.rsplit_once('.').unwrap();
    (head.to_owned(), signature.to_owned())
}

#[tokio::test]
async fn it_works_once() {
    let company = Company::start().await;
    let assertion = company.idp.sign(TYP, &company.claims(&json!({})));
    json(company.present(&assertion, &[]).await).await;
    let again = error_of(company.present(&assertion, &[]).await).await;
    assert_eq!(again, (400, "invalid_grant".to_owned()));
}

#[tokio::test]
async fn it_is_for_its_own_client_which_has_to_authenticate() {
    let company = Company::start().await;
    let assertion = company.idp.sign(TYP, &company.claims(&json!({})));
    let no_secret = company.present(&assertion, &[("client_secret", "")]).await;
    assert_eq!(error_of(no_secret).await, (401, "invalid_client".to_owned()));
    let wrong = company.present(&assertion, &[("client_secret", "another secret of the same length")]).await;
    assert_eq!(error_of(wrong).await, (401, "invalid_client".to_owned()));
    let registered = OAuthClient::register(&company.server).await;
    let theirs = company.idp.sign(TYP, &company.claims(&json!({"client_id": registered.id()})));
    let form = [("grant_type", JWT_BEARER), ("assertion", theirs.as_str()), ("client_id", registered.id())];
    let refused = error_of(registered.form("/token", &form).await).await;
    assert_eq!(refused, (400, "unauthorized_client".to_owned()));
    // And the agent may do nothing else.
    let other =
        company.present(&assertion, &[("grant_type", "refresh_token"), ("refresh_token", "mlr_x")]).await;
    assert_eq!(error_of(other).await, (400, "unauthorized_client".to_owned()));
}

#[tokio::test]
async fn scope_and_server_are_what_both_sides_say() {
    let company = Company::start().await;
    let scope = async |changes: Value, more: &[(&str, &str)]| {
        let assertion = company.idp.sign(TYP, &company.claims(&changes));
        json(company.present(&assertion, more).await).await["scope"].as_str().unwrap().to_owned()
    };
    assert_eq!(scope(json!({"scope": "mcp mcp:write admin"}), &[]).await, "mcp mcp:write");
    assert_eq!(scope(json!({"scope": "mcp mcp:write"}), &[("scope", "mcp:write admin")]).await, "mcp:write");
    assert_eq!(scope(json!({"scope": null}), &[]).await, "mcp mcp:write");
    let (mcp, lazy) = (company.server.mcp(), format!("{}/lazy", company.server.url));
    let both = json!({"resource": ["https://other.example", mcp, lazy], "scope": null});
    let assertion = company.idp.sign(TYP, &company.claims(&both));
    let answer = json(company.present(&assertion, &[("resource", &lazy)]).await).await;
    assert_eq!(answer["resource"], lazy);
    let token = answer["access_token"].as_str().unwrap();
    assert_eq!(company.agent.call("/mcp", token).await.status(), 401);
    let one = company.idp.sign(TYP, &company.claims(&json!({})));
    let refused = error_of(company.present(&one, &[("resource", &lazy)]).await).await;
    assert_eq!(refused, (400, "invalid_target".to_owned()));
}

#[tokio::test]
async fn a_client_gets_no_more_than_the_operator_lets_it() {
    let agent =
        StaticClient::new("agent").secret(Secret::from(SECRET)).grant_types([JWT_BEARER]).scopes(["mcp"]);
    let company = Company::with(|options| Options { static_clients: vec![agent], ..options }).await;
    for scope in [json!("mcp mcp:write"), Value::Null] {
        assert_eq!(json(company.says(&json!({"scope": scope})).await).await["scope"], "mcp");
    }
    let none = error_of(company.says(&json!({"scope": "mcp:write"})).await).await;
    assert_eq!(none, (400, "invalid_scope".to_owned()));
}

#[tokio::test]
async fn two_people_never_share_a_subject() {
    let company = Company::with(|options| Options { trust_upstream: true, ..options }).await;
    let upstream = company.server.upstream.issuer();
    for changes in [
        json!({"tenant": "a#b"}),
        json!({"tenant": ""}),
        json!({"tenant": 7}),
        json!({"sub": "a#b"}),
        json!({"tenant": "a", "sub": "b#c"}),
    ] {
        let refused = error_of(company.says(&changes).await).await;
        assert_eq!(refused, (400, "invalid_grant".to_owned()), "{changes}");
    }
    // A person of the service who is called like a client.
    let claims = company.claims(&json!({"iss": upstream, "sub": "client:agent"}));
    let refused = company.present(&company.server.upstream.sign(TYP, &claims), &[]).await;
    assert_eq!(error_of(refused).await, (400, "invalid_grant".to_owned()));
}

#[tokio::test]
async fn one_that_is_bound_to_a_key_needs_its_proof() {
    let company = Company::start().await;
    let (key, other) = (DpopKey::default(), DpopKey::default());
    let assertion = company.idp.sign(TYP, &company.claims(&json!({"cnf": {"jkt": key.thumbprint()}})));
    let with = async |key: Option<&DpopKey>| {
        let url = format!("{}/token", company.server.url);
        let proof = key.map(|key| key.proof("POST", &url, &company.server.clock).sign());
        let proofs: Vec<&str> = proof.iter().map(String::as_str).collect();
        let form = [
            ("grant_type", JWT_BEARER),
            ("assertion", &assertion),
            ("client_id", "agent"),
            ("client_secret", SECRET),
        ];
        company.agent.proving(&proofs).form("/token", &form).await
    };
    assert_eq!(error_of(with(None).await).await, (400, "invalid_grant".to_owned()));
    assert_eq!(error_of(with(Some(&other)).await).await, (400, "invalid_grant".to_owned()));
    assert_eq!(json(with(Some(&key)).await).await["token_type"], "DPoP");
}

#[tokio::test]
async fn who_may_log_in_holds_for_them_too() {
    let access = AccessRule { email_domains: vec!["acme.example".into()], ..AccessRule::default() };
    let company = Company::with(|options| Options { access, ..options }).await;
    json(company.says(&json!({})).await).await;
    for changes in
        [json!({"email_verified": false}), json!({"email_verified": null}), json!({"email": "x@y.example"})]
    {
        let refused = error_of(company.says(&changes).await).await;
        assert_eq!(refused, (400, "invalid_grant".to_owned()), "{changes}");
    }
}

/// Whoever signs in with a browser is the same person as the one for whom the same service vouches.
#[tokio::test]
async fn the_service_that_people_sign_in_to_speaks_of_the_same_people() {
    let company = Company::with(|options| Options { trust_upstream: true, ..options }).await;
    let browser = OAuthClient::register(&company.server).await;
    let tokens: Tokens = browser.log_in(&Browser::new()).await;
    let signed_in = json(browser.call("/mcp", &tokens.access).await).await;
    let upstream = &company.server.upstream;
    let subject = async |tenant: Value| {
        let about = json!({"iss": upstream.issuer(), "sub": signed_in["subject"], "tenant": tenant});
        let assertion = upstream.sign(TYP, &company.claims(&about));
        let answer = json(company.present(&assertion, &[]).await).await;
        let token = answer["access_token"].as_str().unwrap().to_owned();
        json(company.agent.call("/mcp", &token).await).await["subject"].clone()
    };
    assert_eq!(subject(Value::Null).await, signed_in["subject"]);
    let of_tenant = format!("{}#t1#{}", upstream.issuer(), signed_in["subject"].as_str().unwrap());
    assert_eq!(subject(json!("t1")).await, of_tenant);
}

#[tokio::test]
async fn an_identity_provider_that_is_away_is_an_outage() {
    let company = Company::start().await;
    company.idp.set(Fault::JwksStatus(503));
    let assertion = company.idp.sign(TYP, &company.claims(&json!({})));
    let away = company.present(&assertion, &[]).await;
    assert!(away.headers().contains_key("retry-after"));
    assert_eq!(error_of(away).await, (503, "temporarily_unavailable".to_owned()));
    company.idp.clear();
    json(company.present(&assertion, &[]).await).await;
    // The keys are known now: an outage stops nobody.
    company.idp.set(Fault::JwksStatus(503));
    json(company.says(&json!({})).await).await;
}
