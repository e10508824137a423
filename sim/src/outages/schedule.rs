//! Outages from a schedule, as people write it down.
//!
//! ```text
//! # a van of the night shift
//! daily 22:00-06:00            # in an underground garage
//! weekly sat 08:00-12:00       # the workshop
//! every 40m for 30s            # a tunnel on its round
//! random every 6h for 1m..20m  # hills
//! once 3d04:30 for 2h downlink # maintenance: it is heard, and hears nothing
//! ```
//!
//! | Rule | When |
//! |---|---|
//! | `daily HH:MM-HH:MM` | each day; past midnight where the end is before the begin |
//! | `weekly DAY HH:MM-HH:MM` | each week, from `mon` to `sun` |
//! | `every LENGTH for LENGTH` | at regular times, the first one after one period |
//! | `random every LENGTH for LENGTH..LENGTH` | at random times, so often in the mean (a Poisson process), so long |
//! | `once DAYSdHH:MM for LENGTH` | once, so many days after the beginning |
//!
//! A length is a number and `s`, `m`, `h` or `d`. A rule may end with `uplink` or `downlink`, if only one direction dies.
//! `#` begins a comment. Times are UTC. In JSON a schedule is an array of such rules as strings.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Cut;
use crate::clock::{Clock, SimTime};
use crate::rng::SimRng;

/// When a node is cut off, as rules. See the [module](self) for their language.
///
/// ```
/// use sim::clock::{Clock, SimTime};
/// use sim::outages::Schedule;
/// use sim::rng::SimRng;
///
/// let nights: Schedule = "daily 22:00-06:00".parse()?;
/// let two_days = nights.windows(&Clock::new(), SimTime::from_secs(2 * 86_400), &mut SimRng::new(1, 0));
/// assert_eq!(two_days[0].from, SimTime::ZERO, "the night that began before");
/// assert_eq!(two_days[1].until - two_days[1].from, std::time::Duration::from_secs(8 * 3600));
/// # Ok::<(), sim::outages::ScheduleError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Schedule {
    /// The rules, all of which hold.
    pub rules: Vec<Rule>,
}

impl Schedule {
    /// All outages that begin before `until`, in the order of their beginning. Those of random rules are drawn from `rng`,
    /// one rule after the other.
    #[must_use]
    pub fn windows(&self, clock: &Clock, until: SimTime, rng: &mut SimRng) -> Vec<Window> {
        let mut windows = Vec::new();
        for rule in &self.rules {
            rule.add_windows(clock, until, rng, &mut windows);
        }
        windows.sort_by_key(|window| (window.from, window.until));
        windows
    }
}

impl FromStr for Schedule {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        let lines = text.lines().zip(1_u32..);
        let rules = lines.map(|(line, number)| (line.split('#').next().unwrap_or_default().trim(), number));
        let rules = rules.filter(|(line, _)| !line.is_empty());
        let parse = |(line, number): (&str, u32)| {
            let at = |cause| ScheduleError { line: number, cause };
            line.parse().map_err(at)
        };
        Ok(Self { rules: rules.map(parse).collect::<Result<_, _>>()? })
    }
}

/// One outage, or one that comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rule {
    when: When,
    cut: Cut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Daily { from: TimeOfDay, until: TimeOfDay },
    Every { period: Length, lasts: Length },
    Once { day: u32, at: TimeOfDay, lasts: Length },
    Random { mean: Length, shortest: Length, longest: Length },
    Weekly { day: Weekday, from: TimeOfDay, until: TimeOfDay },
}

/// An outage of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its first moment.
    pub from: SimTime,
    /// The first moment after it.
    pub until: SimTime,
    /// What is dead meanwhile.
    pub cut: Cut,
}

