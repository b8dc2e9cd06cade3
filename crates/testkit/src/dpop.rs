//! DPoP proofs (RFC 9449) as a client makes them, put together by hand: a test must be able to make wrong ones.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RSA_PSS_SHA256, RsaKeyPair,
};
use mcp_login::clock::Clock;
use mcp_login::core::dpop::JwkThumbprint;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::clock::MockClock;
use crate::fake_upstream::key::{encode, random, rsa_components};

/// What proofs are signed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DpopAlgorithm {
    /// ECDSA on P-256; the usual one.
    Es256,
    /// Ed25519.
    EdDsa,
    /// RSA, PKCS #1.
    Rs256,
    /// RSA, PSS.
    Ps256,
}

#[derive(Debug)]
enum KeyPair {
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

/// The key of a client.
#[derive(Debug)]
pub struct DpopKey {
    algorithm: DpopAlgorithm,
    pair: KeyPair,
}

impl Default for DpopKey {
    fn default() -> Self {
        Self::new(DpopAlgorithm::Es256)
    }
}

impl DpopKey {
    /// A new one.
    #[must_use]
    pub fn new(algorithm: DpopAlgorithm) -> Self {
        let pair = match algorithm {
            DpopAlgorithm::Es256 => {
                KeyPair::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a P-256 key"))
            }
            DpopAlgorithm::EdDsa => KeyPair::Ed(Ed25519KeyPair::generate().expect("an Ed25519 key")),
            DpopAlgorithm::Rs256 | DpopAlgorithm::Ps256 => {
                KeyPair::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).expect("an RSA key"))
            }
        };
        Self { algorithm, pair }
    }

    /// The public half (RFC 7517).
    #[must_use]
    pub fn jwk(&self) -> Value {
        match &self.pair {
            KeyPair::Ec(pair) => {
                let point = pair.public_key().as_ref();
                json!({"kty": "EC", "crv": "P-256", "x": encode(&point[1..33]), "y": encode(&point[33..65])})
            }
            KeyPair::Ed(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key().as_ref())})
            }
            KeyPair::Rsa(pair) => {
                let (n, e) = rsa_components(pair.public_key().as_ref());
                json!({"kty": "RSA", "n": encode(n), "e": encode(e)})
            }
        }
    }

    /// Its name (RFC 7638), as `dpop_jkt` has it.
    #[must_use]
    pub fn thumbprint(&self) -> String {
        let jwk = self.jwk();
        JwkThumbprint::of(jwk.as_object().expect("an object")).expect("a public key").to_string()
    }

    /// A proof for this request, made now.
    #[must_use]
    pub fn proof(&self, method: &str, url: &str, clock: &MockClock) -> DpopProof<'_> {
        let alg = match self.algorithm {
            DpopAlgorithm::Es256 => "ES256",
            DpopAlgorithm::EdDsa => "EdDSA",
            DpopAlgorithm::Rs256 => "RS256",
            DpopAlgorithm::Ps256 => "PS256",
        };
        DpopProof {
            key: self,
            header: json!({"typ": "dpop+jwt", "alg": alg, "jwk": self.jwk()}),
            claims: json!({"jti": random("jti"), "htm": method, "htu": url, "iat": clock.now().as_secs()}),
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            KeyPair::Ec(pair) => pair.sign(&random, message).expect("a signature").as_ref().to_vec(),
            KeyPair::Ed(pair) => pair.sign(message).as_ref().to_vec(),
            KeyPair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let padding: &dyn aws_lc_rs::signature::RsaEncoding = match self.algorithm {
                    DpopAlgorithm::Ps256 => &RSA_PSS_SHA256,
                    _ => &RSA_PKCS1_SHA256,
                };
                pair.sign(padding, &random, message, &mut signature).expect("a signature");
                signature
            }
        }
    }
}

/// A proof that is not signed yet.
#[derive(Debug, Clone)]
pub struct DpopProof<'a> {
    /// What it will be signed with.
    pub key: &'a DpopKey,
    /// Its header.
    pub header: Value,
    /// Its claims.
    pub claims: Value,
}

impl DpopProof<'_> {
    /// For a request with this access token.
    #[must_use]
    pub fn of_token(self, access_token: &str) -> Self {
        self.claim("ath", encode(&Sha256::digest(access_token.as_bytes())))
    }

    /// With this claim; `null` takes it out.
    #[must_use]
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        set(&mut self.claims, name, value.into());
        self
    }

    /// With this member of the header; `null` takes it out.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        set(&mut self.header, name, value.into());
        self
    }

    /// The proof, signed.
    #[must_use]
    pub fn sign(&self) -> String {
        self.signed_by(|message| self.key.sign(message))
    }

    /// The proof, signed as if it were by a shared secret, which stands in the place of the key.
    #[must_use]
    pub fn sign_with_secret(self) -> String {
        let secret = b"a secret that everybody can read";
        let jwk = json!({"kty": "oct", "k": encode(secret)});
        let proof = self.header("alg", "HS256").header("jwk", jwk);
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        proof.signed_by(|message| hmac::sign(&key, message).as_ref().to_vec())
    }

    fn signed_by(&self, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
        let part = |value: &Value| encode(value.to_string().as_bytes());
        let message = format!("{}.{}", part(&self.header), part(&self.claims));
        format!("{message}.{}", encode(&sign(message.as_bytes())))
    }
}

fn set(object: &mut Value, name: &str, value: Value) {
    object.as_object_mut().expect("an object").remove(name);
    if !value.is_null() {
        object[name] = value;
    }
}
