//! The first event of a stream, as it comes in (HTML, "Server-sent events": "Interpreting an event stream").

use axum::body::Bytes;

use super::endpoint::Fault;

/// The most that is read until the first event is there, in bytes: comments and fields before it included.
const MAX_HEAD: usize = 16 * 1024;

/// U+FEFF, of which one may stand at the beginning.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// What stands before the end of the first event.
#[derive(Debug, Default)]
pub(super) struct Head {
    held: Vec<u8>,
    /// Up to where lines were read.
    read: usize,
    kind: Vec<u8>,
    /// Where the lines of data are in `held`, without their ends; and what they say.
    data: Vec<(std::ops::Range<usize>, Vec<u8>)>,
}

impl Head {
    /// More has come. Once the first event is there: everything, its data exchanged for what `instead_of` says.
    pub(super) fn take(
        &mut self,
        more: &[u8],
        instead_of: impl Fn(&str) -> Result<String, Fault>,
    ) -> Result<Option<Bytes>, Fault> {
        self.held.extend_from_slice(more);
        while let Some((line, next)) = self.line() {
            self.read = next;
            if !line.is_empty() {
                self.field(line);
            } else if self.data.is_empty() {
                // A block without data is no event.
                self.kind.clear();
            } else {
                return self.exchanged(&instead_of).map(Some);
            }
        }
        if self.held.len() > MAX_HEAD { Err(Fault::TooFar) } else { Ok(None) }
    }

    /// The next whole line, and where the one after it begins.
    fn line(&self) -> Option<(std::ops::Range<usize>, usize)> {
        let rest = self.held.get(self.read..)?;
        let at = rest.iter().position(|b| matches!(b, b'\r' | b'\n'))?;
        let end = self.read + at;
        let next = match (rest.get(at), rest.get(at + 1)) {
            (Some(b'\r'), Some(b'\n')) => end + 2,
            // Whether a line feed belongs to this end is not known yet. After the last line of an event it does not matter.
            (Some(b'\r'), None) if at > 0 || self.data.is_empty() => return None,
            _ => end + 1,
        };
        Some((self.read..end, next))
    }

    fn field(&mut self, line: std::ops::Range<usize>) {
        let mut text = &self.held[line.clone()];
        if line.start == 0 {
            text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        }
        let colon = text.iter().position(|b| *b == b':').unwrap_or(text.len());
        let (name, value) = (&text[..colon], text.get(colon + 1..).unwrap_or_default());
        let value = value.strip_prefix(b" ").unwrap_or(value).to_vec();
        match name {
            b"event" => self.kind = value,
            b"data" => self.data.push((line, value)),
            _ => {}
        }
    }

    fn exchanged(&self, instead_of: impl Fn(&str) -> Result<String, Fault>) -> Result<Bytes, Fault> {
        if self.kind != b"endpoint" {
            return Err(Fault::AnotherEvent);
        }
        let [(line, named)] = self.data.as_slice() else { return Err(Fault::NoAddress) };
        let named = std::str::from_utf8(named).map_err(|_| Fault::NoAddress)?;
        let instead = format!("data: {}", instead_of(named)?);
        let sent = [&self.held[..line.start], instead.as_bytes(), &self.held[line.end..]].concat();
        Ok(sent.into())
    }
}

#[cfg(test)]
mod tests;
