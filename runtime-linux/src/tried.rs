//! What came of the addresses that an attempt to connect tried, for people and programs.

use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// An address of the aggregator that did not lead to a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    /// The address.
    pub address: SocketAddr,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What came of an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// Something came back, and no connection.
    Failed {
        /// Why.
        detail: String,
    },
    /// Nothing came back.
    NoAnswer {
        /// How long it was waited for, in milliseconds.
        after_ms: u64,
    },
    /// This device's system does not send there. It has cost nothing.
    NotSent {
        /// What the system says.
        detail: String,
    },
}

/// All that were tried in one attempt, as one sentence.
pub(crate) struct Account<'a>(pub(crate) &'a [Tried]);

impl fmt::Display for Account<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut silent, mut failed) = (Vec::new(), Vec::new());
        let mut not_sent: Vec<(&str, Vec<String>)> = Vec::new();
        for Tried { address, outcome } in self.0 {
            match outcome {
                Outcome::Failed { detail } => failed.push(format!("{address}: {detail}")),
                Outcome::NoAnswer { after_ms } => {
                    silent.push(format!("{address} in {} s", tenths(*after_ms)));
                }
                Outcome::NotSent { detail } => match not_sent.iter_mut().find(|(said, _)| said == detail) {
                    Some((_, addresses)) => addresses.push(address.to_string()),
                    None => not_sent.push((detail, vec![address.to_string()])),
                },
            }
        }
        let is_silent = !silent.is_empty();
        let silent = is_silent.then(|| format!("no answer from {}", and(&silent)));
        let not_sent = not_sent
            .iter()
            .map(|(detail, addresses)| format!("this device cannot send to {}: {detail}", and(addresses)));
        let parts: Vec<_> = silent.into_iter().chain(failed).chain(not_sent).collect();
        f.write_str(&parts.join("; "))?;
        if is_silent {
            f.write_str("; check that the aggregator runs, and that UDP gets through to it")?;
        }
        Ok(())
    }
}

/// Some of them by name, the others as a number.
fn and(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] if names.len() <= NAMED_MAX => format!("{} and {last}", first.join(", ")),
        _ => format!("{} and {} more", names[..NAMED_MAX].join(", "), names.len() - NAMED_MAX),
    }
}

/// Seconds with one decimal at most.
fn tenths(ms: u64) -> f64 {
    (ms as f64 / 100.0).round() / 10.0
}

/// Addresses with the same fate that a sentence names.
const NAMED_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(address: &str, outcome: Outcome) -> Tried {
        Tried { address: address.parse().unwrap(), outcome }
    }

    fn not_sent(last: u8) -> Tried {
        tried(&format!("192.0.2.{last}:1"), Outcome::NotSent { detail: "no way".to_owned() })
    }

    #[test]
    fn all_that_was_tried_is_one_sentence() {
        let mut all = vec![
            tried("[::1]:4433", Outcome::NoAnswer { after_ms: 7_501 }),
            not_sent(1),
            tried("127.0.0.1:4433", Outcome::NoAnswer { after_ms: 60_000 }),
            tried("192.0.2.9:4433", Outcome::Failed { detail: "it is full".to_owned() }),
        ];
        assert_eq!(
            Account(&all).to_string(),
            "no answer from [::1]:4433 in 7.5 s and 127.0.0.1:4433 in 60 s; 192.0.2.9:4433: it is full; \
             this device cannot send to 192.0.2.1:1: no way; check that the aggregator runs, and that UDP gets \
             through to it"
        );
        all.extend((2..9).map(not_sent));
        let many = Account(&all).to_string();
        assert!(
            many.contains("192.0.2.1:1, 192.0.2.2:1, 192.0.2.3:1, 192.0.2.4:1 and 4 more: no way"),
            "{many}"
        );
        let silent_only = Account(&all[1..2]).to_string();
        assert_eq!(silent_only, "this device cannot send to 192.0.2.1:1: no way");
    }

    #[test]
    fn programs_read_what_was_written() {
        for each in [
            not_sent(1),
            tried("[fe80::1%2]:4433", Outcome::NoAnswer { after_ms: 1 }),
            tried("[::1]:4433", Outcome::Failed { detail: String::new() }),
        ] {
            let json = serde_json::to_string(&each).unwrap();
            assert_eq!(serde_json::from_str::<Tried>(&json).unwrap(), each, "{json}");
        }
    }
}
