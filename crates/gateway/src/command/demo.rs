//! `demo`: a sign-in service, an MCP server with per-user data and the gateway before it, all on loopback.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anstyle::Style;
use anyhow::Context;
use axum::Router;
use mcp_login::clock::SystemClock;
use mcp_login::core::Secret;
use serde_json::json;
use tokio::net::TcpListener;

use super::serve::application;
use crate::cli::{Failure, say};
use crate::config::{Environment, Sources};
use crate::demo::notes;
use crate::demo::sign_in::SignIn;
use crate::proxy::RequestId;
use crate::serve::{Limits, serve, shutdown_on_signals};

/// Where the parts of the demo are.
#[derive(Debug)]
pub struct Demo {
    /// The gateway's `public_url`, `http://127.0.0.1:PORT`.
    pub gateway: String,
    /// The sign-in service's issuer.
    pub sign_in: String,
    /// The MCP server behind the gateway, without a path.
    pub notes: String,
    /// The folder for the store.
    pub data: PathBuf,
}

/// What each part answers with.
#[derive(Debug)]
pub struct Parts {
    /// On [`Demo::gateway`].
    pub gateway: Router,
    /// On [`Demo::sign_in`].
    pub sign_in: Router,
    /// On [`Demo::notes`].
    pub notes: Router,
}

/// How the sign-in service knows the gateway.
const CLIENT_ID: &str = "demo-gateway";

/// The path of the MCP server at the gateway.
pub const MCP_PATH: &str = "/mcp";

/// `demo`
pub async fn run(port: u16, data: Option<PathBuf>) -> Result<(), Failure> {
    let data = DataFolder::open(data)?;
    let gateway = bind(port).await.with_context(|| {
        format!("cannot listen on 127.0.0.1:{port}: choose another port with --port, or --port 0 for any")
    })?;
    let port = gateway.local_addr().context("the gateway's address")?.port();
    let sign_in = bind_near(port.checked_add(1)).await?;
    let notes = bind_near(port.checked_add(2)).await?;
    let demo = Demo {
        gateway: url(&gateway)?,
        sign_in: url(&sign_in)?,
        notes: url(&notes)?,
        data: data.path().to_owned(),
    };
    let parts = assemble(&demo).await?;
    let shutdown = shutdown_on_signals().context("signals cannot be received")?;
    say(&welcome(&format!("{}{MCP_PATH}", demo.gateway), &demo));
    tokio::join!(
        serve(gateway, parts.gateway, shutdown.clone(), Limits::default()),
        serve(sign_in, parts.sign_in, shutdown.clone(), Limits::default()),
        serve(notes, parts.notes, shutdown, Limits::default()),
    );
    drop(data);
    Ok(())
}

/// The sign-in service, the notes, and the gateway built from a configuration as `serve` builds it.
async fn assemble(demo: &Demo) -> anyhow::Result<Parts> {
    // A new secret each time: it is between two parts of one process.
    let client_secret = mcp_login::store::records::random_secret();
    let callback = format!("{}/callback", demo.gateway);
    let sign_in = SignIn::new(CLIENT_ID, client_secret.clone(), callback, Arc::new(SystemClock));
    let notes = Router::new().route_service(MCP_PATH, notes::service());
    let sources = Sources {
        text: &configuration(demo, &client_secret),
        folder: &demo.data,
        environment: &Environment::default(),
        providers: &["oauth2"],
    };
    let checked = sources.check()?;
    Ok(Parts { gateway: application(&checked.config).await?.router, sign_in: sign_in.router(), notes })
}

/// What somebody would write who runs the same by hand.
fn configuration(demo: &Demo, client_secret: &Secret) -> String {
    // A JSON string is a TOML string, too.
    let text = |value: &str| json!(value).to_string();
    let sign_in = |path: &str| text(&format!("{}{path}", demo.sign_in));
    format!(
        r#"public_url = {public_url}

[store]
url = {store}

[upstream]
provider = "oauth2"
display_name = "Demo sign-in"
client_id = "{CLIENT_ID}"
client_secret = {client_secret}
authorization_endpoint = {authorize}
token_endpoint = {token}
userinfo_endpoint = {userinfo}
subject = ["userinfo:/sub"]
scopes = ["profile", "email"]

[clients]
redirect_hosts = ["*", "localhost", "127.0.0.1", "[::1]"]

[[mcp]]
path = "{MCP_PATH}"
backend = {backend}
auth = "lazy"
public_tools = ["about"]
"#,
        public_url = text(&demo.gateway),
        store = text(&format!("file:{}", demo.data.join("mcp-login.db").display())),
        client_secret = text(client_secret.expose_secret()),
        authorize = sign_in("/authorize"),
        token = sign_in("/token"),
        userinfo = sign_in("/userinfo"),
        backend = text(&format!("{}{MCP_PATH}", demo.notes)),
    )
}

