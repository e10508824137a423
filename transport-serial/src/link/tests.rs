use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::packet::CRC;

type Device = Link<1, 0>;
type Gateway = Link<4, 3>;

/// What a link gave, kept.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Got {
    Begun,
    Frame(Vec<u8>),
    Over(Over),
}

fn feed<const S: usize, const R: usize>(link: &mut Link<S, R>, mut bytes: &[u8]) -> Vec<Got> {
    let mut got = Vec::new();
    while let Some(input) = link.receive(&mut bytes) {
        got.push(match input {
            Input::Begun => Got::Begun,
            Input::Frame(frame) => Got::Frame(frame.to_vec()),
            Input::Over(over) => Got::Over(over),
        });
    }
    assert!(bytes.is_empty(), "all is taken");
    got
}

/// What the link has to say, a packet each.
fn said<const S: usize, const R: usize>(link: &mut Link<S, R>, now_ms: u32) -> Vec<Vec<u8>> {
    core::iter::from_fn(|| link.poll_line(now_ms).map(<[u8]>::to_vec)).collect()
}

fn frame(bytes: &[u8]) -> Got {
    Got::Frame(bytes.to_vec())
}

fn open<const S: usize, const R: usize, const T: usize, const Q: usize>(
    device: &mut Link<S, R>,
    gateway: &mut Link<T, Q>,
) {
    device.begin();
    feed(device, &said(gateway, 0).concat());
    assert_eq!(feed(gateway, &said(device, 0).concat()), [Got::Begun]);
    assert_eq!(feed(device, &said(gateway, 0).concat()), [Got::Begun]);
}

fn connected() -> (Device, Gateway) {
    let timing = Timing::default();
    let (mut device, mut gateway) = (Link::initiator(timing, 0x0102_0304), Link::responder(timing, 0x0a0b));
    open(&mut device, &mut gateway);
    (device, gateway)
}

fn wide() -> (Gateway, Gateway) {
    let timing = Timing::default();
    let (mut device, mut gateway) = (Link::initiator(timing, 1), Link::responder(timing, 2));
    open(&mut device, &mut gateway);
    (device, gateway)
}

#[test]
fn packets_have_these_bytes() {
    let timing = Timing::default();
    let (mut device, mut gateway) =
        (Device::initiator(timing, 0x0102_0304), Gateway::responder(timing, 0x0a0b));
    assert_eq!(
        said(&mut gateway, 0),
        [[0, 2, 6, 1, 1, 1, 5, 0xbd, 2, 0x62, 0x49, 0]],
        "an End of whatever is there"
    );
    device.begin();
    let begin = [0, 2, 9, 1, 2, 1, 9, 5, 3, 2, 1, 0x2f, 0x6d, 0x5f, 0xf1, 0];
    assert_eq!(said(&mut device, 0), [begin], "kind 1, credit 1, version 1, 01020305");
    feed(&mut gateway, &begin);
    let accept = [0, 5, 0x22, 0x0c, 0x0a, 1, 9, 5, 3, 2, 1, 0x50, 0x3b, 0x24, 2, 0];
    assert_eq!(said(&mut gateway, 0), [accept], "kind 2, credit 4, connection 0a0c, the same number");
    feed(&mut device, &accept);
    device.send(&[0xaa, 0, 0xbb]).unwrap();
    let data = [0, 4, 0x0b, 0x0c, 0x0a, 1, 2, 0xaa, 6, 0xbb, 0x9f, 0x38, 0x2f, 0xd6, 0];
    assert_eq!(said(&mut device, 0), [data], "kind 3, number 0, waits for 0");
    assert_eq!(feed(&mut gateway, &data), [frame(&[0xaa, 0, 0xbb])]);
    let ack = [0, 4, 0x24, 0x0c, 0x0a, 6, 1, 0x21, 0x74, 0x25, 0xc2, 0];
    assert_eq!(said(&mut gateway, 0), [ack], "kind 4, nothing early, waits for 1");
}

