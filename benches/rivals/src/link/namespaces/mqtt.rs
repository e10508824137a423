//! MQTT 3.1.1 over TLS 1.3: rumqttc's packets, rustls, mosquitto.
//!
//! rumqttc's own event loop is not used: its TLS feature wants an old `rustls-webpki` and the unmaintained
//! `rustls-pemfile`. The packets are the same, and so is their order; each is one write, flushed.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use bytes::BytesMut;
use rumqttc::{Connect, ConnectReturnCode, Packet, PingReq, Publish, QoS};
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::TLS13;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde::{Deserialize, Serialize};

use super::Inside;
use super::veth::{CLOUD, Ends, Namespaces, passed_ip_bytes};
use crate::link::certificate::{SelfSigned, provider};

/// IP bytes of exchanges, both ways, each with what follows of it (acknowledgements of TCP).
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Exchanges {
    /// TCP, TLS with certificates on both sides, CONNECT: all repetitions together.
    pub(super) connect: u64,
    /// A small integer at QoS 1: all repetitions together.
    pub(super) publish: u64,
    /// Ten of them, written at once: all repetitions together.
    pub(super) publish_ten: u64,
    /// One cycle of the keep-alive.
    pub(super) ping: u64,
    /// How often the first three were done.
    pub(super) repetitions: u64,
}

/// Runs mosquitto and a client of it.
pub(super) fn measure(namespaces: &Namespaces, directory: &Path) -> anyhow::Result<Exchanges> {
    for (name, certificate) in
        [("device", SelfSigned::ecdsa("device", 1)), ("cloud", SelfSigned::ecdsa(HOST, 2))]
    {
        std::fs::write(directory.join(format!("{name}.crt")), certificate.certificate_pem())?;
        std::fs::write(directory.join(format!("{name}.key")), certificate.key_pem())?;
    }
    let file = |name: &str| directory.join(name).display().to_string();
    let settings = format!(
        "user root\nlog_dest stderr\nlog_type error\nallow_anonymous true\nlistener {PORT} {CLOUD}\ntls_version tlsv1.3\n\
         cafile {}\ncertfile {}\nkeyfile {}\nrequire_certificate true\n",
        file("device.crt"),
        file("cloud.crt"),
        file("cloud.key"),
    );
    std::fs::write(directory.join("mosquitto.conf"), settings)?;
    let mut broker = namespaces.at_cloud("mosquitto");
    let log = std::fs::File::create(file(LOG))?;
    let _broker =
        Ends(broker.arg("-c").arg(file("mosquitto.conf")).stdout(Stdio::null()).stderr(log).spawn()?);
    let output =
        namespaces.start(Inside::MqttDevice)?.env(DIRECTORY, directory).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        bail!(
            "the client failed; mosquitto said:\n{}",
            std::fs::read_to_string(file(LOG)).unwrap_or_default()
        );
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The client: prints its [`Exchanges`].
pub(super) fn run_device() -> anyhow::Result<()> {
    let directory = PathBuf::from(std::env::var_os(DIRECTORY).context("the parent names a directory")?);
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(directory.join("cloud.crt"))?)?;
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots)
        .with_client_auth_cert(
            vec![CertificateDer::from_pem_file(directory.join("device.crt"))?],
            PrivateKeyDer::from_pem_file(directory.join("device.key"))?,
        )?;
    // Sessions are not resumed: the broker keeps none over its restarts, nor does a device over a power cut.
    config.resumption = Resumption::disabled();
    let config = Arc::new(config);

    // They stay open: what their end costs is not counted, because on a radio nobody says goodbye.
    let mut clients = Vec::new();
    let connect = counted(|| {
        (0..REPETITIONS).try_for_each(|n| {
            clients.push(Client::connect(&config, &format!("pump-{n:02}"))?);
            std::thread::sleep(QUIET);
            Ok(())
        })
    })?;
    let mut client = clients.pop().context("there was a repetition")?;
    for n in 0..16 {
        client.publish(1, n)?;
    }
    std::thread::sleep(QUIET);
    let mut repeat = |cells| {
        counted(|| {
            (0..REPETITIONS).try_for_each(|n| {
                client.publish(cells, n)?;
                std::thread::sleep(QUIET);
                Ok(())
            })
        })
    };
    let (publish, publish_ten) = (repeat(1)?, repeat(10)?);
    let ping = counted(|| client.ping())?;
    let exchanges = Exchanges { connect, publish, publish_ten, ping, repetitions: REPETITIONS };
    println!("{}", serde_json::to_string(&exchanges)?);
    Ok(())
}

