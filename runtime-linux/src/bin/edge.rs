//! The command `edge`: runs an edge, and talks to one that runs.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use control::{Client, ConnectError, Delete, ErrorReply, Get, RequestError, Scalar, Set};
use runtime_linux::{
    Document, DocumentPolicy, DocumentStatus, Edge, EdgeError, EdgeRequest, Initialized, LedgerReport, Level,
    LineOptions, OpenError, Options, POLICY_PATH, Period, Plan, Rule, Status, Written, ledger, serve,
    socket_path, store_path,
};
use serde_json::Value as Json;
use storage_redb::StoreError;
use tokio::signal::unix::{SignalKind, signal};
use transport_quic::PublicKey;

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
        plan: PlanArgs,
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
    Set {
        /// Keys joined by slashes, such as pump/3/setpoint
        path: String,
        /// A JSON scalar (21.5, true, "7"); anything else is a string
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
    /// What may be sent and received in a month, IP headers included: 50MB/month, 800kB, 1GB, 20MiB
    #[arg(long, value_name = "SIZE", value_parser = budget_size)]
    budget: Option<u64>,
    /// The day of the month on which the data plan begins anew, 1 to 28
    #[arg(long, value_name = "DAY", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=28))]
    budget_reset_day: u8,
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
    #[arg(long, value_name = "TIME")]
    max_delay: Option<Period>,
    /// What holds at PREFIX and below, in terms joined by commas: urgent, background, max-delay:15m, dead-band:0.5,
    /// dead-band:2%, align:5m, no-spread; may be given several times, and the longest prefix counts
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

const HELP: &str = "\
Examples:
  edge init --store /var/lib/pump                 make the store, if there is none
  edge key --store /var/lib/pump                  print the key that the aggregator must let in
  edge run --store /var/lib/pump --aggregator sync.example.com:4433 --key 3f2a.. --document pump-42
  edge set pump/3/setpoint 4.5 --store /var/lib/pump
  edge set pump/3/mode auto --wait --timeout 30   with GODWIT_STORE set, or in the directory of the store
  edge get pump/3
  edge watch pump
  edge run --document pump-42 --document town     several documents share one connection
  edge get mode --document town                   one that is not the main one, which was named first
  edge flush                                      before the device is switched off: send now what waits
  edge run --aggregator sync.example.com:4433 --key 3f2a.. --budget 50MB/month --budget-reset-day 15 --urgent alarms
  edge run --aggregator sync.example.com:4433 --key 3f2a.. --max-delay 15m --policy alarms=urgent
  edge policy                                     which changes wait, for how long, and who said so
  edge ledger                                     what the link cost, by day and by month
  edge status                                     what of the budget is left, and when sending goes on

Exit codes:
  0  done
  1  failed; stderr tells why
  2  wrong arguments, or a path or a value that cannot be stored
  3  no edge is running (watch, status, policy, flush, set --wait)
  4  nothing stands at the path (get)
  5  the aggregator's receipt did not come in time; the write is on this device's disk
  6  the store cannot be used: missing, damaged, of a newer version or another program, or in use by another process

Only run, init and key make a store where there is none, and say so.
Log: stderr; RUST_LOG=debug for more.";

const RUN_HELP: &str = "\
Examples:
  edge run --store /var/lib/pump --aggregator sync.example.com:4433 --key 3f2a.. --document pump-42
  edge run --aggregator sync.example.com:4433 --key 3f2a.. --document pump-42 --document town
  edge run --aggregator sync.example.com:4433 --key 3f2a.. --budget 50MB/month --budget-reset-day 15
  edge run --aggregator sync.example.com:4433 --key 3f2a.. --budget 5MB --budget-reserve 20% --urgent alarms --urgent doors
  edge run --aggregator sync.example.com:4433 --key 3f2a.. --max-delay 15m --policy alarms=urgent \\
      --policy 'sensors=max-delay:1h,dead-band:0.5' --policy 'logs=background,max-delay:6h'
  edge run --aggregator sync.example.com:4433 --key 3f2a.. --document pump-42 --serial /dev/ttyUSB0:115200
  edge run --document town --document pump-42 --document pump-43 --serial /dev/ttyS1=pump-42 --line-tcp 127.0.0.1:7000=pump-43

When the day's part of the budget is spent, only urgent paths are sent; when the month's is, nothing. Edits go on here.
What a microcontroller on a line is told is durable is on this device's disk; it is at the aggregator when edge status
shows no backlog. Give the same lines at each start: a line makes this copy take a new replica id whenever it starts.";

const POLICY_HELP: &str = "\
Examples:
  edge policy --store /var/lib/pump
  edge policy --json | jq '.[0].rules[] | select(.source != \"command_line\")'
  edge set config/policy/sensors 'sensors=max-delay:15m,dead-band:0.5'
  edge delete config/policy/sensors

A rule in a document holds from the next change on, whoever wrote it, and comes before one of the command line with the
same prefix. The prefix is the path before the equals sign; without one the rule holds everywhere. Terms:
  urgent | normal | background   urgent goes ahead, and while the budget allows only that; background waits for company,
                                 a day at the longest
  max-delay:15m                  the longest time that a change waits for company
  dead-band:0.5, dead-band:2%    a number that is nearer than this to the one sent last is no reason to send
  align:5m                       changes leave at multiples of this, at another second on each device (no-spread: the same)
What must leave anyway takes along whatever waits, in all documents.";

const LEDGER_HELP: &str = "\
Examples:
  edge ledger --store /var/lib/pump
  edge ledger --json | jq '.months[-1].total.bytes'

Works while the edge runs and while it does not. The last 92 days (UTC) and 36 months are kept.";

/// A failure with its exit code.
#[derive(Debug)]
struct Failure {
    code: u8,
    message: String,
}

const FAILED: u8 = 1;
const BAD_ARGUMENT: u8 = 2;
const NOT_RUNNING: u8 = 3;
const NOT_FOUND: u8 = 4;
const NO_RECEIPT: u8 = 5;
const BAD_STORE: u8 = 6;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let is_run = matches!(cli.command, Command::Run { .. });
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(if is_run { "info" } else { "error" }));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("edge: no threads can be started: {error}");
            return ExitCode::from(FAILED);
        }
    };
    match runtime.block_on(execute(cli.command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("edge: {}", failure.message);
            ExitCode::from(failure.code)
        }
    }
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
                println!("{policies}");
            } else {
                parse::<Vec<DocumentPolicy>>(policies)?.iter().for_each(|policy| print!("{policy}"));
            }
            Ok(())
        }
        Command::Init { store, json } => {
            let Initialized { key, created } = init(&store.directory).await?;
            let store = store_path(&store.directory).display().to_string();
            if json {
                println!("{}", serde_json::json!({ "key": key, "store": store, "created": created }));
            } else {
                println!("key {key} store {store} {}", if created { "created" } else { "was there" });
            }
            Ok(())
        }
        Command::Key { store } => {
            println!("{}", init(&store.directory).await?.key);
            Ok(())
        }
        Command::Set { path, value, write } => {
            let value = Scalar::from_argument(&value).map_err(|error| Failure::of(BAD_ARGUMENT, &error))?;
            let document = write.target.document.clone();
            change(write, EdgeRequest::Set(Set { document, path, value })).await
        }
        Command::Delete { path, write } => {
            let document = write.target.document.clone();
            change(write, EdgeRequest::Delete(Delete { document, path })).await
        }
        Command::Get { path, target, raw } => get(target, path, raw).await,
        Command::Watch { path, target } => watch(target, path).await,
        Command::Status { store, json } => {
            let mut client = connect(&store.directory).await?;
            let status = client.request(&EdgeRequest::Status).await?;
            if json {
                println!("{status}");
            } else {
                print_status(&parse(status)?);
            }
            Ok(())
        }
    }
}