#[test]
fn frames_arrive_in_order_and_the_numbers_go_round() {
    let (mut device, mut gateway) = connected();
    for round in 0..1_000_u32 {
        let sent = round.to_le_bytes();
        device.send(&sent).unwrap();
        assert_eq!(feed(&mut gateway, &said(&mut device, 0).concat()), [frame(&sent)]);
        gateway.send(&sent).unwrap();
        assert_eq!(
            feed(&mut device, &said(&mut gateway, 0).concat()),
            [frame(&sent)],
            "with the acknowledgement"
        );
        assert_eq!(feed(&mut gateway, &said(&mut device, 0).concat()), []);
    }
    assert_eq!((gateway.counters().frames_in, device.counters().frame_bytes_in), (1_000, 4_000));
    assert_eq!((device.counters().repeated, gateway.counters().repeated), (0, 0));
    assert!(device.is_acknowledged() && gateway.is_acknowledged());
}

#[test]
fn an_idle_line_is_silent() {
    let (mut device, mut gateway) = connected();
    device.send(b"last words").unwrap();
    feed(&mut gateway, &said(&mut device, 0).concat());
    feed(&mut device, &said(&mut gateway, 0).concat());
    let before = (device.counters().line_bytes_out, gateway.counters().line_bytes_out);
    for now_ms in [1_000, 1_000_000, u32::MAX] {
        assert_eq!((said(&mut device, now_ms), said(&mut gateway, now_ms)), (vec![], vec![]));
    }
    assert_eq!((device.poll_timeout(0), gateway.poll_timeout(0)), (None, None));
    assert_eq!((device.counters().line_bytes_out, gateway.counters().line_bytes_out), before);
}

#[test]
fn the_longest_frame_passes_and_what_is_no_frame_is_refused() {
    let (mut device, mut gateway) = connected();
    for fill in [0, 1, 0xff] {
        let longest = [fill; FRAME_LEN_MAX];
        device.send(&longest).unwrap();
        let line = said(&mut device, 0).concat();
        assert!(line.len() <= LINE_LEN_MAX, "{} bytes", line.len());
        assert_eq!(feed(&mut gateway, &line), [frame(&longest)]);
        feed(&mut device, &said(&mut gateway, 0).concat());
    }
    assert_eq!(device.send(&[1; FRAME_LEN_MAX + 1]), Err(SendError::TooLong { len: FRAME_LEN_MAX + 1 }));
    assert_eq!(device.send(&[]), Err(SendError::Empty));
    device.send(b"one").unwrap();
    assert!(!device.has_capacity());
    assert_eq!(device.send(b"two"), Err(SendError::Full { frames: 1 }));
    device.end();
    assert_eq!(device.send(b"three"), Err(SendError::Closed));
}

/// The promise of the line: any single bit that flips in any packet of a window costs one repetition, at once, and
/// the bytes of it.
#[test]
fn a_damaged_frame_costs_one_repetition() {
    let sent: Vec<Vec<u8>> = (0..4).map(|number| vec![number + 1; 20]).collect();
    let packet_len = 20 + 12;
    for hit in 0..4 {
        for bit in 8..8 * (packet_len - 1) {
            let (mut device, mut gateway) = wide();
            let before = device.counters().line_bytes_out;
            for frame in &sent {
                device.send(frame).unwrap();
            }
            let mut line = said(&mut device, 0);
            line[hit][bit / 8] ^= 1 << (bit % 8);
            let mut got = feed(&mut gateway, &line.concat());
            let answers = said(&mut gateway, 0);
            feed(&mut device, &answers.concat());
            got.extend(feed(&mut gateway, &said(&mut device, 0).concat()));
            assert_eq!(
                got,
                sent.iter().map(|sent| frame(sent)).collect::<Vec<_>>(),
                "frame {hit}, bit {bit}"
            );
            feed(&mut device, &said(&mut gateway, 0).concat());
            assert!(device.is_acknowledged());
            assert_eq!(device.counters().repeated, 1, "frame {hit}, bit {bit}");
            assert_eq!((device.counters().line_bytes_out - before) as usize, 5 * packet_len);
        }
    }
}

