#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

fn open(url: &str) -> Result<UpstashBackend, StoreError> {
    UpstashBackend::open_with(url, &StoreOptions::default())
}

fn refusal(url: &str) -> String {
    match open(url) {
        Err(StoreError::Open(text)) => text,
        other => panic!("{url} gave {other:?}"),
    }
}

#[test]
fn a_url_is_a_token_and_a_host() {
    for (url, place) in [
        ("upstash+https://hunter2@eu1-x.upstash.io", "https://eu1-x.upstash.io"),
        ("upstash+https://hunter2@eu1-x.upstash.io/", "https://eu1-x.upstash.io"),
        ("UPSTASH+HTTPS://hunter2==@h:8443", "https://h:8443"),
        ("upstash+https://%2Bhunter2%2F@h", "https://h"),
        ("upstash+http://hunter2@127.0.0.1:8079", "http://127.0.0.1:8079"),
        ("upstash+http://hunter2@[::1]:8079", "http://[::1]:8079"),
        ("upstash+http://hunter2@localhost", "http://localhost"),
    ] {
        let backend = open(url).unwrap();
        assert_eq!(backend.rest.place(), place);
        let shown = format!("{backend:?} {:?}", backend.rest);
        assert!(shown.contains(place) && !shown.contains("hunter2"), "{shown}");
    }
}

#[test]
fn a_token_is_what_it_says_percent_decoded() {
    let address = Address::parse("upstash+https://a%2Fb%2Bc=%3D@h").unwrap();
    assert_eq!(address.token.expose_secret(), "a/b+c==");
    assert!(!format!("{address:?}").contains("a/b"), "{address:?}");
}

#[test]
fn nothing_else_is_a_url() {
    for url in [
        "upstash+https://h",
        "upstash+https://@h",
        "upstash+https://hunter2%00@h",
        "upstash+https://hunter2%0D%0A@h",
        "upstash+https://hunter2%C3%A9@h",
        "upstash+https://hunter2@",
        "upstash+https://hunter2@h/path",
        "upstash+https://hunter2@h/?a=b",
        "upstash+https://hunter2@h#a",
        "upstash+https://hunter2@h:99999",
        "upstash+https:hunter2@h",
        "upstash+hunter2://h",
        "upstash+é://hunter2@h",
        "hunter2",
    ] {
        let text = refusal(url);
        assert!(text.contains("upstash+https://TOKEN@HOST") && !text.contains("hunter2"), "{url}: {text}");
    }
    let text = refusal("upstash+https://default:hunter2@h");
    assert!(text.contains("not the password") && !text.contains("hunter2"), "{text}");
    let long = format!("upstash+https://{}@h", "x".repeat(1025));
    assert!(refusal(&long).contains("no token"));
}

#[test]
fn without_tls_only_to_this_machine() {
    for host in ["h", "10.0.0.1", "example.com:8079", "127.0.0.1.example.com"] {
        let text = refusal(&format!("upstash+http://hunter2@{host}"));
        assert!(text.contains("write upstash+https") && !text.contains("hunter2"), "{text}");
    }
}
