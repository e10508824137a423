//! When changes are sent, as a person sees and changes it.

use std::collections::HashSet;

use crdt_core::{CountingRng, Heap, Path, Replica, Write};
use serde_json::Value as Json;

use crate::support::{Aggregator, Running, code, edge, moment, stderr, stdout, until};

#[tokio::test(flavor = "multi_thread")]
async fn the_policy_of_a_running_edge_is_listed_and_followed_and_changed_from_the_cloud() {
    let aggregator = Aggregator::start("pump", HashSet::new()).await;
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    let key = aggregator.key.to_string();
    let link = ["--aggregator", &aggregator.address, "--key", &key, "--document", "pump"];
    let rules = ["--max-delay", "1h", "--policy", "alarms=urgent"];
    let _running = Running::start(store, &[&link[..], &rules].concat());
    let status = || -> Json { serde_json::from_str(&stdout(&edge(store, &["status", "--json"]))).unwrap() };
    until("the connection", async || status()["connected"] == true).await;

    assert_eq!(code(&edge(store, &["set", "speed", "1"])), 0);
    let waits = stdout(&edge(store, &["status"]));
    assert!(
        waits.contains("company: 1 change waits until")
            && waits.contains("(policy everywhere: max-delay:1h)"),
        "{waits}"
    );
    assert_eq!(aggregator.tree().await, Json::Null);
    assert_eq!(code(&edge(store, &["flush"])), 0);
    until("the flush", async || aggregator.tree().await["speed"] == 1).await;
    assert_eq!(code(&edge(store, &["set", "speed", "2", "--wait"])), 0, "whoever waits waits for no company");
    assert_eq!(aggregator.tree().await["speed"], 2);

    let rule = |path: &'static str, text: &'static str| {
        aggregator.ask("pump", move |replica: &mut Replica<Heap, CountingRng>| {
            replica.update(moment(), &[Write::set(Path::new(path).unwrap(), text)]).unwrap();
        })
    };
    rule("config/policy/speed", "speed=normal").await;
    rule("config/policy/bad", "sensors=loud").await;
    let policy = || stdout(&edge(store, &["policy"]));
    until("the bad rule", async || policy().contains("left out: config/policy/bad: \"loud\"")).await;
    let told = policy();
    for (prefix, terms, source) in [
        ("alarms", "urgent", "command line"),
        ("everywhere", "max-delay:1h", "command line"),
        ("speed", "normal", "document, config/policy/speed"),
    ] {
        let line = told.lines().find(|line| line.trim_start().starts_with(prefix)).unwrap();
        assert!(line.contains(terms) && line.ends_with(source), "{told}");
    }
    assert!(stdout(&edge(store, &["status"])).contains("left out      the rule at config/policy/bad"));
    let json: Json = serde_json::from_str(&stdout(&edge(store, &["policy", "--json"]))).unwrap();
    assert_eq!(json[0]["rules"][1]["source"]["document"], "config/policy/speed", "{json}");
    assert_eq!(code(&edge(store, &["set", "speed", "3"])), 0);
    until("the change that does not wait any more", async || aggregator.tree().await["speed"] == 3).await;
}

#[test]
fn a_policy_that_is_none_is_refused_with_what_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let cases: [(&[&str], &str); 5] = [
        (&["--max-delay", "5"], "is no length of time"),
        (&["--max-delay", "40d"], "31d is the longest"),
        (&["--policy", "alarms=loud"], "is no term of a rule"),
        (
            &["--policy", "a=urgent", "--urgent", "a", "--policy", "a=background"],
            "two rules for the prefix \"a\"",
        ),
        (&["--policy-path", "a//b"], "is no path"),
    ];
    for (arguments, expected) in cases {
        let output = edge(directory.path(), &[&["run", "--document", "pump"][..], arguments].concat());
        assert_eq!(code(&output), 2, "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(expected), "{arguments:?}: {}", stderr(&output));
    }
}
