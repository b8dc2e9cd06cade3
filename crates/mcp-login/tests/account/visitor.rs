//! A person at the page.

use mcp_login_testkit::browser::{Browser, location};
use mcp_login_testkit::server::TestServer;
use reqwest::Response;

/// A person at the page.
pub(super) struct Visitor<'a> {
    pub(super) server: &'a TestServer,
    pub(super) browser: Browser,
}

impl<'a> Visitor<'a> {
    pub(super) fn new(server: &'a TestServer) -> Self {
        Self { server, browser: Browser::new() }
    }

    /// One who has signed in.
    pub(super) async fn signed_in(server: &'a TestServer) -> Self {
        let visitor = Self::new(server);
        visitor.sign_in("").await;
        visitor
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("{}/account{path}", self.server.url)
    }

    /// The page.
    pub(super) async fn page(&self) -> String {
        let page = self.browser.open(&self.url("")).await;
        assert_eq!(page.status(), 200);
        page.text().await.unwrap()
    }

    /// A form of the page, with whatever token it has.
    pub(super) async fn press(&self, path: &str, name: &str, value: &str) -> Response {
        let page = self.page().await;
        let token = value_of(&page, "form_token").unwrap_or_default();
        self.post(path, &[("form_token", token), (name, value)]).await
    }

    pub(super) async fn post(&self, path: &str, form: &[(&str, &str)]) -> Response {
        self.browser.post(&self.url(path), &self.server.url, form).await
    }

    /// Up to the address that the service sends the browser back to.
    pub(super) async fn go_to_service(&self, upstream: &str) -> String {
        let away = self.press("/sign-in", "upstream", upstream).await;
        let back = self.browser.follow(away, &format!("{}/callback", self.server.url)).await;
        back.into()
    }

    pub(super) async fn sign_in(&self, upstream: &str) {
        let back = self.go_to_service(upstream).await;
        let answer = self.browser.open_from_elsewhere(&back).await;
        assert_eq!((answer.status().as_u16(), location(&answer)), (303, self.url("")));
    }

    pub(super) async fn disconnect(&self, id: &str) {
        let answer = self.press("/disconnect", "connection", id).await;
        assert_eq!((answer.status().as_u16(), location(&answer)), (303, self.url("")));
    }
}

/// The value of the first field of this name.
pub(super) fn value_of<'a>(page: &'a str, name: &str) -> Option<&'a str> {
    values_of(page, name).next()
}

pub(super) fn values_of<'a>(page: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let mark = format!("name=\"{name}\" value=\"");
    let values: Vec<&str> =
        page.split(mark.as_str()).skip(1).filter_map(|rest| rest.split('"').next()).collect();
    values.into_iter()
}

/// The ids of the connections, as they are shown.
pub(super) fn connections(page: &str) -> Vec<String> {
    values_of(page, "connection").map(str::to_owned).collect()
}
