//! The program that plays the scenarios and prints what they cost, for as many systems as it is given.

use std::io::{IsTerminal, Write};

use anyhow::bail;
use sim::link_profiles::Link;

use super::report::{Row, json_line, table_head, table_line};
use super::{LinkSystem, Measured, SCENARIOS, Scenario};

/// What it is asked for.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// One JSON object a line instead of tables: scenario, system, link, ip_bytes, seconds, method.
    #[arg(long)]
    json: bool,
    /// Only this scenario. May be given several times.
    #[arg(long, value_name = "NAME")]
    scenario: Vec<String>,
    /// Only this system. May be given several times.
    #[arg(long, value_name = "NAME")]
    system: Vec<String>,
    /// Only this link: cat-m1, nb-iot. May be given several times.
    #[arg(long, value_name = "NAME")]
    link: Vec<String>,
}

/// A system in the tables.
pub struct Column<'a> {
    /// As the tables call it.
    pub name: &'static str,
    /// What a scenario costs it; `None` where nothing can be said.
    pub cost: Box<Cost<'a>>,
}

/// What a scenario costs on a link.
type Cost<'a> = dyn Fn(&Scenario, Link) -> anyhow::Result<Option<Measured>> + 'a;

impl From<LinkSystem> for Column<'_> {
    fn from(system: LinkSystem) -> Self {
        let cost = move |scenario: &Scenario, link| scenario.run(system, link).map(Some);
        Self { name: system.name, cost: Box::new(cost) }
    }
}

impl Options {
    /// Whether all that is named exists.
    ///
    /// # Errors
    /// The first name that does not, with those that do.
    pub fn check(&self, systems: &[&str]) -> anyhow::Result<()> {
        known("scenario", &self.scenario, &SCENARIOS.map(|scenario| scenario.name))?;
        known("system", &self.system, systems)?;
        known("link", &self.link, &LINKS.map(Link::name))
    }

    /// Whether a system is asked for.
    pub fn wants(&self, system: &str) -> bool {
        wanted(&self.system, system)
    }
}

/// Plays what `options` ask for on `columns`, ours first, and prints it with `notes` and `remarks` below; of these, lines of
/// JSON leave only the remarks, on standard error.
///
/// # Errors
/// When a name in `options` is none, a scenario fails, or standard output cannot be written.
pub fn print(
    options: &Options,
    columns: &[Column<'_>],
    notes: &str,
    remarks: &[String],
) -> anyhow::Result<()> {
    let names: Vec<_> = columns.iter().map(|column| column.name).collect();
    options.check(&names)?;
    let mut out = std::io::stdout().lock();
    for link in LINKS.into_iter().filter(|link| wanted(&options.link, link.name())) {
        if !options.json {
            table_head(&mut out, link, names.iter().copied())?;
        }
        for scenario in SCENARIOS.iter().filter(|scenario| wanted(&options.scenario, scenario.name)) {
            let mut figures = vec![None; columns.len()];
            for (Column { name, cost }, figure) in columns.iter().zip(&mut figures) {
                if !options.wants(name) {
                    continue;
                }
                progress(&format!("{link}: {} of {name}", scenario.name));
                *figure = cost(scenario, link)?;
                if let (true, Some(measured)) = (options.json, *figure) {
                    progress("");
                    json_line(&mut out, Row { scenario: scenario.name, system: name, link, measured })?;
                }
            }
            progress("");
            if !options.json {
                table_line(&mut out, scenario, link, &figures)?;
            }
        }
    }
    progress("");
    if options.json {
        remarks.iter().for_each(|remark| eprintln!("{remark}"));
        return Ok(());
    }
    writeln!(out, "{notes}")?;
    for remark in remarks {
        writeln!(out, "  {remark}")?;
    }
    Ok(())
}

fn wanted(list: &[String], name: &str) -> bool {
    list.is_empty() || list.iter().any(|wanted| wanted == name)
}

fn known(what: &str, given: &[String], names: &[&str]) -> anyhow::Result<()> {
    match given.iter().find(|name| !names.contains(&name.as_str())) {
        Some(name) => bail!("there is no {what} {name}; there are: {}", names.join(", ")),
        None => Ok(()),
    }
}

/// Whoever looks on sees what is being played.
pub fn progress(what: &str) {
    if std::io::stderr().is_terminal() {
        let dots = if what.is_empty() { "" } else { " .." };
        eprint!("\r\x1b[K{what}{dots}");
    }
}

const LINKS: [Link; 2] = [Link::CatM1, Link::NbIot];
