//! One rule and its text, the same on a command line and in a document.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crdt_core::{Path, PathError};
use serde::{Deserialize, Serialize};

use super::dead_band::DeadBand;
use crate::duration::{DurationError, parse_duration, show_duration};

/// What holds for the paths at a prefix and below.
///
/// Its text is `PREFIX=TERM,TERM..`; without a prefix it holds everywhere.
///
/// | term | meaning | without it |
/// |---|---|---|
/// | `urgent`, `normal`, `background` | [`Priority`] | `normal` |
/// | `max-delay:15m` | longest time that a change waits for company | at once; `background`: a day; the period of `align` |
/// | `dead-band:0.5` | a change of a number by less is none | each is one; an equal value never is |
/// | `dead-band:2%` | the same in percent of the value sent last; with both, the wider one counts | |
/// | `heartbeat:1h` | a write that is no change is sent all the same if the last report of its path is so long ago | it waits for company |
/// | `align:5m` | it leaves at a multiple of this, as long as `max-delay` has room for one | when `max-delay` is over |
/// | `no-spread` | these multiples are those of the clock | each device has its own |
///
/// ```
/// use runtime_linux::{Priority, Rule};
/// let rule: Rule = "sensors=max-delay:15m,dead-band:0.5".parse()?;
/// assert_eq!((rule.prefix.as_str(), rule.terms.max_delay.as_secs()), ("sensors", 900));
/// assert_eq!("alarms=urgent".parse::<Rule>()?.terms.priority, Priority::Urgent);
/// assert_eq!(rule.to_string(), "sensors=max-delay:15m,dead-band:0.5");
/// # Ok::<(), runtime_linux::RuleError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Where it holds; everywhere if it is empty.
    pub prefix: String,
    /// What holds.
    pub terms: Terms,
}

/// What a rule says.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Terms {
    /// How it stands to the budget and to other traffic.
    pub priority: Priority,
    /// Longest time that a change waits for company, to the millisecond.
    pub max_delay: Duration,
    /// Which change of a number is none.
    pub dead_band: DeadBand,
    /// How old the last report of a path may be when a write there is no change: if it is older, it is sent.
    pub heartbeat: Option<Duration>,
    /// Changes leave at multiples of this.
    pub align: Option<Duration>,
    /// The multiples are those of the clock, for all devices; without it they are shifted, for each device by its key.
    pub is_in_step: bool,
}

/// How changes stand to the budget and to other traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// They go along with what is sent anyway, and for their own sake after a day if nothing else is said.
    Background,
    /// They are sent while the budget allows everything.
    #[default]
    Normal,
    /// They go ahead of others, and also while the budget allows only what is urgent.
    Urgent,
}

/// A text that is no rule.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// A period of no length.
    #[error("reports cannot be aligned to a period of 0; leave align out, or write it as align:5m")]
    Align,
    /// A dead band that is none.
    #[error(
        "{text:?} is no dead band: write a number that is not negative, as 0.5, or with a percent sign, as 2%"
    )]
    DeadBand {
        /// What was given.
        text: String,
    },
    /// A time is no time.
    #[error(transparent)]
    Duration(#[from] DurationError),
    /// A heartbeat without a pause.
    #[error("a heartbeat of 0 would send each value; leave heartbeat out, or write it as heartbeat:1h")]
    Heartbeat,
    /// A time is too long.
    #[error("{} is too long: {} is the longest", show_duration(*length), show_duration(DELAY_MAX))]
    Long {
        /// What was given.
        length: Duration,
    },
    /// What stands before the equals sign is no path.
    #[error("{prefix:?} is no path")]
    Prefix {
        /// What was given, cut after some characters.
        prefix: String,
        /// What is wrong with it.
        source: PathError,
    },
    /// Two terms say the same thing, or contradict each other.
    #[error("{term:?} is said twice")]
    Repeated {
        /// What the second one is about.
        term: &'static str,
    },
    /// It has no equals sign, or no terms.
    #[error("a rule is PREFIX=TERM,TERM.., such as sensors=max-delay:15m,dead-band:0.5")]
    Shape,
    /// A term that this version does not know.
    #[error(
        "{term:?} is no term of a rule: there are urgent, normal, background, max-delay:15m, dead-band:0.5, dead-band:2%, heartbeat:1h, align:5m and no-spread"
    )]
    Term {
        /// What was given, cut after some characters.
        term: String,
    },
}

