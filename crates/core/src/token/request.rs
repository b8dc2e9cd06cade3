//! The token request (OAuth 2.1 §3.2.2).

use super::GrantType;
use crate::error::{ErrorCode, OAuthError};
use crate::params::Params;
use crate::resource_indicator::Resources;
use crate::secret::Secret;

/// A token request, by its grant type.
#[derive(Debug)]
pub enum TokenRequest<'a> {
    /// OAuth 2.1 §4.1.3.
    AuthorizationCode(AuthorizationCodeRequest<'a>),
    /// OAuth 2.1 §4.3.1.
    RefreshToken(RefreshTokenRequest<'a>),
    /// OAuth 2.1 §4.2.1.
    ClientCredentials(ClientCredentialsRequest<'a>),
    /// RFC 7523 §2.1.
    JwtBearer(JwtBearerRequest<'a>),
}

/// A client that acts for itself.
#[derive(Debug)]
pub struct ClientCredentialsRequest<'a> {
    /// Fewer scopes than the client may have.
    pub scope: Option<&'a str>,
    /// The exact URL of the server that the token is for, if one is named.
    pub resource: Option<&'a str>,
}

/// What an identity provider says of a person, for a token.
#[derive(Debug)]
pub struct JwtBearerRequest<'a> {
    /// The signed assertion.
    pub assertion: Secret,
    /// Fewer scopes than the assertion grants.
    pub scope: Option<&'a str>,
    /// The exact URL of the server that the token is for, if one is named.
    pub resource: Option<&'a str>,
}

/// A code for tokens.
#[derive(Debug)]
pub struct AuthorizationCodeRequest<'a> {
    /// The code.
    pub code: Secret,
    /// Compared with the authorization request's when it is there. OAuth 2.1 §10.2 no longer sends it: PKCE does more.
    pub redirect_uri: Option<&'a str>,
    /// What has to fit the challenge (RFC 7636 §4.5).
    pub code_verifier: Secret,
    /// The exact URL of the server that the token is for, if one is named (RFC 8707 §2.2).
    pub resource: Option<&'a str>,
}

/// A refresh token for new tokens.
#[derive(Debug)]
pub struct RefreshTokenRequest<'a> {
    /// The refresh token.
    pub refresh_token: Secret,
    /// Fewer scopes for the new access token.
    pub scope: Option<&'a str>,
    /// The exact URL of the server that the token is for, if one is named.
    pub resource: Option<&'a str>,
}

impl<'a> TokenRequest<'a> {
    /// Reads the form of a token request.
    pub fn parse(params: &'a Params, resources: &'a Resources) -> Result<Self, OAuthError> {
        if params.has_duplicates(&["resource"]) {
            return Err(OAuthError::invalid_request("a parameter is given more than once"));
        }
        let required = |name: &'static str| {
            params.one(name)?.ok_or_else(|| OAuthError::invalid_request(format!("{name} is missing")))
        };
        let resource = resources.named(params)?;
        let unsupported = || {
            let description = "this grant_type is not offered; see grant_types_supported in the metadata";
            OAuthError::new(ErrorCode::UnsupportedGrantType, description)
        };
        match GrantType::parse(required("grant_type")?).ok_or_else(unsupported)? {
            GrantType::AuthorizationCode => Ok(Self::AuthorizationCode(AuthorizationCodeRequest {
                code: required("code")?.into(),
                redirect_uri: params.one("redirect_uri")?,
                // An absent verifier is a wrong one: RFC 7636 §4.6 has one answer for both.
                code_verifier: params.one("code_verifier")?.unwrap_or_default().into(),
                resource,
            })),
            GrantType::RefreshToken => Ok(Self::RefreshToken(RefreshTokenRequest {
                refresh_token: required("refresh_token")?.into(),
                scope: params.one("scope")?,
                resource,
            })),
            GrantType::ClientCredentials => Ok(Self::ClientCredentials(ClientCredentialsRequest {
                scope: params.one("scope")?,
                resource,
            })),
            GrantType::JwtBearer => Ok(Self::JwtBearer(JwtBearerRequest {
                assertion: required("assertion")?.into(),
                scope: params.one("scope")?,
                resource,
            })),
        }
    }

    /// What is asked for.
    #[must_use]
    pub const fn grant_type(&self) -> GrantType {
        match self {
            Self::AuthorizationCode(_) => GrantType::AuthorizationCode,
            Self::RefreshToken(_) => GrantType::RefreshToken,
            Self::ClientCredentials(_) => GrantType::ClientCredentials,
            Self::JwtBearer(_) => GrantType::JwtBearer,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    fn resources() -> Resources {
        Resources::new(["https://mcp.example.com/mcp".to_owned()]).unwrap()
    }

    fn refused(form: &str) -> ErrorCode {
        TokenRequest::parse(&Params::parse(form.as_bytes()).unwrap(), &resources()).unwrap_err().code
    }

    #[test]
    fn every_grant_type_is_read() {
        let resources = resources();
        let params =
            Params::parse(b"grant_type=authorization_code&code=c&code_verifier=v&redirect_uri=r").unwrap();
        let TokenRequest::AuthorizationCode(request) = TokenRequest::parse(&params, &resources).unwrap()
        else {
            panic!()
        };
        assert_eq!(request.code.expose_secret(), "c");
        assert_eq!(request.redirect_uri, Some("r"));
        let params = Params::parse(b"grant_type=refresh_token&refresh_token=t&scope=a").unwrap();
        let TokenRequest::RefreshToken(request) = TokenRequest::parse(&params, &resources).unwrap() else {
            panic!()
        };
        assert_eq!((request.refresh_token.expose_secret(), request.scope), ("t", Some("a")));
        let params = Params::parse(b"grant_type=client_credentials&scope=a").unwrap();
        let TokenRequest::ClientCredentials(request) = TokenRequest::parse(&params, &resources).unwrap()
        else {
            panic!()
        };
        assert_eq!((request.scope, request.resource), (Some("a"), None));
        let form = b"grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=a.b.c";
        let params = Params::parse(form).unwrap();
        let TokenRequest::JwtBearer(request) = TokenRequest::parse(&params, &resources).unwrap() else {
            panic!()
        };
        assert_eq!(request.assertion.expose_secret(), "a.b.c");
    }

    #[test]
    fn anything_else_is_refused() {
        use ErrorCode::*;
        assert_eq!(refused(""), InvalidRequest);
        assert_eq!(refused("grant_type=password&username=u&password=p"), UnsupportedGrantType);
        assert_eq!(refused("grant_type=CLIENT_CREDENTIALS"), UnsupportedGrantType);
        assert_eq!(
            refused("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer"),
            InvalidRequest
        );
        assert_eq!(refused("grant_type=authorization_code"), InvalidRequest);
        assert_eq!(refused("grant_type=refresh_token"), InvalidRequest);
        assert_eq!(refused("grant_type=refresh_token&refresh_token=a&refresh_token=a"), InvalidRequest);
        assert_eq!(refused("grant_type=refresh_token&refresh_token=a&resource=x"), InvalidTarget);
    }
}
