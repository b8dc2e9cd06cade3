//! What the fake upstream can be told to do wrong.

use std::time::Duration;

/// One misbehaviour. Several can be set at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    // The token endpoint, whatever the grant.
    /// Answers with this status and an HTML body.
    TokenStatus(u16),
    /// 429 with `Retry-After` in seconds.
    TokenRateLimited(u64),
    /// Never answers.
    TokenHang,
    /// Answers after this time.
    TokenDelay(Duration),
    /// Reads the request and closes the connection.
    TokenClose,
    /// Does everything (a refresh token is rotated), then closes the connection instead of answering.
    TokenAnswerLost,
    /// 400 with this OAuth error.
    TokenError(&'static str),
    /// 200 with this OAuth error, as GitHub does.
    ErrorIn200(&'static str),
    /// 401 without a body.
    TokenUnauthorized,
    /// Redirects to this address with 307.
    TokenRedirect(String),
    /// The answer has everything but the access token.
    NoAccessToken,
    /// The answer is followed by two megabytes.
    HugeBody,
    /// `"expires_in": "3600"`.
    ExpiresInString,
    /// No `expires_in`.
    NoExpiresIn,
    /// No refresh token at all.
    NoRefreshToken,
    /// A refresh answers without a refresh token and without a scope; the old token stays good.
    OmitRefreshToken,
    /// `scope` is an array.
    ScopeArray,
    /// A form instead of JSON, whatever the client accepts.
    FormEncoded,
    /// A refresh also ends the access token before it.
    OldAccessTokenDies,

    // The id token.
    /// None.
    NoIdToken,
    /// Another nonce.
    WrongNonce,
    /// No nonce.
    NoNonce,
    /// For another client.
    WrongAudience,
    /// For this client and another, without `azp`.
    TwoAudiences,
    /// From another issuer.
    WrongIssuer,
    /// From this issuer name.
    IssuerIs(String),
    /// Ended an hour ago.
    ExpiredIdToken,
    /// Made in an hour.
    FutureIdToken,
    /// `alg: none`.
    AlgNone,
    /// HS256 with the client secret as the key.
    Hs256,
    /// Signed with a key that is never published.
    UnknownKid,
    /// Signed with a new key, which the key set holds from now on.
    RotatedKey,
    /// Signed with another key under the published name.
    WrongKey,
    /// `at_hash` of another access token.
    WrongAtHash,

    // The other endpoints.
    /// The authorization endpoint answers `error=access_denied`.
    AccessDenied,
    /// The callback gets no `iss`.
    NoIss,
    /// The callback gets another `iss`.
    WrongIss,
    /// Userinfo is about somebody else.
    OtherSubject,
    /// Userinfo answers with this status.
    UserinfoStatus(u16),
    /// The list of addresses answers with this status.
    EmailsStatus(u16),
    /// Discovery names another issuer.
    DiscoveryIssuer(String),
    /// Discovery answers with this status.
    DiscoveryStatus(u16),
    /// Discovery names this token endpoint.
    DiscoveryTokenEndpoint(String),
    /// Discovery is larger than 256 KiB.
    DiscoveryHuge,
    /// The key set answers with this status.
    JwksStatus(u16),
}