impl Rule {
    /// Changes everywhere may wait so long.
    ///
    /// # Errors
    /// [`RuleError::Long`].
    pub fn everywhere(max_delay: Duration) -> Result<Self, RuleError> {
        let max_delay = bounded(max_delay)?;
        Ok(Self { prefix: String::new(), terms: Terms { max_delay, ..Terms::default() } })
    }

    /// Whether `path` is at the prefix or below.
    pub fn holds_at(&self, path: &str) -> bool {
        match path.strip_prefix(self.prefix.as_str()) {
            Some(rest) => self.prefix.is_empty() || rest.is_empty() || rest.starts_with('/'),
            None => false,
        }
    }
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let (prefix, terms) = text.split_once('=').ok_or(RuleError::Shape)?;
        if terms.trim().is_empty() {
            return Err(RuleError::Shape);
        }
        let prefix = match prefix.trim() {
            "" => String::new(),
            prefix => checked_prefix(prefix)?,
        };
        let mut said = Said::default();
        terms.split(',').try_for_each(|term| said.take(term.trim()))?;
        Ok(Self { prefix, terms: said.terms() })
    }
}

/// The shortest text that says it.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.prefix, self.terms)
    }
}

impl fmt::Display for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = Said { priority: Some(self.priority), align: self.align, ..Said::default() };
        let mut words = Vec::new();
        if self.priority != Priority::Normal {
            words.push(self.priority.to_string());
        }
        if self.max_delay != said.terms().max_delay {
            words.push(format!("max-delay:{}", show_duration(self.max_delay)));
        }
        if self.dead_band.absolute > 0.0 {
            words.push(format!("dead-band:{}", self.dead_band.absolute));
        }
        if self.dead_band.percent > 0.0 {
            words.push(format!("dead-band:{}%", self.dead_band.percent));
        }
        words.extend(self.heartbeat.map(|heartbeat| format!("heartbeat:{}", show_duration(heartbeat))));
        words.extend(self.align.map(|align| format!("align:{}", show_duration(align))));
        if self.is_in_step {
            words.push("no-spread".to_owned());
        }
        f.write_str(if words.is_empty() { "normal".to_owned() } else { words.join(",") }.as_str())
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Background => "background",
            Self::Normal => "normal",
            Self::Urgent => "urgent",
        })
    }
}

/// The terms as they are read.
#[derive(Default)]
struct Said {
    priority: Option<Priority>,
    max_delay: Option<Duration>,
    absolute: Option<f64>,
    percent: Option<f64>,
    heartbeat: Option<Duration>,
    align: Option<Duration>,
    is_in_step: Option<bool>,
}

impl Said {
    fn take(&mut self, term: &str) -> Result<(), RuleError> {
        let (name, value) = term.split_once(':').unwrap_or((term, ""));
        match (name, value) {
            ("urgent", "") => put(&mut self.priority, "priority", Priority::Urgent),
            ("normal", "") => put(&mut self.priority, "priority", Priority::Normal),
            ("background", "") => put(&mut self.priority, "priority", Priority::Background),
            ("no-spread", "") => put(&mut self.is_in_step, "no-spread", true),
            ("max-delay", value) => put(&mut self.max_delay, "max-delay", bounded(parse_duration(value)?)?),
            ("heartbeat", value) => match bounded(parse_duration(value)?)? {
                Duration::ZERO => Err(RuleError::Heartbeat),
                pause => put(&mut self.heartbeat, "heartbeat", pause),
            },
            ("align", value) => match bounded(parse_duration(value)?)? {
                Duration::ZERO => Err(RuleError::Align),
                period => put(&mut self.align, "align", period),
            },
            ("dead-band", value) => match value.strip_suffix('%') {
                Some(percent) => put(&mut self.percent, "dead-band in percent", width(percent)?),
                None => put(&mut self.absolute, "dead-band", width(value)?),
            },
            _ => Err(RuleError::Term { term: shortened(term) }),
        }
    }

    fn terms(&self) -> Terms {
        let priority = self.priority.unwrap_or_default();
        let usual = match priority {
            Priority::Background => BACKGROUND_DELAY,
            Priority::Normal | Priority::Urgent => Duration::ZERO,
        };
        Terms {
            priority,
            max_delay: self.max_delay.or(self.align).unwrap_or(usual),
            dead_band: DeadBand {
                absolute: self.absolute.unwrap_or_default(),
                percent: self.percent.unwrap_or_default(),
            },
            heartbeat: self.heartbeat,
            align: self.align,
            is_in_step: self.is_in_step.unwrap_or_default(),
        }
    }
}

fn put<T>(place: &mut Option<T>, term: &'static str, value: T) -> Result<(), RuleError> {
    match place.replace(value) {
        Some(_) => Err(RuleError::Repeated { term }),
        None => Ok(()),
    }
}

