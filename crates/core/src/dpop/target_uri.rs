//! The `htu` of a proof: which URL it was made for.

use url::Url;

/// The longest URL that is compared, in bytes.
const MAX_LENGTH: usize = 8192;

/// A URL without query and fragment, in the one spelling that all its spellings share (RFC 9449 §4.3, RFC 3986 §6.2.2 and
/// §6.2.3): case of scheme, host and percent-encodings, needless percent-encodings, dot segments, default port, empty path.
///
/// `None` for what is no http(s) URL as RFC 3986 writes them: nothing is repaired.
pub(super) fn normalize(uri: &str) -> Option<String> {
    if uri.len() > MAX_LENGTH || !uri.bytes().all(is_uri_character) {
        return None;
    }
    let url = Url::parse(uri).ok()?;
    let web = matches!(url.scheme(), "http" | "https") && uri.contains("://");
    if !web || !url.username().is_empty() || url.password().is_some() {
        return None;
    }
    Some(format!("{}{}", url.origin().ascii_serialization(), normalize_path(url.path())?))
}

/// RFC 3986 §2: reserved, unreserved and the percent sign.
fn is_uri_character(b: u8) -> bool {
    is_unreserved(b) || b":/?#[]@!$&'()*+,;=%".contains(&b)
}

/// RFC 3986 §2.3.
fn is_unreserved(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~')
}

/// RFC 3986 §6.2.2.1 and §6.2.2.2.
fn normalize_path(path: &str) -> Option<String> {
    let mut parts = path.split('%');
    let mut normalized = parts.next()?.to_owned();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        let byte = digits.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u8::from_str_radix(digits, 16))?;
        match byte.ok()? {
            byte if is_unreserved(byte) => normalized.push(char::from(byte)),
            _ => {
                normalized.push('%');
                normalized.push_str(&digits.to_ascii_uppercase());
            }
        }
        normalized.push_str(rest);
    }
    Some(normalized)
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://mcp.example.com/mcp/a~b";

    #[test]
    fn spellings_of_one_url_are_one() {
        for spelling in [
            URL,
            "HTTPS://MCP.Example.com:443/mcp/a~b",
            "https://mcp.example.com/mcp/a%7Eb",
            "https://mcp.example.com/mcp/a%7eb",
            "https://mcp.example.com/%6dcp/a~b",
            "https://mcp.example.com/./x/../mcp/a~b",
            "https://mcp.example.com/x/%2E%2e/mcp/a~b",
            "https://mcp.example.com/mcp/a~b?query",
            "https://mcp.example.com/mcp/a~b#fragment",
        ] {
            assert_eq!(normalize(spelling).as_deref(), Some(URL), "{spelling}");
        }
        assert_eq!(normalize("https://x.example"), normalize("https://x.example/"));
        assert_eq!(normalize("http://x.example:80/%3a"), normalize("http://x.example/%3A"));
        assert_eq!(normalize("http://[::1]:8080/a").as_deref(), Some("http://[::1]:8080/a"));
    }

    #[test]
    fn other_urls_are_others() {
        for other in [
            "http://mcp.example.com/mcp/a~b",
            "https://mcp.example.com:8443/mcp/a~b",
            "https://evil.example/mcp/a~b",
            "https://mcp.example.com./mcp/a~b",
            "https://mcp.example.com/mcp/a~b/",
            "https://mcp.example.com/MCP/a~b",
            "https://mcp.example.com/mcp//a~b",
            "https://mcp.example.com/mcp%2Fa~b",
            "https://mcp.example.com/mcp/a%257Eb",
        ] {
            assert_ne!(normalize(other), normalize(URL), "{other}");
            assert!(normalize(other).is_some(), "{other}");
        }
    }

    #[test]
    fn what_is_no_url_is_not_repaired() {
        for bad in [
            "",
            "/mcp/a~b",
            "https:mcp.example.com/mcp/a~b",
            "https://mcp.example.com\\mcp/a~b",
            " https://mcp.example.com/mcp/a~b",
            "https://mcp.example.com/mcp/\ta~b",
            "https://mcp.example.com/mcp/a~b\u{e4}",
            "https://mcp.example.com/mcp/a%7",
            "https://mcp.example.com/mcp/a%+7",
            "https://user@mcp.example.com/mcp/a~b",
            "https://:secret@mcp.example.com/mcp/a~b",
            "ftp://mcp.example.com/mcp/a~b",
            "https://",
            "urn:x",
        ] {
            assert_eq!(normalize(bad), None, "{bad}");
        }
        assert_eq!(normalize(&format!("{URL}{}", "a".repeat(MAX_LENGTH))), None);
    }
}
