//! How clients authenticate (RFC 7591 §2, `OpenID` Connect Core §9).

use serde::{Deserialize, Serialize};

/// How a client proves at the token endpoint that it is the one that registered (RFC 7591 §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuthMethod {
    /// A public client: it cannot keep a secret, PKCE protects it.
    None,
    /// A secret in the `Authorization: Basic` header (RFC 6749 §2.3.1).
    ClientSecretBasic,
    /// A secret in the form.
    ClientSecretPost,
    /// A signed assertion (RFC 7523 §2.2).
    PrivateKeyJwt,
}

impl ClientAuthMethod {
    /// Those that this server takes, as its metadata lists them.
    pub const ALL: [Self; 4] =
        [Self::None, Self::ClientSecretPost, Self::ClientSecretBasic, Self::PrivateKeyJwt];

    /// The registered name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::ClientSecretBasic => "client_secret_basic",
            Self::ClientSecretPost => "client_secret_post",
            Self::PrivateKeyJwt => "private_key_jwt",
        }
    }

    /// The method of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == name)
    }

    /// Whether it needs a secret that both sides know.
    #[must_use]
    pub const fn is_secret(self) -> bool {
        matches!(self, Self::ClientSecretBasic | Self::ClientSecretPost)
    }
}

/// The methods of one client: at least one, the preferred first. Most have one; a metadata document may list several
/// (SEP-3149).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "OneOrMany", into = "OneOrMany")]
pub struct AuthMethods(Vec<ClientAuthMethod>);

/// As it is kept: one is written as RFC 7591 writes it.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(ClientAuthMethod),
    Many(Vec<ClientAuthMethod>),
}

impl AuthMethods {
    /// These; `None` for an empty list.
    #[must_use]
    pub fn of(methods: impl IntoIterator<Item = ClientAuthMethod>) -> Option<Self> {
        let mut held = Vec::new();
        for method in methods {
            if !held.contains(&method) {
                held.push(method);
            }
        }
        (!held.is_empty()).then_some(Self(held))
    }

    /// Whether the client may come with this one.
    #[must_use]
    pub fn contains(&self, method: ClientAuthMethod) -> bool {
        self.0.contains(&method)
    }

    /// Whether the client has a secret.
    #[must_use]
    pub fn has_secret(&self) -> bool {
        self.0.iter().any(|method| method.is_secret())
    }

    /// Whether the client has to prove that it is the one.
    #[must_use]
    pub fn is_confidential(&self) -> bool {
        !self.contains(ClientAuthMethod::None)
    }

    /// The one that a registration answers with.
    #[must_use]
    pub fn preferred(&self) -> ClientAuthMethod {
        self.0.first().copied().unwrap_or(ClientAuthMethod::None)
    }
}

impl From<ClientAuthMethod> for AuthMethods {
    fn from(method: ClientAuthMethod) -> Self {
        Self(vec![method])
    }
}

impl TryFrom<OneOrMany> for AuthMethods {
    type Error = &'static str;
    fn try_from(kept: OneOrMany) -> Result<Self, Self::Error> {
        match kept {
            OneOrMany::One(method) => Ok(method.into()),
            OneOrMany::Many(methods) => Self::of(methods).ok_or("no authentication method"),
        }
    }
}

impl From<AuthMethods> for OneOrMany {
    fn from(methods: AuthMethods) -> Self {
        match *methods.0 {
            [only] => Self::One(only),
            _ => Self::Many(methods.0),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_method_is_kept_as_it_was_kept_before_there_were_several() {
        let one = AuthMethods::from(ClientAuthMethod::ClientSecretPost);
        assert_eq!(serde_json::to_value(&one).unwrap(), json!("client_secret_post"));
        assert_eq!(serde_json::from_value::<AuthMethods>(json!("client_secret_post")).unwrap(), one);
        let two = AuthMethods::of([ClientAuthMethod::PrivateKeyJwt, ClientAuthMethod::None]).unwrap();
        let kept = serde_json::to_value(&two).unwrap();
        assert_eq!(kept, json!(["private_key_jwt", "none"]));
        assert_eq!(serde_json::from_value::<AuthMethods>(kept).unwrap(), two);
        assert!(serde_json::from_value::<AuthMethods>(json!([])).is_err());
    }

    #[test]
    fn whoever_may_come_without_a_proof_is_not_confidential() {
        use ClientAuthMethod::*;
        for (methods, confidential) in [
            (vec![None], false),
            (vec![PrivateKeyJwt, None], false),
            (vec![PrivateKeyJwt], true),
            (vec![ClientSecretBasic], true),
        ] {
            assert_eq!(
                AuthMethods::of(methods.clone()).unwrap().is_confidential(),
                confidential,
                "{methods:?}"
            );
        }
        assert!(AuthMethods::of([]).is_none());
        for method in ClientAuthMethod::ALL {
            assert_eq!(ClientAuthMethod::parse(method.as_str()), Some(method));
        }
    }
}
