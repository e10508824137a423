//! Datagrams between nodes, in virtual time.
//!
//! Every node hangs on an [`AccessLink`]; between the links lies a core that is instant and never loses anything. A
//! datagram passes the sender's uplink, is routed in the core by its destination address *as it stands at that moment*,
//! and passes the receiver's downlink. Both hops are events of one queue, ordered by time and then by the order of their
//! creation, so a run is a function of its seed and of the calls made.
//!
//! Each node has a private address, which it binds and never changes, and a public one, which others see. They are the
//! same until [`Network::rebind`] moves the public one, as a carrier's NAT does: from then on the old public address is
//! dead, and the node is not told. [`Network::set_nat`] puts a NAT between, which does that by itself.
//!
//! A datagram for a device whose radio does not listen is kept in the core: until the device is paged, or sends itself.
//!
//! # Cost
//!
//! Datagrams of 100 bytes a second of host time, both hops, one core of a shared 2-core x86-64 virtual machine, November
//! 2026 (`cargo run --release -p sim --example network_throughput`): 5.3 million between 2 nodes on `lte`, 2.1 million
//! among 100, 0.4 million among 10,000, where the state of the links (about 1 kB a node) no longer fits the cache.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::net::SocketAddr;

use crate::access_link::{AccessLink, Tally, Traffic};
use crate::clock::SimTime;
use crate::coverage::CoveragePlan;
use crate::link_profiles::{Link, LinkProfile};
use crate::mobility::MobilityProfile;
use crate::nat::{self, Nat, NatProfile, Renewal};
use crate::outages::{Cut, Direction, Schedule};
use crate::pipe::Fate;
use crate::radio::RadioUsage;
use crate::rng::SimRng;

/// A simulated network. See the [module](self) for what is simulated and [`crate`] for the loop around it.
///
/// # Panics
///
/// All methods that take a [`NodeId`] panic if it comes from another network.
#[derive(Debug)]
pub struct Network {
    seed: u64,
    now: SimTime,
    nodes: Vec<Node>,
    /// Who is behind a public address.
    routes: BTreeMap<SocketAddr, NodeId>,
    events: BinaryHeap<Reverse<Event>>,
    next_sequence: u64,
    /// The datagrams that events point to. An empty slot is on the list of free ones.
    slots: Vec<Option<Datagram>>,
    free_slots: Vec<u32>,
    /// Addresses that NATs have taken from their pool.
    pooled: u32,
}

