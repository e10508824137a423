//! A day of traffic, played, and what a month of it comes to.

use std::time::Duration;

use runtime_linux::show_duration;
use sim::link_profiles::Link;

use crate::link::scenario::{GODWIT, Losses, integers};
use crate::link::{Counts, World};

/// What a device is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// Time between two reports.
    pub report: Duration,
    /// Small integers that change from report to report; 1 to [`CELLS_MAX`].
    pub cells: usize,
    /// The access link.
    pub link: Link,
    /// The operator gives the device a new address before each report.
    pub new_addresses: bool,
}

/// Most cells in a report. More of them belong into one value.
pub const CELLS_MAX: usize = 200;

/// What the traffic costs, by cause, and what else could be done.
#[derive(Clone, Debug, PartialEq)]
pub struct Forecast {
    /// The connection and the first contact of the documents: once.
    pub set_up_bytes: u64,
    /// A day's bytes, by cause.
    pub day: Vec<(Cause, u64)>,
    /// A month of other ways, in bytes, set-up included.
    pub instead: Vec<(String, u64)>,
    /// Mean time from a report until the device knew that it was durable, in seconds.
    pub seconds: f64,
}

/// What bytes are spent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The frames of the document: what has changed.
    Cells,
    /// IP and UDP headers, of acknowledgements too.
    Headers,
    /// QUIC's own bytes: packet headers, seals, acknowledgements, credit.
    Quic,
    /// What new addresses cost: the path is proven again.
    NewAddresses,
    /// What losses cost: repetitions.
    Losses,
}

impl Cause {
    /// For people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cells => "changed cells",
            Self::Headers => "IP and UDP headers",
            Self::Quic => "QUIC: seals, acks",
            Self::NewAddresses => "new addresses",
            Self::Losses => "losses",
        }
    }

    /// For programs.
    pub fn key(self) -> &'static str {
        match self {
            Self::Cells => "cells",
            Self::Headers => "headers",
            Self::Quic => "quic",
            Self::NewAddresses => "new_addresses",
            Self::Losses => "losses",
        }
    }
}

impl Forecast {
    /// Plays the traffic of a day, several times: without accidents, with new addresses, with losses; and the
    /// alternatives.
    pub fn play(traffic: Traffic) -> Self {
        let quiet = Day::play(Traffic { new_addresses: false, ..traffic }, Losses::None, None);
        let moved = if traffic.new_addresses { Day::play(traffic, Losses::None, None) } else { quiet };
        let real = Day::play(traffic, Losses::OfTheLink, None);
        let Counts { packets, payload_bytes, .. } = quiet.counts;
        let headers = packets * u64::from(sim::network::IP_UDP_HEADER_V4_BYTES);
        let day = vec![
            (Cause::Cells, payload_bytes),
            (Cause::Headers, headers),
            (Cause::Quic, quiet.counts.ip_bytes() - payload_bytes - headers),
            (Cause::NewAddresses, moved.counts.ip_bytes().saturating_sub(quiet.counts.ip_bytes())),
            (Cause::Losses, real.counts.ip_bytes().saturating_sub(moved.counts.ip_bytes())),
        ];
        let mut this =
            Self { set_up_bytes: real.set_up_bytes, day, instead: Vec::new(), seconds: real.seconds };
        this.instead = this.alternatives(traffic);
        this
    }

    /// Bytes of a day, without the set-up.
    pub fn day_bytes(&self) -> u64 {
        self.day.iter().map(|(_, bytes)| bytes).sum()
    }

    /// Bytes of the first month, with the set-up.
    pub fn month_bytes(&self) -> u64 {
        self.set_up_bytes + self.day_bytes() * MONTH_DAYS
    }

    /// Days until `plan` is used up.
    pub fn days(&self, plan: u64) -> f64 {
        plan.saturating_sub(self.set_up_bytes) as f64 / self.day_bytes().max(1) as f64
    }

    fn alternatives(&self, traffic: Traffic) -> Vec<(String, u64)> {
        let mut instead = vec![("as asked".to_owned(), self.month_bytes())];
        let report = (traffic.report * BATCHED).min(Duration::from_secs(86_400));
        if report != traffic.report {
            let day = Day::play(Traffic { report, ..traffic }, Losses::OfTheLink, None);
            instead.push((format!("batched, every {}", show_duration(report)), day.month_bytes()));
        }
        if traffic.report > KEEP_ALIVE {
            let day =
                Day::play(Traffic { new_addresses: false, ..traffic }, Losses::OfTheLink, Some(KEEP_ALIVE));
            instead.push((format!("keep-alive every {} s", KEEP_ALIVE.as_secs()), day.month_bytes()));
        }
        instead.push(("MQTT (not played)".to_owned(), mqtt_month_bytes(traffic)));
        instead
    }
}

/// One day as it was played.
#[derive(Clone, Copy)]
struct Day {
    set_up_bytes: u64,
    counts: Counts,
    seconds: f64,
}

impl Day {
    fn play(traffic: Traffic, losses: Losses, keep_alive: Option<Duration>) -> Self {
        let mut world = GODWIT.world(traffic.link, losses);
        world.write(&integers(traffic.cells, 0));
        let set_up_bytes = world.report(SETTLED).counts.ip_bytes();
        // The first messages of a connection are cheaper by some bytes, and they are few in a month.
        for n in 1..=WARM_UP {
            world.write(&integers(traffic.cells, n));
            world.report(SETTLED.min(traffic.report));
        }
        let reports = Duration::from_secs(86_400).as_millis() / traffic.report.as_millis();
        let reports = u64::try_from(reports).expect("a day has fewer seconds");
        let before = world.counts();
        let mut took = Duration::ZERO;
        for n in WARM_UP + 1..=WARM_UP + reports {
            world.write(&integers(traffic.cells, n));
            if traffic.new_addresses {
                world.rebind();
            }
            took += report(&mut world, traffic.report, keep_alive);
        }
        Self {
            set_up_bytes,
            counts: world.counts().since(before),
            seconds: took.as_secs_f64() / reports as f64,
        }
    }

