//! What the browser brings back from the service (RFC 6749 §4.1.2), beside the code.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use serde_json::{Map, Value};

use super::error::UpstreamError;
use super::facebook::{hex, hmac_sha256};
use super::identity::{MAX_TEXT, shown};
use super::quirk::Quirk;
use super::service::Upstream;

/// The parameters of a callback. `Debug` shows nothing: the code is among them.
#[derive(Clone, Copy, Default)]
pub struct Callback<'a>(pub &'a [(&'a str, &'a str)]);

impl fmt::Debug for Callback<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Callback(…)")
    }
}

impl Callback<'_> {
    /// A parameter.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(held, _)| *held == name).map(|(_, value)| *value)
    }

    /// Those that become claims, and those that a subject may name.
    pub(super) fn kept(&self, names: &[String]) -> Map<String, Value> {
        let kept = names.iter().filter_map(|name| Some((name.clone(), self.get(name)?)));
        let short =
            kept.filter(|(_, value)| value.chars().count() <= MAX_TEXT && !value.contains(char::is_control));
        short.map(|(name, value)| (name, Value::from(value))).collect()
    }

    /// The name that Apple gives, once, in the `user` of the first callback. The browser could have written it, so it is for
    /// display only.
    pub(super) fn name_of_user(&self) -> Option<String> {
        let user: Value = serde_json::from_str(self.get("user")?).ok()?;
        let part = |name: &str| user.get("name")?.get(name)?.as_str().map(str::trim);
        let parts: Vec<&str> = [part("firstName"), part("lastName")].into_iter().flatten().collect();
        shown(&Value::from(parts.join(" ").trim()), MAX_TEXT)
    }
}

impl Upstream {
    /// Whether this claim is what the browser said, and nobody else.
    pub(crate) fn keeps_unsigned(&self, claim: &str) -> bool {
        let kept = self.provider.keep_callback.iter().any(|kept| kept == claim);
        kept && !self.provider.has(Quirk::ShopifyCallback)
    }

    /// That Shopify wrote this callback, and for the shop where the login was started: the `hmac` is over all the other
    /// parameters, sorted.
    pub(super) fn check_signature(&self, callback: Callback<'_>) -> Result<(), UpstreamError> {
        if !self.provider.has(Quirk::ShopifyCallback) {
            return Ok(());
        }
        let untrusted = |what| Err(UpstreamError::Untrusted(what));
        let Some(given) = callback.get("hmac") else { return untrusted("the callback has no hmac") };
        let mut signed: Vec<_> = callback.0.iter().filter(|(name, _)| *name != "hmac").collect();
        signed.sort();
        let message: Vec<String> = signed.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let expected = hex(hmac_sha256(self.secret(), &message.join("&")).as_ref());
        if verify_slices_are_equal(expected.as_bytes(), given.as_bytes()).is_err() {
            return untrusted("the hmac of the callback does not hold");
        }
        let shop = self.params.get("shop").map(|shop| format!("{shop}.myshopify.com"));
        if shop.as_deref() != callback.get("shop") {
            return untrusted("the callback is of another shop");
        }
        Ok(())
    }
}
