//! Our records: grants as the crate writes them, under the ids that it gives them.

use std::time::Duration;

use anyhow::Result;
use mcp_login::store::records::{
    CLAIMS_LABEL, DataKey, GrantId, Handle, HandleKind, UPSTREAM_TOKENS_LABEL, random_secret,
};
use mcp_login_core::Timestamp;
use mcp_login_core::grant::{AccessToken, Active, CodeIssued, Grant, Issued, RefreshToken};
use mcp_login_core::scope::Scopes;
use serde_json::json;

/// The time of every run.
pub const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
/// How long a login lasts that nobody refreshes.
pub const REFRESH_LIFETIME: Duration = Duration::from_secs(90 * 24 * 60 * 60);
const ACCESS_LIFETIME: Duration = Duration::from_secs(60 * 60);

/// How many different grants there are; more would only fill memory.
const DIFFERENT: usize = 512;

const SCOPE: &str = "mcp:tools mcp:resources offline_access";

/// Grants just logged in, and grants that were refreshed.
pub struct Grants {
    fresh: Vec<Vec<u8>>,
    refreshed: Vec<Vec<u8>>,
}

impl Grants {
    pub fn make() -> Result<Self> {
        let (mut fresh, mut refreshed) = (Vec::new(), Vec::new());
        for _ in 0..DIFFERENT {
            let (id, key) = (GrantId::new(NOW), DataKey::new());
            let mut active = logged_in(&id, &key)?;
            fresh.push(serde_json::to_vec(&Grant::Active(Box::new(active.clone())))?);
            let tokens = issued(&id, &key)?;
            let answer = json!({
                "access_token": Handle::new(HandleKind::Access, &id).to_secret().expose_secret(),
                "refresh_token": Handle::new(HandleKind::Refresh, &id).to_secret().expose_secret(),
                "token_type": "Bearer", "expires_in": 3600, "scope": SCOPE,
            });
            let successor = Handle::new(HandleKind::Refresh, &id).seal("answer", &answer)?;
            active.rotate(tokens, successor, Duration::from_secs(60), NOW);
            refreshed.push(serde_json::to_vec(&Grant::Active(Box::new(active)))?);
        }
        Ok(Self { fresh, refreshed })
    }

    pub fn fresh(&self, number: u64) -> &[u8] {
        &self.fresh[usize::try_from(number).unwrap_or_default() % DIFFERENT]
    }

    pub fn refreshed(&self, number: u64) -> &[u8] {
        &self.refreshed[usize::try_from(number).unwrap_or_default() % DIFFERENT]
    }
}

/// A login at a service with OpenID Connect, whose tokens are kept.
fn logged_in(id: &GrantId, key: &DataKey) -> Result<Active> {
    let secret = || random_secret().expose_secret().to_owned();
    let subject = secret();
    let claims = json!({
        "sub": subject, "iss": "https://accounts.example.com", "aud": secret(), "azp": secret(), "hd": "example.com",
        "email": "someone.or.other@example.com", "email_verified": true, "name": "Someone Or Other",
        "given_name": "Someone", "family_name": "Other", "at_hash": secret(), "iat": 1_800_000_000, "exp": 1_800_003_600,
        "picture": format!("https://pictures.example.com/a/{}", secret()),
    });
    let (access, refresh) = ([(); 5].map(|()| secret()).concat(), [(); 2].map(|()| secret()).concat());
    let tokens = json!({
        "access_token": access,
        "refresh_token": refresh, "token_type": "Bearer",
        "expires_at": 1_800_003_600_000_u64, "refresh_at": 1_800_003_540_000_u64,
        "scope": "openid email profile https://www.example.com/auth/drive.readonly",
    });
    let code = Handle::new(HandleKind::Code, id);
    let login = json!({
        "client_id": id.as_str(), "resource": "https://mcp.example.com/drive/mcp", "scope": SCOPE,
        "user": {
            "subject": subject, "email": "someone.or.other@example.com", "name": "Someone Or Other",
            "preferred_username": null,
        },
        "claims": key.seal(id, CLAIMS_LABEL, &claims)?,
        "upstream_tokens": key.seal(id, UPSTREAM_TOKENS_LABEL, &tokens)?,
        "logged_in_at": NOW,
    });
    let issued_code: CodeIssued = serde_json::from_value(json!({
        "login": login, "code": code.hash(), "wrapped_key": key.wrap(&code)?,
        "redirect_uri": "https://client.example.com/api/mcp/auth_callback",
        "code_challenge": secret(), "expires_at": NOW.plus(Duration::from_secs(60)),
    }))?;
    let lineage = Handle::new(HandleKind::Refresh, id).lineage_hash();
    Ok(issued_code.exchange(lineage, issued(id, key)?))
}

fn issued(id: &GrantId, key: &DataKey) -> Result<Issued> {
    let (access, refresh) = (Handle::new(HandleKind::Access, id), Handle::new(HandleKind::Refresh, id));
    Ok(Issued {
        access: AccessToken {
            hash: access.hash(),
            wrapped_key: key.wrap(&access)?,
            scope: serde_json::from_value::<Scopes>(json!(SCOPE))?,
            expires_at: NOW.plus(ACCESS_LIFETIME),
            jkt: None,
        },
        refresh: RefreshToken {
            hash: refresh.hash(),
            wrapped_key: key.wrap(&refresh)?,
            expires_at: NOW.plus(REFRESH_LIFETIME),
            jkt: None,
        },
    })
}

/// `SplitMix64`.
pub fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The id of the grant of this number: eight seconds after the one before, and ten bytes of chance.
pub fn id(number: u64) -> String {
    let millis = NOW.as_millis() + number * 8_000;
    let random = (u128::from(mix(number)) << 16) | u128::from(mix(!number) & 0xffff);
    format!("{:032x}", (u128::from(millis) << 80) | random)
}
