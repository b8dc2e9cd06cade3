//! Who signed in: the stable subject, and what is only shown.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::error::UpstreamError;
use super::provider::{Kind, Provider};

/// What stands before the `client_id` of a client that acts for itself, where it is a subject.
pub(crate) const CLIENT_SUBJECT_PREFIX: &str = "client:";

/// Characters of a subject (OIDC Core 1.0 §2), a name or a user name.
pub(super) const MAX_TEXT: usize = 255;
/// Characters of an e-mail address (RFC 5321 §4.5.3.1).
const MAX_EMAIL: usize = 254;
/// Bytes of all claims together; they are stored with the grant.
const MAX_CLAIMS: usize = 32 * 1024;
/// Claims about the token, not about the person.
const PROTOCOL_CLAIMS: [&str; 11] =
    ["iss", "aud", "azp", "exp", "iat", "nbf", "jti", "nonce", "at_hash", "c_hash", "s_hash"];

/// A person, as the service knows them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Stable and never given to somebody else; 1 to 255 characters. Unique within one upstream, not across them.
    pub subject: String,
    /// Only when the service says that it verified it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// For display.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// For display; may change hands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferred_username: Option<String>,
    /// What the id token and the userinfo endpoint say about the person; the id token wins. At most 32 KiB: what does
    /// not fit is left out, so that a rule on it fails closed.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub claims: Map<String, Value>,
}

