//! The command line: arguments, exit codes and how errors look.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use clap::{Args, Parser, Subcommand};

use crate::command;
use crate::config::Faults;
use crate::log::{self, LogFormat};

/// Login for MCP servers: an OAuth 2.1 gateway in front of any of them.
#[derive(Debug, Parser)]
#[command(name = "mcp-login", version)]
pub struct Cli {
    /// Log format; logs go to stderr, `RUST_LOG` sets the level
    #[arg(long, global = true, value_enum, default_value_t)]
    pub log_format: LogFormat,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Try it: a sign-in service, an MCP server and the gateway, all on this machine, nothing to configure
    Demo(DemoArgs),
    /// Run the gateway
    Serve(ConfigArgs),
    /// Check a configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// The services people can sign in to, and what each needs
    Providers(ProvidersArgs),
    /// The programs that have registered themselves, and forgetting one
    #[command(subcommand)]
    Clients(ClientsCommand),
    /// Who is connected with what, and ending it
    #[command(subcommand)]
    Grants(GrantsCommand),
    /// Look into the store, or move everything to another one
    #[command(subcommand)]
    Store(StoreCommand),
}

/// `demo`
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Where the gateway listens on 127.0.0.1
    #[arg(long, default_value_t = 8080)]
    pub port: u16,
    /// Keep the logins in this folder after the demo ends [default: a temporary folder]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

/// Where the configuration is.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// The configuration file [default: mcp-login.toml, where there is one]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// `config`
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// List everything that is wrong with a configuration
    Check(CheckArgs),
}

/// `config check`
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Where the configuration is.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `providers`
#[derive(Debug, Args)]
pub struct ProvidersArgs {
    /// Only this one, in detail
    pub name: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Where the configuration is: its `public_url` makes the callback URL.
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// `store`
#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Try the store out, read every record, and say what loses logins
    Check(StoreArgs),
    /// Count what is in the store
    Stats(StoreArgs),
    /// Copy everything to another store; stop the gateways first
    Copy(CopyArgs),
}

