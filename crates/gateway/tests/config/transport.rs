//! `transport` at `[[mcp]]`.

use mcp_login_gateway::config::valid::Transport;

use super::{check, one_fault, warnings, with};

const BACKEND: &str = "backend = \"http://127.0.0.1:3000/mcp\"";

fn file(lines: &str) -> String {
    with(BACKEND, &format!("{BACKEND}\n{lines}"))
}

#[test]
fn a_server_speaks_streamable_http_unless_said_otherwise() {
    for (line, transport) in [
        ("", Transport::StreamableHttp),
        ("transport = \"streamable-http\"", Transport::StreamableHttp),
        ("transport = \"sse\"", Transport::Sse),
    ] {
        let checked = check(&file(line)).unwrap_or_else(|faults| panic!("{faults}"));
        assert_eq!(checked.config.mcp[0].transport, transport, "{line}");
    }
}

#[test]
fn a_stream_needs_a_user_and_an_address() {
    const KEY: &str = "mcp[0].transport";
    let message = one_fault(&file("transport = \"http+sse\""), KEY);
    assert!(message.contains("streamable-http") && message.contains("sse"), "{message}");
    let message = one_fault(&file("transport = \"sse\"\nauth = \"lazy\""), KEY);
    assert!(message.contains("auth = \"required\""), "{message}");
    for transport in ["sse", "streamable-http"] {
        let program = with(BACKEND, &format!("command = [\"npx\"]\ntransport = \"{transport}\""));
        assert!(one_fault(&program, KEY).contains("backend"));
    }
    let two = "backend = [\"http://127.0.0.1:3000/sse\", \"http://127.0.0.1:3001/sse\"]\ntransport = \"sse\"";
    assert!(one_fault(&with(BACKEND, two), KEY).contains("one backend"));
    let lazy = file("transport = \"streamable-http\"\nauth = \"lazy\"");
    assert!(warnings(&lazy).is_empty());
    assert_eq!(warnings(&file("transport = \"sse\"\nhide_tools = true")), [KEY]);
}
