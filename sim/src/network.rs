//! Datagrams between nodes, in virtual time.
//!
//! Every node hangs on an [`AccessLink`]; between the links lies a core that is instant and never loses anything. A
//! datagram passes the sender's uplink, is routed in the core by its destination address *as it stands at that moment*,
//! and passes the receiver's downlink. Both hops are events of one queue, ordered by time and then by the order of their
//! creation, so a run is a function of its seed and of the calls made.
//!
//! Each node has a private address, which it binds and never changes, and a public one, which others see. They are the
//! same until [`Network::rebind`] moves the public one, as a carrier's NAT does: from then on the old public address is
//! dead, and the node is not told.
//!
//! # Cost
//!
//! Datagrams of 100 bytes a second of host time, both hops, one core of a shared 2-core x86-64 virtual machine, November
//! 2026 (`cargo run --release -p sim --example network_throughput`): 5.3 million between 2 nodes on `lte`, 2.1 million
//! among 100, 0.4 million among 10,000, where the state of the links (about 1 kB a node) no longer fits the cache.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::SocketAddr;

use crate::access_link::{AccessLink, Tally, Traffic};
use crate::clock::SimTime;
use crate::link_profiles::LinkProfile;
use crate::outages::{Cut, Direction};
use crate::pipe::Fate;

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
        self.nodes.push(Node { private: addr, public: addr, link, unroutable: Tally::default() });
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
        self.enter_link(now, from, Direction::Uplink, datagram);
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
            let datagram = self.take(event.slot);
            if let Some(delivery) = self.finish_hop(at, datagram) {
                return Some(delivery);
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

    /// Number of datagrams under way, duplicates included.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.events.len()
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
        let from = self.public_addr(datagram.sender);
        let Some(node) = self.node_at(to).filter(|_| from.is_ipv4() == to.is_ipv4()) else {
            let ip_len = datagram.ip_len();
            self.node_mut(datagram.sender).unroutable.add(ip_len);
            return;
        };
        datagram.hop = Hop::ToNode { node, from };
        self.enter_link(now, node, Direction::Downlink, datagram);
    }

    fn schedule(&mut self, at: SimTime, datagram: Datagram) {
        let slot = self.free_slots.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 datagrams are under way")
        });
        self.slots[slot as usize] = Some(datagram);
        self.events.push(Reverse(Event { at, sequence: self.next_sequence, slot }));
        self.next_sequence += 1;
    }

    fn take(&mut self, slot: u32) -> Datagram {
        self.free_slots.push(slot);
        self.slots[slot as usize].take().expect("an event points to its datagram")
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
    unroutable: Tally,
}

/// The end of a hop. Ordered by time, then by creation; the slot never decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Event {
    at: SimTime,
    sequence: u64,
    slot: u32,
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

#[cfg(test)]
mod tests;
