//! Members over real QUIC on the loopback interface, and a real aggregator with its disk.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use crdt_core::{Output, PeerId, Role, SessionId};
use runtime_cloud::engine::Request;
use runtime_cloud::{Offline, Options, Place, Server};
use tokio::sync::oneshot;
use transport_quic::{
    Config, ConnectionId, Driver, EventReceiver, Handle, Identity, Link, LinkEvent, PublicKey,
};

use super::{Cost, End, Workload};

/// One write under way each.
pub const MEMBERS: Workload = Workload {
    name: "members",
    unit: "members",
    what: "writes of members with one under way each, acknowledged by an aggregator over QUIC",
    sizes: &[50, 100, 200, 1_000],
    measure: |members| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(measure(members))
    },
};

async fn measure(members: usize) -> anyhow::Result<Cost> {
    let directory = tempfile::tempdir()?;
    let place = Place::new(directory.path());
    let identities = (0..members).map(|_| Identity::generate()).collect::<Result<Vec<_>, _>>()?;
    let mut offline = Offline::open(&place, true)?;
    for identity in &identities {
        offline.request(Request::Allow { key: identity.public_key(), document: Some("scale".into()) })??;
    }
    offline.close()?;
    let listen = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0);
    let server = Server::start(Options { place, listen, transport: Config::cat_m1() }).await?;
    let (address, key) = (server.local_addr(), server.public_key());
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(server.run(async { drop(stopped.await) }));

    let counts = Arc::new(Counts::default());
    let mut tasks = tokio::task::JoinSet::new();
    for (n, identity) in identities.into_iter().enumerate() {
        let counts = Arc::clone(&counts);
        tasks.spawn(async move {
            let member = Member::connect(n as u64 + 1, identity, address, key).await?;
            member.run(&counts).await
        });
    }
    // Until each has had a write acknowledged, and some time more.
    let start = Instant::now();
    while counts.ready.load(Ordering::Relaxed) < members as u64 {
        ensure!(start.elapsed() < START_MAX, "{members} members are not in session after {START_MAX:?}");
        if let Some(ended) = tasks.try_join_next() {
            ended??;
            bail!("a member has ended");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(WARM_UP).await;
    let (before, start) = (counts.acknowledged.load(Ordering::Relaxed), Instant::now());
    tokio::time::sleep(MEASURED).await;
    let acknowledged = counts.acknowledged.load(Ordering::Relaxed) - before;
    let per_second = acknowledged as f64 / start.elapsed().as_secs_f64();
    counts.is_over.store(true, Ordering::Relaxed);
    tasks.shutdown().await;
    drop(stop);
    server.await??;
    Ok(Cost::PerSecond(per_second))
}

#[derive(Default)]
struct Counts {
    /// Members that have had an acknowledgement.
    ready: AtomicU64,
    acknowledged: AtomicU64,
    is_over: AtomicBool,
}

/// A device without a disk.
struct Member {
    end: End,
    path: String,
    handle: Handle,
    events: EventReceiver,
    conn: ConnectionId,
    aggregator: PeerId,
    session: SessionId,
    /// Of each message under way, the claims that were sent by then.
    claims: VecDeque<u32>,
    writes: i64,
}

impl Member {
    async fn connect(
        n: u64,
        identity: Identity,
        address: SocketAddr,
        key: PublicKey,
    ) -> anyhow::Result<Self> {
        let peer = PeerId(identity.public_key().0);
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&n.to_le_bytes());
        let link = Link::client(identity, Config::cat_m1(), seed);
        let (handle, mut events) = Driver::bind(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0), link)?;
        handle.connect(address, key).await?;
        let conn = loop {
            match events.recv().await.context("the link ended")? {
                LinkEvent::Connected { conn, .. } => break conn,
                LinkEvent::Closed { reason, .. } => bail!("{reason}"),
                _ => {}
            }
        };
        let mut end = End::new(n, Role::Member)?;
        end.peer = peer;
        let aggregator = PeerId(key.0);
        let session = end.connect(aggregator, true)?;
        let path = format!("unit{n:04}/state");
        Ok(Self { end, path, handle, events, conn, aggregator, session, claims: VecDeque::new(), writes: 0 })
    }

    async fn run(mut self, counts: &Counts) -> anyhow::Result<()> {
        self.write()?;
        self.send().await?;
        while !counts.is_over.load(Ordering::Relaxed) {
            match self.events.recv().await.context("the link ended")? {
                LinkEvent::Message { message, .. } => self.end.take(self.session, &message)?,
                LinkEvent::Delivered { .. } => {
                    let claims = self.claims.pop_front().context("a delivery of nothing")?;
                    self.end.replica.note_delivered(self.session, claims);
                }
                LinkEvent::Closed { reason, .. } => bail!("{reason}"),
                _ => {}
            }
            let own = self.end.replica.document().version_vector().time_of(self.end.replica.id());
            if self.end.replica.acknowledged_through(self.aggregator) >= own {
                counts.acknowledged.fetch_add(1, Ordering::Relaxed);
                counts.ready.fetch_add(u64::from(self.writes == 1), Ordering::Relaxed);
                self.write()?;
            }
            self.send().await?;
        }
        Ok(())
    }

    fn write(&mut self) -> anyhow::Result<()> {
        self.writes += 1;
        self.end.now_ms += 1;
        self.end.write(&self.path, self.writes)
    }

    async fn send(&mut self) -> anyhow::Result<()> {
        let mut buffer = [0; 16 * 1024];
        loop {
            let moment = self.end.moment();
            match self.end.replica.poll_output(moment, &mut buffer) {
                None => return Ok(()),
                Some(Output::Persist) => {
                    let token = self.end.replica.take_unsaved(|_| {});
                    self.end.replica.handle_persisted(token);
                }
                Some(Output::Transmit { session, len }) => {
                    self.claims.push_back(self.end.replica.claims_sent(session));
                    self.handle.send(self.conn, buffer[..len].to_vec()).await?;
                }
                Some(Output::Event(_) | Output::Close { .. }) => {}
            }
        }
    }
}

/// Time for all members to connect.
const START_MAX: Duration = Duration::from_secs(240);
const WARM_UP: Duration = Duration::from_secs(2);
const MEASURED: Duration = Duration::from_secs(6);
