//! What the log gets of one process: its standard error, with whose it is, without its user's token, and not too much of it.

use std::sync::Arc;
use std::time::Duration;

use mcp_login::core::Secret;
use tokio::io::{AsyncRead, BufReader};
use tokio::time::Instant;

use super::line;
use super::rate::{Bucket, Rate};

/// The longest line that the log gets of a process, in bytes.
const MAX_LINE: usize = 4 * 1024;
/// Lines of one process: that many at once, and then one more every so often. The rest is counted.
const RATE: Rate = Rate { burst: 200, each: Duration::from_millis(50) };
/// The same of its standard output, of which the log gets none.
const REFUSED: Rate = Rate { burst: 5, each: Duration::from_secs(60) };

#[derive(Clone)]
pub(super) struct Log {
    pub(super) mcp: Arc<str>,
    pub(super) user: Option<String>,
    pub(super) token: Option<Secret>,
}

impl Log {
    pub(super) fn ended(&self, reason: &str) {
        tracing::info!(mcp = &*self.mcp, user = self.user, reason, "a stdio server ends");
    }

    /// A line of its standard output that is no message. Somebody may wait for the answer that it was meant to be.
    pub(super) fn refused(&self, reason: &str, bucket: &mut Bucket) {
        if bucket.allows(REFUSED, Instant::now()) {
            tracing::warn!(
                mcp = &*self.mcp,
                user = self.user,
                reason,
                "a line of a stdio server is left out"
            );
        }
    }

    /// Its standard error, a line each.
    pub(super) async fn read<R: AsyncRead + Unpin>(self, stderr: Option<R>) {
        let Some(stderr) = stderr else { return };
        let mut stderr = BufReader::new(stderr);
        let (mut bucket, mut left_out) = (Bucket::default(), 0_u64);
        while let Ok(Some(line)) = line::next(&mut stderr, MAX_LINE, true).await {
            if !bucket.allows(RATE, Instant::now()) {
                left_out += 1;
                continue;
            }
            self.left_out(std::mem::take(&mut left_out));
            let token = self.token.as_ref().map(Secret::expose_secret).unwrap_or_default();
            let said = without(line.text, token.as_bytes(), line.is_cut);
            tracing::info!(mcp = &*self.mcp, user = self.user, said, "a stdio server says");
        }
        self.left_out(left_out);
    }

    fn left_out(&self, lines: u64) {
        if lines > 0 {
            tracing::warn!(
                mcp = &*self.mcp,
                user = self.user,
                lines,
                "a stdio server says too much: left out"
            );
        }
    }
}

/// The text without this token, nor the beginning of it where the text is cut in its middle.
fn without(mut text: Vec<u8>, token: &[u8], is_cut: bool) -> String {
    if token.is_empty() {
        return String::from_utf8_lossy(&text).into_owned();
    }
    if is_cut {
        let begins = |length: &usize| text.ends_with(&token[..*length]);
        let length = (1..token.len().min(text.len() + 1)).rev().find(begins).unwrap_or_default();
        text.truncate(text.len() - length);
    }
    let mut kept = Vec::with_capacity(text.len());
    let mut rest = &text[..];
    while let Some(at) = rest.windows(token.len()).position(|part| part == token) {
        kept.extend_from_slice(&rest[..at]);
        kept.extend_from_slice(b"[token]");
        rest = &rest[at + token.len()..];
    }
    kept.extend_from_slice(rest);
    String::from_utf8_lossy(&kept).into_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io;
    use std::sync::Mutex;

    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[test]
    fn no_part_of_a_token_is_shown() {
        for (text, is_cut, shown) in [
            ("a s3cr3t b s3cr3t", false, "a [token] b [token]"),
            ("a s3cr3t b s3c", true, "a [token] b "),
            ("a s3cr3t", true, "a [token]"),
            ("a s3cr3", false, "a s3cr3"),
            ("s3", true, ""),
            ("s3cs3c", true, "s3c"),
            ("", true, ""),
        ] {
            assert_eq!(without(text.into(), b"s3cr3t", is_cut), shown, "{text} {is_cut}");
        }
        assert_eq!(without("a".into(), b"", true), "a");
    }

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, part: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(part);
            Ok(part.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Written {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_says_too_much_is_left_out_of_the_log() {
        let written = Written::default();
        let log = tracing_subscriber::fmt().with_writer(written.clone()).with_ansi(false).finish();
        let guard = tracing::subscriber::set_default(log);
        let text = "x\n".repeat(RATE.burst as usize + 3);
        let log = Log { mcp: "/mcp".into(), user: Some("ann".into()), token: None };
        let mut bucket = Bucket::default();
        for _ in 0..REFUSED.burst + 3 {
            log.refused("no message", &mut bucket);
        }
        log.read(Some(text.as_bytes())).await;
        drop(guard);
        let written = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert_eq!(written.matches("a stdio server says ").count(), RATE.burst as usize + 1);
        assert_eq!(written.matches("left out").count(), 1 + REFUSED.burst as usize);
        assert!(written.contains("lines=3"), "{written}");
    }
}