impl Network {
    /// A network without nodes. The same `seed` and the same calls give the same deliveries.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            now: SimTime::ZERO,
            nodes: Vec::new(),
            routes: BTreeMap::new(),
            events: BinaryHeap::new(),
            next_sequence: 0,
            slots: Vec::new(),
            free_slots: Vec::new(),
            pooled: 0,
        }
    }

    /// Adds a node that binds `addr` and is known to others by it, on a link of its own.
    ///
    /// # Errors
    ///
    /// [`AddressInUse`] if another node is known by `addr`.
    pub fn attach(&mut self, addr: SocketAddr, profile: LinkProfile) -> Result<NodeId, AddressInUse> {
        let index = u32::try_from(self.nodes.len()).expect("a run has fewer than 2^32 nodes");
        let id = NodeId(index);
        self.claim(addr, id)?;
        let link = AccessLink::new(profile, self.seed, index);
        self.nodes.push(Node {
            private: addr,
            public: addr,
            link,
            nat: None,
            new_addresses: 0,
            held: VecDeque::new(),
            release_at: None,
            filtered: Tally::default(),
            unroutable: Tally::default(),
        });
        Ok(id)
    }

    /// Sends a datagram from a node. Costs O(log datagrams under way).
    ///
    /// Nothing is reported: whoever sends a datagram never learns what became of it. The counters of
    /// [`traffic`](Self::traffic) and [`unroutable`](Self::unroutable) know. A `now` before that of an earlier send or
    /// delivery counts as that one: time does not run backwards.
    pub fn send(&mut self, now: SimTime, from: NodeId, to: SocketAddr, bytes: Vec<u8>) {
        let now = self.advance(now);
        let datagram = Datagram { sender: from, hop: Hop::ToCore { to }, bytes };
        self.offer(now, from, Direction::Uplink, datagram);
    }

    /// When [`deliver`](Self::deliver) has something to do next: a delivery, or a step inside the network.
    #[must_use]
    pub fn next_event(&self) -> Option<SimTime> {
        self.events.peek().map(|Reverse(event)| event.at)
    }

    /// Moves the network on to `now`, up to its next delivery. Call until it returns `None`.
    pub fn deliver(&mut self, now: SimTime) -> Option<Delivery> {
        while self.next_event().is_some_and(|at| at <= now) {
            let Reverse(event) = self.events.pop().expect("an event was peeked");
            let at = self.advance(event.at);
            match event.what {
                What::Arrival { slot } => {
                    let datagram = self.take(slot);
                    if let Some(delivery) = self.finish_hop(at, datagram) {
                        return Some(delivery);
                    }
                }
                What::Paging { node } => self.page(at, node),
            }
        }
        None
    }

    /// Gives a node a new public address, which it is not told: the next free port of its public IP address.
    ///
    /// # Panics
    ///
    /// If the IP address has no free port left.
    pub fn rebind(&mut self, node: NodeId) -> SocketAddr {
        let mut addr = self.public_addr(node);
        let free = (0..u16::MAX).find_map(|_| {
            addr.set_port(addr.port().checked_add(1).unwrap_or(FIRST_NAT_PORT));
            (!self.routes.contains_key(&addr)).then_some(addr)
        });
        let addr = free.expect("an address of the simulation has a free port");
        self.rebind_to(node, addr).expect("the port was free");
        addr
    }

    /// Gives a node the public address `addr`, which it is not told. The old one is dead at once, also for datagrams that
    /// have not reached the core yet; datagrams of the node that have not reached it come from the new one.
    ///
    /// # Errors
    ///
    /// [`AddressInUse`] if another node has it; then nothing changes.
    pub fn rebind_to(&mut self, node: NodeId, addr: SocketAddr) -> Result<(), AddressInUse> {
        let old = self.public_addr(node);
        if old == addr {
            return Ok(());
        }
        self.claim(addr, node)?;
        self.routes.remove(&old);
        self.node_mut(node).public = addr;
        Ok(())
    }

    /// Cuts a node off until [`restore`](Self::restore). What is on its link is lost.
    pub fn cut(&mut self, node: NodeId, cut: Cut) {
        self.node_mut(node).link.cut(cut);
    }

    /// Ends what [`cut`](Self::cut) began. Planned outages stay.
    pub fn restore(&mut self, node: NodeId) {
        self.node_mut(node).link.restore();
    }

    /// Cuts a node off from `from` until just before `until`. Outages may overlap.
    pub fn plan_outage(&mut self, node: NodeId, from: SimTime, until: SimTime, cut: Cut) {
        self.node_mut(node).link.plan_outage(from, until, cut);
    }

    /// Changes the link of a node for later datagrams; those under way and the counters stay.
    pub fn set_profile(&mut self, node: NodeId, profile: LinkProfile) {
        self.node_mut(node).link.set_profile(profile);
    }

    /// Cuts a node off as `schedule` says, and at `until` no longer. `clock` tells which days these are; random outages are drawn from
    /// a stream of the node's own.
    pub fn plan_outages(
        &mut self,
        node: NodeId,
        schedule: &Schedule,
        clock: &crate::clock::Clock,
        until: SimTime,
    ) {
        let mut rng = self.stream(OUTAGE_STREAMS, node);
        for window in schedule.windows(clock, until, &mut rng) {
            self.plan_outage(node, window.from, window.until.min(until), window.cut);
        }
    }

    /// Puts a NAT between a node and the others. Its present public address is that of the first mapping.
    pub fn set_nat(&mut self, node: NodeId, profile: NatProfile) {
        self.node_mut(node).nat = Some(Nat::new(profile));
    }

    /// Makes a node one that moves from cell to cell, from the beginning of the run on.
    pub fn set_mobility(&mut self, node: NodeId, profile: MobilityProfile) {
        let rng = self.stream(MOBILITY_STREAMS, node);
        self.node_mut(node).link.set_mobility(profile, rng);
    }

    /// Makes the coverage of a node change; see [`AccessLink::set_coverage`].
    pub fn set_coverage(&mut self, node: NodeId, link: Link, plan: CoveragePlan) {
        self.node_mut(node).link.set_coverage(link, plan);
    }

    /// What has passed the link of a node.
    #[must_use]
    pub fn traffic(&self, node: NodeId) -> &Traffic {
        self.node(node).link.traffic()
    }

    /// What a node sent, and its uplink carried, to addresses that nobody had when it reached the core.
    #[must_use]
    pub fn unroutable(&self, node: NodeId) -> Tally {
        self.node(node).unroutable
    }

    /// What came for a node and did not pass its NAT. It costs the node nothing.
    #[must_use]
    pub fn filtered(&self, node: NodeId) -> Tally {
        self.node(node).filtered
    }

    /// How often the NAT of a node has made its mapping again.
    #[must_use]
    pub fn nat_renewals(&self, node: NodeId) -> u64 {
        self.node(node).nat.as_ref().map_or(0, Nat::renewals)
    }

    /// How long the radio of a node was in which state until `now`; `None` for a link without a radio.
    #[must_use]
    pub fn radio_usage(&self, node: NodeId, now: SimTime) -> Option<RadioUsage> {
        self.node(node).link.radio_usage(now)
    }

    /// What the radio of a node has drawn until `now`, in millijoules, where its profile knows currents: an estimate.
    #[must_use]
    pub fn energy_estimate_mj(&self, node: NodeId, now: SimTime) -> Option<u64> {
        self.node(node).link.energy_estimate_mj(now)
    }

    /// The address that a node has bound.
    #[must_use]
    pub fn private_addr(&self, node: NodeId) -> SocketAddr {
        self.node(node).private
    }

    /// The address by which others know a node now.
    #[must_use]
    pub fn public_addr(&self, node: NodeId) -> SocketAddr {
        self.node(node).public
    }

    /// Who is behind a public address now.
    #[must_use]
    pub fn node_at(&self, public: SocketAddr) -> Option<NodeId> {
        self.routes.get(&public).copied()
    }

    /// Number of datagrams under way, duplicates and those that wait for a sleeping device included.
    #[must_use]
    pub fn under_way(&self) -> usize {
        let held: usize = self.nodes.iter().map(|node| node.held.len()).sum();
        self.slots.len() - self.free_slots.len() + held
    }

    fn advance(&mut self, now: SimTime) -> SimTime {
        self.now = self.now.max(now);
        self.now
    }

    fn claim(&mut self, addr: SocketAddr, node: NodeId) -> Result<(), AddressInUse> {
        if self.routes.contains_key(&addr) {
            return Err(AddressInUse { addr });
        }
        self.routes.insert(addr, node);
        Ok(())
    }

    /// Offers a datagram to a link, or keeps it while the device does not listen. What a device sends wakes it for what
    /// waits.
    fn offer(&mut self, now: SimTime, owner: NodeId, direction: Direction, datagram: Datagram) {
        match direction {
            Direction::Downlink => {
                let node = self.node_mut(owner);
                if node.link.reachable_at(now) <= now {
                    self.enter_link(now, owner, direction, datagram);
                } else if node.link.has_room_for(node.held.len()) {
                    node.held.push_back(datagram);
                    self.plan_paging(now, owner);
                } else {
                    node.link.refuse(datagram.ip_len());
                }
            }
            Direction::Uplink => {
                self.enter_link(now, owner, direction, datagram);
                self.page(now, owner);
            }
        }
    }

    /// Sends what waits for a node on its way, if it can be reached now.
    fn page(&mut self, now: SimTime, owner: NodeId) {
        let node = self.node_mut(owner);
        node.release_at.take_if(|at| *at <= now);
        if node.held.is_empty() {
            return;
        }
        if node.link.reachable_at(now) > now {
            self.plan_paging(now, owner);
            return;
        }
        for datagram in std::mem::take(&mut node.held) {
            self.enter_link(now, owner, Direction::Downlink, datagram);
        }
    }

    fn plan_paging(&mut self, now: SimTime, owner: NodeId) {
        let node = self.node_mut(owner);
        let at = node.link.reachable_at(now);
        if node.release_at.is_none_or(|planned| at < planned) {
            node.release_at = Some(at);
            self.push_event(at, What::Paging { node: owner });
        }
    }

    fn enter_link(&mut self, now: SimTime, owner: NodeId, direction: Direction, datagram: Datagram) {
        let ip_len = datagram.ip_len();
        match self.node_mut(owner).link.enter(direction, now, ip_len) {
            Fate::Arrives { at, copy_at } => {
                let copy = copy_at.map(|copy_at| (copy_at, datagram.clone()));
                self.schedule(at, datagram);
                if let Some((copy_at, copy)) = copy {
                    self.schedule(copy_at, copy);
                }
            }
            Fate::Dropped(_) => {}
        }
    }

    fn finish_hop(&mut self, now: SimTime, datagram: Datagram) -> Option<Delivery> {
        let ip_len = datagram.ip_len();
        match datagram.hop {
            Hop::ToCore { to } => {
                if self.node_mut(datagram.sender).link.leave(Direction::Uplink, now, ip_len) {
                    self.route(now, to, datagram);
                }
                None
            }
            Hop::ToNode { node, from } => {
                let receiver = self.node_mut(node);
                let to = receiver.private;
                let arrived = receiver.link.leave(Direction::Downlink, now, ip_len);
                arrived.then_some(Delivery { at: now, node, to, from, bytes: datagram.bytes })
            }
        }
    }

    fn route(&mut self, now: SimTime, to: SocketAddr, mut datagram: Datagram) {
        self.translate(now, datagram.sender, to);
        let from = self.public_addr(datagram.sender);
        let Some(node) = self.node_at(to).filter(|_| from.is_ipv4() == to.is_ipv4()) else {
            let ip_len = datagram.ip_len();
            self.node_mut(datagram.sender).unroutable.add(ip_len);
            return;
        };
        datagram.hop = Hop::ToNode { node, from };
        let receiver = self.node_mut(node);
        if receiver.nat.as_ref().is_some_and(|nat| !nat.admits(now, from)) {
            receiver.filtered.add(datagram.ip_len());
            return;
        }
        self.offer(now, node, Direction::Downlink, datagram);
    }

    /// What happens to the public address of a node when it sends to `to`.
    fn translate(&mut self, now: SimTime, sender: NodeId, to: SocketAddr) {
        let node = self.node_mut(sender);
        let renewal = node.nat.as_mut().and_then(|nat| nat.outbound(now, to));
        let new_addresses = node.link.new_addresses(now);
        let has_moved = std::mem::replace(&mut node.new_addresses, new_addresses) != new_addresses;
        match renewal {
            _ if has_moved => self.rebind_to_pool(sender),
            Some(Renewal::NewAddress) => self.rebind_to_pool(sender),
            Some(Renewal::NewPort) => drop(self.rebind(sender)),
            None => {}
        }
    }

    fn rebind_to_pool(&mut self, node: NodeId) {
        self.pooled += 1;
        let pooled = nat::pool_address(self.public_addr(node), self.pooled);
        if pooled.is_none_or(|addr| self.rebind_to(node, addr).is_err()) {
            self.rebind(node);
        }
    }

    fn schedule(&mut self, at: SimTime, datagram: Datagram) {
        let slot = self.free_slots.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 datagrams are under way")
        });
        self.slots[slot as usize] = Some(datagram);
        self.push_event(at, What::Arrival { slot });
    }

    fn push_event(&mut self, at: SimTime, what: What) {
        self.events.push(Reverse(Event { at, sequence: self.next_sequence, what }));
        self.next_sequence += 1;
    }

    fn take(&mut self, slot: u32) -> Datagram {
        self.free_slots.push(slot);
        self.slots[slot as usize].take().expect("an event points to its datagram")
    }

    /// A stream of random numbers for one thing about one node.
    fn stream(&self, base: u64, node: NodeId) -> SimRng {
        SimRng::new(self.seed, base + u64::from(node.0))
    }

    fn node(&self, id: NodeId) -> &Node {
        self.nodes.get(id.0 as usize).expect("the node id comes from attach of this network")
    }

    fn node_mut(&mut self, id: NodeId) -> &mut Node {
        self.nodes.get_mut(id.0 as usize).expect("the node id comes from attach of this network")
    }
}