async fn bind(port: u16) -> std::io::Result<TcpListener> {
    TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await
}

/// The same ports on each run if they are free, so that a login kept with `--data` finds its sign-in service again.
async fn bind_near(port: Option<u16>) -> anyhow::Result<TcpListener> {
    if let Some(port) = port
        && let Ok(listener) = bind(port).await
    {
        return Ok(listener);
    }
    bind(0).await.context("no port is free on 127.0.0.1")
}

fn url(listener: &TcpListener) -> anyhow::Result<String> {
    Ok(format!("http://{}", listener.local_addr().context("the address of a listener")?))
}

/// A folder for the store: the given one, or one that goes when the demo ends.
struct DataFolder {
    path: PathBuf,
    temporary: bool,
}

impl DataFolder {
    fn open(given: Option<PathBuf>) -> Result<Self, Failure> {
        let temporary = given.is_none();
        let name = || std::env::temp_dir().join(format!("mcp-login-demo-{}", RequestId::new().as_str()));
        let path = given.unwrap_or_else(name);
        let mut folder = std::fs::DirBuilder::new();
        // A temporary folder must be new: one that is there already would be somebody else's.
        folder.recursive(!temporary);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut folder, 0o700);
        folder.create(&path).with_context(|| format!("the folder {} cannot be made", path.display()))?;
        Ok(Self { path, temporary })
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for DataFolder {
    fn drop(&mut self) {
        if self.temporary
            && let Err(error) = std::fs::remove_dir_all(&self.path)
        {
            tracing::warn!(%error, folder = %self.path.display(), "a temporary folder was left behind");
        }
    }
}

/// What a person reads when the demo stands.
fn welcome(mcp: &str, demo: &Demo) -> String {
    const B: Style = Style::new().bold();
    const D: Style = Style::new().dimmed();
    let vscode = json!({ "name": "notes", "type": "http", "url": mcp });
    let cursor = json!({ "mcpServers": { "notes": { "url": mcp } } });
    let (sign_in, account) = (&demo.sign_in, format!("{}/account", demo.gateway));
    format!(
        "
  {B}mcp-login demo{B:#}

  MCP server   {B}{mcp}{B:#}
  Sign-in      {sign_in}
  Connections  {account}

  {B}Claude Code{B:#}
    claude mcp add --transport http notes {mcp}
    {D}then /mcp in a session, and Authenticate{D:#}

  {B}VS Code{B:#}
    code --add-mcp '{vscode}'

  {B}Cursor{B:#} {D}(~/.cursor/mcp.json){D:#}
    {cursor}

  {B}MCP Inspector{B:#}
    npx @modelcontextprotocol/inspector
    {D}Transport Type: Streamable HTTP, URL: {mcp}{D:#}

  {D}Ctrl+C ends it.{D:#}
"
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_welcome_names_the_url_for_every_client() {
        let demo = Demo {
            gateway: "http://127.0.0.1:8080".to_owned(),
            sign_in: "http://127.0.0.1:8081".to_owned(),
            notes: "http://127.0.0.1:8082".to_owned(),
            data: PathBuf::new(),
        };
        let text = anstream::adapter::strip_str(&welcome("http://127.0.0.1:8080/mcp", &demo)).to_string();
        for line in [
            "claude mcp add --transport http notes http://127.0.0.1:8080/mcp\n",
            r#"code --add-mcp '{"name":"notes","type":"http","url":"http://127.0.0.1:8080/mcp"}'"#,
            r#"{"mcpServers":{"notes":{"url":"http://127.0.0.1:8080/mcp"}}}"#,
            "npx @modelcontextprotocol/inspector\n",
            "Connections  http://127.0.0.1:8080/account\n",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn a_temporary_folder_goes_and_a_given_one_stays() {
        let folder = DataFolder::open(None).ok().unwrap();
        let path = folder.path().to_owned();
        assert!(path.is_dir());
        drop(folder);
        assert!(!path.exists());

        let parent = tempfile::tempdir().unwrap();
        let given = parent.path().join("a/b");
        drop(DataFolder::open(Some(given.clone())).ok().unwrap());
        assert!(given.is_dir());
    }
}
