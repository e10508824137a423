//! Attempts in virtual time, against addresses that answer or do not.

use std::collections::HashSet;

use proptest::prelude::*;
use transport_quic::PublicKey;

use super::*;

const PATIENCE: Duration = Duration::from_millis(7_500);
/// What the transport gives the last address.
const HANDSHAKE: Duration = Duration::from_secs(60);

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn all(texts: &[&str]) -> Vec<SocketAddr> {
    texts.iter().map(|text| address(text)).collect()
}

fn new(worked: Option<&str>) -> Addresses {
    Addresses::new(PATIENCE, worked.map(address))
}

/// One attempt on which only addresses in `alive` answer. The addresses that were tried, and how long it took.
fn attempt(
    addresses: &mut Addresses,
    found: &[SocketAddr],
    alive: &[SocketAddr],
) -> (Result<SocketAddr, Problem>, Vec<SocketAddr>, Duration) {
    let start = Instant::now();
    let (mut now, mut tried) = (start, Vec::new());
    addresses.begin(found, |_| None);
    loop {
        match addresses.next(now) {
            Next::Failed(problem) => return (Err(problem), tried, now - start),
            Next::Try(address) if alive.contains(&address) => {
                tried.push(address);
                addresses.succeed();
                return (Ok(address), tried, now - start);
            }
            Next::Try(address) => tried.push(address),
        }
        let until = addresses.deadline();
        now = until.unwrap_or(now + HANDSHAKE);
        assert_eq!(addresses.is_overdue(now, false), until.is_some());
        addresses.fail(now, Failure::Silent);
    }
}

#[test]
fn one_address_has_all_the_time_and_nothing_to_remember() {
    let mut addresses = new(None);
    let only = all(&["192.0.2.7:1", "192.0.2.7:1", "[::ffff:192.0.2.7]:1"]);
    for _ in 0..3 {
        let (result, tried, took) = attempt(&mut addresses, &only, &[]);
        assert_eq!((tried, took), (all(&["192.0.2.7:1"]), HANDSHAKE));
        let text = result.unwrap_err().to_string();
        assert!(text.starts_with("no answer from 192.0.2.7:1 in 60 s; check"), "{text}");
    }
    let (result, ..) = attempt(&mut addresses, &only, &only);
    assert_eq!(result, Ok(only[0]));
    assert_eq!(addresses.take_unsaved("cloud:1"), None);
}

#[test]
fn a_dead_family_costs_one_short_try_and_then_none() {
    let mut addresses = new(None);
    let found = all(&["[2001:db8::7]:1", "[2001:db8::8]:1", "192.0.2.7:1"]);
    let alive = all(&["192.0.2.7:1"]);
    let (result, tried, took) = attempt(&mut addresses, &found, &alive);
    assert_eq!((result, took), (Ok(alive[0]), PATIENCE), "families take turns");
    assert_eq!(tried, all(&["[2001:db8::7]:1", "192.0.2.7:1"]));
    // After a restart, too; and the disk is told once.
    let saved = addresses.take_unsaved("cloud:1").unwrap();
    assert_eq!(addresses.take_unsaved("cloud:1"), None);
    let mut restarted = Addresses::new(PATIENCE, Addresses::saved("cloud:1", &saved));
    for addresses in [&mut addresses, &mut restarted] {
        let (result, tried, took) = attempt(addresses, &found, &alive);
        assert_eq!((result, tried, took), (Ok(alive[0]), alive.clone(), Duration::ZERO));
        assert_eq!(addresses.take_unsaved("cloud:1"), None);
    }
    // It belongs to its name, and what cannot be read is nothing.
    assert_eq!(Addresses::saved("other:1", &saved), None);
    assert_eq!(Addresses::saved("cloud:1", b"{"), None);
    // What the name does not have any more is not tried.
    let (_, tried, _) = attempt(&mut addresses, &found[..2], &[]);
    assert_eq!(tried, found[..2]);
}

#[test]
fn a_loopback_address_is_left_sooner() {
    let mut addresses = new(None);
    let found = all(&["[::1]:1", "127.0.0.1:1"]);
    let (result, tried, took) = attempt(&mut addresses, &found, &found[1..]);
    assert_eq!((result, tried, took), (Ok(found[1]), found, LOOPBACK_PATIENCE));
}

