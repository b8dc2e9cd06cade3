//! `store`: looking into a store, and moving everything to another one.

mod check;
mod copy;
pub(super) mod progress;
mod stats;

use mcp_login::Store;
use mcp_login::store::options::StoreOptions;

use super::Source;
use crate::cli::{Failure, StoreOptionArgs};

pub use check::check;
pub use copy::copy;
pub use stats::stats;

/// A store, and its name without anything secret.
pub(super) struct Named {
    pub(super) store: Store,
    pub(super) name: String,
}

/// Where a store is, and how it is spoken to.
pub(super) struct Place {
    url: String,
    options: StoreOptions,
}

impl Place {
    /// The store that is written, or else the configuration's.
    pub(super) fn find(written: Option<&str>, args: &StoreOptionArgs) -> Result<Self, Failure> {
        if let (Some(written), Some(prefix)) = (written, &args.key_prefix) {
            return Ok(Self { url: url(written)?, options: StoreOptions::default().key_prefix(prefix) });
        }
        let config = Source::read(&args.config)?.store()?;
        let mut options = config.options();
        if let Some(prefix) = &args.key_prefix {
            options = options.key_prefix(prefix);
        }
        let url = written.map_or_else(|| Ok(config.url.expose_secret().to_owned()), url)?;
        Ok(Self { url, options })
    }

    /// A store that is there already.
    pub(super) async fn open_existing(mut self) -> Result<Named, Failure> {
        self.options = self.options.create(false);
        self.open().await
    }

    async fn open(self) -> Result<Named, Failure> {
        let name = shown(&self.url, &self.options);
        let store = Store::open_with(&self.url, &self.options).await;
        store.map(|store| Named { store, name }).map_err(|error| Failure::Usage(error.to_string()))
    }
}

/// What is written on the command line is seen by every user of the machine, so that a variable can stand for it.
fn url(written: &str) -> Result<String, Failure> {
    let Some(name) = written.strip_prefix("env:") else { return Ok(written.to_owned()) };
    std::env::var(name).map_err(|_| Failure::Usage(format!("the environment variable {name} is not set")))
}

/// Where it is, not who enters it.
fn shown(url: &str, options: &StoreOptions) -> String {
    let (scheme, rest) = url.split_once(':').unwrap_or(("", url));
    if matches!(scheme, "file" | "memory") {
        return url.to_owned();
    }
    let rest = rest.trim_start_matches('/');
    let head = rest.split(['?', '#']).next().unwrap_or_default();
    let place = match head.rsplit_once('@') {
        Some((_, place)) => place,
        // A password with a ? or # in it that was not encoded: who knows where it begins.
        None if rest.contains('@') => "…",
        None => head,
    };
    format!("{scheme}://{place} (keys {}*)", options.prefix())
}

/// A number as people read it: 1,234,567.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 record`, `2 records`.
pub(super) fn count(number: u64, what: &str) -> String {
    format!("{} {what}{}", grouped(number), if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_named_without_its_secrets() {
        for (url, name) in [
            ("file:a/b@c.db", "file:a/b@c.db"),
            ("redis://h:1/2", "redis://h:1/2 (keys mcp-login:*)"),
            ("rediss://u:hunter2@h", "rediss://h (keys mcp-login:*)"),
            ("redis://:hunter@2@h", "redis://h (keys mcp-login:*)"),
            ("redis+sentinel://a,b/m?sentinel_password=hunter2", "redis+sentinel://a,b/m (keys mcp-login:*)"),
            ("upstash+https://hunter2@h", "upstash+https://h (keys mcp-login:*)"),
        ] {
            assert_eq!(shown(url, &StoreOptions::default()), name);
        }
    }

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (12_345_678, "12,345,678")] {
            assert_eq!(grouped(number), text);
        }
        assert_eq!((count(1, "record"), count(2, "record")), ("1 record".to_owned(), "2 records".to_owned()));
    }
}
