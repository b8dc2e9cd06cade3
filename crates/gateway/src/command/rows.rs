//! Long lists, row by row as the store has them, however many there are.

use std::io::{BufWriter, Write};

use mcp_login::page::shown;
use mcp_login::store::backend::StoreError;
use serde_json::Value;

use super::store::count;
use crate::cli::Failure;

/// The longest text of somebody else that is shown whole, in characters.
const MAX_TEXT: usize = 200;

/// What somebody else wrote, without what could lead a terminal astray.
pub(super) fn plain(text: &str) -> String {
    shown(text, MAX_TEXT).text
}

/// JSON in which what moves a terminal's cursor, or turns the direction of writing, is escaped: clients choose their names.
pub(super) fn json_text(value: &Value) -> String {
    let moves = |c: char| {
        matches!(c, '\u{7f}'..='\u{9f}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let mut text = String::new();
    for c in value.to_string().chars() {
        if moves(c) {
            text.extend(format!("\\u{:04x}", u32::from(c)).chars());
        } else {
            text.push(c);
        }
    }
    text
}

/// Those that cannot be read may be of anybody.
pub(super) fn of_damaged(damaged: u64) -> Option<String> {
    let records = count(damaged, "record");
    (damaged > 0).then(|| format!("{records} cannot be read: `mcp-login store check` names them"))
}

/// Why a list ends before its end.
pub(super) enum Trouble {
    Store(StoreError),
    /// Nobody reads any more (`| head`).
    Unread,
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<std::io::Error> for Trouble {
    fn from(_: std::io::Error) -> Self {
        Self::Unread
    }
}

/// Where the rows go.
pub(super) struct Rows {
    out: BufWriter<Box<dyn Write>>,
    json: bool,
    /// The line above the first row.
    head: String,
    number: u64,
}

impl Rows {
    pub(super) fn new(json: bool, head: String) -> Self {
        Self { out: BufWriter::new(Box::new(anstream::stdout())), json, head, number: 0 }
    }

    /// One more, in the one form or the other.
    pub(super) fn add(
        &mut self,
        in_json: impl FnOnce() -> Value,
        in_words: impl FnOnce() -> String,
    ) -> std::io::Result<()> {
        if self.json {
            let before = if self.number == 0 { "[" } else { "," };
            write!(self.out, "{before}\n{}", json_text(&in_json()))?;
        } else {
            if self.number == 0 {
                writeln!(self.out, "{}", self.head)?;
            }
            writeln!(self.out, "{}", in_words())?;
        }
        self.number = self.number.saturating_add(1);
        Ok(())
    }

    /// The end of it: how many there were of `what`, or that there was `nothing`.
    pub(super) fn end(
        mut self,
        walked: Result<u64, Trouble>,
        what: &str,
        nothing: &str,
    ) -> Result<(), Failure> {
        let damaged = match walked {
            Ok(damaged) => damaged,
            Err(Trouble::Unread) => return Ok(()),
            Err(Trouble::Store(error)) => {
                // What is known already is shown; it is not all.
                let _ = self.out.flush();
                return Err(Failure::Failed(error.into()));
            }
        };
        let last = match (self.json, self.number) {
            (true, 0) => "[]".to_owned(),
            (true, _) => "\n]".to_owned(),
            (false, 0) => nothing.to_owned(),
            (false, rows) => format!("\n{}", count(rows, what)),
        };
        // A reader that has gone is no error.
        let _ = writeln!(self.out, "{last}").and_then(|()| self.out.flush());
        if let Some(damaged) = of_damaged(damaged) {
            let _ = writeln!(anstream::stderr(), "{damaged}");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    #[test]
    fn json_moves_no_cursor_and_says_the_same() {
        let value = json!({ "name": "Zoë\u{9b}2J\u{202e}\u{7f}\u{1b}\u{feff}" });
        let text = json_text(&value);
        assert!(text.contains('ë') && !text.contains(char::is_control), "{text}");
        assert!(!text.contains(['\u{202e}', '\u{feff}']), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }
}