    fn month_bytes(&self) -> u64 {
        self.set_up_bytes + self.counts.ip_bytes() * MONTH_DAYS
    }
}

/// A report and the time until the next one.
fn report(world: &mut World, time: Duration, keep_alive: Option<Duration>) -> Duration {
    let Some(every) = keep_alive else { return world.report(time).took };
    let took = world.report(every).took;
    let mut rest = time - every;
    while rest > Duration::ZERO {
        let step = rest.min(every);
        world.keep_alive();
        world.run_for(step);
        rest -= step;
    }
    took
}

/// From the exchanges of [`MQTT`]: a session that lasts, kept alive where reports are further apart than that, and made
/// anew for each report where the address changes each time.
fn mqtt_month_bytes(traffic: Traffic) -> u64 {
    let reports = 86_400_000 / traffic.report.as_millis().max(1) as u64 * MONTH_DAYS;
    let publish = MQTT.publish + (MQTT.publish_ten - MQTT.publish) * (traffic.cells as u64 - 1) / 9;
    if traffic.new_addresses {
        return reports * (MQTT.connect + publish);
    }
    let pings = if traffic.report > KEEP_ALIVE { MONTH_DAYS * 1_440 } else { 0 };
    MQTT.connect + reports * publish + pings * MQTT.ping
}

struct MqttExchanges {
    connect: u64,
    publish: u64,
    publish_ten: u64,
    ping: u64,
}

/// IP bytes of MQTT 3.1.1 at QoS 1 over TLS 1.3, as `benches/rivals` measured them between two network namespaces: mosquitto
/// 2.0.11, Linux, ECDSA certificates on both sides, November 2026.
const MQTT: MqttExchanges = MqttExchanges { connect: 3_504, publish: 220, publish_ten: 1_534, ping: 204 };
/// How many reports are put together to show what batching saves.
const BATCHED: u32 = 4;
/// What MQTT clients do, and what keeps most operators' address mappings alive.
const KEEP_ALIVE: Duration = Duration::from_secs(60);
/// Days of a month.
pub const MONTH_DAYS: u64 = 30;
const WARM_UP: u64 = 16;
const SETTLED: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use super::*;

    const EACH_QUARTER_HOUR: Traffic =
        Traffic { report: Duration::from_secs(900), cells: 1, link: Link::CatM1, new_addresses: false };

    #[test]
    fn a_month_is_the_set_up_and_thirty_days() {
        let day = vec![(Cause::Cells, 600), (Cause::Headers, 400)];
        let forecast = Forecast { set_up_bytes: 4_000, day, instead: Vec::new(), seconds: 0.0 };
        assert_eq!((forecast.day_bytes(), forecast.month_bytes()), (1_000, 34_000));
        assert_eq!(forecast.days(54_000), 50.0);
        assert_eq!(forecast.days(3_000), 0.0);
    }

    #[test]
    fn the_causes_of_a_day_are_all_that_it_costs() {
        let forecast = Forecast::play(EACH_QUARTER_HOUR);
        let real = Day::play(EACH_QUARTER_HOUR, Losses::OfTheLink, None);
        assert_eq!(forecast.day_bytes(), real.counts.ip_bytes());
        assert_eq!(forecast.month_bytes(), real.month_bytes());
        assert_eq!(forecast.instead[0], ("as asked".to_owned(), forecast.month_bytes()));
        let of = |cause| forecast.day.iter().find(|(c, _)| *c == cause).unwrap().1;
        assert_eq!(of(Cause::NewAddresses), 0);
        // At least two packets a report, and at least three bytes of content.
        assert!(of(Cause::Headers) >= 96 * 2 * 28 && of(Cause::Cells) >= 96 * 3, "{forecast:?}");
    }

    #[test]
    fn more_reports_and_new_addresses_cost_more_and_batches_less() {
        let day = |traffic| Day::play(traffic, Losses::None, None).counts.ip_bytes();
        let usual = day(EACH_QUARTER_HOUR);
        let often = Traffic { report: Duration::from_secs(450), ..EACH_QUARTER_HOUR };
        assert!((usual * 19 / 10..usual * 21 / 10).contains(&day(often)));
        assert!(day(Traffic { new_addresses: true, ..EACH_QUARTER_HOUR }) >= usual);
        let batched = Traffic { report: Duration::from_secs(3_600), cells: 4, ..EACH_QUARTER_HOUR };
        assert!(day(batched) < usual / 2);
    }

    #[test]
    fn mqtt_is_added_up_from_its_exchanges() {
        let MqttExchanges { connect, publish, publish_ten, ping } = MQTT;
        let reports = 96 * 30;
        assert_eq!(mqtt_month_bytes(EACH_QUARTER_HOUR), connect + reports * publish + 1_440 * 30 * ping);
        let moving = Traffic { new_addresses: true, cells: 10, ..EACH_QUARTER_HOUR };
        assert_eq!(mqtt_month_bytes(moving), reports * (connect + publish_ten));
        let busy = Traffic { report: Duration::from_secs(60), ..EACH_QUARTER_HOUR };
        assert_eq!(mqtt_month_bytes(busy), connect + 1_440 * 30 * publish);
    }
}
