//! Keys of maps and fields, as keys of a path.
//!
//! A key of a path is not empty and has no `/`, and lists and counters use `@` and `=` for themselves. A key of a map may
//! be anything. So it is escaped, in the way of RFC 6901 (JSON Pointer):
//!
//! | in the map | in the path |
//! |---|---|
//! | `~` | `~0` |
//! | `/` | `~1` |
//! | the empty key | `~` |
//! | the keys `@` and `=`, alone | `~@`, `~=` |
//!
//! A key of a path that was not made by this rule, because somebody else put it there, stands for itself as a whole: `a~b`,
//! or `=` below a counter. Writing such a key of a map writes it where it stands.

use core::fmt;

use super::reserved::{SOME_KEY, WIDE_KEY};
use crate::limits::PATH_LEN_MAX;
use crate::types::list::POSITION_KEY;

/// Writes `key` as a key of a path.
pub(super) fn escape(key: &str, out: &mut impl fmt::Write) -> fmt::Result {
    match key {
        "" => return out.write_str("~"),
        "@" => return out.write_str("~@"),
        "=" => return out.write_str("~="),
        _ => {}
    }
    let mut rest = key;
    while let Some(at) = rest.find(['~', '/']) {
        out.write_str(&rest[..at])?;
        out.write_str(if rest.as_bytes()[at] == b'~' { "~0" } else { "~1" })?;
        rest = &rest[at + 1..];
    }
    out.write_str(rest)
}

/// A key of a path, as a key of a map. Borrowed where nothing was escaped.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is no heap to put the larger one on")]
pub(super) enum Key<'a> {
    Borrowed(&'a str),
    Unescaped(heapless::String<PATH_LEN_MAX>),
}

impl<'a> Key<'a> {
    pub(super) fn new(escaped: &'a str) -> Self {
        match escaped {
            "~" => return Key::Borrowed(""),
            "~@" | "~=" => return Key::Borrowed(&escaped[1..]),
            _ if !escaped.contains('~') || !is_escaped(escaped) => return Key::Borrowed(escaped),
            _ => {}
        }
        let mut text = heapless::String::new();
        let mut push = |part: &str| text.push_str(part).expect("a key is no longer unescaped than escaped");
        let mut rest = escaped;
        while let Some(at) = rest.find('~') {
            push(&rest[..at]);
            push(if rest.as_bytes()[at + 1] == b'1' { "/" } else { "~" });
            rest = &rest[at + 2..];
        }
        push(rest);
        Key::Unescaped(text)
    }

    pub(super) fn as_str(&self) -> &str {
        match self {
            Key::Borrowed(key) => key,
            Key::Unescaped(key) => key,
        }
    }
}

/// Whether a key of a path is one that [`escape`] makes.
pub(super) fn is_escaped(key: &str) -> bool {
    match key {
        "~" | "~@" | "~=" => true,
        "@" | "=" => false,
        _ => key.split('~').skip(1).all(|rest| rest.starts_with(['0', '1'])),
    }
}

/// Whether `key` of a map may stand in a path as it is, too, put there by somebody else.
pub(super) fn may_stand_unescaped(key: &str) -> bool {
    !key.is_empty() && !key.contains('/') && !is_escaped(key)
}

/// Whether it may even be written there. Reserved keys may not: a value could turn into what they are reserved for.
pub(super) fn may_be_written_unescaped(key: &str) -> bool {
    may_stand_unescaped(key) && ![POSITION_KEY, SOME_KEY, WIDE_KEY].contains(&key)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn escaped(key: &str) -> heapless::String<1024> {
        let mut text = heapless::String::new();
        escape(key, &mut text).expect("fits");
        text
    }

    #[test]
    fn what_a_path_cannot_hold_is_escaped() {
        for (key, expected) in [
            ("setpoint", "setpoint"),
            ("", "~"),
            ("~", "~0"),
            ("@", "~@"),
            ("=", "~="),
            ("a=b", "a=b"),
            ("a/b~c", "a~1b~0c"),
        ] {
            assert_eq!(escaped(key), expected);
        }
    }

    #[test]
    fn a_tilde_that_is_no_escape_stands_for_itself() {
        for key in ["~u", "a~", "~~", "a~b~0c", "~@x", "@", "="] {
            assert_eq!(Key::new(key).as_str(), key);
        }
    }

    proptest! {
        /// A key of a map has one escaped form, and at most one other place where it may stand: its own text.
        #[test]
        fn a_key_of_a_path_is_escaped_or_stands_for_itself(raw in "[a~/@=01u]{1,6}|\\PC{1,60}") {
            prop_assume!(!raw.contains('/'));
            let key = Key::new(&raw);
            if is_escaped(&raw) {
                let again = escaped(key.as_str());
                prop_assert_eq!(again.as_str(), &raw);
            } else {
                prop_assert_eq!(key.as_str(), &raw);
            }
        }

        #[test]
        fn every_key_comes_back(key in "[a~/@=01u]{0,6}|\\PC{0,60}") {
            let text = escaped(&key);
            prop_assert!(crate::Path::new(&text).is_ok());
            prop_assert!(is_escaped(&text) && !matches!(text.as_str(), "@" | "=" | SOME_KEY | WIDE_KEY));
            let back = Key::new(&text);
            prop_assert_eq!(back.as_str(), &key);
        }
    }
}
