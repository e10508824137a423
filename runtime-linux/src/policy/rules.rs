//! The rules of one document: those it was opened with, and those that stand in it.

use control::Scalar;
use crdt_core::{Content, Document, Heap, Path, Value};
use serde::{Deserialize, Serialize};

use super::rule::{Rule, RuleError};

/// What holds in one document. The rule with the longest prefix counts; of two with the same prefix the one that stands
/// in the document.
///
/// A rule in a document is one string at a path such as `config/policy/sensors`: whoever changes it changes all of it.
/// One that cannot be read is left out, and the others hold.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Where rules stand in the document.
    path: String,
    /// What it was opened with, and at the end what holds everywhere if nothing else does.
    given: Vec<Placed>,
    /// All that holds, the longest prefix first.
    placed: Vec<Placed>,
    bad: Vec<BadRule>,
    /// The change of the document up to which rules were read, and how often cells had gone without a trace.
    read: Option<(u64, u64)>,
}

/// A rule, and where it comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    /// The rule.
    pub rule: Rule,
    /// Where it comes from.
    pub source: Source,
}

/// Where a rule comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// It was given when the edge was opened.
    CommandLine,
    /// It stands in the document, at this path.
    Document(String),
    /// It holds where no other does: everything is sent at once.
    Usual,
}

/// Something in a document where rules stand that is none; it is left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadRule {
    /// Where it stands.
    pub path: String,
    /// Why it is left out.
    pub reason: String,
}

impl Policy {
    /// The rules that a document is opened with, and where to look for others in it.
    ///
    /// # Errors
    /// The prefix for which there are two rules that differ.
    pub fn new(rules: Vec<Rule>, path: Path<'_>) -> Result<Self, String> {
        let mut given: Vec<Placed> = Vec::with_capacity(rules.len() + 1);
        for rule in rules {
            match given.iter().find(|placed| placed.rule.prefix == rule.prefix) {
                Some(same) if same.rule == rule => {}
                Some(_) => return Err(rule.prefix),
                None => given.push(Placed { rule, source: Source::CommandLine }),
            }
        }
        if given.iter().all(|placed| !placed.rule.prefix.is_empty()) {
            let rule = Rule { prefix: String::new(), terms: super::Terms::default() };
            given.push(Placed { rule, source: Source::Usual });
        }
        let mut policy =
            Self { path: path.as_str().to_owned(), given, placed: Vec::new(), bad: Vec::new(), read: None };
        policy.place(Vec::new());
        Ok(policy)
    }

    /// Reads the rules in the document anew if one may have changed. `drops`: how often cells of it went without a
    /// trace. True if other rules hold now. O(changes since the last time).
    pub fn follow(&mut self, document: &Document<Heap>, drops: u64) -> bool {
        let now = (document.seq(), drops);
        let root = Path::new(&self.path).expect("it was checked when this was made");
        let is_touched = match self.read.replace(now) {
            Some(before) if before == now => false,
            Some((seq, before)) if before == drops => document
                .changes_since(seq)
                .any(|cell| root.contains(cell.path()) || cell.path().is_above(root)),
            _ => true,
        };
        if !is_touched {
            return false;
        }
        let (rules, bad) = read(document, root);
        for bad in bad.iter().filter(|bad| !self.bad.contains(bad)) {
            tracing::warn!(path = bad.path, reason = bad.reason, "a rule of the policy is left out");
        }
        self.bad = bad;
        let before = self.placed.clone();
        self.place(rules);
        let is_changed = self.placed != before;
        if is_changed {
            tracing::info!(rules = self.placed.len(), "the policy in the document has changed");
        }
        is_changed
    }

    /// The rule that counts at a path.
    pub fn rule_at(&self, path: &str) -> &Rule {
        let placed = self.placed.iter().find(|placed| placed.rule.holds_at(path));
        &placed.expect("one rule holds everywhere").rule
    }

    /// Whether a path is urgent.
    pub fn is_urgent(&self, path: &str) -> bool {
        self.rule_at(path).terms.priority == super::Priority::Urgent
    }

