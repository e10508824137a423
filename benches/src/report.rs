//! Tables for people, JSON lines for programs.

use std::io::{self, Write};

use serde_json::json;

use crate::workload::{Figure, Target};

/// One figure of one system.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// The workload.
    pub workload: &'a str,
    /// The system.
    pub system: &'a str,
    /// The figure.
    pub figure: Figure,
    /// For programs: what they were built for.
    pub target: Option<&'a str>,
}

/// Writes `row` as one JSON object on a line.
///
/// # Errors
/// When `out` cannot be written.
pub fn json_line(out: &mut impl Write, row: Row<'_>) -> io::Result<()> {
    let mut line = json!({
        "workload": row.workload,
        "system": row.system,
        row.figure.unit(): row.figure.number(),
    });
    if let Some(target) = row.target {
        line["target"] = target.into();
    }
    writeln!(out, "{line}")
}

/// Writes the head of the table: one column for each system.
///
/// # Errors
/// When `out` cannot be written.
pub fn table_head<'a>(out: &mut impl Write, systems: impl IntoIterator<Item = &'a str>) -> io::Result<()> {
    write!(out, "{:<27}", "")?;
    for system in systems {
        write!(out, "{system:>11}")?;
    }
    writeln!(out, "{:>13}       what", "target")
}

/// Writes one line of the table: the figures in the order of the head, ours first; then the target and whether ours reaches it.
///
/// # Errors
/// When `out` cannot be written.
pub fn table_line(
    out: &mut impl Write,
    workload: &str,
    figures: &[Option<Figure>],
    target: Option<Target>,
    what: &str,
) -> io::Result<()> {
    write!(out, "{workload:<27}")?;
    for figure in figures {
        write!(out, "{:>11}", figure.map_or_else(|| "-".to_owned(), |figure| grouped(figure.number())))?;
    }
    let ours = figures.first().copied().flatten();
    let verdict = match (target, ours) {
        (Some(target), Some(ours)) if target.is_met(ours.number()) => "pass",
        (Some(_), Some(_)) => "MISS",
        _ => "",
    };
    let limit = match target {
        Some(Target::AtLeast(least)) => format!(">= {}", grouped(least)),
        Some(Target::AtMost(most)) => format!("<= {}", grouped(most)),
        None => String::new(),
    };
    writeln!(out, "{limit:>13}  {verdict:<4} {what}")
}

/// 1234567 as 1,234,567.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
