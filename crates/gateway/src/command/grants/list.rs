//! `grants list`: row by row as the store has them, however many there are.

use std::io::{BufWriter, Write};
use std::ops::ControlFlow;

use mcp_login::clock::{Clock, SystemClock};
use mcp_login::page::Moment;
use mcp_login::store::records::LiveLogin;

use super::super::store::count;
use super::{Names, Trouble, in_json, of_damaged, open, person, plain};
use crate::cli::{Failure, GrantsListArgs};

/// `grants list`
pub async fn list(args: &GrantsListArgs) -> Result<(), Failure> {
    let named = open(&args.store).await?;
    let now = SystemClock.now();
    let (mut clients, mut listed) = (Names::new(&named.store, now), 0_u64);
    let mut rows = Rows::new(args.store.json);
    let walked = named
        .store
        .each_login(now, async |login| {
            let name = clients.of(&login.login.client_id).await?;
            if args.filter.fits(&login, name.as_deref()) {
                rows.add(&login, name.as_deref()).map_err(|_| Trouble::Unread)?;
                listed = listed.saturating_add(1);
            }
            Ok(ControlFlow::Continue(()))
        })
        .await;
    let damaged = match walked {
        Ok(damaged) => damaged,
        Err(Trouble::Unread) => return Ok(()),
        Err(Trouble::Store(error)) => {
            // What is known already is shown; it is not all.
            let _ = rows.out.flush();
            return Err(Failure::Failed(error.into()));
        }
    };
    let summary = match listed {
        0 if args.filter.says_nothing() => "nobody is connected".to_owned(),
        0 => "no login fits".to_owned(),
        _ => format!("\n{}", count(listed, "login")),
    };
    // A reader that has gone is no error.
    let _ = rows.end(&summary, of_damaged(damaged).as_deref());
    Ok(())
}

/// Where the rows go.
struct Rows {
    out: BufWriter<Box<dyn Write>>,
    json: bool,
    is_first: bool,
}

impl Rows {
    fn new(json: bool) -> Self {
        Self { out: BufWriter::new(Box::new(anstream::stdout())), json, is_first: true }
    }

    fn add(&mut self, login: &LiveLogin, client_name: Option<&str>) -> std::io::Result<()> {
        let is_first = std::mem::replace(&mut self.is_first, false);
        if self.json {
            let before = if is_first { "[" } else { "," };
            return write!(self.out, "{before}\n{}", in_json(login, client_name));
        }
        if is_first {
            self.line(["ID", "SINCE", "ENDS", "PERSON", "CLIENT", "MCP SERVER"])?;
        }
        let moment = |at| Moment::from(at).to_string();
        let client = client_name.map(plain).filter(|name| !name.is_empty());
        let client = client.unwrap_or_else(|| plain(&login.login.client_id));
        let (since, ends) = (moment(login.login.logged_in_at), moment(login.ends));
        let (person, resource) = (plain(person(login)), plain(&login.login.resource));
        self.line([login.id.as_str(), &since, &ends, &person, &client, &resource])
    }

    /// The widths are fixed: the longest person is known only at the end.
    fn line(&mut self, [id, since, ends, person, client, resource]: [&str; 6]) -> std::io::Result<()> {
        writeln!(self.out, "{id:<32}  {since:<17}  {ends:<17}  {person:<28}  {client:<24}  {resource}")
    }

    fn end(&mut self, summary: &str, damaged: Option<&str>) -> std::io::Result<()> {
        if self.json {
            writeln!(self.out, "{}", if self.is_first { "[]" } else { "\n]" })?;
        } else {
            writeln!(self.out, "{summary}")?;
        }
        self.out.flush()?;
        if let Some(damaged) = damaged {
            writeln!(anstream::stderr(), "{damaged}")?;
        }
        Ok(())
    }
}
