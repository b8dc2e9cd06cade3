//! `grants list`

use std::ops::ControlFlow;

use mcp_login::clock::{Clock, SystemClock};
use mcp_login::page::Moment;
use mcp_login::store::records::LiveLogin;

use super::super::rows::{Rows, Trouble, plain};
use super::{Names, in_json, open, person};
use crate::cli::{Failure, GrantsListArgs};

/// `grants list`
pub async fn list(args: &GrantsListArgs) -> Result<(), Failure> {
    let named = open(&args.store).await?;
    let now = SystemClock.now();
    let mut clients = Names::new(&named.store, now);
    let head = line(["ID", "SINCE", "ENDS", "PERSON", "CLIENT", "MCP SERVER"]);
    let mut rows = Rows::new(args.store.json, head);
    let walked = named
        .store
        .each_login(now, async |login| {
            let name = clients.of(&login.login.client_id).await?;
            let name = name.as_deref();
            if args.filter.fits(&login, name) {
                rows.add(|| in_json(&login, name), || in_words(&login, name))?;
            }
            Ok::<_, Trouble>(ControlFlow::Continue(()))
        })
        .await;
    let nothing = if args.filter.says_nothing() { "nobody is connected" } else { "no login fits" };
    rows.end(walked, "login", nothing)
}

fn in_words(login: &LiveLogin, client_name: Option<&str>) -> String {
    let moment = |at| Moment::from(at).to_string();
    let client = client_name.map(plain).filter(|name| !name.is_empty());
    let client = client.unwrap_or_else(|| plain(&login.login.client_id));
    let (since, ends) = (moment(login.login.logged_in_at), moment(login.ends));
    let (person, resource) = (plain(person(login)), plain(&login.login.resource));
    line([login.id.as_str(), &since, &ends, &person, &client, &resource])
}

/// The widths are fixed: the longest person is known only at the end.
fn line([id, since, ends, person, client, resource]: [&str; 6]) -> String {
    format!("{id:<32}  {since:<17}  {ends:<17}  {person:<28}  {client:<24}  {resource}")
}
