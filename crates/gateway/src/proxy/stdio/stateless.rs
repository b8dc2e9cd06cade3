//! Requests of MCP 2026-07-28 and later: each says for itself what `initialize` said before, and belongs to no session.
//!
//! What they mean is between client and program: nothing is translated. Only what HTTP adds to them is judged here.

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use mcp_login::core::mcp::{HeaderMismatch, Repeated, Said, is_stateless, name_parameter};

use super::answer::json;
use super::json::{members, members_of};
use super::message::{Kind, Message};

const VERSION: &str = "MCP-Protocol-Version";
const NAME: &str = "Mcp-Name";
/// MCP 2026-07-28, "Error Codes".
const HEADER_MISMATCH: i64 = HeaderMismatch::CODE;
const UNSUPPORTED_VERSION: i64 = -32022;
const METHOD_NOT_FOUND: i64 = -32601;
/// The error that says so.
pub(super) const UNKNOWN_METHOD: &str = r#"{"code":-32601,"message":"Method not found"}"#;

/// Whether the headers say that this request belongs to no session.
pub(super) fn is_said_by(headers: &HeaderMap) -> bool {
    headers.get(VERSION).is_some_and(|version| is_stateless(version.as_bytes()))
}

/// Whether the headers say what the body says; the error is what they do not (MCP 2026-07-28, Streamable HTTP, "Server
/// Validation"). What stands before a gateway may go by the one, and a program goes by the other, which is all that it gets.
pub(super) fn check_headers(headers: &HeaderMap, message: &Message) -> Result<(), String> {
    let repeated = Repeated::of(|name| headers.get_all(name).iter().map(HeaderValue::as_bytes).collect());
    let repeated = repeated.map_err(|mismatch| mismatch.to_string())?;
    let (method, is_request) = match &message.kind {
        Kind::Request { method, .. } => (method, true),
        Kind::Notification { method, .. } => (method, false),
        // Of an answer no header speaks.
        Kind::Response { .. } if repeated.method.is_none() && repeated.name.is_none() => return Ok(()),
        Kind::Response { .. } => return Err(HeaderMismatch::Differs(NAME).to_string()),
    };
    let unclear = |_| "Header mismatch: the body has a member twice".to_owned();
    let version = message.revision().map_err(unclear)?;
    let name = name_parameter(method).map(|name| message.param(name)).transpose().map_err(unclear)?.flatten();
    let said = Said { method, is_request, name: name.as_deref(), version: version.as_deref() };
    repeated.check_said(&said).map_err(|mismatch| mismatch.to_string())?;
    // All of the body is known here, so what it does not say cannot be said.
    if repeated.name.is_some() && name.is_none() {
        return Err(HeaderMismatch::Differs(NAME).to_string());
    }
    if is_request && version.is_none() && is_said_by(headers) {
        return Err(HeaderMismatch::Differs(VERSION).to_string());
    }
    Ok(())
}

