//! In what services differ that a name or an address does not say: closed lists, each entry with its code and its test.

use serde::{Deserialize, Serialize};

/// How the client proves itself at the token endpoint (RFC 6749 §2.3).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// HTTP Basic, id and secret form-encoded first, as RFC 6749 §2.3.1 says.
    #[default]
    Basic,
    /// `client_id` and `client_secret` in the body.
    Post,
    /// A public client: only `client_id`.
    None,
    /// Like `post`, with a secret that is made for each request: a JWT, signed with the key that the operator holds
    /// (Apple). Needs the parameters `team_id` and `key_id`; `client_secret` is the key, as PEM.
    JwtEs256,
    /// The secret as a bearer token (Stripe, where it is the API key).
    BearerSecret,
}

/// Proof Key for Code Exchange towards the service (RFC 7636).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pkce {
    /// Send a challenge.
    #[default]
    S256,
    /// Send none: for the few services that refuse or misread it.
    #[serde(rename = "off")]
    Off,
}

/// What the body of a request to the token endpoint is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenBody {
    /// A form (RFC 6749 §4.1.3).
    #[default]
    Form,
    /// A JSON object with the same members.
    Json,
}

/// Whether an `id_token` has to have the `nonce` that was sent (OIDC Core 1.0 §3.1.3.7, step 11).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Nonce {
    /// It has to.
    #[default]
    Require,
    /// The service never returns it; state, the cookie and PKCE stand alone.
    Skip,
}

/// What a refresh does to the refresh token. Every service is treated as one that rotates; this is for the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rotation {
    /// A new one each time, and the old one is dead.
    SingleUse,
    /// A new one each time, and the old one stays good.
    Replaces,
    /// Sometimes a new one.
    MayChange,
    /// A setting at the service decides.
    Configurable,
    /// The same for good.
    Static,
    /// There is none.
    None,
}

/// How tokens are ended at the service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevocationStyle {
    /// RFC 7009, the client authenticated as at the token endpoint.
    #[default]
    Rfc7009,
    /// RFC 7009, the client authenticated with HTTP Basic, whatever it does elsewhere.
    Rfc7009Basic,
    /// The token in a JSON object, the client authenticated with HTTP Basic (Notion, `QuickBooks`).
    JsonBasic,
    /// A `POST` with the access token as bearer and nothing in it (Dropbox, Slack).
    BearerPost,
    /// A `POST` with the access token as bearer, and as `token` in a form (`DigitalOcean`).
    BearerForm,
    /// `DELETE` with `{"access_token": …}`, the client authenticated with HTTP Basic (GitHub).
    GithubDelete,
    /// `DELETE` of an address that ends with the refresh token (`HubSpot`).
    HubspotDelete,
    /// `DELETE` of the permissions of a person, with the access token as bearer and its proof (Facebook).
    FacebookDelete,
    /// `client_id` and `stripe_user_id`, the secret as bearer (Stripe).
    StripeDeauthorize,
    /// The access token as `access_token` (Strava).
    AccessTokenPost,
    /// The token and `client_id`, no secret (Twitch).
    ClientIdPost,
}

/// Which token ends a login, where the style leaves a choice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RevocationToken {
    /// The refresh token, which takes the access tokens along (RFC 7009 §2.1); without one the access token.
    #[default]
    Refresh,
    /// The access token: the service takes no other (Notion, `TikTok`, Todoist, Zoom).
    Access,
}

/// What needs code of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quirk {
    /// The callback is a cross-site `POST`, and the person's name comes with the first one only (Apple).
    FormPostCallback,
    /// The issuer of an `id_token` holds the tenant of the person (Entra).
    IssuerTemplate,
    /// `ok: false` in a 200 is an error, and token types are `user` and `bot` (Slack).
    SlackAnswers,
    /// The callback is signed with the client's secret and names the shop (Shopify).
    ShopifyCallback,
    /// Errors are objects, calls carry a proof of the secret, and the token is exchanged for a longer one (Facebook).
    Facebook,
}
