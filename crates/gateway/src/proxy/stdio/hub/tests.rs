#![allow(clippy::unwrap_used)]
use super::*;
use crate::proxy::stdio::budget::Budget;
use crate::proxy::stdio::environment::Environment;
use crate::proxy::stdio::sharing::Sharing;

#[tokio::test(start_paused = true)]
async fn a_server_that_only_talks_is_not_in_use() {
    let environment =
        Environment { variables: Vec::new(), token: None, fingerprint: [0; 32], place: [0; 32] };
    let key = Sharing::User.key(Some("ann"), &environment, None, || 0);
    let (hub, _lines) = Hub::new(1, key, [0; 32], Duration::from_secs(1));
    let session = Session::open("1".into(), Budget::new(1000).share(Some("ann")), &hub).unwrap();
    let since = (hub.idle_since(), session.idle_since());
    assert!(since.0.is_some() && since.1.is_some());
    tokio::time::advance(Duration::from_secs(9)).await;
    for line in [
        r#"{"jsonrpc":"2.0","method":"notifications/x"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
    ] {
        hub.deliver(Message::parse(&Bytes::from(line)).unwrap()).await;
    }
    assert_eq!((hub.idle_since(), session.idle_since()), since);
}