struct Client {
    stream: StreamOwned<ClientConnection, TcpStream>,
    received: BytesMut,
    next_id: u16,
}

impl Client {
    fn connect(config: &Arc<ClientConfig>, name: &str) -> anyhow::Result<Self> {
        let deadline = Instant::now() + Duration::from_secs(10);
        let tcp = loop {
            match TcpStream::connect((CLOUD, PORT)) {
                Ok(tcp) => break tcp,
                // The broker starts.
                Err(_) if Instant::now() < deadline => std::thread::sleep(QUIET),
                Err(error) => return Err(error).context("mosquitto does not answer"),
            }
        };
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(Duration::from_secs(10)))?;
        let tls = ClientConnection::new(config.clone(), HOST.try_into()?)?;
        let mut client = Self { stream: StreamOwned::new(tls, tcp), received: BytesMut::new(), next_id: 1 };
        client.send(&[Packet::Connect(Connect::new(name))])?;
        match client.receive()? {
            Packet::ConnAck(answer) if answer.code == ConnectReturnCode::Success => Ok(client),
            other => bail!("mosquitto answered {other:?}"),
        }
    }

    /// Publishes one integer to each of so many topics, and waits until the broker has all.
    fn publish(&mut self, cells: u16, n: u64) -> anyhow::Result<()> {
        let packets: Vec<_> = (0..cells)
            .map(|key| {
                let value = (n as i64 + i64::from(key)) % 128 - 64;
                let mut publish = Publish::new(format!("live/k{key}"), QoS::AtLeastOnce, value.to_string());
                publish.pkid = self.next_id;
                self.next_id = self.next_id % u16::MAX + 1;
                Packet::Publish(publish)
            })
            .collect();
        self.send(&packets)?;
        for _ in 0..cells {
            let answer = self.receive()?;
            ensure!(matches!(answer, Packet::PubAck(_)), "mosquitto answered {answer:?}");
        }
        Ok(())
    }

    fn ping(&mut self) -> anyhow::Result<()> {
        let mut bytes = BytesMut::new();
        PingReq.write(&mut bytes)?;
        self.stream.write_all(&bytes)?;
        self.stream.flush()?;
        let answer = self.receive()?;
        ensure!(answer == Packet::PingResp, "mosquitto answered {answer:?}");
        std::thread::sleep(QUIET);
        Ok(())
    }

    fn send(&mut self, packets: &[Packet]) -> anyhow::Result<()> {
        let mut bytes = BytesMut::new();
        for packet in packets {
            packet.write(&mut bytes, PACKET_LEN_MAX)?;
        }
        self.stream.write_all(&bytes)?;
        Ok(self.stream.flush()?)
    }

    fn receive(&mut self) -> anyhow::Result<Packet> {
        loop {
            match Packet::read(&mut self.received, PACKET_LEN_MAX) {
                Ok(packet) => return Ok(packet),
                Err(rumqttc::mqttbytes::Error::InsufficientBytes(_)) => {}
                Err(error) => return Err(error).context("mosquitto sent no MQTT"),
            }
            let mut buffer = [0; 1_024];
            let len = self.stream.read(&mut buffer).context("mosquitto does not answer")?;
            ensure!(len > 0, "mosquitto closed the connection");
            self.received.extend_from_slice(&buffer[..len]);
        }
    }
}

fn counted(what: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<u64> {
    let before = passed_ip_bytes()?;
    what()?;
    Ok(passed_ip_bytes()? - before)
}

/// Until the acknowledgements of TCP have passed, which are delayed by 40 ms or more.
const QUIET: Duration = Duration::from_millis(250);
const REPETITIONS: u64 = 20;
const HOST: &str = "cloud.example";
const PORT: u16 = 8_883;
const PACKET_LEN_MAX: usize = 64 * 1_024;
const LOG: &str = "mosquitto.log";
/// Tells the client where its certificate is.
const DIRECTORY: &str = "GODWIT_BENCH_DIRECTORY";
