#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use mcp_login_core::Timestamp;
use url::Url;

use super::*;

fn consent() -> ConsentPage<'static> {
    ConsentPage {
        client_name: "Claude Code",
        client_source: ClientSource::SelfRegistered,
        client_host: Some("claude.com"),
        redirect: RedirectTarget::Loopback("127.0.0.1"),
        resource: "https://mcp.example.com/mcp",
        scopes: &[
            ScopeLine { name: "mcp", description: Some("Use the tools of this server") },
            ScopeLine { name: "mcp:write", description: None },
        ],
        upstream: "GitHub",
        action: "https://mcp.example.com/consent",
        consent_token: "ct_abc123",
    }
}

fn error() -> ErrorPage<'static> {
    ErrorPage {
        status: 400,
        title: "This address is not registered",
        what_happened: "The program asked to be answered at an address that it has not registered.",
        what_to_do: "Remove the server from your program and add it again.",
        code: "invalid_request",
        request_id: Some("019b2c5e-77aa"),
        back: None,
    }
}

fn connection() -> Connection<'static> {
    Connection {
        id: "0123",
        client_name: "Claude Code",
        client_source: Some(ClientSource::SelfRegistered),
        resource: "https://mcp.example.com/mcp",
        since: Timestamp::from_millis(1_800_000_000_000),
        scopes: &["mcp", "mcp:write"],
        person: None,
    }
}

