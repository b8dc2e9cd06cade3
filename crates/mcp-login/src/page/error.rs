//! What a person sees when a login cannot go on and there is nowhere safe to send them.

use askama::Template;

use super::{rendered, shown};

/// An error page. Every text may hold what a stranger sent: all of it is cleaned, cut and escaped.
#[derive(Debug, Clone, Copy)]
pub struct ErrorPage<'a> {
    /// The HTTP status of the answer; decides whether the small line above the title says that the request was at fault or the server.
    pub status: u16,
    /// What is wrong, in a few words: "This login link has expired".
    pub title: &'a str,
    /// What happened, in a sentence or two.
    pub what_happened: &'a str,
    /// What the person, or whoever runs the program, can do about it.
    pub what_to_do: &'a str,
    /// The OAuth error code (RFC 6749 §4.1.2.1), shown small.
    pub code: &'a str,
    /// The `X-Request-Id`, by which the operator finds the log lines.
    pub request_id: Option<&'a str>,
    /// Where the person can go from here, once that is known to be safe.
    pub back: Option<WayBack<'a>>,
}

/// A link away from the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WayBack<'a> {
    /// What it says.
    pub label: &'a str,
    /// Where it leads.
    pub url: &'a str,
}

impl ErrorPage<'_> {
    /// The whole page, as HTML.
    #[must_use]
    pub fn render(&self) -> String {
        rendered(&ErrorView {
            standing: match self.status {
                503 => "Not available right now",
                500.. => "Something failed on this server",
                403 => "Not allowed",
                404 => "Not found",
                _ => "This login cannot go on",
            },
            title: shown(self.title, 120).text,
            what_happened: shown(self.what_happened, 600).text,
            what_to_do: shown(self.what_to_do, 600).text,
            code: shown(self.code, 60).text,
            request_id: self.request_id.map(|id| shown(id, 80).text),
            back: self.back,
        })
    }
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorView<'a> {
    standing: &'static str,
    title: String,
    what_happened: String,
    what_to_do: String,
    code: String,
    request_id: Option<String>,
    back: Option<WayBack<'a>>,
}