/// A node of one [`Network`]; numbered from 0 in the order of [`Network::attach`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u32);

impl NodeId {
    /// The number of the node, for use as an index.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A datagram that has arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Delivery {
    /// When it arrived.
    pub at: SimTime,
    /// Where.
    pub node: NodeId,
    /// The private address of that node, which it was translated to.
    pub to: SocketAddr,
    /// The public address of the sender when the datagram passed the core.
    pub from: SocketAddr,
    /// The UDP payload.
    pub bytes: Vec<u8>,
}

/// A public address that another node has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the address {addr} is taken by another node: use one that is free")]
pub struct AddressInUse {
    /// The address.
    pub addr: SocketAddr,
}

/// Length of the IP packet that carries `payload_len` bytes over UDP to or from `addr`: 28 bytes more over IPv4, 48 more
/// over IPv6.
#[must_use]
pub fn ip_packet_len(addr: SocketAddr, payload_len: usize) -> u32 {
    let header_len = if addr.is_ipv4() { IP_UDP_HEADER_V4_BYTES } else { IP_UDP_HEADER_V6_BYTES };
    u32::try_from(payload_len).unwrap_or(u32::MAX).saturating_add(header_len)
}

/// IPv4 header without options, and UDP header, in bytes.
pub const IP_UDP_HEADER_V4_BYTES: u32 = 20 + 8;
/// IPv6 header without extensions, and UDP header, in bytes.
pub const IP_UDP_HEADER_V6_BYTES: u32 = 40 + 8;

