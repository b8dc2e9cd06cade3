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

/// A process that takes everything and says nothing, and its sessions.
fn hub(sharing: Sharing) -> Arc<Hub> {
    let environment =
        Environment { variables: Vec::new(), token: None, fingerprint: [0; 32], place: [0; 32] };
    let key = sharing.key(Some("ann"), &environment, None, || 0);
    let (hub, mut lines) = Hub::new(1, key, [0; 32], Duration::from_secs(1));
    tokio::spawn(async move { while lines.recv().await.is_some() {} });
    hub
}

fn session(hub: &Arc<Hub>, user: &str) -> Arc<Session> {
    Session::open(user.to_owned(), Budget::new(1 << 20).share(Some(user)), hub).unwrap()
}

fn request(id: usize, method: &str) -> Message {
    let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}"}}"#);
    Message::parse(&text.into()).unwrap()
}

#[tokio::test]
async fn nobody_takes_all_places_of_a_process_of_many() {
    let hub = hub(Sharing::Shared);
    let mut waits = Vec::new();
    let mut refused = 0;
    for _ in 0..3 {
        let eve = session(&hub, "eve");
        for id in 0..MAX_ASKED {
            match eve.ask(&request(id, "x"), true).await {
                Ok(answer) => waits.push(answer),
                Err(_) => refused += 1,
            }
        }
    }
    assert_eq!((waits.len(), refused), (MAX_ASKED_OF_ONE, 3 * MAX_ASKED - MAX_ASKED_OF_ONE));
    assert!(session(&hub, "bob").ask(&request(1, "x"), true).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_session_is_in_use_until_its_answer_comes() {
    let hub = hub(Sharing::User);
    let session = session(&hub, "ann");
    let _answer = session.ask(&request(1, "x"), true).await.unwrap();
    let n = *hub.state().asked.keys().next().unwrap();
    tokio::time::advance(Duration::from_secs(9)).await;
    let line = format!(r#"{{"jsonrpc":"2.0","id":{n},"result":{{}}}}"#);
    hub.deliver(Message::parse(&line.into()).unwrap()).await;
    assert_eq!(session.idle_since(), Some(Instant::now()));
    assert_eq!(hub.idle_since(), Some(Instant::now()));
}

#[tokio::test(start_paused = true)]
async fn what_gives_way_takes_nothing_more() {
    let hub = hub(Sharing::User);
    let session = session(&hub, "ann");
    let answer = session.ask(&request(1, "x"), true).await.unwrap();
    assert!(!hub.gives_way() && hub.is_open());
    drop(answer);
    assert!(hub.gives_way());
    assert!(session.ask(&request(2, "x"), true).await.is_err());

    let hub = self::hub(Sharing::User);
    tokio::time::advance(Duration::from_secs(9)).await;
    let session = self::session(&hub, "ann");
    assert_eq!(hub.idle_since(), Some(Instant::now()), "whoever comes uses it");
    hub.unused(Duration::from_secs(10)).await;
    assert!(session.ask(&request(1, "x"), true).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn what_is_said_to_all_waits_for_nobody() {
    let hub = hub(Sharing::Shared);
    let (eve, bob) = (session(&hub, "eve"), session(&hub, "bob"));
    let (_unread, mut reader) = (eve.listen().unwrap(), bob.listen().unwrap());
    let begin = Instant::now();
    for _ in 0..100 {
        let line = Bytes::from(r#"{"jsonrpc":"2.0","method":"notifications/x"}"#);
        hub.deliver(Message::parse(&line).unwrap()).await;
        assert!(reader.next().await.is_some());
    }
    assert_eq!(begin.elapsed(), Duration::ZERO);
}