impl PolicyArgs {
    fn apply(self, mut options: Options) -> Result<Options, Failure> {
        let everywhere = self.max_delay.map(Rule::everywhere).transpose();
        let everywhere = everywhere.map_err(|error| Failure::of(BAD_ARGUMENT, &error))?;
        options.rules = everywhere.into_iter().chain(self.rules).collect();
        options.policy_path = self.policy_path;
        Ok(options)
    }
}

impl PlanArgs {
    fn apply(self, mut options: Options) -> Result<Options, Failure> {
        options.reset_day = self.budget_reset_day;
        options.urgent = self.urgent;
        options.transport.keep_alive = self.keep_alive.map(Duration::from_secs);
        let Some(bytes) = self.budget else { return Ok(options) };
        let plan = Plan::try_new(bytes, self.budget_reset_day, self.budget_reserve)
            .map_err(|error| Failure::of(BAD_ARGUMENT, &error))?;
        Ok(options.plan(plan))
    }
}

async fn run(options: Options) -> Result<(), Failure> {
    let directory = options.directory.clone();
    let socket = socket_path(&directory);
    let edge = Edge::open(options).await?;
    let status = edge.status().await?;
    tell_of_creation(edge.store_path(), Initialized { key: edge.public_key(), created: edge.is_store_new() });
    print!("key {}", status.public_key);
    for document in &status.documents {
        let DocumentStatus { document, cells, backlog_cells, .. } = document;
        print!(" document {document:?} cells {cells} backlog {backlog_cells}");
    }
    println!(" link {} socket {}", status.link, socket.display());
    let serving = serve(edge.clone(), &socket, stop_signal()?).await;
    let ended = edge.shut_down().await;
    serving.map_err(|error| Failure::of(FAILED, &error))?;
    ended?;
    Ok(())
}

