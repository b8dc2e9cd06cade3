#![allow(clippy::unwrap_used)]
use super::*;

/// What is sent on of these pieces once the first event is there, and what it names.
fn read(pieces: &[&[u8]]) -> Result<(String, Option<String>), Fault> {
    let (mut head, named) = (Head::default(), std::cell::RefCell::new(None));
    for piece in pieces {
        let sent = head.take(piece, |address| {
            *named.borrow_mut() = Some(address.to_owned());
            Ok("/mcp?s=1".to_owned())
        })?;
        if let Some(sent) = sent {
            return Ok((String::from_utf8(sent.to_vec()).unwrap(), named.into_inner()));
        }
    }
    Ok((String::new(), None))
}

/// The same, in whatever pieces it comes. What belongs to a line end that is cut may be sent on later.
fn in_any_pieces(text: &str, sent: &str, named: &str) {
    let all = text.as_bytes();
    let wanted = (sent.to_owned(), Some(named.to_owned()));
    assert_eq!(read(&[all]).unwrap(), wanted, "{text:?}");
    let single: Vec<&[u8]> = all.chunks(1).collect();
    let halves = (1..all.len()).map(|at| all.split_at(at)).map(|(begin, end)| vec![begin, end]);
    for pieces in halves.chain([single]) {
        let (got, address) = read(&pieces).unwrap();
        assert_eq!(address.as_deref(), Some(named), "{pieces:?}");
        assert!(got == sent || format!("{got}\n") == sent, "{got:?} of {pieces:?}");
    }
}

#[test]
fn only_the_address_is_exchanged() {
    for (text, sent, named) in [
        ("event: endpoint\ndata: /m?s=x\n\n", "event: endpoint\ndata: /mcp?s=1\n\n", "/m?s=x"),
        ("event:endpoint\r\ndata:/m\r\n\r\n", "event:endpoint\r\ndata: /mcp?s=1\r\n\r\n", "/m"),
        ("event: endpoint\rdata: /m\r\r", "event: endpoint\rdata: /mcp?s=1\r\r", "/m"),
        ("data:  /m\nevent: endpoint\n\n", "data: /mcp?s=1\nevent: endpoint\n\n", " /m"),
        (
            ": hello\n\n:\n\nid: 7\nretry: 10\n: in it\nevent: endpoint\ndata: /m\nother: x\n\n",
            ": hello\n\n:\n\nid: 7\nretry: 10\n: in it\nevent: endpoint\ndata: /mcp?s=1\nother: x\n\n",
            "/m",
        ),
        // A block without data is none, and a name is of its block only.
        (
            "event: ping\n\nevent: endpoint\ndata: /m\n\n",
            "event: ping\n\nevent: endpoint\ndata: /mcp?s=1\n\n",
            "/m",
        ),
        ("\u{feff}event: endpoint\ndata: /m\n\n", "\u{feff}event: endpoint\ndata: /mcp?s=1\n\n", "/m"),
        ("event: x\nevent: endpoint\ndata: /m\n\n", "event: x\nevent: endpoint\ndata: /mcp?s=1\n\n", "/m"),
    ] {
        in_any_pieces(text, sent, named);
    }
}

#[test]
fn what_follows_is_left_as_it_is() {
    let text = b"event: endpoint\ndata: /m\n\nevent: endpoint\ndata: /m\n\n";
    let (sent, _) = read(&[text]).unwrap();
    assert_eq!(sent, "event: endpoint\ndata: /mcp?s=1\n\nevent: endpoint\ndata: /m\n\n");
}

#[test]
fn an_event_that_is_not_whole_is_none() {
    assert_eq!(read(&[b"event: endpoint\ndata: /m\n"]), Ok((String::new(), None)));
    assert_eq!(read(&[b": ping\n\n", b"\n"]), Ok((String::new(), None)));
}

#[test]
fn another_beginning_is_a_fault() {
    let long = format!(": {}\n\n", "x".repeat(100));
    for (text, fault) in [
        ("data: {}\n\n", Fault::AnotherEvent),
        ("event: message\ndata: {}\n\n", Fault::AnotherEvent),
        ("event: Endpoint\ndata: /m\n\n", Fault::AnotherEvent),
        ("\u{feff}\u{feff}event: endpoint\ndata: /m\n\n", Fault::AnotherEvent),
        (" event: endpoint\ndata: /m\n\n", Fault::AnotherEvent),
        ("event: endpoint\ndata: /m\ndata: x\n\n", Fault::NoAddress),
        (&format!("event: endpoint\ndata: /{}", "x".repeat(MAX_HEAD)), Fault::TooFar),
        (&long.repeat(200), Fault::TooFar),
    ] {
        assert_eq!(read(&[text.as_bytes()]), Err(fault), "{text:?}");
        let single: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
        assert_eq!(read(&single), Err(fault), "{text:?}");
    }
    assert_eq!(read(&[b"event: endpoint\ndata: \xFF\n\n"]), Err(Fault::NoAddress));
}
