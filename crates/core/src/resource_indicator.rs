//! Resource indicators (RFC 8707): which MCP server a token is for.

use url::Url;

use crate::error::{ErrorCode, OAuthError};
use crate::params::Params;

/// The longest `resource` that is read, in bytes.
const MAX_LENGTH: usize = 2048;

/// The MCP servers that this authorization server gives tokens for, by the exact URL that their metadata names.
/// The first is the default of clients that send no `resource`.
#[derive(Debug, Clone)]
pub struct Resources(Vec<(String, Url)>);

impl Resources {
    /// From the servers' URLs, of which there has to be at least one.
    #[must_use]
    pub fn new(urls: impl IntoIterator<Item = String>) -> Option<Self> {
        let known: Option<Vec<_>> = urls
            .into_iter()
            .map(|url| {
                let parsed = canonical(&url)?;
                Some((url, parsed))
            })
            .collect();
        known.filter(|known| !known.is_empty()).map(Self)
    }

    /// The server that is meant when none is named.
    #[must_use]
    pub fn default(&self) -> &str {
        self.0.first().map_or("", |(url, _)| url)
    }

    /// The exact URL of the server that a client means, which may spell it with another case of the host, the
    /// scheme's default port or a slash at the end.
    #[must_use]
    pub fn find(&self, named: &str) -> Option<&str> {
        let wanted = canonical(named)?;
        self.0.iter().find(|(_, known)| *known == wanted).map(|(url, _)| url.as_str())
    }

    /// The server that a request names, if it names one. RFC 8707 §2 allows several; a token here is for one, so all
    /// that are named have to be the same, however they are spelled: a real client sends two copies.
    pub fn named<'a>(&'a self, params: &Params) -> Result<Option<&'a str>, OAuthError> {
        let invalid = |description| OAuthError::new(ErrorCode::InvalidTarget, description);
        let mut found = None;
        for named in params.all("resource") {
            let resource = self
                .find(named)
                .ok_or_else(|| invalid("the resource is not a server that this issuer gives tokens for"))?;
            if found.is_some_and(|found| found != resource) {
                return Err(invalid("name one resource only"));
            }
            found = Some(resource);
        }
        Ok(found)
    }
}

fn canonical(url: &str) -> Option<Url> {
    if url.len() > MAX_LENGTH {
        return None;
    }
    let mut url = Url::parse(url).ok()?;
    let web = matches!(url.scheme(), "http" | "https");
    if !web || url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
        return None;
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Some(url)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn resources() -> Resources {
        Resources::new(["https://mcp.example.com/mcp".to_owned(), "https://mcp.example.com/b".to_owned()])
            .unwrap()
    }

    #[test]
    fn spellings_of_one_url_are_one_resource() {
        for spelling in [
            "https://mcp.example.com/mcp",
            "https://mcp.example.com/mcp/",
            "https://MCP.Example.com:443/mcp",
            "HTTPS://mcp.example.com/mcp",
        ] {
            assert_eq!(resources().find(spelling), Some("https://mcp.example.com/mcp"), "{spelling}");
        }
    }

    #[test]
    fn foreign_resources_are_refused() {
        for foreign in [
            "https://mcp.example.com",
            "https://mcp.example.com/MCP",
            "http://mcp.example.com/mcp",
            "https://mcp.example.com:8443/mcp",
            "https://evil.example/mcp",
            "https://mcp.example.com/mcp?x=1",
            "https://mcp.example.com/mcp#x",
            "https://a@mcp.example.com/mcp",
            "mcp",
            "",
        ] {
            assert_eq!(resources().find(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn one_or_none_is_named() {
        let check = |query: &str| {
            resources().named(&Params::parse(query.as_bytes()).unwrap()).map(|named| named.map(str::to_owned))
        };
        let b = Some("https://mcp.example.com/b".to_owned());
        assert_eq!(check(""), Ok(None));
        assert_eq!(check("resource=https://mcp.example.com/b").unwrap(), b);
        let twice = "resource=https://mcp.example.com/b&resource=https://MCP.example.com/b/";
        assert_eq!(check(twice).unwrap(), b);
        let two = "resource=https://mcp.example.com/b&resource=https://mcp.example.com/mcp";
        assert_eq!(check(two).unwrap_err().code, ErrorCode::InvalidTarget);
        assert_eq!(check("resource=https://evil.example/").unwrap_err().code, ErrorCode::InvalidTarget);
    }
}