#[test]
fn a_damaged_acknowledgement_costs_an_acknowledgement() {
    let (mut device, mut gateway) = connected();
    device.send(b"hello").unwrap();
    feed(&mut gateway, &said(&mut device, 0).concat());
    let mut ack = said(&mut gateway, 0).concat();
    ack[3] ^= 1;
    feed(&mut device, &ack);
    let nak = said(&mut device, 0).concat();
    assert_eq!(nak.len(), 12, "a Nak, and no repetition");
    assert_eq!(feed(&mut gateway, &nak), []);
    feed(&mut device, &said(&mut gateway, 0).concat());
    assert!(device.is_acknowledged());
    assert_eq!(device.counters().repeated, 0);
}

#[test]
fn what_is_lost_without_a_trace_is_repeated_when_its_time_is_over() {
    let (mut device, mut gateway) = connected();
    device.send(b"lost").unwrap();
    said(&mut device, 1_000);
    assert_eq!(device.poll_timeout(1_100), Some(400));
    assert_eq!(said(&mut device, 1_499), Vec::<Vec<u8>>::new());
    assert_eq!(feed(&mut gateway, &said(&mut device, 1_500).concat()), [frame(b"lost")]);
    assert_eq!(device.poll_timeout(1_500), Some(1_000), "the next pause is twice as long");
}

#[test]
fn after_a_stall_a_whole_window_is_repeated_without_further_pauses() {
    let (mut device, mut gateway) = wide();
    let sent: Vec<Vec<u8>> = (0..4).map(|number| vec![number; 9]).collect();
    sent.iter().for_each(|frame| device.send(frame).unwrap());
    said(&mut device, 0);
    let mut got = Vec::new();
    for _ in 0..4 {
        got.extend(feed(&mut gateway, &said(&mut device, 500).concat()));
        feed(&mut device, &said(&mut gateway, 500).concat());
    }
    assert_eq!(got, sent.iter().map(|sent| frame(sent)).collect::<Vec<_>>());
    assert_eq!(device.counters().repeated, 4);
}

#[test]
fn a_connection_without_an_answer_ends_and_says_so() {
    let (mut device, _) = connected();
    device.send(b"anyone?").unwrap();
    let (mut now_ms, mut sent) = (0, 0);
    while let Some(pause) = {
        sent += said(&mut device, now_ms).len();
        device.poll_timeout(now_ms).filter(|pause| *pause > 0)
    } {
        now_ms += pause;
    }
    assert_eq!(device.poll_timeout(now_ms), Some(0), "there is something to be told");
    assert_eq!(feed(&mut device, &[]), [Got::Over(Over::Silent { repeats: 6 })]);
    assert_eq!(
        (sent, now_ms),
        (1 + 6 + 1, 500 * (1 + 2 + 4 + 8 + 16 + 16 + 16)),
        "the frame, repetitions, an End"
    );
    assert_eq!((device.counters().given_up, device.is_open()), (1, false));
}

#[test]
fn a_begin_is_repeated_for_ever_and_a_responder_that_starts_is_found_at_once() {
    let mut device = Device::initiator(Timing::default(), 7);
    device.begin();
    let mut pauses = Vec::new();
    let mut now_ms = 0;
    for _ in 0..8 {
        assert_eq!(said(&mut device, now_ms).len(), 1);
        pauses.push(device.poll_timeout(now_ms).unwrap());
        now_ms += pauses[pauses.len() - 1];
    }
    assert_eq!(pauses, [500, 1_000, 2_000, 4_000, 8_000, 8_000, 8_000, 8_000]);
    let mut gateway = Gateway::responder(Timing::default(), 8);
    assert_eq!(said(&mut device, now_ms).len(), 1);
    assert_eq!(device.poll_timeout(now_ms), Some(8_000));
    feed(&mut device, &said(&mut gateway, now_ms).concat());
    assert_eq!(device.poll_timeout(now_ms), Some(500));
}

