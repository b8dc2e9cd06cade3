//! `grants list`, `show` and `revoke`, `clients list` and `remove` as an operator runs them, on the store of a running server. Needs `redis-server`, and
//! `script` for a terminal.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use mcp_login::Store;
use mcp_login_testkit::browser::Browser;
use mcp_login_testkit::client::{OAuthClient, REDIRECT_URI, Tokens};
use mcp_login_testkit::fake_upstream::FakeUser;
use mcp_login_testkit::redis_server::RedisServer;
use mcp_login_testkit::server::{Options, TestServer};
use serde_json::{Value, json};

/// How soon the server refuses what another process has ended.
const SOON: Duration = Duration::from_secs(5);
const BIN: &str = env!("CARGO_BIN_EXE_mcp-login");

/// Alice is connected with two programs, Bob with one of them.
struct World {
    redis: RedisServer,
    /// Ends before the store does.
    server: TestServer,
    editor: OAuthClient,
    alices: Tokens,
    alices_other: Tokens,
    bobs: Tokens,
}

impl World {
    async fn start() -> Self {
        let redis = RedisServer::start();
        let store = Store::open(&redis.url()).await.unwrap();
        let server = TestServer::with(Options { store, ..Options::usual().await }).await;
        let named = async |name: &str| {
            let metadata = json!({"client_name": name, "redirect_uris": [REDIRECT_URI]});
            OAuthClient::register_as(&server, metadata).await
        };
        let (editor, other) = (named("Editor\u{1b}[31m").await, named("Other").await);
        let alices = editor.log_in(&Browser::new()).await;
        let alices_other = other.log_in(&Browser::new()).await;
        server.upstream.sign_in_as(FakeUser::new("bob"));
        let bobs = editor.log_in(&Browser::new()).await;
        // Somebody who is not through yet is not connected.
        Browser::new().open(&editor.authorization_url(&[])).await;
        Self { redis, server, editor, alices, alices_other, bobs }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(BIN);
        command.args((args[0] != "clients").then_some("grants")).args(args).args([
            "--store",
            &self.redis.url(),
            "--key-prefix",
            "mcp-login:",
        ]);
        command.env_clear().stdin(Stdio::null());
        command
    }

    /// What it prints, and its exit code.
    fn out(&self, args: &[&str]) -> (String, i32) {
        said(&self.command(args).output().unwrap())
    }