    /// All rules that hold, the longest prefix first.
    pub fn placed(&self) -> &[Placed] {
        &self.placed
    }

    /// What stands in the document and is no rule.
    pub fn bad(&self) -> &[BadRule] {
        &self.bad
    }

    /// Where rules stand in the document.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Puts the rules of the document before those that were given.
    fn place(&mut self, rules: Vec<Placed>) {
        let given = self.given.iter();
        let given = given.filter(|given| rules.iter().all(|placed| placed.rule.prefix != given.rule.prefix));
        let given: Vec<_> = given.cloned().collect();
        self.placed = rules;
        self.placed.extend(given);
        self.placed.sort_by(|a, b| {
            let (a, b) = (&a.rule.prefix, &b.rule.prefix);
            b.len().cmp(&a.len()).then_with(|| a.cmp(b))
        });
    }
}

/// The rules in a document, in the order of their paths.
fn read(document: &Document<Heap>, root: Path<'_>) -> (Vec<Placed>, Vec<BadRule>) {
    let (mut rules, mut bad) = (Vec::<Placed>::new(), Vec::new());
    for cell in document.iter(Some(root)) {
        let Content::Value(value) = cell.content else { continue };
        if rules.len() + bad.len() == RULES_MAX {
            let reason =
                format!("a document has at most {RULES_MAX} rules: this one and those after it are left out");
            bad.push(BadRule { path: cell.path.as_str().to_owned(), reason });
            break;
        }
        match rule(root, cell.path, value, &rules) {
            Ok(rule) => {
                rules.push(Placed { rule, source: Source::Document(cell.path.as_str().to_owned()) });
            }
            Err(reason) => bad.push(BadRule { path: cell.path.as_str().to_owned(), reason }),
        }
    }
    (rules, bad)
}

/// The rule that stands at a path, or why there is none.
fn rule(root: Path<'_>, path: Path<'_>, value: Value<'_>, others: &[Placed]) -> Result<Rule, String> {
    if path.parent() != Some(root) {
        return Err(format!("a rule stands at {root}/NAME, as one string"));
    }
    let Value::Str(text) = value else {
        let value = serde_json::Value::from(Scalar::from(value));
        return Err(format!("a rule is a string such as \"sensors=max-delay:15m\", not {value:.40}"));
    };
    let rule: Rule = text.parse().map_err(|error: RuleError| error.to_string())?;
    match others.iter().find(|other| other.rule.prefix == rule.prefix) {
        Some(Placed { source: Source::Document(other), .. }) => {
            Err(format!("{other} is about the same prefix, {:?}", rule.prefix))
        }
        _ => Ok(rule),
    }
}