#[test]
fn a_responder_that_starts_anew_is_found_out() {
    let (mut device, _) = connected();
    let mut gateway = Gateway::responder(Timing::default(), 0x1234);
    assert_eq!(
        feed(&mut device, &said(&mut gateway, 0).concat()),
        [Got::Over(Over::Ended)],
        "by its first words"
    );

    let (mut device, _) = connected();
    let mut gateway = Gateway::responder(Timing::default(), 0x1234);
    said(&mut gateway, 0);
    device.send(b"to nobody").unwrap();
    assert_eq!(
        feed(&mut gateway, &said(&mut device, 0).concat()),
        [],
        "or by the first frame that it cannot place"
    );
    assert_eq!(feed(&mut device, &said(&mut gateway, 0).concat()), [Got::Over(Over::Ended)]);
    open(&mut device, &mut gateway);
}

#[test]
fn an_initiator_that_starts_anew_replaces_the_connection() {
    let (mut device, mut gateway) = connected();
    gateway.send(b"before").unwrap();
    let late = said(&mut gateway, 0).concat();
    device.send(b"old").unwrap();
    let old = said(&mut device, 0).concat();
    let mut device = Device::initiator(Timing::default(), 99);
    open(&mut device, &mut gateway);
    assert_eq!(feed(&mut device, &late), [], "what was under way is of another connection");
    assert_eq!(feed(&mut gateway, &old), []);
    assert_eq!((device.counters().stale, gateway.counters().stale), (1, 1));
    said(&mut device, 0);
    feed(&mut device, &said(&mut gateway, 0).concat());
    assert!(device.is_open() && gateway.is_open());
}

/// A gateway was restarted while two copies of a Begin stood in its port's buffer: the second must not pass for the
/// connection that the device had with the first.
#[test]
fn a_begin_from_before_a_restart_opens_nothing_that_the_device_takes_for_its_own() {
    let (mut device, mut first) =
        (Device::initiator(Timing::default(), 5), Gateway::responder(Timing::default(), 6));
    device.begin();
    let begin = said(&mut device, 0).concat();
    feed(&mut first, &begin);
    said(&mut first, 0);
    first.due.accept = true;
    first.send(b"from the first life").unwrap();
    feed(&mut device, &said(&mut first, 0).concat());
    let mut second = Gateway::responder(Timing::default(), 0x7777);
    said(&mut second, 0);
    assert_eq!(feed(&mut second, &begin), [Got::Begun]);
    second.send(b"from the second life").unwrap();
    assert_eq!(feed(&mut device, &said(&mut second, 0).concat()), [], "another connection's");
    assert!(device.counters().stale > 0);
    assert_eq!(feed(&mut second, &said(&mut device, 0).concat()), [Got::Over(Over::Ended)]);
}

#[test]
fn a_slow_reader_is_not_flooded() {
    let (mut device, mut gateway) = wide();
    gateway.set_capacity(2);
    // The device does not know yet; what is too much is dropped, and not acknowledged.
    (0..4_u8).for_each(|number| device.send(&[number + 1]).unwrap());
    assert_eq!(feed(&mut gateway, &said(&mut device, 0).concat()), [frame(&[1]), frame(&[2])]);
    assert_eq!(gateway.counters().unwelcome, 2);
    feed(&mut device, &said(&mut gateway, 0).concat());
    // It asks, and is told to wait, however long that takes.
    let mut now_ms = 0;
    for _ in 0..50 {
        now_ms += 8_000;
        let asked = said(&mut device, now_ms).concat();
        assert!(asked.len() <= 13, "{} bytes", asked.len());
        assert_eq!(feed(&mut gateway, &asked), []);
        feed(&mut device, &said(&mut gateway, now_ms).concat());
    }
    assert!(device.is_open());
    gateway.set_capacity(CAPACITY_UNBOUNDED);
    let mut got = Vec::new();
    for _ in 0..4 {
        feed(&mut device, &said(&mut gateway, now_ms).concat());
        got.extend(feed(&mut gateway, &said(&mut device, now_ms + 1_000).concat()));
    }
    assert_eq!(got, [frame(&[3]), frame(&[4])]);
}