fn bounded(length: Duration) -> Result<Duration, RuleError> {
    if length > DELAY_MAX { Err(RuleError::Long { length }) } else { Ok(length) }
}

fn width(text: &str) -> Result<f64, RuleError> {
    let error = || RuleError::DeadBand { text: shortened(text) };
    let width: f64 = text.parse().map_err(|_| error())?;
    if width.is_finite() && width.is_sign_positive() { Ok(width) } else { Err(error()) }
}

fn checked_prefix(prefix: &str) -> Result<String, RuleError> {
    match Path::new(prefix) {
        Ok(path) => Ok(path.as_str().to_owned()),
        Err(source) => Err(RuleError::Prefix { prefix: shortened(prefix), source }),
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(SHOWN_CHARS).collect()
}

/// The longest time that a rule may make a change wait.
pub const DELAY_MAX: Duration = Duration::from_secs(31 * 86_400);
/// How long what is in the background waits if its rule says nothing.
const BACKGROUND_DELAY: Duration = Duration::from_secs(86_400);
/// Characters of a bad text that an error shows.
const SHOWN_CHARS: usize = 40;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::duration::as_ms;

    fn rule(text: &str) -> Rule {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_not_said_has_its_usual_value() {
        let terms = |text: &str| rule(text).terms;
        assert_eq!(terms("a=normal"), Terms::default());
        assert_eq!(terms("a=background").max_delay.as_secs(), 86_400);
        assert_eq!(terms("a=background,max-delay:1h").max_delay.as_secs(), 3_600);
        assert_eq!(terms("a=align:5m").max_delay.as_secs(), 300);
        assert_eq!(rule(" = max-delay:15m , no-spread ").prefix, "");
    }

    #[test]
    fn what_is_no_rule_says_why() {
        let cases = [
            ("sensors", "PREFIX=TERM"),
            ("sensors=", "PREFIX=TERM"),
            ("a//b=urgent", "is no path"),
            ("a=loud", "\"loud\" is no term"),
            ("a=urgent:1", "is no term"),
            ("a=max-delay:-5m", "\"-5m\" is no length"),
            ("a=max-delay:32d", "31d is the longest"),
            ("a=align:0s", "period of 0"),
            ("a=heartbeat:0", "heartbeat of 0"),
            ("a=heartbeat:5w", "31d is the longest"),
            ("a=heartbeat", "is no length"),
            ("a=heartbeat:1h,heartbeat:1h", "said twice"),
            ("a=dead-band:-1", "\"-1\" is no dead band"),
            ("a=dead-band:NaN", "is no dead band"),
            ("a=dead-band:inf%", "is no dead band"),
            ("a=urgent,normal", "\"priority\" is said twice"),
            ("a=dead-band:1,dead-band:2", "said twice"),
        ];
        for (text, expected) in cases {
            let error = text.parse::<Rule>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn a_rule_holds_at_its_prefix_and_below() {
        let holds = |prefix: &str, path| rule(&format!("{prefix}=urgent")).holds_at(path);
        assert!(holds("alarm", "alarm") && holds("alarm", "alarm/3") && holds("", "anything"));
        assert!(!holds("alarm", "alarms") && !holds("alarm/3", "alarm"));
    }

    prop_compose! {
        fn any_rule()(
            prefix in prop_oneof![Just(String::new()), Just("a/b".to_owned())],
            priority in prop_oneof![Just(Priority::Background), Just(Priority::Normal), Just(Priority::Urgent)],
            max_delay in 0..=as_ms(DELAY_MAX),
            dead_band in (prop_oneof![Just(0.0), 0.0..1e9], prop_oneof![Just(0.0), 0.0..100.0]),
            heartbeat in proptest::option::of(1..=as_ms(DELAY_MAX)),
            align in proptest::option::of(1..=as_ms(DELAY_MAX)),
            is_in_step in any::<bool>(),
        ) -> Rule {
            let dead_band = DeadBand { absolute: dead_band.0, percent: dead_band.1 };
            let [heartbeat, align] = [heartbeat, align].map(|ms| ms.map(Duration::from_millis));
            let max_delay = Duration::from_millis(max_delay);
            Rule { prefix, terms: Terms { priority, max_delay, dead_band, heartbeat, align, is_in_step } }
        }
    }

    proptest! {
        #[test]
        fn its_text_says_the_same(rule in any_rule()) {
            prop_assert_eq!(rule.to_string().parse(), Ok(rule));
        }
    }
}
