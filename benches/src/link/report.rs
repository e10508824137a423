//! Tables for people, JSON lines for programs.

use std::io::{self, Write};

use serde_json::json;
use sim::link_profiles::Link;

use super::{Measured, Method, Scenario};
use crate::report::grouped;

/// One figure of one system on one link.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// The scenario.
    pub scenario: &'a str,
    /// The system.
    pub system: &'a str,
    /// The link.
    pub link: Link,
    /// The figure.
    pub measured: Measured,
}

/// Writes `row` as one JSON object on a line.
///
/// # Errors
/// When `out` cannot be written.
pub fn json_line(out: &mut impl Write, row: Row<'_>) -> io::Result<()> {
    let Row { scenario, system, link, measured } = row;
    let line = json!({
        "scenario": scenario,
        "system": system,
        "link": link,
        "ip_bytes": measured.ip_bytes(),
        "seconds": measured.seconds.map(|seconds| (seconds * 1_000.0).round() / 1_000.0),
        "method": method(measured.method),
    });
    writeln!(out, "{line}")
}

/// Writes the head of the table of a link: one column for each system.
///
/// # Errors
/// When `out` cannot be written.
pub fn table_head<'a>(
    out: &mut impl Write,
    link: Link,
    systems: impl IntoIterator<Item = &'a str>,
) -> io::Result<()> {
    write!(out, "\n{:<25}", format!("{link}, IP bytes"))?;
    for system in systems {
        write!(out, "{system:>13}")?;
    }
    writeln!(out, "{:>12}       what", "target")
}

/// Writes one line of the table: the figures in the order of the head, ours first; then the target and whether ours reaches it.
///
/// # Errors
/// When `out` cannot be written.
pub fn table_line(
    out: &mut impl Write,
    scenario: &Scenario,
    link: Link,
    figures: &[Option<Measured>],
) -> io::Result<()> {
    write!(out, "{:<25}", scenario.name)?;
    for figure in figures {
        let text = figure.map_or_else(|| "-".to_owned(), |figure| grouped(figure.ip_bytes()));
        let mark = if figure.is_some_and(|figure| figure.method == Method::Extrapolated) { "*" } else { "" };
        write!(out, "{:>13}", text + mark)?;
    }
    let target = scenario.target(link);
    let verdict = match figures.first().copied().flatten() {
        Some(ours) if ours.ip_bytes() <= target => "pass",
        Some(_) => "MISS",
        None => "",
    };
    writeln!(out, "{:>12}  {verdict:<4} {}", format!("<= {}", grouped(target)), scenario.what)
}

fn method(method: Method) -> &'static str {
    match method {
        Method::Extrapolated => "extrapolated",
        Method::Measured => "measured",
    }
}