/// What is lost without a trace shows by what came after it.
#[test]
fn a_gap_costs_one_repetition_of_each_missing_frame() {
    let (mut device, mut gateway) = wide();
    let sent: Vec<Vec<u8>> = (0..4).map(|number| vec![number + 1; 20]).collect();
    sent.iter().for_each(|frame| device.send(frame).unwrap());
    let line = said(&mut device, 0);
    let mut got = feed(&mut gateway, &[&line[1][..], &line[3]].concat());
    for _ in 0..2 {
        feed(&mut device, &said(&mut gateway, 0).concat());
        got.extend(feed(&mut gateway, &said(&mut device, 0).concat()));
    }
    assert_eq!(got, sent.iter().map(|sent| frame(sent)).collect::<Vec<_>>());
    assert_eq!(device.counters().repeated, 2);
}

#[test]
fn nobody_sends_more_than_the_credit() {
    let timing = Timing::default();
    let (mut device, mut gateway) = (Gateway::initiator(timing, 1), Gateway::responder(timing, 2));
    gateway.set_capacity(2);
    open(&mut device, &mut gateway);
    (0..4_u8).for_each(|number| device.send(&[number + 1]).unwrap());
    let line = said(&mut device, 0);
    assert_eq!(line.len(), 2, "two frames");
    assert_eq!(feed(&mut gateway, &line.concat()), [frame(&[1]), frame(&[2])]);
    feed(&mut device, &said(&mut gateway, 0).concat());
    assert_eq!(said(&mut device, 0), Vec::<Vec<u8>>::new());
    // The word that there is capacity again is lost: the device asks by itself.
    gateway.set_capacity(2);
    assert_eq!(said(&mut gateway, 0).len(), 1);
    let asked = said(&mut device, 500);
    assert_eq!((asked.len(), asked[0].len()), (1, 12), "a Nak");
    feed(&mut gateway, &asked.concat());
    feed(&mut device, &said(&mut gateway, 500).concat());
    assert_eq!(feed(&mut gateway, &said(&mut device, 500).concat()), [frame(&[3]), frame(&[4])]);
    assert_eq!((device.counters().repeated, gateway.counters().unwelcome), (0, 0));
}

/// A reader closes while frames after a gap are here: what is next is no early frame any more, and is given out once.
#[test]
fn what_came_early_waits_for_a_reader_that_has_closed() {
    let (mut device, mut gateway) = wide();
    let sent: Vec<Vec<u8>> = (0..4).map(|number| vec![number + 1; 3]).collect();
    sent.iter().for_each(|frame| device.send(frame).unwrap());
    let line = said(&mut device, 0);
    assert_eq!(feed(&mut gateway, &line[1..].concat()), []);
    gateway.send(b"by the way").unwrap();
    assert_eq!(
        said(&mut gateway, 0).len(),
        2,
        "a frame says nothing of what came early, so an Ack goes with it"
    );
    gateway.set_capacity(1);
    assert_eq!(feed(&mut gateway, &line[0]), [frame(&sent[0])]);
    assert_eq!(gateway.early.bits(), 0b011, "2 and 3, after 1, which waits for the reader");
    assert_eq!(feed(&mut gateway, &line[1]), []);
    assert_eq!(gateway.counters().duplicate, 1);
    gateway.set_capacity(CAPACITY_UNBOUNDED);
    assert_eq!(feed(&mut gateway, &line[1]), [frame(&sent[1]), frame(&sent[2]), frame(&sent[3])]);
    assert_eq!((gateway.counters().duplicate, gateway.counters().frames_in), (2, 4));
}