#[test]
fn an_address_that_swallows_packets_is_not_always_first() {
    let mut addresses = new(Some("192.0.2.7:1"));
    let found = all(&["[2001:db8::7]:1", "192.0.2.7:1"]);
    let (result, tried, took) = attempt(&mut addresses, &found, &[]);
    assert_eq!(
        tried,
        all(&["192.0.2.7:1", "[2001:db8::7]:1", "192.0.2.7:1"]),
        "the one that worked is preferred"
    );
    assert_eq!(took, 2 * PATIENCE + HANDSHAKE);
    let text = result.unwrap_err().to_string();
    let expected = "no answer from 192.0.2.7:1 in 7.5 s, [2001:db8::7]:1 in 7.5 s and 192.0.2.7:1 in 60 s;";
    assert!(text.starts_with(expected), "{text}");
    let (_, tried, _) = attempt(&mut addresses, &found, &[]);
    assert_eq!(tried, all(&["[2001:db8::7]:1", "192.0.2.7:1"]));
    // What is new in the name goes before what has failed.
    let moved = all(&["[2001:db8::7]:1", "192.0.2.7:1", "192.0.2.9:1"]);
    let (_, tried, _) = attempt(&mut addresses, &moved, &[]);
    assert_eq!(tried, all(&["192.0.2.9:1", "192.0.2.7:1", "[2001:db8::7]:1"]));
}

#[test]
fn who_has_answered_with_no_is_not_asked_again() {
    let mut addresses = new(Some("192.0.2.7:1"));
    let found = all(&["[2001:db8::7]:1", "192.0.2.7:1"]);
    let now = Instant::now();
    addresses.begin(&found, |_| None);
    assert_eq!(addresses.next(now), Next::Try(found[1]));
    addresses.fail(now, Failure::Answered(Problem::Closed { text: "it is full".to_owned() }));
    assert_eq!(addresses.next(now), Next::Try(found[0]));
    assert_eq!(addresses.deadline(), None, "it is the last one");
    addresses.fail(now, Failure::Silent);
    assert!(matches!(addresses.next(now), Next::Failed(_)));
}

#[test]
fn an_attempt_that_was_broken_off_changes_no_order() {
    let mut addresses = new(None);
    let found = all(&["192.0.2.7:1", "192.0.2.8:1"]);
    for _ in 0..3 {
        addresses.begin(&found, |_| None);
        assert_eq!(addresses.next(Instant::now()), Next::Try(found[0]));
        addresses.cancel();
        assert_eq!(addresses.deadline(), None);
    }
}

#[test]
fn whoever_has_answered_is_not_left() {
    let mut addresses = new(None);
    let found = all(&["192.0.2.7:1", "192.0.2.8:1"]);
    let now = Instant::now();
    addresses.begin(&found, |_| None);
    assert_eq!(addresses.next(now), Next::Try(found[0]));
    assert!(!addresses.is_overdue(now + PATIENCE - Duration::from_millis(1), false));
    assert!(!addresses.is_overdue(now + PATIENCE, true));
    assert_eq!(addresses.deadline(), None);
    assert!(!addresses.is_overdue(now + HANDSHAKE, false), "an answer is an answer");
    addresses.fail(now + HANDSHAKE, Failure::Silent);
    assert_eq!(addresses.next(now + HANDSHAKE), Next::Try(found[1]));
}

#[test]
fn an_address_that_the_system_does_not_send_to_is_no_choice() {
    let mut addresses = new(None);
    let found = all(&["[2001:db8::7]:1", "192.0.2.7:1"]);
    let refusal = |address: SocketAddr| address.is_ipv6().then(|| "no way".to_owned());
    let now = Instant::now();
    for _ in 0..3 {
        addresses.begin(&found, refusal);
        assert_eq!(addresses.next(now), Next::Try(found[1]));
        assert_eq!(addresses.deadline(), None, "as if it were the only one");
        addresses.fail(now + HANDSHAKE, Failure::Silent);
        let Next::Failed(Problem::NoConnection { tried }) = addresses.next(now + HANDSHAKE) else { panic!() };
        assert_eq!(tried.len(), 2);
    }
    addresses.begin(&found, refusal);
    let _ = addresses.next(now);
    addresses.succeed();
    assert_eq!(addresses.take_unsaved("cloud:1"), None);

    addresses.begin(&found, |_| Some("no way".to_owned()));
    let Next::Failed(problem) = addresses.next(now) else { panic!("there is none left") };
    assert!(matches!(&problem, Problem::Unreachable { tried } if tried.len() == 2), "{problem}");
    let text = problem.to_string();
    assert!(
        text.contains("cannot send to [2001:db8::7]:1 and 192.0.2.7:1: no way; check its network"),
        "{text}"
    );
}