/// The refusal of what [`check_headers`] has found.
pub(super) fn mismatch(message: &Message, reason: &str) -> Response {
    let error = format!(r#"{{"code":{HEADER_MISMATCH},"message":"{reason}"}}"#);
    with_status(json(of_error(message, &error)), StatusCode::BAD_REQUEST)
}

/// The answer to a request that this error is.
pub(super) fn of_error(message: &Message, error: &str) -> Bytes {
    let id = match &message.kind {
        Kind::Request { id, .. } => message.at(id.at.clone()),
        _ => "null",
    };
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#).into()
}

/// The status that goes with an error of the program's (MCP 2026-07-28, Streamable HTTP, "Protocol Version Header").
pub(super) fn status(code: Option<i64>) -> StatusCode {
    match code {
        Some(METHOD_NOT_FOUND) => StatusCode::NOT_FOUND,
        Some(UNSUPPORTED_VERSION..=HEADER_MISMATCH) => StatusCode::BAD_REQUEST,
        _ => StatusCode::OK,
    }
}

/// The code of the error in an answer.
pub(super) fn code(line: &[u8]) -> Option<i64> {
    let [error] = members(std::str::from_utf8(line).ok()?, ["error"]).ok()?;
    let [code] = members_of(error, ["code"]).ok()?;
    code?.parse().ok()
}

/// Whether a program that answers this to `server/discover` may know it. Others know only the revisions that begin with
/// `initialize` (MCP 2026-07-28, stdio, "Backward Compatibility").
pub(super) fn is_known(code: Option<i64>) -> bool {
    code.is_some_and(|code| (-32099..=HEADER_MISMATCH).contains(&code))
}

/// Whether it certainly does not, whatever it was asked with: every program of 2026-07-28 has that method.
pub(super) fn is_unknown(code: Option<i64>) -> bool {
    code == Some(METHOD_NOT_FOUND)
}

pub(super) fn with_status(mut response: Response, status: StatusCode) -> Response {
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use axum::http::HeaderName;

    use super::*;

    fn check(headers: &[(&'static str, &str)], method: &str, params: &str) -> bool {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{{params}}}}}"#);
        let message = Message::parse(&body.into()).unwrap();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        check_headers(&map, &message).is_ok()
    }

    #[test]
    fn revisions_from_2026_on_are_without_sessions() {
        for (version, is) in [
            ("2026-07-28", true),
            ("2027-01-01", true),
            ("2025-11-25", false),
            ("2026-07-2", false),
            ("zzzz-zz-zz", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(
                HeaderName::from_static("mcp-protocol-version"),
                version.parse().unwrap(),
            )]);
            assert_eq!(is_said_by(&headers), is, "{version}");
        }
        assert!(!is_said_by(&HeaderMap::new()));
    }

    #[test]
    fn headers_say_what_the_body_says() {
        let meta = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}"#;
        let version = ("mcp-protocol-version", "2026-07-28");
        let (call, list) = (("mcp-method", "tools/call"), ("mcp-method", "tools/list"));
        let named = format!(r#""name":"é",{meta}"#);
        let name = ("mcp-name", "=?base64?w6k=?=");
        assert!(check(&[version, list], "tools/list", meta));
        assert!(check(&[version, call, name], "tools/call", &named));
        assert!(check(
            &[version, call, ("mcp-name", "a b")],
            "tools/call",
            &format!(r#""name":"a b",{meta}"#)
        ));
        assert!(check(
            &[version, ("mcp-method", "resources/read"), ("mcp-name", "file:///a")],
            "resources/read",
            &format!(r#""name":"x","uri":"file:///a",{meta}"#)
        ));
        assert!(check(&[], "tools/list", ""), "nothing of it is asked of the revisions before");

        for (headers, method, params) in [
            (&[version, list][..], "tools/list", ""),
            (&[list], "tools/list", meta),
            (&[("mcp-protocol-version", "2027-01-01"), list], "tools/list", meta),
            (&[version], "tools/list", meta),
            (&[version, list], "tools/call", &named),
            (&[version, list, list], "tools/list", meta),
            (&[version, list, name], "tools/list", meta),
            (&[version, call], "tools/call", &named),
            (&[version, call, ("mcp-name", "e")], "tools/call", &named),
            (&[version, call, ("mcp-name", "=?base64?w6k?=")], "tools/call", &named),
            (&[version, call, ("mcp-name", "=?base64?/w==?=")], "tools/call", &named),
            (&[version, call, name, name], "tools/call", &named),
        ] {
            assert!(!check(headers, method, params), "{headers:?} {params}");
        }
    }

    #[test]
    fn errors_have_a_status() {
        let line = br#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"x"}}"#;
        assert_eq!((code(line), status(code(line))), (Some(-32601), StatusCode::NOT_FOUND));
        assert_eq!(status(Some(-32022)), StatusCode::BAD_REQUEST);
        assert_eq!(status(Some(-32602)), StatusCode::OK);
        assert_eq!(
            [-32022, -32601, -32602].map(|code| (is_known(Some(code)), is_unknown(Some(code)))),
            [(true, false), (false, true), (false, false)]
        );
        assert_eq!(code(br#"{"jsonrpc":"2.0","id":1,"result":{}}"#), None);
    }
}
