//! What a person sees while the fleet runs: a table that changes in place on a terminal, and a line every few seconds
//! where there is none. All of it goes to the standard error.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};
use std::time::{Duration, Instant};

/// How the fleet is, for people.
#[derive(Debug, Clone, Default)]
pub(crate) struct Board {
    /// What is going on, in a few words.
    pub phase: &'static str,
    /// Updates of a full bar.
    pub updates_expected: u64,
    /// One row a device.
    pub rows: Vec<Row>,
}

/// How a device is, for people.
#[derive(Debug, Clone, Default)]
pub(crate) struct Row {
    /// Its document.
    pub name: String,
    /// How it is.
    pub condition: Condition,
    /// Writes made, on either side.
    pub updates: u64,
    /// Writes known to be at the aggregator.
    pub acknowledged: u64,
    /// Bytes of IP, both directions.
    pub ip_bytes: u64,
}

/// How a device is, in a word.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Its aggregator is there.
    Connected,
    /// Its copy is equal to the aggregator's.
    Converged,
    /// The relay lets nothing through.
    CutOff,
    /// Its process was killed.
    Killed,
    /// Its aggregator is not there yet.
    #[default]
    Offline,
}

/// Shows a [`Board`].
#[derive(Debug)]
pub(crate) struct Display {
    begun: Instant,
    is_terminal: bool,
    /// Lines of the table that stand on the terminal.
    drawn: usize,
    last_line: Option<Instant>,
}

impl Display {
    /// On the standard error.
    #[must_use]
    pub(crate) fn new() -> Self {
        Self { begun: Instant::now(), is_terminal: io::stderr().is_terminal(), drawn: 0, last_line: None }
    }

    /// Shows how things are. Call it often; without a terminal it does something only now and then.
    pub(crate) fn show(&mut self, board: &Board) {
        let elapsed = self.begun.elapsed();
        if self.is_terminal {
            let table = table(board, elapsed);
            self.put(&format!("{}{table}", self.back()));
            self.drawn = table.lines().count();
        } else if self.last_line.is_none_or(|last| last.elapsed() >= LINE_EVERY) {
            self.last_line = Some(Instant::now());
            self.put(&format!("{}\n", line(board, elapsed)));
        }
    }

    /// Tells an event; it stays.
    pub(crate) fn tell(&mut self, event: &str) {
        let elapsed = self.begun.elapsed().as_secs_f32();
        self.put(&format!("{}{elapsed:5.1} s  {event}\n", self.back()));
        self.drawn = 0;
    }

    /// Takes the table away.
    pub(crate) fn clear(&mut self) {
        self.put(&self.back());
        self.drawn = 0;
    }

    /// Over the lines that were drawn last, and what stands there away.
    fn back(&self) -> String {
        match self.drawn {
            0 => String::new(),
            lines => format!("\x1b[{lines}F\x1b[J"),
        }
    }

    /// Progress that cannot be shown is no reason to stop.
    fn put(&self, text: &str) {
        io::stderr().lock().write_all(text.as_bytes()).ok();
    }
}

impl Default for Display {
    fn default() -> Self {
        Self::new()
    }
}

fn line(board: &Board, elapsed: Duration) -> String {
    let sum = |what: fn(&Row) -> u64| board.rows.iter().map(what).sum::<u64>();
    let is_up = |row: &&Row| matches!(row.condition, Condition::Connected | Condition::Converged);
    format!(
        "{:5.1} s  {}: {} of {} connected, {} updates, {} acknowledged, {:.1} kB of IP",
        elapsed.as_secs_f32(),
        board.phase,
        board.rows.iter().filter(is_up).count(),
        board.rows.len(),
        sum(|row| row.updates),
        sum(|row| row.acknowledged),
        sum(|row| row.ip_bytes) as f64 / 1e3,
    )
}

fn table(board: &Board, elapsed: Duration) -> String {
    let mut text = format!("{}\n", line(board, elapsed));
    for row in board.rows.iter().take(ROWS_MAX) {
        let bar = bar(row, board.updates_expected);
        writeln!(
            text,
            "  {:<10} {:<9} [{bar}] {:>4} {:>8.1} kB",
            row.name,
            row.condition.word(),
            row.updates,
            row.ip_bytes as f64 / 1e3,
        )
        .expect("a string takes any text");
    }
    if board.rows.len() > ROWS_MAX {
        writeln!(text, "  and {} more", board.rows.len() - ROWS_MAX).expect("a string takes any text");
    }
    text
}

/// `#` for what is acknowledged, `-` for what is made.
fn bar(row: &Row, expected: u64) -> String {
    let filled = |updates: u64| updates * BAR_LEN / expected.max(1);
    let (sure, made) = (filled(row.acknowledged), filled(row.updates));
    let sign = |at| match at {
        at if at < sure => '#',
        at if at < made => '-',
        _ => ' ',
    };
    (0..BAR_LEN).map(sign).collect()
}

impl Condition {
    fn word(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Converged => "converged",
            Self::CutOff => "cut off",
            Self::Killed => "killed",
            Self::Offline => "offline",
        }
    }
}

/// Without a terminal.
const LINE_EVERY: Duration = Duration::from_secs(3);
/// More than a terminal has lines would break the drawing in place.
const ROWS_MAX: usize = 20;
/// Characters.
const BAR_LEN: u64 = 30;
