//! RFC 6750 §2.1, RFC 9449 §7.1: one header with one token is a token, none is nobody, everything else is neither.
//!
//! Input: a line for each `Authorization` header; no input is no header.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mcp_login_core::bearer::{Authorization, MAX_TOKEN_LENGTH};

fuzz_target!(|data: &[u8]| {
    let lines: Vec<&[u8]> = if data.is_empty() { Vec::new() } else { data.split(|b| *b == b'\n').collect() };
    let read = Authorization::parse(lines.iter().copied());
    assert_eq!(read == Authorization::Absent, lines.is_empty());
    let wanted = match lines.as_slice() {
        [one] => token(b"bearer", one),
        _ => None,
    };
    let wanted_dpop = match lines.as_slice() {
        [one] => token(b"dpop", one),
        _ => None,
    };
    match read {
        Authorization::Bearer(token) => assert_eq!((Some(token.as_bytes()), None), (wanted, wanted_dpop)),
        Authorization::Dpop(token) => assert_eq!((None, Some(token.as_bytes())), (wanted, wanted_dpop)),
        Authorization::Absent | Authorization::Unusable => assert_eq!((wanted, wanted_dpop), (None, None)),
    }
});

/// `scheme 1*SP b64token`, with the case of the scheme and spaces at the end as HTTP has them: a byte at a time.
fn token<'a>(wanted: &[u8], header: &'a [u8]) -> Option<&'a [u8]> {
    let (scheme, rest) = header.split_at_checked(wanted.len())?;
    if !scheme.eq_ignore_ascii_case(wanted) || rest.first() != Some(&b' ') {
        return None;
    }
    let start = rest.iter().position(|b| *b != b' ')?;
    let end = rest.iter().rposition(|b| *b != b' ')? + 1;
    let token = rest.get(start..end)?;
    let mut padding = false;
    for (at, b) in token.iter().enumerate() {
        let is_char = b.is_ascii_alphanumeric() || b"-._~+/".contains(b);
        padding = padding || (*b == b'=' && at > 0);
        if if padding { *b != b'=' } else { !is_char } {
            return None;
        }
    }
    (token.len() <= MAX_TOKEN_LENGTH).then_some(token)
}
