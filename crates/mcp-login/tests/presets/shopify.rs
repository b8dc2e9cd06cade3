//! Shopify: the callback is signed, and for one shop.

use std::collections::BTreeMap;

use aws_lc_rs::hmac;
use mcp_login::settings::AccessRule;
use mcp_login::upstream::{Login, UpstreamError};
use mcp_login_testkit::client::param;

use crate::door::Door;
use crate::run::{CODE, Run, SECRET, STATE};
use crate::shape::shape;

/// The `hmac` of these parameters under this secret.
fn signature(parameters: &BTreeMap<String, String>, secret: &str) -> String {
    let mut signed: Vec<String> = parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
    signed.sort();
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, signed.join("&").as_bytes());
    let digits = tag.as_ref().iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from_digit(digit.into(), 16).unwrap()).collect()
}

/// The parameters of a good callback, without the signature.
fn parameters() -> BTreeMap<String, String> {
    let mut parameters = shape("shopify").callback.clone();
    parameters.remove("hmac");
    parameters
}

/// With the signature of a secret's holder over them and the code.
fn signed(mut parameters: BTreeMap<String, String>, secret: &str) -> BTreeMap<String, String> {
    let mut all = parameters.clone();
    all.extend([("code".to_owned(), CODE.to_owned()), ("state".to_owned(), STATE.to_owned())]);
    parameters.insert("hmac".to_owned(), signature(&all, secret));
    parameters
}

async fn come_back(callback: &BTreeMap<String, String>) -> (Run<'static>, Result<Login, UpstreamError>) {
    let run = Run::new("shopify", shape("shopify")).await;
    run.play(&run.shape.answer, None);
    let result = run.exchange(callback).await;
    (run, result)
}

#[tokio::test]
async fn a_signed_callback_of_this_shop_is_a_login() {
    assert_eq!(signed(parameters(), SECRET), shape("shopify").callback, "as it was recorded");
    let (_, login) = come_back(&signed(parameters(), SECRET)).await;
    assert_eq!(login.unwrap().identity.subject, "acme.myshopify.com");
    let mut more = parameters();
    more.insert("new".to_owned(), "with & and =".to_owned());
    assert!(come_back(&signed(more, SECRET)).await.1.is_ok(), "what Shopify adds is signed, too");
}

#[tokio::test]
async fn any_other_callback_is_none_and_the_code_stays_here() {
    let good = signed(parameters(), SECRET);
    let changed = |name: &str, value: Option<&str>| {
        let mut callback = good.clone();
        match value {
            Some(value) => callback.insert(name.to_owned(), value.to_owned()),
            None => callback.remove(name),
        };
        callback
    };
    let mut of_another_shop = parameters();
    of_another_shop.insert("shop".to_owned(), "evil.myshopify.com".to_owned());
    let mut without_shop = parameters();
    without_shop.remove("shop");
    for (what, callback) in [
        ("no hmac", changed("hmac", None)),
        ("an empty hmac", changed("hmac", Some(""))),
        ("in capitals", changed("hmac", Some(&good["hmac"].to_uppercase()))),
        ("a shorter one", changed("hmac", Some(&good["hmac"][..62]))),
        ("somebody else's", signed(parameters(), "another secret")),
        ("another time", changed("timestamp", Some("1800000001"))),
        ("one parameter less", changed("host", None)),
        ("one parameter more", changed("extra", Some("1"))),
        ("another shop", changed("shop", Some("evil.myshopify.com"))),
        ("another shop, signed", signed(of_another_shop, SECRET)),
        ("no shop, signed", signed(without_shop, SECRET)),
    ] {
        let (run, refused) = come_back(&callback).await;
        assert!(matches!(refused, Err(UpstreamError::Untrusted(_))), "{what}: {refused:?}");
        assert!(run.services.seen().is_empty(), "{what}: the code was sent");
    }
}

#[tokio::test]
async fn a_whole_login_at_a_shop() {
    let door = Door::at("shopify", AccessRule::default(), |_| {}).await;
    let sent = door.to_service().await;
    door.play(&sent);
    let mut all = parameters();
    all.extend([("code".to_owned(), CODE.to_owned()), ("state".to_owned(), param(&sent, "state").unwrap())]);
    let hmac = signature(&all, SECRET);
    let mut back = door.back(&sent);
    let kept: Vec<_> = back.query_pairs().into_owned().filter(|(name, _)| name != "hmac").collect();
    back.query_pairs_mut().clear().extend_pairs(&kept).append_pair("hmac", &hmac);
    let told = mcp_login_testkit::browser::location(&door.browser.open_from_elsewhere(back.as_str()).await);
    let known = door.known(&told.parse().unwrap()).await;
    assert_eq!(
        (&known["subject"], &known["claims"]["shop"]),
        (&"acme.myshopify.com".into(), &"acme.myshopify.com".into())
    );
}
