//! The cookies (RFC 6265bis) that tie a login to one browser.
//!
//! *consent* is set with the page: only the browser that was shown it can answer it. *session* is set when the person
//! has consented, never earlier: only the browser that has it may come back from the upstream. Each login has its own of
//! both, so that several at once do not disturb each other. *browser* is set with the first consent, and what a browser
//! has approved is remembered under it. *account* is set when a person has signed in to see their connections, anew each
//! time.

use std::time::Duration;

use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;

use crate::store::records::{ACCOUNT_TTL, BrowserSecret, GrantId};

/// As long as approvals are remembered.
const BROWSER_TTL: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// A cookie of ours, by its name.
#[derive(Debug)]
pub(super) struct Cookie {
    name: String,
    secure: bool,
    max_age: Duration,
}

impl Cookie {
    /// With https a `__Host-` cookie: no subdomain or plain-http neighbour can set it. A browser refuses those over
    /// http, so on loopback the name is plain.
    fn new(https: bool, name: &str, max_age: Duration) -> Self {
        let prefix = if https { "__Host-" } else { "" };
        Self { name: format!("{prefix}mcp-login-{name}"), secure: https, max_age }
    }

    pub(super) fn browser(https: bool) -> Self {
        Self::new(https, "browser", BROWSER_TTL)
    }

    pub(super) fn account(https: bool) -> Self {
        Self::new(https, "account", ACCOUNT_TTL)
    }

    pub(super) fn session(https: bool, grant: &GrantId, max_age: Duration) -> Self {
        Self::new(https, &format!("session-{}", grant.short()), max_age)
    }

    pub(super) fn consent(https: bool, grant: &GrantId, max_age: Duration) -> Self {
        Self::new(https, &format!("consent-{}", grant.short()), max_age)
    }

    /// Its value in this request. Of several with one name none is taken: somebody has put one beside ours. What other
    /// cookies hold is not looked at: programs on neighbouring domains and ports write them, too.
    pub(super) fn read(&self, headers: &HeaderMap) -> Option<BrowserSecret> {
        let mut values = headers
            .get_all(COOKIE)
            .iter()
            .flat_map(|header| header.as_bytes().split(|byte| *byte == b';'))
            .filter_map(|pair| pair.trim_ascii().strip_prefix(self.name.as_bytes())?.strip_prefix(b"="));
        let value = values.next()?;
        if values.next().is_some() { None } else { BrowserSecret::parse(std::str::from_utf8(value).ok()?) }
    }

    pub(super) fn set(&self, response: &mut Response, value: &BrowserSecret) {
        self.append(response, value.as_secret().expose_secret(), self.max_age);
    }

    pub(super) fn clear(&self, response: &mut Response) {
        self.append(response, "", Duration::ZERO);
    }

    /// `Lax`: the way back from the upstream is a top-level navigation from another site, which has to bring it.
    fn append(&self, response: &mut Response, value: &str, max_age: Duration) {
        let secure = if self.secure { "; Secure" } else { "" };
        let (name, age) = (&self.name, max_age.as_secs());
        let cookie = format!("{name}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Lax{secure}");
        if let Ok(mut cookie) = HeaderValue::from_str(&cookie) {
            cookie.set_sensitive(true);
            response.headers_mut().append(SET_COOKIE, cookie);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use axum::response::IntoResponse;

    use super::*;

    fn request(cookies: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for cookie in cookies {
            headers.append(COOKIE, HeaderValue::from_str(cookie).unwrap());
        }
        headers
    }

    fn request_bytes(cookies: &[u8]) -> HeaderMap {
        HeaderMap::from_iter([(COOKIE, HeaderValue::from_bytes(cookies).unwrap())])
    }

    #[test]
    fn a_cookie_is_read_back() {
        let (cookie, value) = (Cookie::browser(true), BrowserSecret::new());
        let mut response = ().into_response();
        cookie.set(&mut response, &value);
        let set = response.headers()[SET_COOKIE].to_str().unwrap();
        assert!(set.starts_with("__Host-mcp-login-browser="), "{set}");
        for attribute in ["Path=/", "HttpOnly", "SameSite=Lax", "Secure", "Max-Age=2592000"] {
            assert!(set.contains(attribute), "{set}");
        }
        assert!(!set.contains("Domain"));
        let pair = set.split(';').next().unwrap();
        let read = cookie.read(&request(&["other=1; a=b", pair])).unwrap();
        assert_eq!(read.hash(), value.hash());
    }

    #[test]
    fn cookies_of_neighbours_do_not_hide_ours() {
        let value = BrowserSecret::new();
        let ours = format!("__Host-mcp-login-browser={}", value.as_secret().expose_secret());
        let many = (0..200).map(|n| format!("c{n}=x")).collect::<Vec<_>>().join("; ");
        for neighbours in ["name=Jürgen", "broken", "=", many.as_str()] {
            let header = format!("{neighbours}; {ours}");
            let read = Cookie::browser(true).read(&request_bytes(header.as_bytes()));
            assert_eq!(read.unwrap().hash(), value.hash(), "{neighbours}");
        }
    }

    #[test]
    fn on_plain_http_the_name_is_plain() {
        let mut response = ().into_response();
        Cookie::browser(false).set(&mut response, &BrowserSecret::new());
        let set = response.headers()[SET_COOKIE].to_str().unwrap();
        assert!(set.starts_with("mcp-login-browser=") && !set.contains("Secure"), "{set}");
    }

    #[test]
    fn what_is_not_ours_is_not_taken() {
        let cookie = Cookie::browser(true);
        let value = BrowserSecret::new().as_secret().expose_secret().to_owned();
        assert!(cookie.read(&request(&[])).is_none());
        assert!(cookie.read(&request(&["__Host-mcp-login-browser=short"])).is_none());
        assert!(cookie.read(&request(&["__Host-mcp-login-browser"])).is_none());
        assert!(cookie.read(&request(&[&format!("__Host-mcp-login-browserx={value}")])).is_none());
        assert!(cookie.read(&request(&[&format!("mcp-login-browser={value}")])).is_none());
        let twice = format!("__Host-mcp-login-browser={value}; __Host-mcp-login-browser={value}");
        assert!(cookie.read(&request(&[&twice])).is_none());
    }
}