fn account<'a>(connections: &'a [Connection<'a>]) -> AccountPage<'a> {
    AccountPage {
        url: "https://mcp.example.com/account",
        people: &[SignedIn { service: "GitHub", account: "ada@example.com" }],
        connections,
        more: false,
        services: &[],
        form_token: Some("ft_abc123"),
    }
}

/// What a browser would show of a page: no tags, entities for the few characters that are escaped put back.
fn words(page: &str) -> String {
    let body = &page[page.find("<body>").unwrap()..];
    let mut text = String::new();
    let mut inside = false;
    for c in body.chars() {
        match c {
            '<' => inside = true,
            '>' => inside = false,
            _ if !inside => text.push(c),
            _ => {}
        }
    }
    text
}

#[test]
fn the_consent_page_states_every_fact() {
    let page = consent().render();
    let words = words(&page);
    for fact in [
        "Claude Code",
        "Unverified",
        "The name is what the program says of itself.",
        "claude.com",
        "as the program says",
        "a program on this computer (127.0.0.1)",
        "https://mcp.example.com/mcp",
        "Use the tools of this server",
        "mcp:write",
        "You will sign in with GitHub next.",
        "Continue to GitHub",
        "Deny",
    ] {
        assert!(words.contains(fact), "{fact} is missing in {words}");
    }
    for markup in [
        r#"<html lang="en">"#,
        r#"<meta name="viewport" content="width=device-width, initial-scale=1">"#,
        r#"<meta name="referrer" content="same-origin">"#,
        r#"<form method="post" action="https://mcp.example.com/consent">"#,
        r#"<input type="hidden" name="consent_token" value="ct_abc123">"#,
        r#"name="decision" value="allow""#,
        r#"name="decision" value="deny""#,
    ] {
        assert!(page.contains(markup), "{markup} is missing in {page}");
    }
}

#[test]
fn where_the_browser_goes_is_told_in_words() {
    let told = |uri: &str| {
        let uri = Url::parse(uri).unwrap();
        words(&ConsentPage { redirect: RedirectTarget::of(&uri), ..consent() }.render())
    };
    assert!(told("https://claude.ai/api/mcp/auth_callback").contains("Sends you back toclaude.ai"));
    assert!(told("https://claude.ai:8443/cb").contains("Sends you back toclaude.ai:8443"));
    assert!(told("http://localhost:4711/cb").contains("a program on this computer (localhost)"));
    assert!(told("http://127.0.0.1:4711/cb").contains("a program on this computer (127.0.0.1)"));
    assert!(told("http://[::1]:4711/cb").contains("a program on this computer ([::1])"));
    assert!(
        told("cursor://anysphere.cursor-mcp/oauth/callback").contains("the app that opens cursor: links")
    );
    assert!(told("http://localhost.evil.example/cb").contains("Sends you back tolocalhost.evil.example"));
    assert!(told("https://claude.ai@evil.example/cb").contains("Sends you back toevil.example"));
    assert!(!told("https://evil.example/claude.ai").contains("claude.ai/"));
}

#[test]
fn only_a_redirect_to_this_computer_warns_of_other_programs() {
    let warns = |redirect| {
        words(&ConsentPage { redirect, ..consent() }.render()).contains("Any program on this computer")
    };
    assert!(warns(RedirectTarget::Loopback("127.0.0.1")));
    assert!(warns(RedirectTarget::App("cursor")));
    assert!(!warns(RedirectTarget::Site("claude.ai")));
}

#[test]
fn a_name_is_worth_what_its_source_is_worth() {
    let marked = |client_source| words(&ConsentPage { client_source, ..consent() }.render());
    assert!(marked(ClientSource::SelfRegistered).contains("Unverified"));
    let document = marked(ClientSource::Document { host: "claude.ai" });
    assert!(document.contains("The name is what claude.ai says of it."));
    assert!(!document.contains("Unverified"));
    assert!(marked(ClientSource::Configured).contains("Set up by whoever runs this server."));
}

#[test]
fn hostile_text_stays_text() {
    let hostile = r#""><script>alert(1)</script><img src=x onerror='a&b'>"#;
    let scopes = [ScopeLine { name: hostile, description: Some(hostile) }];
    let consent = ConsentPage {
        client_name: hostile,
        client_source: ClientSource::Document { host: hostile },
        client_host: Some(hostile),
        redirect: RedirectTarget::App(hostile),
        resource: hostile,
        scopes: &scopes,
        upstream: hostile,
        action: hostile,
        consent_token: hostile,
    }
    .render();
    let error = ErrorPage {
        title: hostile,
        what_happened: hostile,
        what_to_do: hostile,
        code: hostile,
        request_id: Some(hostile),
        back: Some(WayBack { label: hostile, url: hostile }),
        ..error()
    }
    .render();
    let person = SignedIn { service: hostile, account: hostile };
    let services = [Service { id: hostile, name: hostile }];
    let hostile_scopes = [hostile];
    let known = [ClientSource::Document { host: hostile }, ClientSource::SelfRegistered].map(Some);
    let connections = [None, known[0], known[1]].map(|client_source| Connection {
        id: hostile,
        client_name: hostile,
        client_source,
        resource: hostile,
        scopes: &hostile_scopes,
        person: Some(person),
        ..connection()
    });
    let people = [person];
    let account = AccountPage {
        url: hostile,
        people: &people,
        connections: &connections,
        more: true,
        services: &services,
        form_token: Some(hostile),
    };
    let nobody = AccountPage { people: &[], form_token: None, ..account };
    for page in [consent, error, account.render(), nobody.render()] {
        for tag in ["<script", "<img"] {
            assert!(!page.contains(tag), "{page}");
        }
        // No attribute was closed early: the only double quotes are the templates' own.
        assert!(!page.contains(r#"""#.repeat(2).as_str()), "{page}");
        assert!(page.contains("&#60;script&#62;"), "it is shown, escaped: {page}");
    }
}

#[test]
fn a_name_cannot_turn_the_page_around_or_hide() {
    let name = "\u{202e}edoC\u{202c} \u{2066}\u{200f}Cl\u{200b}au\u{00ad}de\u{feff}\u{0000}\u{001b}[31m\r\nverified\u{2028}by us\u{e0041}";
    let page = ConsentPage { client_name: name, ..consent() }.render();
    assert!(page.contains("<bdi>edoC Claude[31m verified by us</bdi>"), "{page}");
    for c in page.chars().filter(|c| *c != '\n') {
        assert!(
            !c.is_control()
                && !('\u{200b}'..='\u{200f}').contains(&c)
                && !('\u{2028}'..='\u{202e}').contains(&c),
            "{c:?}"
        );
    }
}

#[test]
fn a_long_name_is_cut_and_says_so() {
    let long = "N".repeat(200);
    let page = ConsentPage { client_name: &long, ..consent() }.render();
    assert!(page.contains(&format!("<bdi>{}…</bdi>", "N".repeat(64))), "{page}");
    assert!(words(&page).contains("(name shortened)"));
    assert!(!words(&consent().render()).contains("(name shortened)"));
}

#[test]
fn a_name_of_nothing_gets_words() {
    for empty in ["", " \n\t", "\u{200b}\u{202e}"] {
        let page = ConsentPage { client_name: empty, ..consent() }.render();
        assert!(words(&page).contains("A program that gives no name"), "{empty:?}");
    }
}

#[test]
fn a_long_host_keeps_its_end() {
    let host = format!("claude.ai.{}.evil.example", "a".repeat(200));
    let uri = Url::parse(&format!("https://{host}/cb")).unwrap();
    let words = words(&ConsentPage { redirect: RedirectTarget::of(&uri), ..consent() }.render());
    assert!(words.contains("aaa.evil.example"), "{words}");
    assert!(!words.contains("claude.ai"), "{words}");
}

#[test]
fn shown_folds_cuts_and_keeps_real_writing() {
    assert_eq!(shown("  a \r\n\t b  ", 10), Shown { text: "a b".to_owned(), shortened: false });
    assert_eq!(shown("abcdef", 6), Shown { text: "abcdef".to_owned(), shortened: false });
    assert_eq!(shown("abcdefg", 6), Shown { text: "abcdef…".to_owned(), shortened: true });
    assert_eq!(shown("abcdef \u{200b} ", 6), Shown { text: "abcdef".to_owned(), shortened: false });
    assert_eq!(shown("مرحبا 你好 Ünïcode", 40).text, "مرحبا 你好 Ünïcode");
    let pile = format!("a{}b", "\u{0301}".repeat(50));
    assert_eq!(shown(&pile, 40).text, "a\u{0301}\u{0301}\u{0301}b");
}

#[test]
fn no_scopes_no_list() {
    assert!(words(&consent().render()).contains("Permissions it asks for"));
    assert!(!words(&ConsentPage { scopes: &[], ..consent() }.render()).contains("Permissions it asks for"));
}

#[test]
fn the_error_page_states_every_fact() {
    let page = error().render();
    for fact in [
        "This login cannot go on",
        "This address is not registered",
        "that it has not registered.",
        "Remove the server from your program",
        "invalid_request",
        "019b2c5e-77aa",
    ] {
        assert!(words(&page).contains(fact), "{fact} is missing");
    }
    assert!(!words(&ErrorPage { request_id: None, ..error() }.render()).contains("Request"));
    assert!(words(&ErrorPage { status: 503, ..error() }.render()).contains("Not available right now"));
}

/// The style between the tags of the page, as a browser hashes it.
fn style_in(page: &str) -> &str {
    let (_, rest) = page.split_once("<style>").unwrap();
    let (style, after) = rest.split_once("</style>").unwrap();
    assert!(!after.contains("<style"), "one style only");
    style
}

#[test]
fn the_hash_is_that_of_the_style_in_the_page() {
    for page in [consent().render(), error().render(), account(&[connection()]).render()] {
        assert_eq!(style_hash_of(style_in(&page)), style_hash());
        assert!(!page.contains(" style="), "a style attribute is not covered by the hash");
        assert!(
            !page.contains("<script") && !page.contains("src=") && !page.contains("<link"),
            "nothing is loaded"
        );
    }
    // FIPS 180-2's own vector, so that the hash is not only equal to itself.
    assert_eq!(style_hash_of("abc"), "sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
    assert!(!STYLE.contains('\r') && !STYLE.contains("</") && !STYLE.contains("url("));
}

#[test]
fn every_page_comes_with_its_headers() {
    let headers = security_headers(&["'self'".to_owned(), "https:".to_owned()]);
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert_eq!(
        policy,
        format!(
            "default-src 'none'; style-src '{}'; form-action 'self' https:; base-uri 'none'; frame-ancestors 'none'",
            style_hash()
        )
    );
    let policy = security_headers(&[])["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("form-action 'none'"), "{policy}");
    assert_eq!(headers["cache-control"], "no-store");
    assert_eq!(headers["x-frame-options"], "DENY");
    assert_eq!(headers["referrer-policy"], "same-origin");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(headers["content-type"], "text/html; charset=utf-8");
}

#[test]
fn the_account_page_states_every_fact() {
    let page = account(&[connection()]).render();
    let words = words(&page);
    for fact in [
        "Your connections",
        "Signed in with GitHub as ada@example.com",
        "Claude Code",
        "Unverified: the name is what the program says of itself.",
        "https://mcp.example.com/mcp",
        "15 January 2027, 08:00 UTC",
        "mcp:write",
        "Disconnect",
        "Sign out",
    ] {
        assert!(words.contains(fact), "{fact} is missing in {words}");
    }
    for markup in [
        r#"<form method="post" action="https://mcp.example.com/account/disconnect">"#,
        r#"<input type="hidden" name="form_token" value="ft_abc123">"#,
        r#"name="connection" value="0123""#,
        r#"<time datetime="2027-01-15T08:00Z">"#,
    ] {
        assert!(page.contains(markup), "{markup} is missing in {page}");
    }
    assert!(!words.contains("There are more") && !words.contains("In the name of"));
    assert!(!page.contains("/sign-in"), "there is no other service");
}

#[test]
fn a_connection_is_called_what_is_known_of_it() {
    let called = |client_name, client_source| {
        words(&account(&[Connection { client_name, client_source, ..connection() }]).render())
    };
    let document = called("", Some(ClientSource::Document { host: "claude.ai" }));
    assert!(document.contains("claude.ai") && document.contains("Described by its site"), "{document}");
    let configured = called("nightly", Some(ClientSource::Configured));
    assert!(configured.contains("Known here") && !configured.contains("Unverified"));
    assert!(called("", Some(ClientSource::SelfRegistered)).contains("A program that gives no name"));
    let gone = called("", None);
    assert!(gone.contains("A program that is no longer registered") && gone.contains("Disconnect"), "{gone}");
}

#[test]
fn nothing_nobody_and_too_much_have_words() {
    assert!(words(&account(&[]).render()).contains("No program is connected in your name."));
    let services = [Service { id: "", name: "GitHub" }, Service { id: "mail", name: "Mail" }];
    let nobody = AccountPage { people: &[], form_token: None, services: &services, ..account(&[]) };
    let (page, words_of_nobody) = (nobody.render(), words(&nobody.render()));
    for fact in ["which programs are connected", "Sign in with GitHub", "Sign in with Mail"] {
        assert!(words_of_nobody.contains(fact), "{fact} is missing in {words_of_nobody}");
    }
    assert!(page.contains(r#"name="upstream" value="mail""#) && !page.contains("form_token"), "{page}");
    assert!(!words_of_nobody.contains("Sign out"));
    let many = [connection()];
    assert!(words(&AccountPage { more: true, ..account(&many) }.render()).contains("There are more"));
}
