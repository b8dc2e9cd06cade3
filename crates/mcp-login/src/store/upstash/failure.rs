//! What kept a command from being answered, and what that says about whether it has happened.

use std::error::Error;

use reqwest::StatusCode;

use crate::store::backend::StoreError;

/// What of an error's text is shown, in bytes.
const TEXT_LIMIT: usize = 200;

/// Whatever has this many bytes of an argument in it shows too much of it.
const TELLING: usize = 12;

#[derive(Debug)]
pub(super) enum Failure {
    /// Nothing has happened, and it may work in a moment: no connection.
    NotNow(String),
    /// The script has to be sent along.
    NoScript,
    /// Upstash refuses the command; nothing has happened.
    Refused(String),
    /// The answer is lost: the command has happened, or has not.
    Lost(String),
}

impl Failure {
    pub(super) fn refused(why: impl Into<String>) -> Self {
        Self::Refused(why.into())
    }

    pub(super) fn lost(why: impl Into<String>) -> Self {
        Self::Lost(why.into())
    }

    pub(super) fn late() -> Self {
        Self::lost("Upstash did not answer in time")
    }

    pub(super) fn unclear() -> Self {
        Self::lost("Upstash answered something that cannot be understood")
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        Self::unavailable(match failure {
            Failure::NotNow(text) | Failure::Refused(text) | Failure::Lost(text) => text,
            Failure::NoScript => "Upstash does not keep the scripts it is sent".to_owned(),
        })
    }
}

/// No answer came. What the client says shows the host, but no header: its token is in none of it.
pub(super) fn broken(error: &reqwest::Error) -> Failure {
    let Some(cause) = std::iter::successors(error.source(), |&cause| cause.source()).last() else {
        return Failure::lost("the connection to Upstash broke");
    };
    if error.is_connect() {
        return Failure::NotNow(format!("Upstash cannot be reached: {cause}"));
    }
    if error.is_timeout() {
        return Failure::late();
    }
    Failure::Lost(format!("the connection to Upstash broke: {cause}"))
}

/// Says nothing of 200 and 400, which have an answer of Redis in them.
pub(super) fn check_status(status: StatusCode) -> Result<(), Failure> {
    let code = status.as_u16();
    match status {
        StatusCode::OK | StatusCode::BAD_REQUEST => Ok(()),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(Failure::Refused(format!(
            "Upstash does not accept the token of the store's URL ({code}); it is the REST token of the database, not its \
             password"
        ))),
        StatusCode::TOO_MANY_REQUESTS => {
            Err(Failure::refused("Upstash refuses so many requests at a time (429)"))
        }
        status if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT => {
            Err(Failure::Lost(format!("Upstash answered with an error of its own ({code})")))
        }
        status if status.is_redirection() => Err(Failure::Refused(format!(
            "what is at the store's URL sends requests elsewhere ({code}), which is not followed: it is not Upstash's"
        ))),
        _ => Err(Failure::Refused(format!("what is at the store's URL answered with {code}"))),
    }
}

/// What Redis' refusal means. `sent` are the words of the command.
pub(super) fn judge(error: &str, sent: &[String]) -> Failure {
    if error.contains("NOSCRIPT") {
        return Failure::NoScript;
    }
    Failure::Refused(format!("Upstash: {}", safe(error, sent)))
}

/// Redis repeats the arguments of a command that it does not know: keys and records, which are not for the log.
fn safe(error: &str, sent: &[String]) -> String {
    let text = error.split(", with args").next().unwrap_or_default();
    let end = (0..=TEXT_LIMIT.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
    let text = text.get(..end.unwrap_or(0)).unwrap_or_default();
    let shown = |word: &String| {
        let bytes = word.as_bytes();
        bytes.chunks_exact(TELLING).any(|part| text.as_bytes().windows(TELLING).any(|seen| seen == part))
    };
    // The first word is the command, which is no secret.
    if sent.iter().skip(1).any(shown) {
        return text.split(' ').next().filter(|code| code.len() < TELLING).unwrap_or("an error").to_owned();
    }
    text.to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn text(error: &str, sent: &[&str]) -> String {
        let sent: Vec<String> = sent.iter().map(|&word| word.to_owned()).collect();
        match judge(error, &sent) {
            Failure::Refused(text) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_redis_says_is_shown_without_what_it_was_sent() {
        let get = ["GET", "mcp-login:grant:0123456789abcdef"];
        assert_eq!(
            text("WRONGTYPE Operation against a key", &get),
            "Upstash: WRONGTYPE Operation against a key"
        );
        let repeated =
            "ERR unknown command 'GTE', with args beginning with: 'mcp-login:grant:0123456789abcdef' ";
        assert_eq!(text(repeated, &get), "Upstash: ERR unknown command 'GTE'");
        for error in [
            "ERR something with mcp-login:grant:0123456789abcdef in it",
            "ERR cut off: mcp-login:grant:01234…",
            "ERR in the middle 89abcdef grant:0123456789",
        ] {
            assert!(!text(error, &get).contains("0123"), "{}", text(error, &get));
        }
        let repeated = "mcp-login:grant:0123456789abcdef is no key";
        assert_eq!(text(repeated, &get), "Upstash: an error");
    }

    #[test]
    fn an_endless_text_is_cut() {
        let text = text(&"é".repeat(1000), &["PING"]);
        assert!(text.len() <= "Upstash: ".len() + TEXT_LIMIT, "{}", text.len());
    }

    #[test]
    fn an_unknown_script_is_no_refusal() {
        for error in ["NOSCRIPT No matching script. Please use EVAL.", "ERR NOSCRIPT No matching script"] {
            assert!(matches!(judge(error, &[]), Failure::NoScript));
        }
    }
}
