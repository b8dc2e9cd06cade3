//! The pages a person sees. One style, no script, nothing loaded from anywhere.
//!
//! A page is a plain struct of borrowed facts with a `render` that never fails. Everything in it is treated as
//! hostile: a client's name is what the client says of itself (RFC 7591 §5), so it is cleaned of what could disguise
//! the rest of the page, cut to a length, isolated in a `<bdi>` and escaped.

mod account;
mod consent;
mod error;
mod headers;
mod moment;
mod untrusted;

#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

pub use account::{AccountPage, Connection, Service, SignedIn};
pub use consent::{ClientSource, ConsentPage, RedirectTarget, ScopeLine};
pub use error::{ErrorPage, WayBack};
pub use headers::{REFERRER_POLICY, content_security_policy, security_headers};
pub use moment::Moment;
pub use untrusted::{Shown, shown};

/// The text of the `<style>` element of every page, byte for byte.
pub const STYLE: &str = include_str!("../../templates/style.css");

/// The hash of [`STYLE`] as a Content-Security-Policy source, `sha256-…` without the quotes around it.
#[must_use]
pub fn style_hash() -> &'static str {
    static HASH: LazyLock<String> = LazyLock::new(|| style_hash_of(STYLE));
    &HASH
}

/// The hash of any style text as a Content-Security-Policy source (CSP 3 §2.3.1): for a page that adds a `<style>`
/// of its own.
#[must_use]
pub fn style_hash_of(style: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(style.as_bytes())))
}

/// A template writes into memory, so it has no way to fail; should it find one, the person still gets a page.
fn rendered(template: &impl askama::Template) -> String {
    template.render().unwrap_or_else(|error| {
        tracing::error!(%error, "a page could not be rendered");
        "<!doctype html><html lang=\"en\"><title>Error</title><h1>This page could not be shown</h1>\
         <p>Go back to your program and try again.</p></html>"
            .to_owned()
    })
}