/// One part of [`Provider::subject`]: where to look, and the JSON pointer (RFC 6901).
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SubjectPart<'a> {
    Userinfo(&'a str),
    IdToken(&'a str),
    Token(&'a str),
    Callback(&'a str),
}

impl<'a> SubjectPart<'a> {
    /// A pointer without a source means the first place where this kind of service says who it is.
    pub(super) fn parse(part: &'a str, kind: Kind) -> Option<Self> {
        if part.starts_with('/') {
            return Some(match kind {
                Kind::Oidc => Self::IdToken(part),
                Kind::OAuth2 => Self::Userinfo(part),
            });
        }
        let (source, pointer) = part.split_once(':')?;
        if !pointer.starts_with('/') {
            return None;
        }
        match source {
            "userinfo" => Some(Self::Userinfo(pointer)),
            "id_token" => Some(Self::IdToken(pointer)),
            "token" => Some(Self::Token(pointer)),
            "callback" => Some(Self::Callback(pointer)),
            _ => None,
        }
    }
}

/// What the service said, in its places.
#[derive(Debug, Default)]
pub(super) struct Sources {
    pub(super) token: Map<String, Value>,
    pub(super) id_token: Map<String, Value>,
    pub(super) userinfo: Map<String, Value>,
    /// The parameters of the callback that are kept.
    pub(super) callback: Map<String, Value>,
    /// From the e-mail endpoint: verified.
    pub(super) email: Option<String>,
    /// What the lists hold, by their claim.
    pub(super) lists: Map<String, Value>,
    /// A name that is only shown.
    pub(super) name: Option<String>,
}

impl Sources {
    pub(super) fn into_identity(self, provider: &Provider) -> Result<Identity, UpstreamError> {
        if provider.kind == Kind::Oidc
            && !self.userinfo.is_empty()
            && self.userinfo.get("sub") != self.id_token.get("sub")
        {
            return Err(UpstreamError::Untrusted("the userinfo is about somebody else than the id_token"));
        }
        for (pointer, required) in &provider.require {
            if point(&self.userinfo, pointer).and_then(Value::as_str) != Some(required) {
                return Err(UpstreamError::refused("account_not_active"));
            }
        }
        let subject = self.subject(provider)?;
        let email = self.verified_email(provider);
        let mut claims = Map::new();
        let mut size = 0;
        let mut token = self.token;
        let kept = provider.keep_response.iter().filter_map(|name| token.remove_entry(name));
        // What rules ask for comes first: it has to fit.
        let all =
            self.lists.into_iter().chain(self.id_token).chain(self.userinfo).chain(self.callback).chain(kept);
        for (name, value) in all {
            if PROTOCOL_CLAIMS.contains(&name.as_str()) || claims.contains_key(&name) || value.is_null() {
                continue;
            }
            let more = name.len() + serde_json::to_string(&value).map_or(MAX_CLAIMS, |text| text.len());
            if size + more <= MAX_CLAIMS {
                size += more;
                claims.insert(name, value);
            }
        }
        let show = |names: &[&str]| names.iter().find_map(|name| shown(claims.get(*name)?, MAX_TEXT));
        Ok(Identity {
            subject,
            email,
            name: show(&["name", "display_name", "real_name", "global_name", "full_name"]).or(self.name),
            // `login` is what GitHub and others call it, `handle` what Figma does.
            preferred_username: show(&["preferred_username", "login", "username", "handle"]),
            claims,
        })
    }

    fn subject(&self, provider: &Provider) -> Result<String, UpstreamError> {
        let mut subject = Vec::with_capacity(provider.subject.len());
        for part in &provider.subject {
            let (source, pointer) = match SubjectPart::parse(part, provider.kind) {
                Some(SubjectPart::Userinfo(pointer)) => (&self.userinfo, pointer),
                Some(SubjectPart::IdToken(pointer)) => (&self.id_token, pointer),
                Some(SubjectPart::Token(pointer)) => (&self.token, pointer),
                Some(SubjectPart::Callback(pointer)) => (&self.callback, pointer),
                None => {
                    return Err(UpstreamError::Misconfigured(format!("subject: {part:?} cannot be read")));
                }
            };
            let text = point(source, pointer).and_then(stable).filter(|text| text.trim() == text);
            let text =
                text.ok_or(UpstreamError::Untrusted("the answer holds no usable user id (`subject`)"))?;
            subject.push(text);
        }
        // With a separator inside a part two people could share one subject.
        if subject.is_empty() || (subject.len() > 1 && subject.iter().any(|part| part.contains(':'))) {
            return Err(UpstreamError::Untrusted("the parts of the user id cannot be joined"));
        }
        let subject = subject.join(":");
        if subject.chars().count() > MAX_TEXT {
            return Err(UpstreamError::Untrusted("the user id is too long"));
        }
        // Clients that act for themselves have such subjects (RFC 9700 §4.15).
        if subject.starts_with(CLIENT_SUBJECT_PREFIX) {
            return Err(UpstreamError::Untrusted("the user id looks like a client's"));
        }
        Ok(subject)
    }

    /// An address counts only with the `email_verified` that stands beside it; some services write that as a string, or call
    /// it otherwise.
    fn verified_email(&self, provider: &Provider) -> Option<String> {
        if self.email.is_some() {
            return self.email.clone();
        }
        let pointer = provider.email_verified.as_deref().unwrap_or("/email_verified");
        [&self.id_token, &self.userinfo].into_iter().find_map(|source| {
            let verified = match point(source, pointer)? {
                Value::Bool(verified) => *verified,
                Value::String(verified) => verified.eq_ignore_ascii_case("true"),
                _ => false,
            };
            if verified { address(source.get("email")?) } else { None }
        })
    }
}

/// RFC 6901, without copying the object into a `Value`.
pub(super) fn point<'a>(source: &'a Map<String, Value>, pointer: &str) -> Option<&'a Value> {
    let pointer = pointer.strip_prefix('/')?;
    let (first, rest) = pointer.split_at(pointer.find('/').unwrap_or(pointer.len()));
    source.get(&first.replace("~1", "/").replace("~0", "~"))?.pointer(rest)
}

/// A string or a whole number; a fraction has lost digits already.
pub(super) fn stable(value: &Value) -> Option<String> {
    match value {
        Value::String(_) => shown(value, MAX_TEXT),
        Value::Number(number) if number.is_u64() || number.is_i64() => Some(number.to_string()),
        _ => None,
    }
}

/// A string fit to be shown, stored and put in a header. Too long or with control characters is as good as absent.
pub(super) fn shown(value: &Value, limit: usize) -> Option<String> {
    let text = value.as_str()?;
    let fits = !text.is_empty() && text.chars().count() <= limit && !text.chars().any(char::is_control);
    fits.then(|| text.to_owned())
}

pub(super) fn address(value: &Value) -> Option<String> {
    shown(value, MAX_EMAIL).filter(|email| email.contains('@') && !email.contains(char::is_whitespace))
}

#[cfg(test)]
mod tests;
