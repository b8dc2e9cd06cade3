#![allow(clippy::unwrap_used)]
use std::convert::Infallible;

use super::*;

const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"a","_meta":{"x":1}}]}}"#;
const DECORATED: &str = r#"{"id":1,"jsonrpc":"2.0","result":{"tools":[{"_meta":{"securitySchemes":"a","x":1},"name":"a","securitySchemes":"a"}]}}"#;

/// What becomes of an answer that comes in these pieces.
async fn passed(content_type: &str, pieces: Vec<String>) -> String {
    let body = Body::from_stream(stream::iter(pieces.into_iter().map(Ok::<_, Infallible>)));
    let response = Response::builder().header("content-type", content_type).body(body).unwrap();
    let response = decorate(response, |name| match name {
        "hidden" => Listed::Hidden,
        "plain" => Listed::Shown(None),
        _ => Listed::Shown(Some(json!(name))),
    })
    .await;
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

fn single_bytes(text: &str) -> Vec<String> {
    text.chars().map(String::from).collect()
}

fn same(one: &str, other: &str) -> bool {
    serde_json::from_str::<Value>(one).unwrap() == serde_json::from_str::<Value>(other).unwrap()
}

#[tokio::test]
async fn a_list_in_json_is_decorated_however_it_comes() {
    assert!(same(&passed("application/json; charset=utf-8", vec![LIST.to_owned()]).await, DECORATED));
    assert!(same(&passed("application/json", single_bytes(LIST)).await, DECORATED));
}

#[tokio::test]
async fn a_list_in_an_event_is_decorated_and_other_events_pass_as_they_are() {
    let other = ": hello\n\nevent: x\ndata: {\"method\":\"notifications/progress\"}\n\n";
    for list in [
        format!("id: 7\ndata: {LIST}\n\n"),
        format!("id: 7\r\ndata:{LIST}\r\n\r\n"),
        format!("id: 7\ndata: {}\n\n", LIST.replacen(',', ",\ndata: ", 1)),
    ] {
        let out =
            passed("text/event-stream", single_bytes(&format!("{other}{list}{other}data: unfinished"))).await;
        let rest = out.strip_prefix(other).unwrap().strip_prefix("id: 7\ndata: ").unwrap();
        let (data, rest) = rest.split_once("\n\n").unwrap();
        assert!(same(data, DECORATED), "{data}");
        assert_eq!(rest, format!("{other}data: unfinished"));
    }
}

#[tokio::test]
async fn what_is_hidden_is_left_out_and_what_is_plain_stays() {
    let tool = r#"{"name":"plain"}"#;
    let list = |tools: &str| {
        format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"nextCursor":"x","tools":[{tools}]}}}}"#)
    };
    let all = list(&format!(r#"{{"name":"hidden"}},{tool},{{"name":"hidden"}}"#));
    assert!(same(&passed("application/json", vec![all]).await, &list(tool)));
}

#[tokio::test]
async fn what_is_no_list_or_too_long_passes_as_it_is() {
    let long = format!("{LIST}{}", " ".repeat(MAX_LIST));
    for answer in [r#"{"jsonrpc":"2.0","id":1,"error":{}}"#, "{", "", r#"{"result":{"tools":7}}"#, &long] {
        assert_eq!(passed("application/json", vec![answer.to_owned()]).await, answer, "{answer:.40}");
    }
    assert_eq!(passed("text/plain", vec![LIST.to_owned()]).await, LIST);
    let stream = format!("data: {long}\n\ndata: {LIST}\n\n");
    let (begin, end) = stream.split_at(MAX_LIST + 10);
    assert_eq!(passed("text/event-stream", vec![begin.to_owned(), end.to_owned()]).await, stream);
}
