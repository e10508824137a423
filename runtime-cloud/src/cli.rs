//! The command line: what the binary `aggregator` does.
//!
//! | exit code | meaning |
//! |---:|---|
//! | 0 | done |
//! | 1 | not done; the reason is on standard error |
//! | 2 | the command line makes no sense |
//! | 3 | no aggregator runs on this store, and the command needs one |
//! | 4 | the store cannot be used: damaged, of a newer format or another program, open elsewhere, or there is none |
//! | 5 | the port or the control socket cannot be opened |

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use control::{Client, ConnectError, Delete, Get, Scalar, Set, Watch};
use serde_json::{Value as Json, json};
use storage_redb::StoreError;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use transport_quic::{Config, PublicKey};

use crate::engine::Request;
use crate::error::ServeError;
use crate::offline::Offline;
use crate::place::{Initialized, Place};
use crate::report;
use crate::server::{Options, Server, now};
use crate::status::Status;

/// Keeps the documents of a fleet: takes what devices send, makes it durable, and passes it on.
#[derive(Debug, Parser)]
#[command(name = "aggregator", version, after_help = EXAMPLES)]
pub struct Cli {
    /// Where the store is: a directory, or a file that ends in .redb.
    #[arg(long, global = true, default_value = "aggregator", value_name = "FILE_OR_DIR")]
    store: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the aggregator, until it is told to stop (SIGTERM, SIGINT); makes store and key if there are none.
    Serve(Serve),
    /// Make store and key if there are none, and tell both; changes nothing if they are there.
    Init {
        /// As one line of JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print the aggregator's public key, which devices must be given; makes store and key if there are none.
    Key,
    /// Let a device in.
    Allow {
        /// The device's public key: 64 hexadecimal digits, as `edge key` prints them.
        key: PublicKey,
        /// The document it may open; every document without this.
        #[arg(long, value_name = "NAME")]
        document: Option<String>,
    },
    /// Forget a device, and close its connection at once.
    Revoke {
        /// The device's public key.
        key: PublicKey,
    },
    /// Show which devices may come in.
    List {
        /// As one line of JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show what stands at a path and below it, as JSON.
    Get {
        /// The document's name.
        document: String,
        /// Keys joined by "/"; the whole document without it.
        path: Option<String>,
    },
    /// Put a value at a path.
    Set {
        /// The document's name.
        document: String,
        /// Keys joined by "/".
        path: String,
        /// A number, true, false, null, or text; in quotes it is text in any case: '"7"'.
        #[arg(allow_hyphen_values = true)]
        value: String,
    },
    /// Delete what stands at a path and below it.
    Delete {
        /// The document's name.
        document: String,
        /// Keys joined by "/".
        path: String,
    },
    /// Show what stands at a path and then every change, one line of JSON each, until interrupted.
    Watch {
        /// The document's name.
        document: String,
        /// Keys joined by "/"; the whole document without it.
        path: Option<String>,
    },
    /// Show how the running aggregator is: documents, devices, bytes, queues.
    Status {
        /// As one line of JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
struct Serve {
    /// The UDP address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "0.0.0.0:4433", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Announce key and address as one line of JSON.
    #[arg(long)]
    json: bool,
}

/// A command that failed: what to say, and the exit code.
#[derive(Debug)]
struct Failure {
    code: u8,
    message: String,
}

/// Does what the command line says.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let level = if matches!(cli.command, Command::Serve(_)) { "info" } else { "error" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).init();
    let done = match Runtime::new() {
        Ok(runtime) => runtime.block_on(run(cli)),
        Err(error) => Err(Failure { code: NOT_DONE, message: format!("starting threads: {error}") }),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { code, message }) => {
            eprintln!("aggregator: {message}");
            ExitCode::from(code)
        }
    }
}

async fn run(cli: Cli) -> Result<(), Failure> {
    let place = Place::new(&cli.store);
    match cli.command {
        Command::Serve(options) => serve(place, options).await,
        Command::Init { json } => {
            let Initialized { key, created } = init(&place).await?;
            let store = place.store.display().to_string();
            print(&if json {
                json!({ "key": key, "store": store, "created": created }).to_string()
            } else {
                format!("key {key} store {store} {}", if created { "created" } else { "was there" })
            })
        }
        Command::Key => {
            let initialized = init(&place).await?;
            print(&initialized.key.to_string())
        }
        Command::Allow { key, document } => {
            let who =
                document.as_ref().map_or("every document".to_owned(), |name| format!("document {name:?}"));
            let changed = ask(&place, Request::Allow { key, document }).await?;
            let word = if is_changed(&changed) { "now" } else { "already" };
            print(&format!("{key} may {word} open {who}"))
        }
        Command::Revoke { key } => {
            let changed = ask(&place, Request::Revoke { key }).await?;
            print(&if is_changed(&changed) {
                format!("{key} is forgotten")
            } else {
                format!("{key} was not known")
            })
        }
        Command::List { json } => {
            let devices = ask(&place, Request::List).await?;
            print(&if json { devices.to_string() } else { report::devices(now(), devices) })
        }
        Command::Get { document, path } => {
            let value = ask(&place, Request::Get(Get { document: Some(document), path })).await?;
            print(&format!("{value:#}"))
        }
        Command::Set { document, path, value } => {
            let value = Scalar::from_argument(&value)
                .map_err(|error| Failure { code: NOT_DONE, message: error.to_string() })?;
            let request = Request::Set(Set { document: Some(document), path, value });
            ask(&place, request).await.map(drop)
        }
        Command::Delete { document, path } => {
            let request = Request::Delete(Delete { document: Some(document), path });
            let changed = ask(&place, request).await?;
            print(if is_changed(&changed) { "deleted" } else { "nothing was there" })
        }
        Command::Watch { document, path } => {
            watch(&place, &Request::Watch(Watch { document: Some(document), path })).await
        }
        Command::Status { json } => {
            let mut client = connect(&place).await?;
            let status = client.request(&Request::Status).await?;
            print(&if json { status.to_string() } else { report::status(status) })
        }
    }
}

async fn serve(place: Place, options: Serve) -> Result<(), Failure> {
    let fail =
        |error: io::Error| Failure { code: NOT_DONE, message: format!("listening for signals: {error}") };
    // Before anything is announced: whoever reads the line may send a signal at once.
    let mut terminate = signal(SignalKind::terminate()).map_err(fail)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(fail)?;
    let (store, socket) = (place.store.display().to_string(), place.socket.display().to_string());
    let transport = Config::cat_m1();
    let server = Server::start(Options { place: place.clone(), listen: options.listen, transport }).await?;
    let (key, address, created) = (server.public_key(), server.local_addr(), server.is_store_new());
    tell_of_creation(&place, Initialized { key, created });
    print(&if options.json {
        json!({ "key": key, "address": address, "store": store, "created": created, "control": socket })
            .to_string()
    } else {
        format!("key {key} address {address} store {store}")
    })?;
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
    };
    Ok(server.run(stop).await?)
}

/// Makes the store if there is none, and says so.
async fn init(place: &Place) -> Result<Initialized, Failure> {
    match reach(place, || place.init()).await? {
        Reached::Running(mut client) => {
            let status: Status = serde_json::from_value(client.request(&Request::Status).await?)
                .map_err(|error| Failure { code: NOT_DONE, message: format!("its status: {error}") })?;
            Ok(Initialized { key: status.key, created: false })
        }
        Reached::Opened(initialized) => {
            tell_of_creation(place, initialized);
            Ok(initialized)
        }
    }
}

/// A store that was made is never made silently: where one was expected, it is somewhere else.
fn tell_of_creation(place: &Place, Initialized { key, created }: Initialized) {
    if created {
        eprintln!(
            "aggregator: created a new store at {} with a new key: devices must be given {key}, and each must be let in \
             (aggregator allow KEY)",
            place.store.display()
        );
    }
}

/// Asks the running server, or does it here when there is none.
async fn ask(place: &Place, request: Request) -> Result<Json, Failure> {
    match reach(place, || Offline::open(place, false)).await? {
        Reached::Running(mut client) => Ok(client.request(&request).await?),
        Reached::Opened(mut offline) => {
            let done = offline.request(request)?;
            offline.close()?;
            done.map_err(|error| Failure { code: NOT_DONE, message: error.to_string() })
        }
    }
}

/// What a command works on.
enum Reached<T> {
    /// A server that runs.
    Running(Client),
    /// The store, opened by this process.
    Opened(T),
}

/// The running server, or else the store. A server that is just starting or stopping has the store and no socket; it is
/// given some time.
async fn reach<T>(place: &Place, open: impl Fn() -> Result<T, ServeError>) -> Result<Reached<T>, Failure> {
    let mut attempts = 20;
    loop {
        match place.connect().await {
            Ok(client) => return Ok(Reached::Running(client)),
            Err(ConnectError::NotRunning { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        match open() {
            Err(ServeError::Store(StoreError::InUse { .. })) if attempts > 0 => {
                attempts -= 1;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            opened => return Ok(Reached::Opened(opened?)),
        }
    }
}

async fn watch(place: &Place, request: &Request) -> Result<(), Failure> {
    let mut client = connect(place).await?;
    client.send(request).await?;
    while let Some(change) = client.next().await? {
        print(&change.to_string())?;
    }
    Err(Failure { code: NOT_RUNNING, message: "the aggregator has ended".to_owned() })
}

async fn connect(place: &Place) -> Result<Client, Failure> {
    place.connect().await.map_err(|error| match error {
        ConnectError::NotRunning { .. } if !place.store.exists() => {
            let missing = ServeError::NoStore { path: place.store.clone() };
            Failure { code: NOT_RUNNING, message: format!("no aggregator is running, and {missing}") }
        }
        error => error.into(),
    })
}

fn is_changed(answer: &Json) -> bool {
    answer["changed"] == true
}

fn print(line: &str) -> Result<(), Failure> {
    let written = writeln!(io::stdout(), "{line}").and_then(|()| io::stdout().flush());
    written
        .map_err(|error| Failure { code: NOT_DONE, message: format!("writing to standard output: {error}") })
}

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Self {
        let code = match error {
            ServeError::Control(_) | ServeError::Link { .. } | ServeError::Listen { .. } => NO_PORT,
            ServeError::Random(_) => NOT_DONE,
            _ => NO_STORE,
        };
        Self { code, message: with_sources(&error) }
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        let code = match error {
            ConnectError::NotRunning { .. } => NOT_RUNNING,
            ConnectError::OtherStore { .. } => NO_STORE,
            _ => NO_PORT,
        };
        let hint = if code == NOT_RUNNING { "; start it with: aggregator serve" } else { "" };
        Self { code, message: format!("{}{hint}", with_sources(&error)) }
    }
}

impl From<control::RequestError> for Failure {
    fn from(error: control::RequestError) -> Self {
        let code = if matches!(error, control::RequestError::Closed) { NOT_RUNNING } else { NOT_DONE };
        Self { code, message: with_sources(&error) }
    }
}

/// The error and its causes, in one line.
fn with_sources(error: &dyn std::error::Error) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        message = format!("{message}: {cause}");
        source = cause.source();
    }
    message
}

const NOT_DONE: u8 = 1;
const NOT_RUNNING: u8 = 3;
const NO_STORE: u8 = 4;
const NO_PORT: u8 = 5;

const EXAMPLES: &str = "\
Examples:
  aggregator init --store /var/lib/aggregator
      Makes the store, if there is none, and prints the key that devices must be given.
  aggregator serve --store /var/lib/aggregator
      Runs on UDP port 4433, and prints the key too.
  aggregator allow 5f0c... --document site-7
      Lets one device open one document; takes effect at once.
  aggregator set site-7 pump/3/setpoint 4.5
  aggregator get site-7 pump
  aggregator watch site-7 pump/3
  aggregator status

While no aggregator runs on the store, allow, revoke, list, get, set and delete open the store themselves; watch and
status need one. Only serve, init and key make a store where there is none, and say so.

Exit codes: 0 done; 1 not done, with the reason; 2 bad command line; 3 no aggregator is running; 4 the store cannot be
used; 5 the port or the control socket cannot be opened.";
