use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;

/// Gives `bytes` to `link` and tells what came: whether it begins, and the frame; `None` for the end.
fn feed(link: &mut Link, bytes: &[u8]) -> Vec<Option<(bool, Vec<u8>)>> {
    let mut got = Vec::new();
    for byte in bytes {
        match link.receive(*byte) {
            Some(Input::Begin(frame)) => got.push(Some((true, frame.to_vec()))),
            Some(Input::Frame(frame)) => got.push(Some((false, frame.to_vec()))),
            Some(Input::Over) => got.push(None),
            None => {}
        }
    }
    got
}

fn frame(begins: bool, bytes: &[u8]) -> Option<(bool, Vec<u8>)> {
    Some((begins, bytes.to_vec()))
}

fn connected() -> (Link, Link) {
    let (mut device, mut host) = (Link::initiator(6), Link::responder());
    device.begin();
    let first = device.send(b"open").unwrap().to_vec();
    assert_eq!(feed(&mut host, &first), [frame(true, b"open")]);
    (device, host)
}

#[test]
fn a_packet_has_these_bytes() {
    let mut device = Link::initiator(6);
    device.begin();
    let line = device.send(&[0xaa, 0, 0xbb]).unwrap();
    // An end for the noise before; 07, number 0, the frame, its CRC-32; an end.
    assert_eq!(line, [0, 2, 7, 2, 0xaa, 6, 0xbb, 0xbf, 0x99, 0x5e, 0xfc, 0]);
}

#[test]
fn frames_arrive_in_order_and_the_numbers_go_round() {
    let (mut device, mut host) = connected();
    for round in 0..1_000_u32 {
        let sent = round.to_le_bytes();
        let up = device.send(&sent).unwrap().to_vec();
        assert_eq!(feed(&mut host, &up), [frame(false, &sent)]);
        let down = host.send(&sent).unwrap().to_vec();
        assert_eq!(feed(&mut device, &down), [frame(false, &sent)]);
    }
    assert_eq!(host.counters().frames_in, 1_001);
    assert_eq!(device.counters().frame_bytes_in, 4_000);
}

#[test]
fn the_longest_frame_passes_and_a_longer_one_is_refused() {
    let (mut device, mut host) = connected();
    for fill in [0, 1, 0xff] {
        let longest = [fill; FRAME_LEN_MAX];
        let line = device.send(&longest).unwrap().to_vec();
        assert!(line.len() <= LINE_LEN_MAX);
        assert_eq!(feed(&mut host, &line), [frame(false, &longest)]);
    }
    assert_eq!(device.send(&[1; FRAME_LEN_MAX + 1]), Err(FrameTooLong { len: FRAME_LEN_MAX + 1 }));
}

#[test]
fn a_lost_packet_ends_the_connection_at_both_ends() {
    let (mut device, mut host) = connected();
    device.send(b"lost").unwrap();
    let next = device.send(b"next").unwrap().to_vec();
    assert_eq!(feed(&mut host, &next), [None]);
    assert_eq!((host.counters().missing, host.is_open()), (1, false));
    assert_eq!(host.send(b"late").unwrap(), b"", "there is nothing to send it on");
    let end = host.end().to_vec();
    assert_eq!(feed(&mut device, &end), [None]);
    device.begin();
    let first = device.send(b"open").unwrap().to_vec();
    assert_eq!(feed(&mut host, &first), [frame(true, b"open")]);
}

#[test]
fn a_responder_that_starts_anew_is_found_out() {
    let (mut device, _) = connected();
    let mut host = Link::responder();
    assert_eq!(feed(&mut device, host.end()), [None], "by its first words");
    device.begin();
    device.send(b"to nobody").unwrap();
    let next = device.send(b"next").unwrap().to_vec();
    assert_eq!(feed(&mut host, &next), [None], "or by the first packet that it cannot place");
    assert_eq!(feed(&mut device, host.end()), [None]);
}

#[test]
fn what_is_left_of_an_old_connection_is_dropped() {
    let (mut device, mut host) = connected();
    let (late, end) = (host.send(b"late").unwrap().to_vec(), host.end().to_vec());
    device.begin();
    assert_eq!(feed(&mut device, &late), []);
    assert_eq!(feed(&mut device, &end), []);
    assert_eq!(device.counters().stale, 2);
    assert!(device.is_open());
}

#[test]
fn noise_and_what_is_too_long_cost_only_themselves() {
    let (mut device, mut host) = connected();
    assert_eq!(feed(&mut host, &[0x55; 3 * LINE_LEN_MAX]), []);
    assert_eq!(feed(&mut host, &[0, 0, 0]), []);
    assert_eq!(feed(&mut host, b"what is this\0"), []);
    assert_eq!((host.counters().too_long, host.counters().damaged), (1, 1));
    let line = device.send(b"still here").unwrap().to_vec();
    assert_eq!(feed(&mut host, &line), [frame(false, b"still here")]);
}

#[test]
fn no_single_bit_that_flips_passes() {
    let (mut device, host) = connected();
    let line = device.send(b"a frame of the session").unwrap().to_vec();
    for bit in 0..8 * line.len() {
        let mut broken = line.clone();
        broken[bit / 8] ^= 1 << (bit % 8);
        // A connection is copied by its fields: a link is no `Clone`, because a line has one end.
        let mut host = Link { received: host.received, line: host.line, ..host };
        for got in feed(&mut host, &broken) {
            assert_eq!(got, frame(false, b"a frame of the session"), "bit {bit}");
        }
    }
}

proptest! {
    #[test]
    fn whatever_comes_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..2_000), initiator: bool) {
        let mut link = if initiator { Link::initiator(1) } else { Link::responder() };
        if initiator {
            link.begin();
        }
        feed(&mut link, &bytes);
        let counters = link.counters();
        prop_assert_eq!(counters.frames_in, 0, "a checksum of 32 bits is not met by chance in a test");
    }

    #[test]
    fn what_is_cut_and_put_together_wrongly_gives_only_frames_that_were_sent(cut in 0_usize..60, other in 0_usize..60) {
        let (mut device, mut host) = connected();
        let sent = [vec![1; 20], vec![2; 20], vec![3; 20]];
        let lines: Vec<u8> = sent.iter().flat_map(|frame| device.send(frame).unwrap().to_vec()).collect();
        let line = [&lines[..cut], &lines[other..]].concat();
        for (_, frame) in feed(&mut host, &line).into_iter().flatten() {
            prop_assert!(sent.contains(&frame));
        }
    }
}
