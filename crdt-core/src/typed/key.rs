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
//! A `~` in a path that was not made by this rule stands for itself.

use core::fmt;

use crate::limits::PATH_LEN_MAX;

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
        if !escaped.contains('~') {
            return Key::Borrowed(escaped);
        }
        match escaped {
            "~" => return Key::Borrowed(""),
            "~@" | "~=" => return Key::Borrowed(&escaped[1..]),
            _ => {}
        }
        let mut text = heapless::String::new();
        let mut push = |part: &str| text.push_str(part).expect("a key is no longer unescaped than escaped");
        let mut rest = escaped;
        while let Some(at) = rest.find('~') {
            push(&rest[..at]);
            let (plain, len) = match rest.as_bytes().get(at + 1) {
                Some(b'0') => ("~", 2),
                Some(b'1') => ("/", 2),
                _ => ("~", 1),
            };
            push(plain);
            rest = &rest[at + len..];
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

/// The only key below an integer above `i64::MAX`: the integer's 64 bits stand there as a negative one. No key of a map
/// is escaped to it.
pub(super) const WIDE_KEY: &str = "~u";

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
        for key in ["~u", "a~", "~~", "@", "="] {
            assert_eq!(Key::new(key).as_str(), key);
        }
    }

    proptest! {
        #[test]
        fn every_key_comes_back(key in "[a~/@=01u]{0,6}|\\PC{0,60}") {
            let text = escaped(&key);
            prop_assert!(crate::Path::new(&text).is_ok());
            prop_assert!(!matches!(text.as_str(), "@" | "=" | WIDE_KEY));
            let back = Key::new(&text);
            prop_assert_eq!(back.as_str(), &key);
        }
    }
}