/// Where rules stand in a document if nothing else was said.
pub const POLICY_PATH: &str = "config/policy";
/// Most rules in a document.
pub const RULES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use crdt_core::{DocumentName, Limits, Moment, ReplicaId, Write};

    use super::super::Priority;
    use super::*;

    fn policy(given: &[&str]) -> Policy {
        let given = given.iter().map(|text| text.parse().unwrap()).collect();
        Policy::new(given, Path::new(POLICY_PATH).unwrap()).unwrap()
    }

    fn document() -> Document<Heap> {
        Document::new(&DocumentName::new("site").unwrap(), ReplicaId::new(1), Limits::default())
    }

    fn set<'a>(document: &mut Document<Heap>, path: &'a str, value: impl Into<Value<'a>>) {
        let ms = document.seq() + 1;
        document.update(Moment::new(ms), &[Write::set(Path::new(path).unwrap(), value)]).unwrap();
    }

    fn text(policy: &Policy, path: &str) -> String {
        policy.rule_at(path).to_string()
    }

    #[test]
    fn without_rules_everything_is_sent_at_once() {
        let policy = policy(&[]);
        assert_eq!(policy.rule_at("a/b").terms, super::super::Terms::default());
        assert_eq!(policy.placed().len(), 1);
    }

    #[test]
    fn the_longest_prefix_counts_and_the_document_before_the_command_line() {
        let mut policy = policy(&["=max-delay:1h", "a=max-delay:10m", "a/b=urgent"]);
        let mut document = document();
        set(&mut document, "config/policy/one", "a=max-delay:5m");
        assert!(policy.follow(&document, 0));
        assert_eq!(text(&policy, "a/x"), "a=max-delay:5m");
        assert_eq!(text(&policy, "a/b/c"), "a/b=urgent", "a longer prefix counts wherever it comes from");
        assert_eq!(text(&policy, "ab"), "=max-delay:1h");
        assert!(policy.is_urgent("a/b") && !policy.is_urgent("a/x"));
        assert!(!policy.follow(&document, 0), "nothing has changed");
        set(&mut document, "speed", 1);
        assert!(!policy.follow(&document, 0));

        // A delete above takes them away.
        let ms = document.seq() + 1;
        document.delete(Moment::new(ms), Path::new("config").unwrap()).unwrap();
        assert!(policy.follow(&document, 0));
        assert_eq!(text(&policy, "a/x"), "a=max-delay:10m");
    }

    #[test]
    fn a_bad_rule_is_left_out_and_the_others_hold() {
        let mut policy = policy(&["sensors=max-delay:1h"]);
        let mut document = document();
        set(&mut document, "config/policy/a", "sensors=max-delay:-5m");
        set(&mut document, "config/policy/b", "alarms=loud");
        set(&mut document, "config/policy/c", "logs=background,max-delay:6h");
        set(&mut document, "config/policy/d", "logs=urgent");
        set(&mut document, "config/policy/e", 15);
        set(&mut document, "config/policy/f/max_delay_ms", 5);
        assert!(policy.follow(&document, 0));
        assert_eq!(text(&policy, "logs/x"), "logs=background,max-delay:6h");
        assert_eq!(text(&policy, "sensors/1"), "sensors=max-delay:1h", "the command line's holds on");
        let reasons: Vec<_> =
            policy.bad().iter().map(|bad| (bad.path.as_str(), bad.reason.as_str())).collect();
        let expected = [
            ("config/policy/a", "\"-5m\" is no length of time"),
            ("config/policy/b", "\"loud\" is no term"),
            ("config/policy/d", "config/policy/c is about the same prefix"),
            ("config/policy/e", "not 15"),
            ("config/policy/f/max_delay_ms", "stands at config/policy/NAME"),
        ];
        assert_eq!(reasons.len(), expected.len());
        for ((path, reason), (expected_path, part)) in reasons.iter().zip(expected) {
            assert!(*path == expected_path && reason.contains(part), "{path}: {reason}");
        }
        assert_eq!(policy.rule_at("alarms/1").terms.priority, Priority::Normal);

        set(&mut document, "config/policy/b", "alarms=urgent");
        assert!(policy.follow(&document, 0));
        assert!(policy.is_urgent("alarms/1") && policy.bad().len() == 4);
    }

    #[test]
    fn a_document_cannot_have_rules_without_end() {
        let mut policy = policy(&[]);
        let mut document = document();
        for n in 0..RULES_MAX + 10 {
            set(&mut document, &format!("config/policy/{n:03}"), format!("p{n}=urgent").as_str());
        }
        policy.follow(&document, 0);
        assert_eq!((policy.placed().len(), policy.bad().len()), (RULES_MAX + 1, 1));
        assert!(policy.bad()[0].reason.contains("at most 64"), "{:?}", policy.bad());
    }

    #[test]
    fn two_rules_for_one_prefix_on_a_command_line_are_a_mistake() {
        let given = |texts: &[&str]| {
            let rules = texts.iter().map(|text| text.parse().unwrap()).collect();
            Policy::new(rules, Path::new(POLICY_PATH).unwrap()).map(|policy| policy.placed().len())
        };
        assert_eq!(given(&["a=urgent", "a=background"]), Err("a".to_owned()));
        assert_eq!(given(&["a=urgent", "a=urgent"]), Ok(2));
    }
}