/// `store check`, `store stats`
#[derive(Debug, Args)]
pub struct StoreArgs {
    /// The store's URL, or env:NAME for a variable that holds it [default: the configuration's]
    pub store: Option<String>,
    /// How it is spoken to.
    #[command(flatten)]
    pub options: StoreOptionArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `store copy`
#[derive(Debug, Args)]
pub struct CopyArgs {
    /// The store to copy from: its URL, or env:NAME for a variable that holds it
    pub from: String,
    /// The store to copy to, likewise; it has to be empty
    pub to: String,
    /// How they are spoken to.
    #[command(flatten)]
    pub options: StoreOptionArgs,
    /// What keys begin with in TO [default: as in FROM]
    #[arg(long, value_name = "PREFIX")]
    pub to_key_prefix: Option<String>,
    /// TO is an earlier copy of FROM that no gateway has used since: bring it up to date
    #[arg(long)]
    pub catch_up: bool,
    /// With --catch-up: do not ask
    #[arg(long, requires = "catch_up")]
    pub yes: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `grants`
#[derive(Debug, Subcommand)]
pub enum GrantsCommand {
    /// List who is connected with what
    List(GrantsListArgs),
    /// Tell all that the store has of one
    Show(GrantsShowArgs),
    /// End one, or all of a person or a client
    Revoke(GrantsRevokeArgs),
}

/// Where the logins are.
#[derive(Debug, Args)]
pub struct GrantsStoreArgs {
    /// The store's URL, or env:NAME for a variable that holds it [default: the configuration's]
    #[arg(long, value_name = "URL")]
    pub store: Option<String>,
    /// How it is spoken to.
    #[command(flatten)]
    pub options: StoreOptionArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Which logins are meant: those that fit all that is said.
#[derive(Debug, Default, Args)]
pub struct GrantsFilterArgs {
    /// Only those of this person: the subject, or the e-mail address
    #[arg(long, value_name = "SUBJECT_OR_EMAIL")]
    pub user: Option<String>,
    /// Only those of this client: its id; to list, also the name that it has registered
    #[arg(long, value_name = "ID_OR_NAME")]
    pub client: Option<String>,
    /// Only those with this MCP server: its URL, or the path of it
    #[arg(long, value_name = "URL_OR_PATH")]
    pub resource: Option<String>,
}

/// `clients`
#[derive(Debug, Subcommand)]
pub enum ClientsCommand {
    /// List the programs that have registered themselves
    List(ClientsListArgs),
    /// Forget one, and end its logins
    Remove(ClientsRemoveArgs),
}

/// `clients list`
#[derive(Debug, Args)]
pub struct ClientsListArgs {
    /// Where.
    #[command(flatten)]
    pub store: GrantsStoreArgs,
}

/// `clients remove`
#[derive(Debug, Args)]
pub struct ClientsRemoveArgs {
    /// The id, as `clients list` shows it
    pub id: String,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
    /// Where.
    #[command(flatten)]
    pub store: GrantsStoreArgs,
}

/// `grants list`
#[derive(Debug, Args)]
pub struct GrantsListArgs {
    /// Which.
    #[command(flatten)]
    pub filter: GrantsFilterArgs,
    /// Where.
    #[command(flatten)]
    pub store: GrantsStoreArgs,
}

/// `grants show`
#[derive(Debug, Args)]
pub struct GrantsShowArgs {
    /// The id, as `grants list` shows it
    pub id: String,
    /// Where.
    #[command(flatten)]
    pub store: GrantsStoreArgs,
}

/// `grants revoke`
#[derive(Debug, Args)]
pub struct GrantsRevokeArgs {
    /// The id, as `grants list` shows it
    #[arg(conflicts_with_all = ["user", "client", "resource"], required_unless_present_any = ["user", "client", "resource"])]
    pub id: Option<String>,
    /// Which.
    #[command(flatten)]
    pub filter: GrantsFilterArgs,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
    /// Where.
    #[command(flatten)]
    pub store: GrantsStoreArgs,
}

/// How a store is spoken to.
#[derive(Debug, Args)]
pub struct StoreOptionArgs {
    /// Where the configuration is: its `[store]` says how a store is spoken to.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// What keys begin with, on Redis [default: the configuration's, or mcp-login:]
    #[arg(long, value_name = "PREFIX")]
    pub key_prefix: Option<String>,
}

/// Why a command ended without doing what it was asked for.
#[derive(Debug)]
pub enum Failure {
    /// Exit code 2: what was typed, or what the configuration says.
    Usage(String),
    /// Exit code 1: it was right, and did not work.
    Failed(anyhow::Error),
    /// This exit code, and everything was said already.
    Said(u8),
}

impl Failure {
    /// The process's exit code.
    #[must_use]
    pub const fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Failed(_) => 1,
            Self::Said(code) => *code,
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Faults> for Failure {
    fn from(faults: Faults) -> Self {
        if let [fault] = faults.faults()
            && fault.key.is_empty()
        {
            return Self::Usage(fault.to_string());
        }
        let lines: Vec<String> = faults.faults().iter().map(|fault| format!("  {fault}")).collect();
        Self::Usage(format!("the configuration cannot be used:\n{}", lines.join("\n")))
    }
}

/// The program.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Also `--help` and `--version`, which are no errors.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            match &failure {
                Failure::Usage(message) => print_error(message),
                Failure::Failed(error) => print_error(&format!("{error:#}")),
                Failure::Said(_) => {}
            }
            ExitCode::from(failure.code())
        }
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    log::init(cli.log_format).map_err(Failure::Usage)?;
    // One crypto library for everything. It is an error only when there is one already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match cli.command {
        Command::Config(ConfigCommand::Check(args)) => command::config::check(&args),
        Command::Providers(args) => command::providers::run(&args),
        Command::Demo(args) => block_on(command::demo::run(args.port, args.data)),
        Command::Serve(args) => block_on(command::serve::run(args)),
        Command::Clients(ClientsCommand::List(args)) => block_on(command::clients::list(&args)),
        Command::Clients(ClientsCommand::Remove(args)) => block_on(command::clients::remove(&args)),
        Command::Grants(GrantsCommand::List(args)) => block_on(command::grants::list(&args)),
        Command::Grants(GrantsCommand::Show(args)) => block_on(command::grants::show(&args)),
        Command::Grants(GrantsCommand::Revoke(args)) => block_on(command::grants::revoke(&args)),
        Command::Store(StoreCommand::Check(args)) => block_on(command::store::check(&args)),
        Command::Store(StoreCommand::Stats(args)) => block_on(command::store::stats(&args)),
        Command::Store(StoreCommand::Copy(args)) => block_on(command::store::copy(&args)),
    }
}

fn block_on(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|error| Failure::Failed(error.into()))?.block_on(command)
}

fn print_error(message: &str) {
    const RED: Style = AnsiColor::Red.on_default().bold();
    // Nobody is left to tell when stderr is gone.
    let _ = writeln!(anstream::stderr(), "{RED}error:{RED:#} {message}");
}

/// Prints to stdout. A reader that has gone (`| head`) is no error.
pub fn say(text: &str) {
    let mut stdout = anstream::stdout().lock();
    let _ = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
}