/// Two ends on a line that lets nothing through whole do not answer each other's answers.
#[test]
fn damage_is_answered_once() {
    let (mut device, mut gateway) = wide();
    device.send(b"damaged").unwrap();
    let mut packets = 0;
    for _ in 0..100 {
        for is_up in [true, false] {
            let mut line = if is_up { said(&mut device, 0) } else { said(&mut gateway, 0) };
            packets += line.len();
            line.iter_mut().for_each(|packet| packet[2] ^= 0x40);
            if is_up {
                feed(&mut gateway, &line.concat())
            } else {
                feed(&mut device, &line.concat())
            };
        }
    }
    assert_eq!(packets, 3, "the frame, and a Nak each way");
}

#[test]
fn noise_and_what_is_too_long_cost_only_themselves() {
    let (mut device, mut gateway) = connected();
    assert_eq!(feed(&mut gateway, &[0x55; 3 * LINE_LEN_MAX]), []);
    assert_eq!(feed(&mut gateway, &[0, 0, 0]), []);
    assert_eq!(feed(&mut gateway, b"what is this\0"), []);
    assert_eq!((gateway.counters().too_long, gateway.counters().damaged), (1, 1));
    // Noise that runs into a packet, without a zero between.
    assert_eq!(feed(&mut gateway, b"noise"), []);
    device.send(b"still here").unwrap();
    assert_eq!(feed(&mut gateway, &said(&mut device, 0).concat()), [frame(b"still here")]);
}

/// Packets with a good checksum that no peer of this version sends.
#[test]
fn forged_packets_are_counted_and_change_nothing() {
    let (mut device, mut gateway) = connected();
    device.send(b"x").unwrap();
    let good = said(&mut device, 0).concat();
    let forge = |kind: Kind, connection: u16, number: u8, next: u8, payload: &[u8]| {
        let mut line = [0; LINE_LEN_MAX];
        let len = packet::write(&mut line, Head { kind, credit: 31, connection, number, next }, payload);
        line[..len].to_vec()
    };
    let connection = gateway.connection;
    for (what, line) in [
        ("a Begin of another version", forge(Kind::Begin, 0, VERSION + 1, 0, &[1; 4])),
        ("a Begin that names nothing", forge(Kind::Begin, 0, VERSION, 0, &[])),
        ("an Accept for a responder", forge(Kind::Accept, connection, VERSION, 0, &[1; 4])),
        ("an empty frame", forge(Kind::Data, connection, 0, 0, &[])),
        ("an Ack with a frame", forge(Kind::Ack, connection, 0, 0, b"x")),
        ("an End with a frame", forge(Kind::End, connection, 0, 0, b"x")),
        ("an Ack of what was never sent", forge(Kind::Ack, connection, 0, 5, &[])),
    ] {
        let before = gateway.counters();
        assert_eq!(feed(&mut gateway, &line), [], "{what}");
        assert_eq!(gateway.counters(), Counters { malformed: before.malformed + 1, ..before }, "{what}");
        assert_eq!(said(&mut gateway, 0), Vec::<Vec<u8>>::new(), "{what}");
    }
    // Of a kind that is none, with a good checksum.
    let kindless = {
        let digest = crc::Crc::<u32, crc::NoTable>::new(&crc::CRC_32_ISO_HDLC);
        let mut packet = vec![7, 1, 1, 1, 1];
        packet.extend(digest.checksum(&packet).to_le_bytes());
        let mut encoded = vec![0; 32];
        let len = cobs::encode(&packet, &mut encoded);
        encoded.truncate(len);
        encoded.push(0);
        encoded
    };
    let before = gateway.counters().malformed;
    assert_eq!(feed(&mut gateway, &kindless), []);
    assert_eq!(gateway.counters().malformed, before + 1);
    assert_eq!(feed(&mut gateway, &good), [frame(b"x")], "the connection lives");
}

