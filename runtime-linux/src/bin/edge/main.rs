//! The command `edge`: runs an edge, and talks to one that runs.

mod help;
mod status;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use control::command::{Exit, Failure, LogLevel, follow, notice, print, print_text, stop_signal};
use control::{Client, ConnectError, Delete, Get, Scalar, Set};
use runtime_linux::{
    DocumentPolicy, DocumentStatus, Edge, EdgeError, EdgeRequest, Initialized, LedgerReport, LineOptions,
    OpenError, Options, POLICY_PATH, Plan, Rule, Service, SizeError, Status, UnopenedDocument, Written, Zone,
    ledger, parse_duration, parse_size, socket_path, store_path,
};
use serde_json::Value as Json;
use storage_redb::StoreError;
use transport_quic::PublicKey;

use help::{DOCUMENT_HELP, HELP, LEDGER_HELP, POLICY_HELP, RUN_HELP};
use status::status_text;

#[derive(Parser)]
#[command(name = "edge", version, about = "Documents on this device, in sync with an aggregator", after_help = HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run in the foreground: keep the documents in sync until SIGTERM or Ctrl-C; makes store and key if there are none
    #[command(after_help = RUN_HELP)]
    Run {
        #[command(flatten)]
        store: StoreArgs,
        /// Host and port of the aggregator; without it the edge works alone
        #[arg(long, value_name = "ADDR", requires = "key")]
        aggregator: Option<String>,
        /// The aggregator's public key, 64 hexadecimal digits
        #[arg(long, requires = "aggregator")]
        key: Option<PublicKey>,
        /// A document's name; may be given several times, up to 64. The first is the main one. They are remembered in
        /// the store, and without this the ones of the last run are taken
        #[arg(long = "document", value_name = "NAME")]
        documents: Vec<String>,
        #[command(flatten)]
        lines: LineArgs,
        #[command(flatten)]
        plan: Box<PlanArgs>,
        #[command(flatten)]
        policy: PolicyArgs,
    },
    /// Make store and key if there are none, and tell both; changes nothing if they are there
    Init {
        #[command(flatten)]
        store: StoreArgs,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Print this device's public key; makes store and key if there are none
    Key {
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Put VALUE at PATH; returns when it is on this device's disk
    #[command(after_help = control::SET_HELP)]
    Set {
        /// Keys joined by slashes, such as pump/3/setpoint
        path: String,
        /// A JSON scalar, or any other text as it is. See the examples below
        #[arg(allow_hyphen_values = true)]
        value: String,
        #[command(flatten)]
        write: WriteArgs,
    },
    /// Print what stands at PATH and below as JSON; the whole document without it
    Get {
        /// Keys joined by slashes
        path: Option<String>,
        #[command(flatten)]
        target: TargetArgs,
        /// Print a string as it is, without quotes
        #[arg(long)]
        raw: bool,
        /// Print one line of JSON, which is what is printed without --raw too
        #[arg(long, conflicts_with = "raw")]
        json: bool,
    },
    /// Delete what stands at PATH and below; returns when that is on this device's disk
    Delete {
        /// Keys joined by slashes
        path: String,
        #[command(flatten)]
        write: WriteArgs,
    },
    /// Print the changes at PATH and below as they come, one JSON object per line
    Watch {
        /// Keys joined by slashes
        path: Option<String>,
        #[command(flatten)]
        target: TargetArgs,
    },
    /// Documents of the store that are not open: list, send or drop them
    #[command(subcommand, after_help = DOCUMENT_HELP)]
    Document(DocumentCommand),
    /// Send at once what waits in any document; the running edge does not wait for its next attempt to connect
    Flush {
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Print what the link cost, by billing period, by day and by cause
    #[command(after_help = LEDGER_HELP)]
    Ledger {
        #[command(flatten)]
        store: StoreArgs,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Print when changes are sent: the rules that hold in each document, and where they come from
    #[command(after_help = POLICY_HELP)]
    Policy {
        #[command(flatten)]
        store: StoreArgs,
        /// Print one JSON array
        #[arg(long)]
        json: bool,
    },
    /// Tell how the running edge is, and why it does not sync if it does not
    Status {
        #[command(flatten)]
        store: StoreArgs,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
}

#[derive(Subcommand)]
enum DocumentCommand {
    /// Print each document of the store that is not open, and what of it the aggregator is not known to have
    List {
        #[command(flatten)]
        store: StoreArgs,
        /// Print one JSON array
        #[arg(long)]
        json: bool,
    },
    /// Open NAME in the running edge and wait until all of it is at the aggregator; it stays open until the edge stops
    Send {
        /// The document's name
        name: String,
        #[command(flatten)]
        store: StoreArgs,
        /// How long to wait at most
        #[arg(long, value_name = "SECONDS", default_value_t = 60.0, value_parser = seconds)]
        timeout: f64,
    },
    /// Delete NAME from this device, with all that was not sent; what is at the aggregator stays there
    Drop {
        /// The document's name
        name: String,
        #[command(flatten)]
        store: StoreArgs,
        /// Print what was deleted as one JSON object
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args)]
struct StoreArgs {
    /// The directory of the store
    #[arg(long = "store", value_name = "DIR", env = "GODWIT_STORE", default_value = ".")]
    directory: PathBuf,
}

/// Devices that reach the aggregator through this edge. Whoever has the wire may speak: there is no key.
#[derive(Args)]
struct LineArgs {
    /// A microcontroller on a serial port, and the documents that it may open: /dev/ttyUSB0, /dev/ttyUSB0:9600,
    /// /dev/ttyUSB0:9600=pump-42. Without a speed 115200, without documents the main one; may be given several times
    #[arg(long = "serial", value_name = "PATH[:BAUD][=DOCUMENT,..]", value_parser = LineOptions::serial)]
    serial: Vec<LineOptions>,
    /// The same over TCP: listens at an address, such as 127.0.0.1:7000, for one device at a time
    #[arg(long = "line-tcp", value_name = "ADDR[=DOCUMENT,..]", value_parser = LineOptions::tcp)]
    tcp: Vec<LineOptions>,
    /// The same over a Unix socket that is made at a path
    #[arg(long = "line-unix", value_name = "PATH[=DOCUMENT,..]", value_parser = LineOptions::unix)]
    unix: Vec<LineOptions>,
}

/// What the link may cost.
#[derive(Args)]
struct PlanArgs {
    /// What may be sent and received in a month, IP headers included: 50MB/month, 800kB, 1.5GB, 20MiB
    #[arg(long, value_name = "SIZE", value_parser = month_size)]
    budget: Option<u64>,
    /// The day of the month on which the data plan begins anew, 1 to 31; a shorter month has its last day instead
    #[arg(long, value_name = "DAY", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=31))]
    budget_reset_day: u8,
    /// The time zone in which the carrier counts days and months, by its IANA name: Europe/Berlin, America/Sao_Paulo
    #[arg(long, value_name = "ZONE", default_value_t = Zone::UTC)]
    budget_zone: Zone,
    /// The part of the budget that only urgent paths may use
    #[arg(long, value_name = "PERCENT", default_value = "10%", value_parser = percent)]
    budget_reserve: u8,
    /// Send what is at PREFIX and below first, and from the reserve when the budget is low; may be given several times
    #[arg(long, value_name = "PREFIX")]
    urgent: Vec<String>,
    /// Ask after so many seconds of silence whether the aggregator is there, so that it can reach this device behind a
    /// NAT. Each costs 111 bytes: at 30 s 10 MB a month, at 300 s 1 MB
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    keep_alive: Option<u64>,
}

/// When changes are sent.
#[derive(Args)]
struct PolicyArgs {
    /// How long a change may wait for company where no other rule holds: 30s, 15m, 6h. Without it changes leave at once
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    max_delay: Option<Duration>,
    /// What holds at PREFIX and below, in terms joined by commas: urgent, background, max-delay:15m, dead-band:0.5,
    /// dead-band:2%, heartbeat:1h, align:5m, no-spread; may be given several times, and the longest prefix counts
    #[arg(long = "policy", value_name = "PREFIX=TERMS")]
    rules: Vec<Rule>,
    /// Where further rules stand in a document, below this path, each as one string. They come before those given here
    #[arg(long, value_name = "PATH", default_value = POLICY_PATH)]
    policy_path: String,
}

#[derive(Args)]
struct TargetArgs {
    #[command(flatten)]
    store: StoreArgs,
    /// The document's name; the main one without it
    #[arg(long, value_name = "NAME")]
    document: Option<String>,
}

#[derive(Args)]
struct WriteArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Send it at once, whatever the policy says, and wait until the aggregator has it on its disk
    #[arg(long)]
    wait: bool,
    /// How long to wait at most
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0, value_parser = seconds, requires = "wait")]
    timeout: f64,
    /// Print the receipt as one JSON object
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let is_server = matches!(cli.command, Command::Run { .. });
    let level = if is_server { LogLevel::Server } else { LogLevel::Command };
    control::command::main(PROGRAM, level, execute(cli.command))
}

async fn execute(command: Command) -> Result<(), Failure> {
    match command {
        Command::Run { store, aggregator, key, documents, lines, plan, policy } => {
            let mut options = Options::new(store.directory);
            options.documents = documents;
            options.lines = [lines.serial, lines.tcp, lines.unix].concat();
            if let (Some(address), Some(key)) = (aggregator, key) {
                options = options.aggregator(address, key);
            }
            run(plan.apply(policy.apply(options)?)?).await
        }
        Command::Flush { store } => {
            let mut client = connect(&store.directory).await?;
            client.request(&EdgeRequest::Flush).await?;
            Ok(())
        }
        Command::Ledger { store, json } => print_ledger(&store.directory, json).await,
        Command::Policy { store, json } => {
            let mut client = connect(&store.directory).await?;
            let policies = client.request(&EdgeRequest::Policy).await?;
            if json {
                return print(policies);
            }
            parse::<Vec<DocumentPolicy>>(policies)?.iter().try_for_each(print_text)
        }
        Command::Init { store, json } => {
            let Initialized { key, created } = init(&store.directory).await?;
            let store = store_path(&store.directory).display().to_string();
            if json {
                return print(serde_json::json!({ "key": key, "store": store, "created": created }));
            }
            print(format_args!("key {key} store {store} {}", if created { "created" } else { "was there" }))
        }
        Command::Key { store } => print(init(&store.directory).await?.key),
        Command::Set { path, value, write } => {
            let value = Scalar::from_argument(&value).map_err(|error| Failure::of(Exit::BadInput, &error))?;
            let document = write.target.document.clone();
            change(write, EdgeRequest::Set(Set { document, path, value })).await
        }
        Command::Delete { path, write } => {
            let document = write.target.document.clone();
            change(write, EdgeRequest::Delete(Delete { document, path })).await
        }
        Command::Document(command) => document(command).await,
        Command::Get { path, target, raw, json: _ } => get(target, path, raw).await,
        Command::Watch { path, target } => watch(target, path).await,
        Command::Status { store, json } => {
            let mut client = connect(&store.directory).await?;
            let status = client.request(&EdgeRequest::Status).await?;
            if json { print(status) } else { print_text(status_text(&parse(status)?)) }
        }
    }
}

impl PolicyArgs {
    fn apply(self, mut options: Options) -> Result<Options, Failure> {
        let everywhere = self.max_delay.map(Rule::everywhere).transpose();
        let everywhere = everywhere.map_err(|error| Failure::of(Exit::BadInput, &error))?;
        options.rules = everywhere.into_iter().chain(self.rules).collect();
        options.policy_path = self.policy_path;
        Ok(options)
    }
}

impl PlanArgs {
    fn apply(self, mut options: Options) -> Result<Options, Failure> {
        options.reset_day = self.budget_reset_day;
        options.zone = self.budget_zone.clone();
        options.urgent = self.urgent;
        options.transport.keep_alive = self.keep_alive.map(Duration::from_secs);
        let Some(bytes) = self.budget else { return Ok(options) };
        let plan = Plan::try_new(bytes, self.budget_reset_day, self.budget_reserve)
            .map_err(|error| Failure::of(Exit::BadInput, &error))?;
        Ok(options.plan(plan.in_zone(self.budget_zone)))
    }
}

async fn run(options: Options) -> Result<(), Failure> {
    // Before anything is announced: whoever reads the line may send a signal at once.
    let stop = stop_signal()?;
    let socket = socket_path(&options.directory);
    let edge = Edge::open(options).await?;
    tell_of_creation(edge.store_path(), Initialized { key: edge.public_key(), created: edge.is_store_new() });
    let served = announce(&edge, &socket).await;
    let done = match served {
        Ok(service) => {
            service.run(stop).await;
            Ok(())
        }
        Err(failure) => Err(failure),
    };
    edge.shut_down().await?;
    done
}

/// Opens the socket, and then says that everything is ready.
async fn announce(edge: &Edge, socket: &Path) -> Result<Service, Failure> {
    let service = Service::bind(edge.clone(), socket).await?;
    let status = edge.status().await?;
    let mut line = format!("key {}", status.public_key);
    for DocumentStatus { document, cells, backlog_cells, .. } in &status.documents {
        line += &format!(" document {document:?} cells {cells} backlog {backlog_cells}");
    }
    match print(format_args!("{line} link {} socket {}", status.link, socket.display())) {
        // Nobody reads what is said at the start: it goes on.
        Ok(()) | Err(Failure::ReaderGone) => Ok(service),
        Err(failure) => Err(failure),
    }
}

/// Prints the ledger of the running edge, or of the store if none is running.
async fn print_ledger(directory: &Path, json: bool) -> Result<(), Failure> {
    let report: LedgerReport = match reach(directory, async || ledger(directory)).await? {
        Reached::Running(mut client) => parse(client.request(&EdgeRequest::Ledger).await?)?,
        Reached::Opened(report) => report,
    };
    if json { print(serde_json::to_value(&report).unwrap_or_default()) } else { print_text(report) }
}

/// Makes the store if there is none, and says so.
async fn init(directory: &Path) -> Result<Initialized, Failure> {
    match reach(directory, async || runtime_linux::init(directory)).await? {
        Reached::Running(mut client) => {
            let status: Status = parse(client.request(&EdgeRequest::Status).await?)?;
            Ok(Initialized { key: status.public_key, created: false })
        }
        Reached::Opened(initialized) => {
            tell_of_creation(&store_path(directory), initialized);
            Ok(initialized)
        }
    }
}

/// No store is made silently: where one was expected, it is somewhere else.
fn tell_of_creation(store: &Path, Initialized { key, created }: Initialized) {
    if created {
        let message = format!(
            "created a new store at {} with a new key: the aggregator must let it in: aggregator allow {key}",
            store.display()
        );
        notice(PROGRAM, message);
    }
}

/// Makes a change in the running edge, or in the store if none is running.
async fn change(args: WriteArgs, request: EdgeRequest) -> Result<(), Failure> {
    let directory = &args.target.store.directory;
    let may_create = matches!(request, EdgeRequest::Set(_));
    let written: Written = match reach_document(&args.target, may_create).await? {
        Reached::Running(mut client) => {
            let written = parse(client.request(&request).await?)?;
            if args.wait { wait_for_receipt(&mut client, written, args.timeout).await? } else { written }
        }
        Reached::Opened(edge) => {
            let written = write_offline(&edge, args.target.document.as_deref(), request).await;
            edge.shut_down().await?;
            let written = written?;
            if args.wait {
                let message = format!(
                    "the write is on this device's disk, but no edge is running for {} that could send it: start edge run",
                    directory.display()
                );
                return Err(Failure::new(Exit::NotRunning, message));
            }
            written
        }
    };
    if args.json { print(serde_json::to_value(&written).unwrap_or_default()) } else { Ok(()) }
}

async fn write_offline(
    edge: &Edge,
    document: Option<&str>,
    request: EdgeRequest,
) -> Result<Written, Failure> {
    let document = named(edge, document)?;
    let receipt = match request {
        EdgeRequest::Set(Set { path, value, .. }) => document.set(&path, value).await?,
        EdgeRequest::Delete(Delete { path, .. }) => document.delete(&path).await?,
        _ => return Err(Failure::new(Exit::Failed, "this is no change")),
    };
    Ok(Written::new(&receipt))
}

/// An open document; the main one without a name.
fn named(edge: &Edge, name: Option<&str>) -> Result<runtime_linux::Document, EdgeError> {
    name.map_or_else(|| Ok(edge.main_document().clone()), |name| edge.document(name))
}

/// Waits until the aggregator has what was written. Whatever goes wrong meanwhile, the write is on this device's disk.
async fn wait_for_receipt(client: &mut Client, written: Written, seconds: f64) -> Result<Written, Failure> {
    let receipt = EdgeRequest::Receipt(written);
    let wait = async {
        leave_company(client).await?;
        parse(client.request(&receipt).await?)
    };
    let problem = match tokio::time::timeout(Duration::from_secs_f64(seconds), wait).await {
        Ok(Ok(written)) => return Ok(written),
        Ok(Err(Failure::Failed { exit: Exit::NotRunning, .. })) => {
            let message = "the write is on this device's disk, but the edge was stopped before the aggregator's receipt came; it \
                           is sent when edge run is started again";
            return Err(Failure::new(Exit::NotRunning, message));
        }
        Ok(Err(Failure::Failed { exit, message })) => (exit, message),
        Ok(Err(Failure::ReaderGone)) => return Err(Failure::ReaderGone),
        Err(_) => {
            let message =
                format!("the aggregator's receipt did not come in {seconds} s; edge status tells why");
            (Exit::Timeout, message)
        }
    };
    let (exit, message) = problem;
    Err(Failure::new(exit, format!("the write is on this device's disk, but {message}")))
}

/// Whoever waits here waits for no company.
async fn leave_company(client: &mut Client) -> Result<(), Failure> {
    let status: Status = parse(client.request(&EdgeRequest::Status).await?)?;
    let waits = |document: &DocumentStatus| document.connected && document.unsent_cells > 0;
    if status.documents.iter().any(waits) {
        client.request(&EdgeRequest::Flush).await?;
    }
    Ok(())
}

async fn get(target: TargetArgs, path: Option<String>, raw: bool) -> Result<(), Failure> {
    let json = match reach_document(&target, false).await? {
        Reached::Running(mut client) => {
            client.request(&EdgeRequest::Get(Get { document: target.document, path })).await?
        }
        Reached::Opened(edge) => {
            let found = match named(&edge, target.document.as_deref()) {
                Ok(document) => document.tree(path.as_deref()).await,
                Err(EdgeError::UnknownDocument { name, .. }) => {
                    edge.unopened_tree(&name, path.as_deref()).await
                }
                Err(error) => Err(error),
            };
            edge.shut_down().await?;
            found?.ok_or_else(|| {
                let message = path
                    .map_or_else(|| "the document is empty".to_owned(), |p| format!("nothing is at {p:?}"));
                Failure::new(Exit::NotFound, message)
            })?
        }
    };
    match json {
        Json::String(text) if raw => print(text),
        json => print(json),
    }
}

async fn watch(target: TargetArgs, path: Option<String>) -> Result<(), Failure> {
    let mut client = connect(&target.store.directory).await?;
    client.send(&EdgeRequest::Watch(control::Watch { document: target.document, path })).await?;
    follow(&mut client, PROGRAM).await
}

async fn document(command: DocumentCommand) -> Result<(), Failure> {
    match command {
        DocumentCommand::Drop { name, store, json } => {
            let removed: UnopenedDocument = match reach_store(&store.directory).await? {
                Reached::Running(mut client) => {
                    let request = EdgeRequest::DropDocument { document: name };
                    parse(client.request(&request).await?)?
                }
                Reached::Opened(edge) => {
                    let removed = edge.remove_document(&name).await;
                    edge.shut_down().await?;
                    removed?
                }
            };
            if json {
                return print(serde_json::to_value(&removed).unwrap_or_default());
            }
            let UnopenedDocument { document, cells, unsent_cells, .. } = removed;
            print(format_args!(
                "{document:?} is deleted here: {cells} cells, {unsent_cells} of them never sent"
            ))
        }
        DocumentCommand::List { store, json } => {
            let documents = match reach_store(&store.directory).await? {
                Reached::Running(mut client) => client.request(&EdgeRequest::Documents).await?,
                Reached::Opened(edge) => {
                    let documents = edge.unopened_documents().await;
                    edge.shut_down().await?;
                    serde_json::to_value(documents?).unwrap_or_default()
                }
            };
            if json {
                return print(documents);
            }
            let documents: Vec<UnopenedDocument> = parse(documents)?;
            if documents.is_empty() {
                return print("every document of the store is open");
            }
            documents.iter().try_for_each(|document| {
                let UnopenedDocument { document: name, cells, unsent_cells, damage, .. } = document;
                match damage {
                    Some(damage) => print(format_args!("{name:?} cannot be read: {damage}")),
                    None => print(format_args!("{name:?} {cells} cells, {unsent_cells} of them not sent")),
                }
            })
        }
        DocumentCommand::Send { name, store, timeout } => {
            let mut client = connect(&store.directory).await?;
            client.request(&EdgeRequest::OpenDocument { document: name.clone() }).await?;
            let everything =
                Written { document: name.clone(), time_ms: None, replica: None, at_aggregator: false };
            wait_for_receipt(&mut client, everything, timeout).await?;
            print(format_args!("everything in {name:?} is at the aggregator"))
        }
    }
}

/// What a command works on.
enum Reached<T> {
    /// An edge that runs.
    Running(Client),
    /// What this process has opened itself, of the store.
    Opened(T),
}

/// The running edge, or else the store. An edge that is just starting or stopping has the store and no socket; it is
/// given some time.
async fn reach<T>(
    directory: &Path,
    open: impl AsyncFn() -> Result<T, OpenError>,
) -> Result<Reached<T>, Failure> {
    let mut attempts = 20;
    loop {
        match runtime_linux::connect(directory).await {
            Ok(client) => return Ok(Reached::Running(client)),
            Err(ConnectError::NotRunning { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        match open().await {
            Err(OpenError::Store(StoreError::InUse { .. })) if attempts > 0 => {
                attempts -= 1;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            opened => return Ok(Reached::Opened(opened?)),
        }
    }
}

/// The running edge, or else one on the store with the documents that were open last.
async fn reach_store(directory: &Path) -> Result<Reached<Edge>, Failure> {
    let mut options = Options::new(directory);
    options.create = false;
    reach(directory, async || Edge::open(options.clone()).await).await
}

/// The same for what is in a document. If the store has none yet, a write may make the first one.
async fn reach_document(target: &TargetArgs, may_create: bool) -> Result<Reached<Edge>, Failure> {
    let mut options = Options::new(&target.store.directory);
    options.create = false;
    let open = async || match (Edge::open(options.clone()).await, &target.document) {
        (Err(OpenError::NoDocument { .. }), Some(name)) if may_create => {
            Edge::open(options.clone().document(name)).await.map(Ok)
        }
        (Err(error @ OpenError::NoDocument { .. }), Some(_)) => Ok(Err(error)),
        (opened, _) => opened.map(Ok),
    };
    match reach(&target.store.directory, open).await? {
        Reached::Running(client) => Ok(Reached::Running(client)),
        Reached::Opened(Ok(edge)) => Ok(Reached::Opened(edge)),
        Reached::Opened(Err(error)) => Err(Failure::of(Exit::NotFound, &error)),
    }
}

async fn connect(directory: &Path) -> Result<Client, Failure> {
    runtime_linux::connect(directory).await.map_err(|error| match error {
        ConnectError::NotRunning { .. } if !store_path(directory).exists() => {
            let missing = OpenError::NoStore { path: store_path(directory) };
            Failure::new(Exit::NotRunning, format!("no process is running, and {missing}"))
        }
        ConnectError::NotRunning { .. } => Failure::new(Exit::NotRunning, format!("{error} (edge run)")),
        error => error.into(),
    })
}

fn parse<T: serde::de::DeserializeOwned>(json: Json) -> Result<T, Failure> {
    serde_json::from_value(json).map_err(|error| {
        Failure::new(Exit::Failed, format!("the running edge is of another version: {error}"))
    })
}

/// A number of bytes, a month: `50MB/month`.
fn month_size(text: &str) -> Result<u64, SizeError> {
    parse_size(text.trim_end().strip_suffix("/month").unwrap_or(text))
}

/// A part of the budget: `10%`, or `10`.
fn percent(text: &str) -> Result<u8, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim();
    match number.parse() {
        Ok(percent @ 0..=90) => Ok(percent),
        _ => Err("0% to 90% are possible".to_owned()),
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    if (0.0..=1e6).contains(&seconds) {
        Ok(seconds)
    } else {
        Err("0 to 1000000 seconds are possible".to_owned())
    }
}

const PROGRAM: &str = "edge";
