//! Where the aggregator is: an address as it was given, or a name that the system looks up.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use tokio::sync::oneshot;

use crate::status::Problem;

/// What was given as host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// An address, which needs no look-up.
    Address(SocketAddr),
    /// A name, or an address with the name of an interface, which the system knows.
    Name { host: String, port: u16 },
}

impl Target {
    /// Reads `192.0.2.7:4433`, `[2001:db8::7]:4433`, `[fe80::7%eth0]:4433` or `sync.example.com:4433`.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return match (address.port(), address.ip().is_unspecified()) {
                (0, _) => Err(PORT_0),
                (_, true) => Err("it stands for all addresses of a device, not for one"),
                _ => Ok(Self::Address(canonical(address))),
            };
        }
        let Some((host, port)) = text.rsplit_once(':') else { return Err(NO_PORT) };
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        match port.parse() {
            _ if host.is_empty() => {
                Err("the host is missing; give host and port, such as sync.example.com:4433")
            }
            Ok(0) => Err(PORT_0),
            Ok(port) => Ok(Self::Name { host: host.to_owned(), port }),
            Err(_) => Err(NO_PORT),
        }
    }
}

/// An IPv4 address stays one however it is written.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    match (address.ip().to_canonical(), address) {
        (ip @ std::net::IpAddr::V4(_), _) => SocketAddr::new(ip, address.port()),
        _ => address,
    }
}

/// Addresses that were found, or what the system says.
pub(crate) type Found = io::Result<Vec<SocketAddr>>;

/// The look-up that is under way, of which there is one at most.
///
/// The system's look-up cannot be stopped, and may take as long as it likes. So it has a thread of its own that nobody
/// waits for at the end: not this process, and not a program that embeds this library. Whoever asks again while it runs
/// gets its answer.
#[derive(Debug, Default)]
pub(crate) struct LookUp {
    running: Option<oneshot::Receiver<Found>>,
}

impl LookUp {
    /// Begins one, unless one is under way.
    ///
    /// # Errors
    /// What the system says if it gives no thread.
    pub(crate) fn start(&mut self, target: &Target) -> io::Result<()> {
        if self.running.is_some() {
            return Ok(());
        }
        let (reply, answer) = oneshot::channel();
        // A reply fails if nobody waits for it any more.
        match target.clone() {
            Target::Address(address) => drop(reply.send(Ok(vec![address]))),
            Target::Name { host, port } => {
                let look_up = move || {
                    let found = (host.as_str(), port).to_socket_addrs().map(Iterator::collect);
                    drop(reply.send(found));
                };
                std::thread::Builder::new().name("look-up".to_owned()).spawn(look_up)?;
            }
        }
        self.running = Some(answer);
        Ok(())
    }

    /// Waits for what was found; forever while no look-up is under way. Nothing is lost if the future is dropped.
    pub(crate) async fn finished(&mut self) -> Found {
        let Some(running) = &mut self.running else { return std::future::pending().await };
        let found = running.await;
        self.running = None;
        found.unwrap_or_else(|_| Err(io::Error::other("the look-up ended without an answer")))
    }
}

/// The problem with what a look-up of `host` gave, if it gave nothing.
pub(crate) fn check(host: &str, found: Found) -> Result<Vec<SocketAddr>, Problem> {
    let name = host.to_owned();
    match found {
        Ok(addresses) if addresses.is_empty() => Err(Problem::NoAddress { name }),
        Ok(addresses) => Ok(addresses),
        Err(error) => {
            let text = error.to_string();
            let detail = text.strip_prefix(LOOKUP_PREFIX).unwrap_or(&text).to_owned();
            let is_empty = NO_ADDRESS_TEXTS.contains(&detail.as_str());
            Err(if is_empty { Problem::NoAddress { name } } else { Problem::LookUpFailed { name, detail } })
        }
    }
}

const NO_PORT: &str = "the port is missing; give host and port, such as sync.example.com:4433";
const PORT_0: &str = "nobody can be at port 0";
/// What the standard library puts before the system's words.
const LOOKUP_PREFIX: &str = "failed to lookup address information: ";
/// How glibc and musl say that a name exists and has no address. The error has no other mark.
const NO_ADDRESS_TEXTS: [&str; 2] = ["No address associated with hostname", "Name has no usable address"];

#[cfg(test)]
mod tests {
    use super::*;

    fn name(host: &str, port: u16) -> Result<Target, &'static str> {
        Ok(Target::Name { host: host.to_owned(), port })
    }

    #[test]
    fn an_address_needs_no_look_up_and_a_name_does() {
        for (text, address) in [
            ("192.0.2.7:4433", "192.0.2.7:4433"),
            ("[2001:db8::7]:4433", "[2001:db8::7]:4433"),
            ("[fe80::7%3]:4433", "[fe80::7%3]:4433"),
            ("[::ffff:192.0.2.7]:4433", "192.0.2.7:4433"),
        ] {
            assert_eq!(Target::parse(text), Ok(Target::Address(address.parse().unwrap())), "{text}");
        }
        assert_eq!(Target::parse("sync.example.com:4433"), name("sync.example.com", 4433));
        assert_eq!(Target::parse("[fe80::7%eth0]:4433"), name("fe80::7%eth0", 4433));
        for (text, message) in [
            ("", "port is missing"),
            ("sync.example.com", "port is missing"),
            ("sync.example.com:", "port is missing"),
            ("sync.example.com:https", "port is missing"),
            ("sync.example.com:70000", "port is missing"),
            (":4433", "host is missing"),
            ("sync.example.com:0", "port 0"),
            ("192.0.2.7:0", "port 0"),
            ("0.0.0.0:4433", "all addresses"),
            ("[::]:4433", "all addresses"),
        ] {
            let error = Target::parse(text).unwrap_err();
            assert!(error.contains(message), "{text:?}: {error}");
        }
    }

    #[test]
    fn what_a_look_up_says_becomes_a_problem_of_its_kind() {
        let failed = |text: &str| check("cloud", Err(io::Error::other(text))).unwrap_err();
        let problem = failed("failed to lookup address information: Temporary failure in name resolution");
        let expected = "Temporary failure in name resolution".to_owned();
        assert_eq!(problem, Problem::LookUpFailed { name: "cloud".to_owned(), detail: expected });
        let no_address = Problem::NoAddress { name: "cloud".to_owned() };
        assert_eq!(
            failed("failed to lookup address information: No address associated with hostname"),
            no_address
        );
        assert_eq!(check("cloud", Ok(Vec::new())).unwrap_err(), no_address);
    }

    #[tokio::test]
    async fn whoever_asks_while_a_look_up_runs_gets_its_answer() {
        let (reply, answer) = oneshot::channel();
        let mut look_up = LookUp { running: Some(answer) };
        look_up.start(&Target::Address("192.0.2.7:1".parse().unwrap())).unwrap();
        let address = "192.0.2.8:1".parse().unwrap();
        reply.send(Ok(vec![address])).unwrap();
        assert_eq!(look_up.finished().await.unwrap(), [address]);
        assert!(look_up.running.is_none());
    }
}
