//! The policy for people and programs.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::rules::{BadRule, Placed, Policy, Source};

/// The rules that hold in one document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DocumentPolicy {
    /// The document's name.
    pub document: String,
    /// Where rules stand in it.
    pub path: String,
    /// Those that hold, the longest prefix first.
    pub rules: Vec<RuleReport>,
    /// What stands there and is no rule.
    pub bad: Vec<BadRule>,
}

/// A rule that holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleReport {
    /// Where it holds; everywhere if it is empty.
    pub prefix: String,
    /// What it says, as it is written: `max-delay:15m,dead-band:0.5`.
    pub terms: String,
    /// Where it comes from.
    pub source: Source,
}

impl DocumentPolicy {
    pub(crate) fn new(document: &str, policy: &Policy) -> Self {
        let report = |Placed { rule, source }: &Placed| RuleReport {
            prefix: rule.prefix.clone(),
            terms: rule.terms.to_string(),
            source: source.clone(),
        };
        Self {
            document: document.to_owned(),
            path: policy.path().to_owned(),
            rules: policy.placed().iter().map(report).collect(),
            bad: policy.bad().to_vec(),
        }
    }
}

impl fmt::Display for DocumentPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "document {:?}, rules below {}", self.document, self.path)?;
        for RuleReport { prefix, terms, source } in &self.rules {
            let prefix = if prefix.is_empty() { "everywhere" } else { prefix };
            writeln!(f, "  {prefix:<24} {terms:<40} {source}")?;
        }
        for BadRule { path, reason } in &self.bad {
            writeln!(f, "  left out: {path}: {reason}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandLine => f.write_str("command line"),
            Self::Document(path) => write!(f, "document, {path}"),
            Self::Usual => f.write_str("usual: at once"),
        }
    }
}
