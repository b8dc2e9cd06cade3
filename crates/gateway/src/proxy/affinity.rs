//! An MCP session lives in one backend. Where there are several, the id that a client gets says which: behind the backend's
//! own id stands a tag of its URL, so that every gateway of one configuration knows it, in whatever order the list is.
//!
//! The layer in front seals the id for its user, tag and all: nobody else can make one that leads to a backend.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};
use url::Url;

use super::error::ProxyError;

/// MCP, Streamable HTTP: "Session Management".
const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const SEPARATOR: char = '.';
/// In bytes; two hexadecimal digits each.
const TAG: usize = 8;

/// What the ids of one backend's sessions end with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tag(String);

impl Tag {
    pub(super) fn of(backend: &Url) -> Self {
        use std::fmt::Write;
        let mut tag = String::with_capacity(2 * TAG);
        for byte in &Sha256::digest(backend.as_str().as_bytes())[..TAG] {
            let _ = write!(tag, "{byte:02x}");
        }
        Self(tag)
    }

    /// Puts it behind the id that the backend has given out.
    pub(super) fn put(&self, headers: &mut HeaderMap) {
        let Some(id) = headers.get(SESSION) else { return };
        let tagged = id.to_str().ok().map(|id| format!("{id}{SEPARATOR}{}", self.0));
        match tagged.and_then(|id| HeaderValue::try_from(id).ok()) {
            Some(tagged) => drop(headers.insert(SESSION, tagged)),
            None => drop(headers.remove(SESSION)),
        }
    }
}

/// Takes the tag off the session's id, and says which of these backends it names. `None` for a request without a session.
///
/// Where there is only one, it has every session, and ids stay as they are; what was tagged while there were more of them is
/// known all the same. Where there are several, an id without the tag of one of them is nobody's: that of a backend that is no
/// longer in the list, or one from when there was only one, of which nobody knows whether it is still the first. On 404 the
/// client initializes anew; a backend that does not know the id might take it for a session of its own.
pub(super) fn take(headers: &mut HeaderMap, tags: &[Tag]) -> Result<Option<usize>, ProxyError> {
    let mut values = headers.get_all(SESSION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let is_one = values.next().is_none();
    let tagged = value.to_str().ok().and_then(|id| id.rsplit_once(SEPARATOR)).filter(|_| is_one);
    let found = tagged.and_then(|(id, tag)| Some((tags.iter().position(|known| known.0 == tag)?, id)));
    let Some((at, id)) = found else {
        return if tags.len() == 1 { Ok(Some(0)) } else { Err(ProxyError::SessionEnded) };
    };
    let id = HeaderValue::try_from(id).map_err(|_| ProxyError::SessionEnded)?;
    headers.insert(SESSION, id);
    Ok(Some(at))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn tags<const N: usize>(urls: [&str; N]) -> Vec<Tag> {
        urls.iter().map(|url| Tag::of(&url.parse().unwrap())).collect()
    }

    fn session(id: &str) -> HeaderMap {
        HeaderMap::from_iter([(SESSION, HeaderValue::try_from(id).unwrap())])
    }

    const A: &str = "http://10.0.0.1:3000/mcp";
    const B: &str = "http://10.0.0.2:3000/mcp";

    #[test]
    fn a_tag_leads_back_in_whatever_order() {
        let [a, b] = &tags([A, B])[..] else { unreachable!() };
        for id in ["x", "with.dots.in.it", "~!;="] {
            let mut headers = session(id);
            b.put(&mut headers);
            assert_ne!(headers[SESSION], id);
            for (tags, at) in [([a.clone(), b.clone()], 1), ([b.clone(), a.clone()], 0)] {
                let mut headers = headers.clone();
                assert_eq!(take(&mut headers, &tags), Ok(Some(at)));
                assert_eq!(headers[SESSION], id);
            }
        }
        // It does not change from one version to the next: sessions outlive an update.
        assert_eq!(a.0, "2dc33782015c2cfa");
    }

    #[test]
    fn what_names_none_of_several_is_nobodys() {
        let known = tags([A, B]);
        for id in ["untagged", "un.tagged", &format!("x.{}", tags(["http://10.0.0.3/mcp"])[0].0)] {
            assert_eq!(take(&mut session(id), &known), Err(ProxyError::SessionEnded), "{id}");
        }
        let mut twice = session(&format!("x.{}", known[0].0));
        twice.append(SESSION, twice[SESSION].clone());
        assert_eq!(take(&mut twice, &known), Err(ProxyError::SessionEnded));
        assert_eq!(take(&mut HeaderMap::new(), &known), Ok(None));
    }

    #[test]
    fn one_alone_has_every_session() {
        let alone = tags([A]);
        let mut headers = session("un.tagged");
        assert_eq!(take(&mut headers, &alone), Ok(Some(0)));
        assert_eq!(headers[SESSION], "un.tagged");
        // The list has shrunk to it.
        alone[0].put(&mut headers);
        assert_eq!(take(&mut headers, &alone), Ok(Some(0)));
        assert_eq!(headers[SESSION], "un.tagged");
    }
}
