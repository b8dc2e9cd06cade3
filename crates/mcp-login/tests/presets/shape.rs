//! `shapes.toml`: what each service answers, as its vendor documents it, and what has to come of it.
//!
//! Answers are JSON texts as they go over the wire. In them `{id_token}` is the signed `id_token`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::Value;

/// One service. Every field is either played or compared: none is there to be read by people alone.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shape {
    /// What the operator says besides the client.
    #[serde(default)]
    pub(crate) params: BTreeMap<String, String>,
    /// The scopes that the operator has to name, where the preset has none.
    #[serde(default)]
    pub(crate) scopes: Vec<String>,

    /// The authorization endpoint, with what is sent besides `response_type`, client, `redirect_uri`, `state`, PKCE, nonce.
    pub(crate) authorize: String,
    /// What the service calls `client_id`.
    #[serde(default = "client_id")]
    pub(crate) client_id_param: String,
    /// What the service calls `scope`, and what stands between two.
    #[serde(default = "scope")]
    pub(crate) scope_param: String,
    #[serde(default = "space")]
    pub(crate) scope_separator: String,
    /// Whether PKCE is used.
    #[serde(default = "yes")]
    pub(crate) pkce: bool,
    /// What the callback holds besides `code` and `state`.
    #[serde(default)]
    pub(crate) callback: BTreeMap<String, String>,
    /// What the discovery document names, where it has to be asked.
    pub(crate) discovered: Option<BTreeMap<String, String>>,

    /// The request that brings the code, with what is in it besides the usual.
    pub(crate) exchange: Request,
    /// The answer.
    pub(crate) answer: String,
    /// The answer to a second request, which gives a longer life to the token.
    pub(crate) longer: Option<String>,
    /// The claims of the `id_token`, without those of the protocol: `aud`, `exp`, `iat` and `nonce` are added.
    pub(crate) id_token: Option<String>,
    /// Whether the `id_token` comes without the nonce that was sent.
    #[serde(default)]
    pub(crate) no_nonce: bool,
    /// Where the keys are.
    pub(crate) jwks: Option<String>,
    /// The userinfo request.
    pub(crate) userinfo: Option<Request>,
    /// Its answer.
    pub(crate) person: Option<String>,
    /// The list of e-mail addresses, and what it answers.
    pub(crate) emails: Option<(String, String)>,
    /// The lists of which rules can ask, by claim.
    #[serde(default)]
    pub(crate) lists: BTreeMap<String, ListShape>,

    /// What is kept of the first answer.
    pub(crate) tokens: Tokens,
    /// Who it is.
    pub(crate) subject: String,
    pub(crate) email: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) username: Option<String>,
    /// The claims that come from the token answer and the callback.
    #[serde(default)]
    pub(crate) kept: BTreeMap<String, Value>,

    /// How tokens are renewed, where they are.
    pub(crate) refresh: Option<Refresh>,
    /// How tokens are ended, where they can be.
    pub(crate) revoke: Option<Request>,
}

/// A request of the back channel.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    #[serde(default = "post")]
    pub(crate) method: String,
    pub(crate) to: String,
    #[serde(default)]
    pub(crate) auth: Auth,
    /// More headers, by name in lower case.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    /// The members of a form, besides the usual ones.
    #[serde(default)]
    pub(crate) form: BTreeMap<String, String>,
    /// Or those of a JSON object.
    pub(crate) json: Option<BTreeMap<String, String>>,
    /// Or a body as it is.
    pub(crate) body: Option<String>,
}

/// Who is proved, and how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Auth {
    /// Nobody.
    #[default]
    None,
    /// The client, with HTTP Basic.
    Basic,
    /// The client, in the body.
    Post,
    /// The client, in the body, with a secret that it has signed.
    Jwt,
    /// The client, with its secret as the bearer token.
    Secret,
    /// The person, with the access token as the bearer token.
    Token,
}

/// A list of which a rule can ask.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListShape {
    pub(crate) from: String,
    pub(crate) answer: String,
    /// A scope that it needs besides.
    pub(crate) scope: Option<String>,
    /// What the claim holds then.
    pub(crate) holds: Vec<String>,
}

/// What is kept of a token answer.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tokens {
    pub(crate) access_token: String,
    pub(crate) refresh_token: Option<String>,
    /// Seconds.
    pub(crate) expires_in: Option<u64>,
    pub(crate) scope: Option<String>,
}

/// A refresh.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Refresh {
    /// If not where the code went.
    pub(crate) to: Option<String>,
    /// What is sent besides grant type, refresh token and client; the rest is as in the exchange.
    #[serde(default)]
    pub(crate) form: BTreeMap<String, String>,
    pub(crate) answer: String,
    /// What is kept then, with what the answer left out.
    pub(crate) tokens: Tokens,
    /// What is said of a refresh token that is dead, if not `invalid_grant` with 400.
    pub(crate) dead: Option<(u16, String)>,
}

fn client_id() -> String {
    "client_id".to_owned()
}

fn scope() -> String {
    "scope".to_owned()
}

fn space() -> String {
    " ".to_owned()
}

fn post() -> String {
    "POST".to_owned()
}

fn yes() -> bool {
    true
}

/// All of them, by the name of the preset.
pub(crate) fn shapes() -> &'static BTreeMap<String, Shape> {
    static SHAPES: LazyLock<BTreeMap<String, Shape>> =
        LazyLock::new(|| toml::from_str(include_str!("shapes.toml")).unwrap());
    &SHAPES
}

/// The one of this preset.
pub(crate) fn shape(name: &str) -> &'static Shape {
    &shapes()[name]
}