#[test]
fn a_small_device_spends_this_much_memory() {
    assert!(size_of::<Device>() <= 1_740, "{} bytes", size_of::<Device>());
    assert!(size_of::<Gateway>() <= 4_840, "{} bytes", size_of::<Gateway>());
}

proptest! {
    #[test]
    fn whatever_comes_is_survived(
        bytes in prop::collection::vec(prop_oneof![Just(0_u8), any::<u8>()], 0..2_000),
        is_initiator: bool,
    ) {
        let timing = Timing::default();
        let mut link = if is_initiator { Device::initiator(timing, 1) } else { Device::responder(timing, 1) };
        link.begin();
        feed(&mut link, &bytes);
        said(&mut link, 0);
        prop_assert_eq!(link.counters().frames_in, 0, "a checksum of 32 bits is not met by chance in a test");
    }
}

/// A Data packet with a good checksum. The encoding hardly grows where there are many zeros.
fn data(connection: u16, number: u8, payload: &[u8]) -> Vec<u8> {
    let head = [Kind::Data as u8, connection.to_le_bytes()[0], connection.to_le_bytes()[1], number, 0];
    let mut packet = [&head[..], payload].concat();
    let checksum = CRC.checksum(&packet).to_le_bytes();
    packet.extend(checksum);
    let mut line = vec![0; cobs::max_encoding_length(packet.len()) + 2];
    let len = cobs::encode(&packet, &mut line[1..]);
    line.truncate(len + 2);
    line
}

#[test]
fn a_frame_that_is_too_long_is_dropped_in_its_turn_and_ahead_of_it() {
    for len in [FRAME_LEN_MAX, FRAME_LEN_MAX + 1, FRAME_LEN_MAX + 2] {
        for ahead in [0, 1] {
            let (_, mut gateway) = connected();
            let (connection, number) = (gateway.connection, gateway.next_in.wrapping_add(ahead));
            let got = feed(&mut gateway, &data(connection, number, &vec![0; len]));
            let is_given = len == FRAME_LEN_MAX && ahead == 0;
            assert_eq!(got.len(), usize::from(is_given), "{len} bytes, {ahead} ahead");
            let counters = gateway.counters();
            let dropped = counters.malformed + counters.too_long;
            assert_eq!(dropped, u32::from(len > FRAME_LEN_MAX), "{len} bytes, {ahead} ahead");
        }
    }
}

/// With one place for frames ahead of their turn, it is free again as soon as its frame is given out.
#[test]
fn one_early_frame_is_given_once() {
    let timing = Timing::default();
    let mut sender = Link::<2, 1>::initiator(timing, 1);
    let mut receiver = Link::<2, 1>::responder(timing, 2);
    open(&mut sender, &mut receiver);
    sender.send(b"five").unwrap();
    sender.send(b"six").unwrap();
    let packets = said(&mut sender, 0);
    assert_eq!(packets.len(), 2);
    assert_eq!(feed(&mut receiver, &packets[1]), []);
    assert_eq!(feed(&mut receiver, &packets[0]), [frame(b"five"), frame(b"six")]);
    feed(&mut sender, &said(&mut receiver, 0).concat());
    sender.send(b"seven").unwrap();
    assert_eq!(feed(&mut receiver, &said(&mut sender, 0).concat()), [frame(b"seven")]);
}

/// A driver that waits as long as it is told learns of the end of the connection.
#[test]
fn a_silent_peer_is_told_without_another_byte() {
    let (mut device, _) = connected();
    device.send(b"report").unwrap();
    let mut now_ms = 0;
    for _ in 0..100 {
        said(&mut device, now_ms);
        let Some(wait_ms) = device.poll_timeout(now_ms) else { break };
        now_ms += wait_ms;
        if let [Got::Over(_)] = feed(&mut device, &[])[..] {
            return;
        }
    }
    panic!("it waits for ever, since {now_ms} ms");
}
