//! "Demo notes": an MCP server that keeps notes for each person, and knows nothing of OAuth.
//!
//! Who calls is what the gateway says in `X-Forwarded-User`: that is all a server behind the gateway needs to look at.
//! It believes that header, so it must only be reachable through the gateway: it listens on loopback and its transport
//! answers to loopback names only. Everything is in memory and bounded.

mod book;

#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::request::Parts;
use rmcp::handler::server::tool::Extension;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{CallToolResult, ContentBlock, Implementation, ServerCapabilities, ServerConfig};
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, ServerHandler, schemars, tool, tool_handler, tool_router};
use serde::Deserialize;

use book::Book;

/// The longest subject that is taken as a person's name here, in bytes.
const MAX_SUBJECT: usize = 255;
/// The largest message that is read: a note, its escapes, and the JSON around it.
const MAX_MESSAGE_BYTES: usize = 64 * 1024;

const INSTRUCTIONS: &str = "Demo notes keeps short notes for the person who is signed in. Each person sees only their own. \
     Use add_note to write one down, list_notes to see them with their numbers, delete_note to remove one by its number, \
     and whoami to see who is signed in. Notes are kept in memory and are gone when the demo stops.";

/// The server as a tower service, for `Router::route_service("/mcp", …)` on a loopback port of its own.
///
/// It keeps no sessions: every request is complete in itself, and clients of every revision of MCP are answered.
pub(crate) fn service() -> StreamableHttpService<Notes, NeverSessionManager> {
    let notes = Notes::default();
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_max_request_body_bytes(MAX_MESSAGE_BYTES);
    StreamableHttpService::new(move || Ok(notes.clone()), Arc::default(), config)
}

/// The tools, over everybody's notes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notes {
    book: Arc<Mutex<Book>>,
}

/// What `add_note` takes.
#[derive(Deserialize, schemars::JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
struct NewNote {
    /// The text of the note, 2000 characters at the most.
    #[schemars(length(min = 1, max = 2000))]
    text: String,
}

/// What `delete_note` takes.
#[derive(Deserialize, schemars::JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
struct NoteNumber {
    #[schemars(description = "The number of the note, as list_notes shows it.", range(min = 1))]
    number: u32,
}

#[tool_router]
impl Notes {
    /// Writes a note down.
    #[tool(
        title = "Add a note",
        description = "Write down a note for the person who is signed in. Answers with the number of the note.",
        annotations(
            read_only_hint = false,
            destructive_hint = false,
            idempotent_hint = false,
            open_world_hint = false
        )
    )]
    fn add_note(
        &self,
        Parameters(NewNote { text }): Parameters<NewNote>,
        Extension(parts): Extension<Parts>,
    ) -> Result<CallToolResult, ErrorData> {
        let added = self.book().add(subject(&parts)?, &text);
        Ok(answer(added.map(|number| format!("Saved as note {number}."))))
    }

    /// Shows the notes.
    #[tool(
        title = "List my notes",
        description = "List the notes of the person who is signed in, each with its number. Nobody else's notes are shown.",
        annotations(read_only_hint = true, open_world_hint = false)
    )]
    fn list_notes(&self, Extension(parts): Extension<Parts>) -> Result<CallToolResult, ErrorData> {
        let subject = subject(&parts)?;
        let book = self.book();
        let mut lines = String::new();
        for (number, text) in book.of(subject) {
            let _ = writeln!(lines, "{number}. {text}");
        }
        Ok(said(if lines.is_empty() { "You have no notes yet." } else { lines.trim_end() }))
    }

    /// Removes a note.
    #[tool(
        title = "Delete a note",
        description = "Delete one note of the person who is signed in, by the number that list_notes shows. It cannot be brought back.",
        annotations(
            read_only_hint = false,
            destructive_hint = true,
            idempotent_hint = true,
            open_world_hint = false
        )
    )]
    fn delete_note(
        &self,
        Parameters(NoteNumber { number }): Parameters<NoteNumber>,
        Extension(parts): Extension<Parts>,
    ) -> Result<CallToolResult, ErrorData> {
        let deleted = self.book().delete(subject(&parts)?, number);
        Ok(answer(deleted.map(|()| format!("Note {number} is deleted."))))
    }

    /// Shows what the gateway says of the caller.
    #[tool(
        title = "Who am I?",
        description = "Show who is signed in, through which program, and with which scopes: what the gateway tells this server.",
        annotations(read_only_hint = true, open_world_hint = false)
    )]
    #[expect(clippy::unused_self, reason = "a tool is a method")]
    fn whoami(&self, Extension(parts): Extension<Parts>) -> Result<CallToolResult, ErrorData> {
        let mut lines = format!("Subject: {}", subject(&parts)?);
        for (label, name) in [
            ("Name", "x-forwarded-preferred-username"),
            ("Email", "x-forwarded-email"),
            ("Client", "x-forwarded-client"),
            ("Scopes", "x-forwarded-scope"),
        ] {
            if let Some(value) = header(&parts, name) {
                let _ = write!(lines, "\n{label}: {value}");
            }
        }
        Ok(said(&lines))
    }

    /// Says what this is, to anybody.
    #[tool(
        title = "About this demo",
        description = "Say what this server is. Needs no sign-in.",
        annotations(read_only_hint = true, open_world_hint = false)
    )]
    #[expect(clippy::unused_self, reason = "a tool is a method")]
    fn about(&self) -> CallToolResult {
        said(
            "Demo notes: a small MCP server behind mcp-login. It has no login code of its own; the gateway before it signs \
             people in and tells it who is calling. Sign in as Ada and then as Alan, and see that their notes stay apart.",
        )
    }
}

#[tool_handler]
impl ServerHandler for Notes {
    fn get_info(&self) -> ServerConfig {
        let info = Implementation::new("mcp-login-demo-notes", env!("CARGO_PKG_VERSION"))
            .with_title("Demo notes")
            .with_description("Notes that are yours alone: the demo server of mcp-login");
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(info)
            .with_instructions(INSTRUCTIONS)
    }
}

impl Notes {
    /// Everybody's notes. A poisoned lock is taken all the same: every change is made in one go.
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn header<'a>(parts: &'a Parts, name: &str) -> Option<&'a str> {
    parts.headers.get(name).and_then(|value| value.to_str().ok()).filter(|value| !value.is_empty())
}

/// Who calls. Two headers are as good as none: one of them would not be the gateway's.
fn subject(parts: &Parts) -> Result<&str, ErrorData> {
    let only_one = parts.headers.get_all("x-forwarded-user").iter().count() == 1;
    header(parts, "x-forwarded-user").filter(|subject| only_one && subject.len() <= MAX_SUBJECT).ok_or_else(|| {
        ErrorData::invalid_request(
            "Nobody is signed in: the request carries no X-Forwarded-User. Call this server through the mcp-login gateway, \
             which sets it once a person has logged in.",
            None,
        )
    })
}

fn said(text: &str) -> CallToolResult {
    CallToolResult::success(vec![ContentBlock::text(text)])
}

/// What a person can put right is a result the model reads, not a protocol error.
fn answer(outcome: Result<String, String>) -> CallToolResult {
    match outcome {
        Ok(text) => said(&text),
        Err(text) => CallToolResult::error(vec![ContentBlock::text(text)]),
    }
}
