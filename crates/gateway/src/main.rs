//! Until the command line is here: the demo's two services on loopback ports, to look at them.

mod demo;

use std::sync::Arc;

use axum::Router;
use mcp_login::clock::SystemClock;
use mcp_login::core::Secret;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let sign_in = demo::sign_in::SignIn::new(
        "demo",
        Secret::new("demo-secret"),
        "http://127.0.0.1:8080/callback",
        Arc::new(SystemClock),
    )
    .router();
    let notes = Router::new().route_service("/mcp", demo::notes::service());
    let sign_in_listener = TcpListener::bind("127.0.0.1:0").await?;
    let notes_listener = TcpListener::bind("127.0.0.1:0").await?;
    anstream::eprintln!("sign-in http://{}", sign_in_listener.local_addr()?);
    anstream::eprintln!("notes http://{}/mcp", notes_listener.local_addr()?);
    tokio::try_join!(async { axum::serve(sign_in_listener, sign_in).await }, async {
        axum::serve(notes_listener, notes).await
    },)?;
    Ok(())
}
