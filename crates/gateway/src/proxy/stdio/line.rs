//! Lines, each within a bound.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt};

/// What was read up to a line's end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) text: Vec<u8>,
    /// Whether it was longer than its bound; what was over it is not in `text`.
    pub(super) is_cut: bool,
}

/// The next line without its end; `None` at the end of everything. A line over its bound is read to its end where
/// `reads_on`, else left where it is.
pub(super) async fn next<R: AsyncBufRead + Unpin>(
    from: &mut R,
    max: usize,
    reads_on: bool,
) -> io::Result<Option<Line>> {
    let mut line = Line { text: Vec::new(), is_cut: false };
    loop {
        let buffer = from.fill_buf().await?;
        if buffer.is_empty() {
            return Ok((!line.text.is_empty()).then_some(line));
        }
        let end = buffer.iter().position(|b| *b == b'\n');
        let part = &buffer[..end.unwrap_or(buffer.len())];
        let fits = part.len().min(max - line.text.len());
        line.text.extend_from_slice(&part[..fits]);
        line.is_cut |= fits < part.len();
        let used = part.len() + usize::from(end.is_some());
        from.consume(used);
        if end.is_some() || (line.is_cut && !reads_on) {
            return Ok(Some(line));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tokio::io::BufReader;

    use super::*;

    #[tokio::test]
    async fn lines_end_and_are_bounded() {
        // A small buffer, so that lines come in parts.
        let mut from = BufReader::with_capacity(2, &b"abc\n\nabcdefgh\nxyz"[..]);
        for (wanted, is_cut) in [("abc", false), ("", false), ("abcd", true), ("xyz", false)] {
            let line = next(&mut from, 4, true).await.unwrap().unwrap();
            assert_eq!((line.text.as_slice(), line.is_cut), (wanted.as_bytes(), is_cut));
        }
        assert_eq!(next(&mut from, 4, true).await.unwrap(), None);
    }

    #[tokio::test]
    async fn an_endless_line_need_not_be_waited_for() {
        let mut from = BufReader::new(tokio::io::repeat(b'x'));
        let line = next(&mut from, 4, false).await.unwrap().unwrap();
        assert!(line.is_cut && line.text == b"xxxx");
    }
}
