//! The command line: what the binary `aggregator` does.
//!
//! The exit codes are those of [`control::command`].

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use control::command::{Exit, Failure, LogLevel, follow, notice, print, stop_signal};
use control::{Client, ConnectError, Delete, ErrorReply, Get, Scalar, Set, Watch};
use serde_json::{Value as Json, json};
use storage_redb::StoreError;
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
        /// As one line of JSON.
        #[arg(long)]
        json: bool,
    },
    /// Put a value at a path.
    #[command(after_help = control::SET_HELP)]
    Set {
        /// The document's name.
        document: String,
        /// Keys joined by "/".
        path: String,
        /// A JSON scalar, or any other text as it is. See the examples below.
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

/// Does what the command line says.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let is_server = matches!(cli.command, Command::Serve(_));
    control::command::main(PROGRAM, if is_server { LogLevel::Server } else { LogLevel::Command }, run(cli))
}

async fn run(cli: Cli) -> Result<(), Failure> {
    let place = Place::new(&cli.store);
    match cli.command {
        Command::Serve(options) => serve(place, options).await,
        Command::Init { json } => {
            let Initialized { key, created } = init(&place).await?;
            let store = place.store.display().to_string();
            print(if json {
                json!({ "key": key, "store": store, "created": created }).to_string()
            } else {
                format!("key {key} store {store} {}", if created { "created" } else { "was there" })
            })
        }
        Command::Key => {
            let initialized = init(&place).await?;
            print(initialized.key)
        }
        Command::Allow { key, document } => {
            let who =
                document.as_ref().map_or("every document".to_owned(), |name| format!("document {name:?}"));
            let changed = ask(&place, Request::Allow { key, document }).await?;
            let word = if is_changed(&changed) { "now" } else { "already" };
            print(format_args!("{key} may {word} open {who}"))
        }
        Command::Revoke { key } => {
            let changed = ask(&place, Request::Revoke { key }).await?;
            if !is_changed(&changed) {
                let message =
                    format!("no device has the key {key}: aggregator list shows those that may come in");
                return Err(Failure::new(Exit::NotFound, message));
            }
            print(format_args!("{key} is forgotten"))
        }
        Command::List { json } => {
            let devices = ask(&place, Request::List).await?;
            print(if json { devices.to_string() } else { report::devices(now(), devices) })
        }
        Command::Get { document, path, json } => {
            let value = ask(&place, Request::Get(Get { document: Some(document), path })).await?;
            if json { print(value) } else { print(format_args!("{value:#}")) }
        }
        Command::Set { document, path, value } => {
            let value = Scalar::from_argument(&value).map_err(|error| Failure::of(Exit::BadInput, &error))?;
            let request = Request::Set(Set { document: Some(document), path, value });
            ask(&place, request).await.map(drop)
        }
        Command::Delete { document, path } => {
            let request = Request::Delete(Delete { document: Some(document), path });
            let changed = ask(&place, request).await?;
            print(if is_changed(&changed) { "deleted" } else { "nothing was there" })
        }
        Command::Watch { document, path } => {
            let mut client = connect(&place).await?;
            client.send(&Request::Watch(Watch { document: Some(document), path })).await?;
            follow(&mut client, PROGRAM).await
        }
        Command::Status { json } => {
            let mut client = connect(&place).await?;
            let status = client.request(&Request::Status).await?;
            print(if json { status.to_string() } else { report::status(status) })
        }
    }
}

async fn serve(place: Place, options: Serve) -> Result<(), Failure> {
    // Before anything is announced: whoever reads the line may send a signal at once.
    let stop = stop_signal()?;
    let (store, socket) = (place.store.display().to_string(), place.socket.display().to_string());
    let transport = Config::cat_m1();
    let opened = place.open(true)?;
    let (key, created) = (opened.identity.public_key(), opened.store.is_new());
    // Before the rest, which can fail for other reasons: a store that was made is told of in any case.
    tell_of_creation(&place, Initialized { key, created });
    let server = Server::start_on(opened, Options { place, listen: options.listen, transport }).await?;
    let address = server.local_addr();
    print(if options.json {
        json!({ "key": key, "address": address, "store": store, "created": created, "control": socket })
            .to_string()
    } else {
        format!("key {key} address {address} store {store}")
    })?;
    Ok(server.run(stop).await?)
}

/// The key of the running server, or else of the store, which is made if there is none.
async fn init(place: &Place) -> Result<Initialized, Failure> {
    match reach(place, || place.init()).await? {
        Reached::Running(mut client) => {
            let status: Status = serde_json::from_value(client.request(&Request::Status).await?)
                .map_err(|error| Failure::new(Exit::Failed, format!("its status: {error}")))?;
            Ok(Initialized { key: status.key, created: false })
        }
        Reached::Opened(initialized) => {
            tell_of_creation(place, initialized);
            Ok(initialized)
        }
    }
}

/// No store is made silently: where one was expected, it is somewhere else.
fn tell_of_creation(place: &Place, Initialized { key, created }: Initialized) {
    if created {
        let message = format!(
            "created a new store at {} with a new key: devices must be given {key}, and each must be let in \
             (aggregator allow KEY)",
            place.store.display()
        );
        notice(PROGRAM, message);
    }
}

/// Asks the running server, or does it here when there is none.
async fn ask(place: &Place, request: Request) -> Result<Json, Failure> {
    match reach(place, || Offline::open(place, false)).await? {
        Reached::Running(mut client) => Ok(client.request(&request).await?),
        Reached::Opened(mut offline) => {
            let done = offline.request(request)?;
            offline.close()?;
            Ok(done.map_err(|error| ErrorReply::from(&error))?)
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

async fn connect(place: &Place) -> Result<Client, Failure> {
    place.connect().await.map_err(|error| match error {
        ConnectError::NotRunning { .. } if !place.store.exists() => {
            let missing = ServeError::NoStore { path: place.store.clone() };
            Failure::new(Exit::NotRunning, format!("no aggregator is running, and {missing}"))
        }
        ConnectError::NotRunning { .. } => {
            Failure::new(Exit::NotRunning, format!("{error} (aggregator serve)"))
        }
        error => error.into(),
    })
}

fn is_changed(answer: &Json) -> bool {
    answer["changed"] == true
}

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Self {
        let exit = match error {
            ServeError::Control(_)
            | ServeError::Link { .. }
            | ServeError::Listen { .. }
            | ServeError::Random(_) => Exit::Failed,
            _ => Exit::Store,
        };
        Self::of(exit, &error)
    }
}

const PROGRAM: &str = "aggregator";

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

Exit codes, the same for edge and aggregator:
  0 done                    4 nothing at the path, unknown document or key
  1 failed, stderr says why 5 what was waited for did not come in time
  2 bad input               6 the store cannot be used
  3 no aggregator running   7 refused by a limit or a right";
