//! A client secret that is a JWT, signed with a key of the operator (Sign in with Apple).

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use mcp_login_core::{Secret, Timestamp};
use serde_json::json;

use super::error::UpstreamError;
use super::service::Upstream;

/// Made anew for each request, so it need not live long.
const LIFE_SECONDS: u64 = 5 * 60;

impl Upstream {
    /// `iss` is the team, `sub` this client, `aud` the service.
    pub(super) fn signed_secret(&self, now: Timestamp) -> Result<Secret, UpstreamError> {
        let unusable = |what: &str| UpstreamError::Misconfigured(format!("client_secret: {what}"));
        let key = EncodingKey::from_ec_pem(self.secret().as_bytes())
            .map_err(|_| unusable("is no private key on P-256, as PEM (a .p8 file)"))?;
        let param = |name: &str| self.params.get(name).map_or("", String::as_str);
        let mut header = Header::new(Algorithm::ES256);
        header.typ = None;
        header.kid = Some(param("key_id").to_owned());
        let claims = json!({
            "iss": param("team_id"),
            "sub": self.client_id,
            "aud": self.provider.issuer,
            "iat": now.as_secs(),
            "exp": now.as_secs() + LIFE_SECONDS,
        });
        let signed = jsonwebtoken::encode(&header, &claims, &key);
        signed.map(Secret::new).map_err(|_| unusable("cannot sign"))
    }
}