#[test]
fn a_refusal_is_the_problem_only_where_nobody_else_could_be_the_aggregator() {
    let wrong = || Problem::WrongKey { expected: PublicKey([1; 32]), presented: PublicKey([2; 32]) };
    let closed = || Problem::Closed { text: "it is full".to_owned() };
    let found = all(&["192.0.2.7:1", "192.0.2.8:1"]);
    let problem_of = |failures: Vec<Failure>| {
        let now = Instant::now();
        let mut addresses = new(None);
        addresses.begin(&found[..failures.len()], |_| None);
        for failure in failures {
            assert!(matches!(addresses.next(now), Next::Try(_)));
            addresses.fail(now, failure);
        }
        match addresses.next(now) {
            Next::Failed(problem) => problem,
            next => panic!("{next:?}"),
        }
    };
    assert_eq!(problem_of(vec![Failure::Answered(wrong())]), wrong());
    assert_eq!(problem_of(vec![Failure::Answered(closed())]), closed());
    assert_eq!(problem_of(vec![Failure::Answered(wrong()), Failure::Answered(wrong())]), wrong());
    let unreachable = Failure::NotSent("no way".to_owned());
    assert_eq!(problem_of(vec![unreachable, Failure::Answered(wrong())]), wrong());
    for other in [Failure::Silent, Failure::Answered(closed())] {
        let problem = problem_of(vec![Failure::Answered(wrong()), other]);
        assert!(!problem.is_refusal() && problem.to_string().contains("wrong aggregator key"), "{problem}");
        assert!(problem.to_string().contains("192.0.2.8:1"), "{problem}");
    }
}

/// Few enough that lists have addresses in common and twice.
fn some_addresses() -> impl Strategy<Value = Vec<SocketAddr>> {
    let one = (any::<bool>(), 1..20_u8).prop_map(|(is_ipv6, last)| match is_ipv6 {
        true => address(&format!("[2001:db8::{last}]:1")),
        false => address(&format!("192.0.2.{last}:1")),
    });
    prop::collection::vec(one, 1..24)
}

proptest! {
    #[test]
    fn no_address_is_forgotten_and_none_is_tried_twice_in_an_attempt(found in some_addresses()) {
        let distinct: HashSet<_> = found.iter().copied().collect();
        let (mut addresses, mut seen, mut firsts) = (new(None), HashSet::new(), HashSet::new());
        for _ in 0..distinct.len().div_ceil(TRIED_MAX) {
            let (_, tried, took) = attempt(&mut addresses, &found, &[]);
            prop_assert_eq!(tried.len(), distinct.len().min(TRIED_MAX));
            prop_assert_eq!(tried.iter().collect::<HashSet<_>>().len(), tried.len());
            prop_assert_eq!(took, PATIENCE * (tried.len() as u32 - 1) + HANDSHAKE);
            seen.extend(tried);
        }
        prop_assert_eq!(&seen, &distinct);
        for _ in 0..4 {
            firsts.insert(attempt(&mut addresses, &found, &[]).1[0]);
        }
        prop_assert!(firsts.len() > 1 || distinct.len() == 1, "{:?}", firsts);
    }

    /// Whatever the look-ups find and whichever address works, one that is found and works is reached in the end, and is
    /// the first one afterwards.
    #[test]
    fn what_works_is_found_and_remembered(
        lists in prop::collection::vec(some_addresses(), 1..6),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 6),
    ) {
        let mut addresses = new(None);
        for (found, pick) in lists.iter().zip(&picks) {
            let alive = [*pick.get(found)];
            let distinct: HashSet<_> = found.iter().collect();
            let mut attempts = 0;
            while attempt(&mut addresses, found, &alive).0.is_err() {
                attempts += 1;
                prop_assert!(attempts < distinct.len().div_ceil(TRIED_MAX), "{} of {:?}", alive[0], found);
            }
            let (_, tried, _) = attempt(&mut addresses, found, &alive);
            prop_assert_eq!(tried, alive);
        }
    }
}