    fn json_of(&self, args: &[&str]) -> Value {
        let output = self.command(&[args, &["--json"]].concat()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    async fn status_of(&self, tokens: &Tokens) -> u16 {
        self.editor.call("/mcp", &tokens.access).await.status().as_u16()
    }

    /// What the server answers to each of the three once it has heard of the end of some.
    async fn until(&self, expected: [u16; 3]) {
        let begun = Instant::now();
        loop {
            let mut now = [0; 3];
            for (n, tokens) in [&self.alices, &self.alices_other, &self.bobs].into_iter().enumerate() {
                now[n] = self.status_of(tokens).await;
            }
            if now == expected {
                return;
            }
            assert!(begun.elapsed() < SOON, "{now:?} and not {expected:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn said(output: &Output) -> (String, i32) {
    let text = [output.stdout.as_slice(), &output.stderr].concat();
    (String::from_utf8(text).unwrap(), output.status.code().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_connected_with_what_is_listed_and_nothing_secret() {
    let world = World::start().await;
    let (text, code) = world.out(&["list"]);
    assert_eq!(code, 0, "{text}");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 6, "a head, three rows, a blank and the number: {text}");
    assert!(lines[0].starts_with("ID") && lines[5] == "3 logins", "{text}");
    for fact in ["alice@", "bob@", "Editor[31m", "Other", &world.server.mcp(), "2027-01-15T08:00Z"] {
        assert!(text.contains(fact), "{fact} in {text}");
    }
    assert!(!text.contains('\u{1b}'), "what a client calls itself does not reach the terminal as it is");

    let all = world.json_of(&["list"]);
    assert_eq!(all.as_array().unwrap().len(), 3);
    let shown = all.to_string();
    for secret in
        world.server.upstream.issued_secrets().iter().chain([&world.alices.access, &world.bobs.refresh])
    {
        assert!(!shown.contains(secret.as_str()), "{shown}");
    }
    let number = |args: &[&str]| world.json_of(&[&["list"], args].concat()).as_array().unwrap().len();
    let alice = all.as_array().unwrap().iter().find(|one| one["client_name"] == "Other").unwrap();
    let (subject, email) = (alice["subject"].as_str().unwrap(), alice["email"].as_str().unwrap());
    assert_eq!((number(&["--user", subject]), number(&["--user", &email.to_uppercase()])), (2, 2));
    assert_eq!((number(&["--client", world.editor.id()]), number(&["--client", "Other"])), (2, 1));
    assert_eq!((number(&["--resource", "/mcp"]), number(&["--resource", &world.server.mcp()])), (3, 3));
    assert_eq!(
        (number(&["--user", subject, "--client", world.editor.id()]), number(&["--resource", "/mc"])),
        (1, 0)
    );
    let (text, code) = world.out(&["list", "--user", "nobody"]);
    assert_eq!((text.as_str(), code), ("no login fits\n", 0));

    let id = alice["id"].as_str().unwrap();
    assert_eq!(world.json_of(&["show", id]), *alice);
    let (text, code) = world.out(&["show", id]);
    assert_eq!(code, 0, "{text}");
    for fact in
        [subject, email, "(its name for itself: Other)", "mcp mcp:write", "15 January 2027, 08:00 UTC"]
    {
        assert!(text.contains(fact), "{fact} in {text}");
    }
    let (text, code) = world.out(&["show", &"0".repeat(32)]);
    assert_eq!((text.contains("no login of this id"), code), (true, 1), "{text}");
    assert_eq!(world.out(&["show", "x"]).1, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_revoked_ends_at_once_at_the_running_server() {
    let world = World::start().await;
    world.until([200, 200, 200]).await;
    let others = world.json_of(&["list", "--client", "Other"]);
    let id = others[0]["id"].as_str().unwrap();
    let by_name = world.json_of(&["revoke", "--client", "Other", "--yes"]);
    assert_eq!(by_name["ended"], 0, "any client can register any name");
    let (text, code) = world.out(&["revoke", id, "--yes"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.starts_with("1 login ended\n") && text.contains("ends by itself"), "{text}");
    world.until([200, 401, 200]).await;
    assert_eq!(world.out(&["revoke", id, "--yes"]).1, 1, "it is no more");
    let bob = world.json_of(&["list", "--user", "bob@example.com"]);
    assert_eq!(bob.as_array().unwrap().len(), 1, "{bob}");
    assert_eq!(
        world.json_of(&["revoke", "--user", "bob@example.com", "-y"]),
        json!({"ended": 1, "damaged": 0})
    );
    world.until([200, 401, 401]).await;
    assert_eq!(world.json_of(&["revoke", "--client", world.editor.id(), "-y"])["ended"], 1);
    world.until([401, 401, 401]).await;
    assert_eq!(world.out(&["list"]), ("nobody is connected\n".to_owned(), 0));
    let (text, code) = world.out(&["revoke", "--user", "bob@example.com", "-y"]);
    assert_eq!((text.as_str(), code), ("0 logins ended\n", 0));
}

/// At a terminal, as `script` makes one.
fn at_terminal(world: &World, args: &str, answer: &str) -> (String, i32) {
    let line = format!("{BIN} grants {args} --store {} --key-prefix mcp-login:", world.redis.url());
    let mut script = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .env("NO_COLOR", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    script.stdin.take().unwrap().write_all(answer.as_bytes()).unwrap();
    said(&script.wait_with_output().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn it_asks_before_it_ends_anything() {
    let world = World::start().await;
    let (text, code) = world.out(&["revoke", "--client", world.editor.id()]);
    assert_eq!((text.contains("add --yes"), code), (true, 2), "{text}");
    for nobody in [&["revoke", "--yes"][..], &["revoke", &"0".repeat(32), "--user", "x", "--yes"]] {
        assert_eq!(world.out(nobody).1, 2, "{nobody:?}");
    }
    let args = format!("revoke --client {}", world.editor.id());
    for no in ["n\n", "\n", "yess\n"] {
        let (text, code) = at_terminal(&world, &args, no);
        assert!(text.contains("End 2 logins? [y/N]") && text.contains("nothing was changed"), "{text}");
        assert_eq!(code, 1);
    }
    world.until([200, 200, 200]).await;
    let (text, code) = at_terminal(&world, &args, "y\n");
    assert_eq!((text.contains("2 logins ended"), code), (true, 0), "{text}");
    world.until([401, 200, 401]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_counted_and_a_store_that_is_away_is_said() {
    let mut world = World::start().await;
    let torn = format!("mcp-login:grant:{}", "0".repeat(32));
    world.redis.query(&["SET", &torn, "torn"]);
    let (text, code) = world.out(&["list"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("3 logins") && text.contains("1 record cannot be read"), "{text}");
    assert_eq!(world.json_of(&["revoke", "--resource", "/mcp", "-y"]), json!({"ended": 3, "damaged": 1}));
    world.redis.stop();
    let (text, code) = world.out(&["list"]);
    assert_eq!((text.contains("the store cannot be reached"), code), (true, 1), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_forgotten_with_its_logins() {
    let world = World::start().await;
    let unused = OAuthClient::register(&world.server).await;
    let (text, code) = world.out(&["clients", "list"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.ends_with("\n3 clients\n") && !text.contains('\u{1b}'), "{text}");
    let all = world.json_of(&["clients", "list"]);
    let of = |id: &str| all.as_array().unwrap().iter().find(|one| one["client_id"] == id).unwrap().clone();
    assert_eq!(
        (of(unused.id())["used"].clone(), of(world.editor.id())["used"].clone()),
        (json!(false), json!(true))
    );
    assert_eq!(of(unused.id())["redirect_uris"], json!([REDIRECT_URI]));

    let (text, code) = world.out(&["clients", "remove", world.editor.id()]);
    assert_eq!((text.contains("add --yes"), code), (true, 2), "{text}");
    world.until([200, 200, 200]).await;
    let (text, code) = world.out(&["clients", "remove", world.editor.id(), "--yes"]);
    assert_eq!((text.starts_with("removed; 2 logins ended\n"), code), (true, 0), "{text}");
    world.until([401, 200, 401]).await;
    assert_eq!(
        world.editor.refresh(&world.alices.refresh, &[]).await.status(),
        401,
        "nobody knows it any more"
    );
    assert_eq!(world.out(&["clients", "remove", world.editor.id(), "--yes"]).1, 1);
    assert_eq!(world.json_of(&["clients", "list"]).as_array().unwrap().len(), 2);
}