/// Resolves at SIGTERM or SIGINT.
fn stop_signal() -> Result<impl Future<Output = ()>, Failure> {
    let listen = |kind| signal(kind).map_err(|error| Failure::of(FAILED, &error));
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Prints the ledger of the running edge, or of the store if none is running.
async fn print_ledger(directory: &Path, json: bool) -> Result<(), Failure> {
    let report: LedgerReport = match reach(directory, async || ledger(directory)).await? {
        Reached::Running(mut client) => parse(client.request(&EdgeRequest::Ledger).await?)?,
        Reached::Opened(report) => report,
    };
    if json {
        println!("{}", serde_json::to_value(&report).unwrap_or_default());
    } else {
        print!("{report}");
    }
    Ok(())
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

/// A store that was made is never made silently: where one was expected, it is somewhere else.
fn tell_of_creation(store: &Path, Initialized { key, created }: Initialized) {
    if created {
        eprintln!(
            "edge: created a new store at {} with a new key: the aggregator must let it in: aggregator allow {key}",
            store.display()
        );
    }
}

/// Makes a change in the running edge, or in the store if none is running.
async fn change(args: WriteArgs, request: EdgeRequest) -> Result<(), Failure> {
    let directory = &args.target.store.directory;
    let mut written: Written = match reach_document(&args.target).await? {
        Reached::Running(mut client) => {
            let mut written = parse(client.request(&request).await?)?;
            if args.wait {
                leave_company(&mut client).await?;
                let receipt = EdgeRequest::Receipt(Written::clone(&written));
                let timeout = Duration::from_secs_f64(args.timeout);
                match tokio::time::timeout(timeout, client.request(&receipt)).await {
                    Ok(answer) => written = parse(answer?)?,
                    Err(_) => return Err(no_receipt(args.timeout)),
                }
            }
            written
        }
        Reached::Opened((edge, document)) => {
            let receipt = match request {
                EdgeRequest::Set(Set { path, value, .. }) => document.set(&path, value).await,
                EdgeRequest::Delete(Delete { path, .. }) => document.delete(&path).await,
                _ => return Err(Failure { code: FAILED, message: "this is no change".to_owned() }),
            };
            let written = receipt.map(|receipt| Written::new(&receipt));
            edge.shut_down().await?;
            let written = written?;
            if args.wait {
                let message = format!(
                    "the write is on the disk, but no edge is running for {} that could send it: start edge run",
                    directory.display()
                );
                return Err(Failure { code: NOT_RUNNING, message });
            }
            written
        }
    };
    if args.json {
        written.at_aggregator |= written.time_ms.is_none();
        println!("{}", serde_json::to_value(&written).unwrap_or_default());
    }
    Ok(())
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
    let json = match reach_document(&target).await? {
        Reached::Running(mut client) => {
            client.request(&EdgeRequest::Get(Get { document: target.document, path })).await?
        }
        Reached::Opened((edge, document)) => {
            let found = document.tree(path.as_deref()).await;
            edge.shut_down().await?;
            found?.ok_or_else(|| {
                let message = path
                    .map_or_else(|| "the document is empty".to_owned(), |p| format!("nothing is at {p:?}"));
                Failure { code: NOT_FOUND, message }
            })?
        }
    };
    match json {
        Json::String(text) if raw => println!("{text}"),
        json => println!("{json}"),
    }
    Ok(())
}

async fn watch(target: TargetArgs, path: Option<String>) -> Result<(), Failure> {
    let mut client = connect(&target.store.directory).await?;
    client.send(&EdgeRequest::Watch(control::Watch { document: target.document, path })).await?;
    let mut out = std::io::stdout().lock();
    while let Some(change) = client.next().await? {
        use std::io::Write as _;
        if writeln!(out, "{change}").and_then(|()| out.flush()).is_err() {
            // Nobody reads any more.
            return Ok(());
        }
    }
    Err(Failure { code: NOT_RUNNING, message: "the edge has stopped".to_owned() })
}

fn print_status(status: &Status) {
    println!("public key    {}", status.public_key);
    println!("aggregator    {}", status.aggregator.as_deref().unwrap_or("none"));
    println!("link          {}", status.link);
    for document in &status.documents {
        println!("document      {:?}, {} cells, {} bytes", document.document, document.cells, document.bytes);
        println!("waits for     {}", document.waits_for);
        if let Some(problem) = &document.problem {
            println!("problem       {problem}");
        }
        println!("backlog       {} cells, {} bytes", document.backlog_cells, document.backlog_bytes);
        for bad in &document.bad_rules {
            println!("left out      the rule at {}: {}", bad.path, bad.reason);
        }
        if document.unverified {
            println!("unverified    own writes are held back until the aggregator has verified this copy");
        }
    }
    for line in &status.lines {
        let state = if line.open { "a device is there" } else { "nobody is there" };
        println!("line          {}: {state}, for {}", line.line, line.documents.join(", "));
        println!(
            "              {} frames received, {} sent, {} sent once more; {} packets dropped",
            line.frames_received, line.frames_sent, line.frames_repeated, line.packets_dropped
        );
        if let Some(problem) = &line.problem {
            println!("problem       {problem}");
        }
    }
    if !status.clock_is_trusted {
        println!("clock         not set; times go on from the last one seen");
    }
    if let Some(budget) = &status.budget {
        println!(
            "budget        {} of {} bytes since {}, {} kept for what is urgent",
            budget.spent_bytes, budget.cap_bytes, budget.period_from, budget.reserve_bytes
        );
        println!(
            "today         {} of {} bytes; {}",
            budget.spent_today_bytes,
            budget.allowance_today_bytes,
            match (budget.level, &budget.resumes) {
                (Level::Urgent, Some(day)) => format!("only what is urgent is sent until {day} (UTC)"),
                (Level::Nothing, Some(day)) => format!("nothing is sent until {day} (UTC)"),
                _ => "everything is sent".to_owned(),
            }
        );
    }
    println!("IP bytes      {} sent, {} received", status.ip_bytes_sent, status.ip_bytes_received);
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

/// The running edge, or else an edge on the store and the document that is wanted of it.
async fn reach_document(target: &TargetArgs) -> Result<Reached<(Edge, Document)>, Failure> {
    let mut options = Options::new(&target.store.directory);
    options.create = false;
    let open = async || match (Edge::open(options.clone()).await, &target.document) {
        // It would be the first one of this store.
        (Err(OpenError::NoDocument { .. }), Some(name)) => Edge::open(options.clone().document(name)).await,
        (opened, _) => opened,
    };
    let edge = match reach(&target.store.directory, open).await? {
        Reached::Running(client) => return Ok(Reached::Running(client)),
        Reached::Opened(edge) => edge,
    };
    let document = match &target.document {
        Some(name) => edge.document(name),
        None => Ok(edge.main_document().clone()),
    };
    match document {
        Ok(document) => Ok(Reached::Opened((edge, document))),
        Err(error) => {
            edge.shut_down().await?;
            Err(error.into())
        }
    }
}

async fn connect(directory: &Path) -> Result<Client, Failure> {
    runtime_linux::connect(directory).await.map_err(|error| match error {
        ConnectError::NotRunning { .. } if !store_path(directory).exists() => {
            let missing = OpenError::NoStore { path: store_path(directory) };
            Failure { code: NOT_RUNNING, message: format!("no process is running, and {missing}") }
        }
        error => error.into(),
    })
}

fn parse<T: serde::de::DeserializeOwned>(json: Json) -> Result<T, Failure> {
    serde_json::from_value(json).map_err(|error| {
        let message = format!("the running edge is of another version: {error}");
        Failure { code: FAILED, message }
    })
}

fn no_receipt(seconds: f64) -> Failure {
    let message = format!(
        "the write is on this device's disk, but the aggregator's receipt did not come in {seconds} s; edge status tells why"
    );
    Failure { code: NO_RECEIPT, message }
}

/// A number of bytes, a month: `50MB/month`.
fn budget_size(text: &str) -> Result<u64, String> {
    let size = text.strip_suffix("/month").unwrap_or(text).trim();
    let digits = size.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(size.len());
    let (number, unit) = size.split_at(digits);
    let factor: u32 = match unit.trim() {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        unit => {
            return Err(format!(
                "{unit:?} is no unit here: use kB, MB, GB, KiB, MiB or GiB, such as 50MB/month"
            ));
        }
    };
    let number: f64 = number.parse().map_err(|_| "no number; write it as 50MB/month".to_owned())?;
    Ok((number * f64::from(factor)) as u64)
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

impl Failure {
    fn of(code: u8, error: &dyn std::error::Error) -> Self {
        Self { code, message: ErrorReply::with_sources("", error).message }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        let code = match &error {
            OpenError::Document(_)
            | OpenError::NoStore { .. }
            | OpenError::SecretKey { .. }
            | OpenError::Store(_) => BAD_STORE,
            OpenError::Name { .. }
            | OpenError::LineDocument { .. }
            | OpenError::NoDocument { .. }
            | OpenError::PolicyPath { .. }
            | OpenError::TwoRules { .. }
            | OpenError::TooManyDocuments { .. }
            | OpenError::Urgent { .. } => BAD_ARGUMENT,
            _ => FAILED,
        };
        Self::of(code, &error)
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        let code = match &error {
            ConnectError::NotRunning { .. } => NOT_RUNNING,
            ConnectError::OtherStore { .. } => BAD_STORE,
            _ => FAILED,
        };
        Self::of(code, &error)
    }
}

impl From<EdgeError> for Failure {
    fn from(error: EdgeError) -> Self {
        Self::of(code_of(error.code()), &error)
    }
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Self {
        let code = match &error {
            RequestError::Refused(reply) => code_of(&reply.code),
            _ => FAILED,
        };
        Self::of(code, &error)
    }
}

/// The exit code for a reply's code.
fn code_of(code: &str) -> u8 {
    match code {
        "bad_path" | "bad_value" | "other_document" | ErrorReply::BAD_REQUEST => BAD_ARGUMENT,
        "not_found" => NOT_FOUND,
        "store_failed" => BAD_STORE,
        _ => FAILED,
    }
}