impl Rule {
    fn add_windows(&self, clock: &Clock, until: SimTime, rng: &mut SimRng, windows: &mut Vec<Window>) {
        let cut = self.cut;
        let mut add = |from: SimTime, to: SimTime| {
            if to > SimTime::ZERO && from < until {
                windows.push(Window { from, until: to, cut });
            }
        };
        match self.when {
            When::Daily { from, until: end } => {
                for midnight in midnights(clock, until) {
                    let (from, end) = span(midnight, from, end);
                    add(from, end);
                }
            }
            When::Weekly { day, from, until: end } => {
                for midnight in midnights(clock, until).filter(|m| Weekday::of(*m) == day) {
                    let (from, end) = span(midnight, from, end);
                    add(from, end);
                }
            }
            When::Every { period, lasts } => {
                let mut from = SimTime::ZERO + period.duration();
                while from < until {
                    add(from, from + lasts.duration());
                    from = from + period.duration();
                }
            }
            When::Once { day, at, lasts } => {
                let from = SimTime::from_secs(u64::from(day) * DAY_S + at.seconds());
                add(from, from + lasts.duration());
            }
            When::Random { mean, shortest, longest } => {
                let mut from = SimTime::ZERO + exponential(mean.duration(), rng);
                while from < until {
                    let spare = (longest.duration() - shortest.duration()).as_millis() as u64;
                    let to = from + shortest.duration() + Duration::from_millis(rng.below(spare + 1));
                    add(from, to);
                    from = to + exponential(mean.duration(), rng);
                }
            }
        }
    }
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let mut words: Vec<&str> = text.split_whitespace().collect();
        let cut = match words.last() {
            Some(&"downlink") => Cut::Downlink,
            Some(&"uplink") => Cut::Uplink,
            _ => Cut::Both,
        };
        if cut != Cut::Both {
            words.pop();
        }
        let when = match words[..] {
            ["daily", hours] => {
                let (from, until) = parse_hours(hours)?;
                When::Daily { from, until }
            }
            ["weekly", day, hours] => {
                let (from, until) = parse_hours(hours)?;
                When::Weekly { day: day.parse()?, from, until }
            }
            ["every", period, "for", lasts] => {
                let (period, lasts): (Length, Length) = (period.parse()?, lasts.parse()?);
                if period.seconds() <= lasts.seconds() {
                    return Err(RuleError::NeverEnds { period, lasts });
                }
                When::Every { period, lasts }
            }
            ["random", "every", mean, "for", lasts] => {
                let (shortest, longest) = lasts.split_once("..").unwrap_or((lasts, lasts));
                let (shortest, longest): (Length, Length) = (shortest.parse()?, longest.parse()?);
                if longest.seconds() < shortest.seconds() {
                    return Err(RuleError::Backwards { shortest, longest });
                }
                When::Random { mean: mean.parse()?, shortest, longest }
            }
            ["once", at, "for", lasts] => {
                let (day, hour) = at.split_once('d').ok_or_else(|| RuleError::Moment { text: at.into() })?;
                let day = day.parse().map_err(|_| RuleError::Moment { text: at.into() })?;
                When::Once { day, at: hour.parse()?, lasts: lasts.parse()? }
            }
            _ => return Err(RuleError::Unknown { text: text.into() }),
        };
        Ok(Self { when, cut })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.when {
            When::Daily { from, until } => write!(f, "daily {from}-{until}")?,
            When::Every { period, lasts } => write!(f, "every {period} for {lasts}")?,
            When::Once { day, at, lasts } => write!(f, "once {day}d{at} for {lasts}")?,
            When::Random { mean, shortest, longest } => {
                write!(f, "random every {mean} for {shortest}..{longest}")?;
            }
            When::Weekly { day, from, until } => write!(f, "weekly {} {from}-{until}", day.name())?,
        }
        match self.cut {
            Cut::Both => Ok(()),
            Cut::Downlink => f.write_str(" downlink"),
            Cut::Uplink => f.write_str(" uplink"),
        }
    }
}

impl TryFrom<String> for Rule {
    type Error = RuleError;

    fn try_from(text: String) -> Result<Self, RuleError> {
        text.parse()
    }
}

impl From<Rule> for String {
    fn from(rule: Rule) -> Self {
        rule.to_string()
    }
}

/// A line of a schedule that is no rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {cause}")]
pub struct ScheduleError {
    /// Which line, from 1.
    pub line: u32,
    /// What is wrong with it.
    #[source]
    pub cause: RuleError,
}

/// What is no rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the fields are")]
pub enum RuleError {
    /// A range that ends before it begins.
    #[error("{shortest}..{longest} ends before it begins: write the shorter length first")]
    Backwards { shortest: Length, longest: Length },
    /// No name of a day.
    #[error("{text:?} is no day: use one of mon, tue, wed, thu, fri, sat, sun")]
    Day { text: String },
    /// No two times of a day.
    #[error("{text:?} is no time span: write it as 22:00-06:00, with two different times")]
    Hours { text: String },
    /// No length.
    #[error("{text:?} is no length: write a number from 1 to 9999 and s, m, h or d, as in 90s")]
    Length { text: String },
    /// No moment of the run.
    #[error("{text:?} is no moment: write days and time, as in 3d04:30")]
    Moment { text: String },
    /// An outage that is as long as its period.
    #[error("an outage of {lasts} every {period} never ends: make it shorter")]
    NeverEnds { period: Length, lasts: Length },
    /// No time of a day.
    #[error("{text:?} is no time: write it as 06:30, from 00:00 to 23:59")]
    Time { text: String },
    /// None of the rules.
    #[error("{text:?} is no rule: a rule begins with daily, weekly, every, random every or once")]
    Unknown { text: String },
}

