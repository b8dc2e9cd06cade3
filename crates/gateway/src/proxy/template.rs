//! Templates of headers and environment variables: `Bearer {upstream.access_token}`.

use std::fmt;

use axum::http::HeaderValue;
use mcp_login::core::Secret;
use mcp_login::resource::Caller;
use serde_json::Value;

/// The longest template, in bytes.
const MAX_LENGTH: usize = 8 * 1024;

/// A header's value with placeholders. `{{` and `}}` stand for the braces themselves.
#[derive(Clone, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Value(Placeholder),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Placeholder {
    UpstreamAccessToken,
    UserSub,
    UserEmail,
    UserName,
    Claim(String),
    ClientId,
    Scope,
}

/// What a template is filled from.
#[derive(Debug, Clone, Copy)]
pub struct Values<'a> {
    /// Who is calling.
    pub caller: &'a Caller,
    /// The caller's upstream token, where [`Template::needs_upstream_token`].
    pub upstream_token: Option<&'a Secret>,
}

impl Template {
    /// Reads a template. The error says what to write instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_LENGTH {
            return Err(format!("longer than {MAX_LENGTH} bytes"));
        }
        if text.chars().any(char::is_control) {
            return Err("holds a control character".to_owned());
        }
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            literal.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                literal.push_str(brace);
                rest = after;
                continue;
            }
            let placeholder = (brace == "{").then(|| rest.split_once('}')).flatten();
            let Some((name, after)) = placeholder else {
                return Err(format!(
                    "a single {brace}: write {{name}}, or {brace}{brace} for the brace itself"
                ));
            };
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal)));
            }
            parts.push(Part::Value(Placeholder::parse(name)?));
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Ok(Self(parts))
    }

    /// Whether it says something of the user, so that it is left out where there is none.
    #[must_use]
    pub fn needs_user(&self) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Value(_)))
    }

    /// Whether `{upstream.access_token}` is in it.
    #[must_use]
    pub fn needs_upstream_token(&self) -> bool {
        self.0.contains(&Part::Value(Placeholder::UpstreamAccessToken))
    }

    /// The header's value; `None` when a value is missing or cannot stand in a header.
    #[must_use]
    pub fn fill(&self, values: Option<Values<'_>>) -> Option<HeaderValue> {
        let mut value = header_value(&self.text(values)?)?;
        value.set_sensitive(true);
        Some(value)
    }

    /// The value of an environment variable; `None` when a value is missing or holds a control character.
    #[must_use]
    pub fn fill_variable(&self, values: Option<Values<'_>>) -> Option<String> {
        self.text(values).filter(|text| !text.chars().any(char::is_control))
    }

    fn text(&self, values: Option<Values<'_>>) -> Option<String> {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::Value(placeholder) => text.push_str(&placeholder.value(values?)?),
            }
        }
        Some(text)
    }
}

/// The literal parts may be secrets of the operator.
impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let placeholders = self.0.iter().filter_map(|part| match part {
            Part::Literal(_) => None,
            Part::Value(placeholder) => Some(placeholder),
        });
        f.debug_tuple("Template").field(&placeholders.collect::<Vec<_>>()).finish()
    }
}

impl Placeholder {
    fn parse(name: &str) -> Result<Self, String> {
        Ok(match name {
            "upstream.access_token" => Self::UpstreamAccessToken,
            "user.sub" => Self::UserSub,
            "user.email" => Self::UserEmail,
            "user.name" => Self::UserName,
            "client.id" => Self::ClientId,
            "scope" => Self::Scope,
            _ => match name.strip_prefix("claims.") {
                Some(claim) if !claim.is_empty() && !claim.contains('{') => Self::Claim(claim.to_owned()),
                _ => {
                    return Err("an unknown placeholder: there are {upstream.access_token}, {user.sub}, {user.email}, \
                                {user.name}, {claims.X}, {client.id} and {scope}"
                        .to_owned());
                }
            },
        })
    }

    fn value(&self, values: Values<'_>) -> Option<String> {
        let caller = values.caller;
        match self {
            Self::UpstreamAccessToken => values.upstream_token.map(|token| token.expose_secret().to_owned()),
            Self::UserSub => Some(caller.subject().to_owned()),
            Self::UserEmail => caller.email().map(ToOwned::to_owned),
            Self::UserName => caller.name().map(ToOwned::to_owned),
            Self::ClientId => Some(caller.client_id().to_owned()),
            Self::Scope => Some(caller.scopes().to_string()),
            Self::Claim(name) => match caller.claims().get(name)? {
                Value::Null => None,
                Value::String(text) => Some(text.clone()),
                // JSON: a list joined by commas could not be told from one whose entries hold commas.
                other => Some(other.to_string()),
            },
        }
    }
}

/// The text as a header's value, in UTF-8 (`obs-text`, RFC 9110 §5.5). `None` when it holds a control character, or
/// white space at an end, which a reader would take off: that would be another user's name.
#[must_use]
pub(super) fn header_value(text: &str) -> Option<HeaderValue> {
    if text.chars().any(char::is_control) || text.trim() != text {
        return None;
    }
    HeaderValue::from_bytes(text.as_bytes()).ok()
}

#[cfg(test)]
mod tests;
