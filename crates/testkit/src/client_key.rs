//! A client's key pair, and the assertions that it signs (RFC 7523).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mcp_login::clock::Clock;
use mcp_login::core::client::assertion::CLIENT_ASSERTION_TYPE;
use serde_json::{Value, json};

use crate::fake_upstream::SigningAlgorithm;
use crate::fake_upstream::key::{Key, hs256, random, unprotected};
use crate::server::TestServer;

/// A key pair, with a name.
pub struct ClientKey {
    key: Key,
    kid: String,
}

impl fmt::Debug for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

impl ClientKey {
    /// A new one for ES256.
    pub fn new(kid: &str) -> Self {
        Self::of(SigningAlgorithm::Es256, kid)
    }

    /// A new one for this algorithm.
    pub fn of(algorithm: SigningAlgorithm, kid: &str) -> Self {
        Self { key: Key::generate(algorithm), kid: kid.to_owned() }
    }

    /// The public half.
    pub fn jwk(&self) -> Value {
        self.key.jwk(&self.kid)
    }

    /// A key set of it alone.
    pub fn jwks(&self) -> Value {
        json!({"keys": [self.jwk()]})
    }

    /// The private half as a `.p8` file (PKCS #8, PEM). Only a key for ES256 has one here.
    pub fn p8(&self) -> String {
        let Key::Es256(key) = &self.key else { panic!("a key for ES256") };
        let text = STANDARD.encode(key.to_pkcs8v1().unwrap());
        let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"))
    }

    /// These claims, signed.
    pub fn sign(&self, claims: &Value) -> String {
        self.key.sign(&self.kid, claims)
    }

    /// A good assertion of this client for this server.
    pub fn assertion(&self, server: &TestServer, client_id: &str) -> String {
        self.sign(&claims(server, client_id))
    }

    /// These claims under `alg: HS256`, with the public key as the secret.
    pub fn sign_with_public_half(&self, claims: &Value) -> String {
        hs256(self.jwk().to_string().as_bytes(), &self.kid, claims)
    }
}

/// These claims under `alg: none`.
pub fn unsigned(claims: &Value) -> String {
    unprotected(claims)
}

/// What a good assertion says; each has a `jti` of its own.
pub fn claims(server: &TestServer, client_id: &str) -> Value {
    let now = server.clock.now().as_secs();
    json!({
        "iss": client_id, "sub": client_id, "aud": server.url, "iat": now, "exp": now + 60, "jti": random("jti"),
    })
}

/// The parameters that bring an assertion (RFC 7523 §2.2).
pub fn assertion_params(assertion: &str) -> [(&str, &str); 2] {
    [("client_assertion_type", CLIENT_ASSERTION_TYPE), ("client_assertion", assertion)]
}