/// A length of time, as it was written: a number and its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Length {
    number: u16,
    unit: char,
}

impl Length {
    /// In seconds.
    #[must_use]
    pub fn seconds(self) -> u64 {
        let unit = UNITS.iter().find(|(name, _)| *name == self.unit).map_or(1, |(_, seconds)| *seconds);
        u64::from(self.number) * unit
    }

    /// As a duration.
    #[must_use]
    pub fn duration(self) -> Duration {
        Duration::from_secs(self.seconds())
    }
}

impl FromStr for Length {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let error = || RuleError::Length { text: text.into() };
        let unit = text.chars().next_back().ok_or_else(error)?;
        let number = text[..text.len() - unit.len_utf8()].parse().map_err(|_| error())?;
        let is_known = UNITS.iter().any(|(name, _)| *name == unit) && (1..=9_999).contains(&number);
        if is_known { Ok(Self { number, unit }) } else { Err(error()) }
    }
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.number, self.unit)
    }
}

/// Minutes since midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct TimeOfDay(u16);

impl TimeOfDay {
    fn seconds(self) -> u64 {
        u64::from(self.0) * 60
    }
}

impl FromStr for TimeOfDay {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let error = || RuleError::Time { text: text.into() };
        let (hours, minutes) = text.split_once(':').ok_or_else(error)?;
        let part = |digits: &str, limit: u16| {
            let is_plain = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_digit());
            digits.parse::<u16>().ok().filter(|number| is_plain && *number < limit).ok_or_else(error)
        };
        Ok(Self(part(hours, 24)? * 60 + part(minutes, 60)?))
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

/// Days since a Monday.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Weekday(usize);

impl Weekday {
    const NAMES: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

    fn of(midnight: Midnight) -> Self {
        // The Unix epoch was a Thursday.
        Self(((midnight.unix_day + 3) % 7) as usize)
    }

    fn name(self) -> &'static str {
        Self::NAMES[self.0]
    }
}

impl FromStr for Weekday {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let day = Self::NAMES.iter().position(|name| *name == text);
        day.map(Self).ok_or_else(|| RuleError::Day { text: text.into() })
    }
}

/// The beginning of a day; `offset_ms` is from the beginning of the run, and negative for the day on which it began.
#[derive(Clone, Copy)]
struct Midnight {
    unix_day: u64,
    offset_ms: i64,
}

/// From the day before the run to its last one.
fn midnights(clock: &Clock, until: SimTime) -> impl Iterator<Item = Midnight> + use<> {
    let (start_ms, end_ms) = (clock.unix_ms(SimTime::ZERO), clock.unix_ms(until));
    let first = (start_ms / DAY_MS).saturating_sub(1);
    (first..=end_ms / DAY_MS)
        .map(move |unix_day| Midnight { unix_day, offset_ms: (unix_day * DAY_MS) as i64 - start_ms as i64 })
}

/// From one time of a day to the next occurrence of the other, as far as it lies in the run.
fn span(midnight: Midnight, from: TimeOfDay, until: TimeOfDay) -> (SimTime, SimTime) {
    let end_s = if until > from { until.seconds() } else { until.seconds() + DAY_S };
    let at = |seconds: u64| {
        let ms = midnight.offset_ms + seconds as i64 * 1_000;
        SimTime::from_ms(u64::try_from(ms).unwrap_or(0))
    };
    (at(from.seconds()), at(end_s))
}

fn parse_hours(text: &str) -> Result<(TimeOfDay, TimeOfDay), RuleError> {
    let error = || RuleError::Hours { text: text.into() };
    let (from, until) = text.split_once('-').ok_or_else(error)?;
    let (from, until) = (from.parse()?, until.parse()?);
    if from == until { Err(error()) } else { Ok((from, until)) }
}

/// A time between two events of a Poisson process, in whole milliseconds, by inversion of its distribution.
fn exponential(mean: Duration, rng: &mut SimRng) -> Duration {
    // 53 bits, which is what an f64 holds; never 0, whose logarithm is infinite.
    let uniform = (rng.below((1 << 53) - 1) + 1) as f64 / (1_u64 << 53) as f64;
    Duration::from_millis((mean.as_millis() as f64 * -uniform.ln()) as u64)
}

const DAY_S: u64 = 86_400;
const DAY_MS: u64 = DAY_S * 1_000;
const UNITS: [(char, u64); 4] = [('s', 1), ('m', 60), ('h', 3_600), ('d', DAY_S)];

#[cfg(test)]
mod tests;
