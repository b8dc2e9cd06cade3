//! Signing keys, and JWTs put together by hand: a test must be able to make wrong ones.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RSA_PSS_SHA256, RsaEncoding, RsaKeyPair,
};
use aws_lc_rs::{hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// What the `id_token` is signed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SigningAlgorithm {
    /// Fast to make; the default.
    Es256,
    /// What most services use.
    Rs256,
    /// The same keys, another padding.
    Ps256,
    /// Ed25519.
    EdDsa,
}

pub(crate) enum Key {
    Es256(EcdsaKeyPair),
    Rs256(RsaKeyPair),
    Ps256(RsaKeyPair),
    EdDsa(Ed25519KeyPair),
}

impl Key {
    pub(crate) fn generate(algorithm: SigningAlgorithm) -> Self {
        match algorithm {
            SigningAlgorithm::Es256 => {
                Self::Es256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a P-256 key"))
            }
            SigningAlgorithm::Rs256 => {
                Self::Rs256(RsaKeyPair::generate(KeySize::Rsa2048).expect("an RSA key"))
            }
            SigningAlgorithm::Ps256 => {
                Self::Ps256(RsaKeyPair::generate(KeySize::Rsa2048).expect("an RSA key"))
            }
            SigningAlgorithm::EdDsa => Self::EdDsa(Ed25519KeyPair::generate().expect("an Ed25519 key")),
        }
    }

    /// The public half (RFC 7517).
    pub(crate) fn jwk(&self, kid: &str) -> Value {
        match self {
            Self::Es256(key) => {
                let point = key.public_key().as_ref();
                json!({
                    "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": kid,
                    "x": encode(&point[1..33]), "y": encode(&point[33..65]),
                })
            }
            Self::Rs256(key) | Self::Ps256(key) => {
                let (n, e) = rsa_components(key.public_key().as_ref());
                json!({
                    "kty": "RSA", "use": "sig", "alg": self.alg(), "kid": kid, "n": encode(n), "e": encode(e),
                })
            }
            Self::EdDsa(key) => json!({
                "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": kid,
                "x": encode(key.public_key().as_ref()),
            }),
        }
    }

    fn alg(&self) -> &'static str {
        match self {
            Self::Es256(_) => "ES256",
            Self::Rs256(_) => "RS256",
            Self::Ps256(_) => "PS256",
            Self::EdDsa(_) => "EdDSA",
        }
    }

    pub(crate) fn sign(&self, kid: &str, claims: &Value) -> String {
        self.sign_as("JWT", kid, claims)
    }

    /// Signs what calls itself `typ`.
    pub(crate) fn sign_as(&self, typ: &str, kid: &str, claims: &Value) -> String {
        let message = unsigned(typ, self.alg(), Some(kid), claims);
        let rsa = |key: &RsaKeyPair, padding: &'static dyn RsaEncoding| {
            let mut signature = vec![0; key.public_modulus_len()];
            key.sign(padding, &SystemRandom::new(), message.as_bytes(), &mut signature).expect("a signature");
            signature
        };
        let signature = match self {
            Self::Es256(key) => {
                key.sign(&SystemRandom::new(), message.as_bytes()).expect("a signature").as_ref().to_vec()
            }
            Self::Rs256(key) => rsa(key, &RSA_PKCS1_SHA256),
            Self::Ps256(key) => rsa(key, &RSA_PSS_SHA256),
            Self::EdDsa(key) => key.sign(message.as_bytes()).as_ref().to_vec(),
        };
        format!("{message}.{}", encode(&signature))
    }
}

/// `alg: none`, with the empty signature that goes with it (RFC 7519 §6).
pub(crate) fn unprotected(claims: &Value) -> String {
    format!("{}.", unsigned("JWT", "none", None, claims))
}

/// Signed with a shared secret, as if the client's secret were a key.
pub(crate) fn hs256(secret: &[u8], kid: &str, claims: &Value) -> String {
    let message = unsigned("JWT", "HS256", Some(kid), claims);
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    format!("{message}.{}", encode(hmac::sign(&key, message.as_bytes()).as_ref()))
}

fn unsigned(typ: &str, alg: &str, kid: Option<&str>, claims: &Value) -> String {
    let mut header = json!({"typ": typ, "alg": alg});
    if let Some(kid) = kid {
        header["kid"] = kid.into();
    }
    format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()))
}

pub(crate) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// 128 random bits with a name before them.
pub(crate) fn random(kind: &str) -> String {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).expect("randomness");
    format!("{kind}-{}", encode(&bytes))
}

/// RFC 8017 §A.1.1: a sequence of two integers.
pub(crate) fn rsa_components(der: &[u8]) -> (&[u8], &[u8]) {
    let (sequence, _) = der_value(der);
    let (n, rest) = der_value(sequence);
    let (e, _) = der_value(rest);
    (strip_sign(n), strip_sign(e))
}

fn strip_sign(integer: &[u8]) -> &[u8] {
    integer.strip_prefix(&[0]).unwrap_or(integer)
}

/// The content of the first DER value, and what follows it.
fn der_value(der: &[u8]) -> (&[u8], &[u8]) {
    let first = usize::from(der[1]);
    let (length, start) = if first < 0x80 {
        (first, 2)
    } else {
        let digits = first & 0x7f;
        (der[2..2 + digits].iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), 2 + digits)
    };
    (&der[start..start + length], &der[start + length..])
}