#[derive(Debug)]
struct Node {
    private: SocketAddr,
    public: SocketAddr,
    link: AccessLink,
    nat: Option<Nat>,
    /// Of the changes of cell, those with a new address that have been seen.
    new_addresses: u64,
    /// What waits for the radio to listen.
    held: VecDeque<Datagram>,
    /// The earliest paging that is planned.
    release_at: Option<SimTime>,
    filtered: Tally,
    unroutable: Tally,
}

/// Something to be done. Ordered by time, then by creation; what it is never decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Event {
    at: SimTime,
    sequence: u64,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    /// The end of a hop.
    Arrival { slot: u32 },
    /// A device listens, and something waits for it.
    Paging { node: NodeId },
}

#[derive(Clone, Debug)]
struct Datagram {
    sender: NodeId,
    hop: Hop,
    bytes: Vec<u8>,
}

impl Datagram {
    fn ip_len(&self) -> u32 {
        let addr = match self.hop {
            Hop::ToCore { to } => to,
            Hop::ToNode { from, .. } => from,
        };
        ip_packet_len(addr, self.bytes.len())
    }
}

#[derive(Clone, Copy, Debug)]
enum Hop {
    ToCore { to: SocketAddr },
    ToNode { node: NodeId, from: SocketAddr },
}

/// Where the search for a free port goes on after the last one: the first port that is not reserved.
const FIRST_NAT_PORT: u16 = 1_024;
/// Apart from those of the links, which are counted from 0.
const MOBILITY_STREAMS: u64 = 1 << 43;
const OUTAGE_STREAMS: u64 = 1 << 44;

#[cfg(test)]
mod tests;
