//! A person at a browser: keeps cookies, answers the page, follows redirects one at a time.

use std::collections::BTreeMap;
use std::sync::Mutex;

use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::{Client, RequestBuilder, Response};
use url::Url;

/// One browser, with its cookies by host. Like a real one it does not tell ports apart.
#[derive(Debug)]
pub struct Browser {
    http: Client,
    cookies: Mutex<BTreeMap<(String, String), String>>,
}

impl Default for Browser {
    fn default() -> Self {
        Self::new()
    }
}

impl Browser {
    /// One that has been nowhere yet.
    pub fn new() -> Self {
        let http = Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
        Self { http, cookies: Mutex::default() }
    }

    /// The names and values of the cookies it holds.
    pub fn cookies(&self) -> Vec<(String, String)> {
        let cookies = self.cookies.lock().unwrap();
        cookies.iter().map(|((_, name), value)| (name.clone(), value.clone())).collect()
    }

    /// Opens an address that the person has typed or a program has opened.
    pub async fn open(&self, url: &str) -> Response {
        self.send(url, self.http.get(url).header("sec-fetch-site", "none")).await
    }

    /// Follows a link or redirect from another site.
    pub async fn open_from_elsewhere(&self, url: &str) -> Response {
        self.send(url, self.http.get(url).header("sec-fetch-site", "cross-site")).await
    }

    /// Posts a form of a page of this origin.
    pub async fn post(&self, url: &str, origin: &str, form: &[(&str, &str)]) -> Response {
        self.send(url, self.http.post(url).header("origin", origin).form(form)).await
    }

    /// Posts a form of another site's page. Cookies that are `SameSite=Lax`, and ours all are, stay behind.
    pub async fn post_from_elsewhere(&self, url: &str, form: &[(&str, &str)]) -> Response {
        let request = self.http.post(url).header("origin", "null").header("sec-fetch-site", "cross-site");
        self.receive(url, request.form(form)).await
    }

    async fn send(&self, url: &str, request: RequestBuilder) -> Response {
        let host = host(url);
        let held: Vec<String> = {
            let cookies = self.cookies.lock().unwrap();
            cookies
                .iter()
                .filter(|((of, _), _)| *of == host)
                .map(|((_, name), value)| format!("{name}={value}"))
                .collect()
        };
        let request = if held.is_empty() { request } else { request.header(COOKIE, held.join("; ")) };
        self.receive(url, request).await
    }

    async fn receive(&self, url: &str, request: RequestBuilder) -> Response {
        let host = host(url);
        let response = request.send().await.unwrap();
        for cookie in response.headers().get_all(SET_COOKIE) {
            let cookie = cookie.to_str().unwrap();
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            let key = (host.clone(), name.to_owned());
            let mut cookies = self.cookies.lock().unwrap();
            if cookie.contains("Max-Age=0") {
                cookies.remove(&key)
            } else {
                cookies.insert(key, value.to_owned())
            };
        }
        response
    }

    /// Goes to the authorization URL and says yes on the page, if one is shown; then on, until an address is reached
    /// that starts with `until`. Gives that address.
    pub async fn log_in(&self, authorization_url: &str, until: &str) -> Url {
        let mut response = self.open(authorization_url).await;
        if response.status() == 200 {
            response = self.answer(response, "allow").await;
        }
        self.follow(response, until).await
    }

    /// Answers the consent page.
    pub async fn answer(&self, page: Response, decision: &str) -> Response {
        let (action, token) = read_page(page).await;
        let origin = Url::parse(&action).unwrap().origin().ascii_serialization();
        self.post(&action, &origin, &[("consent_token", &token), ("decision", decision)]).await
    }

    /// Follows redirects, and the way back on the page that lets somebody not in, ten at most, until one leads to an address that starts with `until`.
    pub async fn follow(&self, mut response: Response, until: &str) -> Url {
        for _ in 0..10 {
            let location = way_on(response).await;
            if location.starts_with(until) {
                return Url::parse(&location).unwrap();
            }
            response = self.open_from_elsewhere(&location).await;
        }
        panic!("ten redirects and no end");
    }
}

fn host(url: &str) -> String {
    Url::parse(url).unwrap().host_str().unwrap().to_owned()
}

/// Where an answer redirects to, or the page of a refusal leads back to.
pub async fn way_on(response: Response) -> String {
    if response.status() != 403 {
        return location(&response);
    }
    let html = response.text().await.unwrap();
    let (_, rest) = html.split_once("href=\"").unwrap_or_else(|| panic!("a way back in {html}"));
    rest.split('"').next().unwrap().replace("&#38;", "&")
}

/// Where an answer redirects to.
///
/// # Panics
/// When it does not.
pub fn location(response: &Response) -> String {
    let location = response.headers().get(LOCATION);
    let location = location.unwrap_or_else(|| panic!("no redirect but {}", response.status()));
    location.to_str().unwrap().to_owned()
}

/// The action and the token of the consent page's form.
pub async fn read_page(page: Response) -> (String, String) {
    assert_eq!(page.status(), 200, "a page");
    let html = page.text().await.unwrap();
    let after = |mark: &str| {
        let (_, rest) = html.split_once(mark).unwrap_or_else(|| panic!("{mark} in {html}"));
        rest.split('"').next().unwrap().to_owned()
    };
    (after("<form method=\"post\" action=\""), after("name=\"consent_token\" value=\""))
}
