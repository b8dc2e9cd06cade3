//! Names of tools with `*` and `?` in them.

/// The longest pattern, in bytes.
const MAX_LENGTH: usize = 256;

/// A pattern: `*` is any text, `?` any one character, all else itself. The case of ASCII letters makes no difference: what
/// a backend may take for the same name has to be the same name here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob(Vec<char>);

/// A pattern that is empty, or longer than 256 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a pattern has 1 to 256 bytes")]
pub struct InvalidGlob;

impl Glob {
    /// Reads a pattern.
    pub fn parse(pattern: &str) -> Result<Self, InvalidGlob> {
        if pattern.is_empty() || pattern.len() > MAX_LENGTH {
            return Err(InvalidGlob);
        }
        Ok(Self(pattern.to_ascii_lowercase().chars().collect()))
    }

    /// Whether the whole name is as the pattern says. Its time grows with the length of the name, times at most the bounded
    /// length of the pattern: only the last `*` is ever tried again.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let pattern = &self.0;
        let mut rest = name.chars();
        let (mut at, mut star) = (0, None);
        loop {
            let before = rest.clone();
            match (pattern.get(at), rest.next().map(|c| c.to_ascii_lowercase())) {
                (Some('*'), _) => {
                    at += 1;
                    rest = before.clone();
                    star = Some((at, before));
                }
                (Some('?'), Some(_)) => at += 1,
                (Some(wanted), Some(found)) if *wanted == found => at += 1,
                (None, None) => return true,
                // The last star takes one character more.
                _ => {
                    let Some((after_star, mut from)) = star else { return false };
                    if from.next().is_none() {
                        return false;
                    }
                    at = after_star;
                    rest = from.clone();
                    star = Some((after_star, from));
                }
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks() {
        for (pattern, name, matches) in [
            ("delete_*", "delete_note", true),
            ("delete_*", "delete_", true),
            ("delete_*", "undelete_note", false),
            ("delete_*", "DELETE_Note", true),
            ("Delete_*", "delete_note", true),
            ("*_all", "delete_all_all", true),
            ("*_all", "delete_all_", false),
            ("*", "", true),
            ("**", "x", true),
            ("a*b*c", "a1b2b3c", true),
            ("a*b*c", "a1c2b", false),
            ("?ote", "note", true),
            ("?ote", "ote", false),
            ("n?te", "nöte", true),
            ("note", "note", true),
            ("note", "notes", false),
            ("[a-z].", "[a-z].", true),
            ("[a-z].", "b.", false),
            ("*?", "", false),
            ("*?", "x", true),
        ] {
            assert_eq!(Glob::parse(pattern).unwrap().matches(name), matches, "{pattern} {name}");
        }
    }

    #[test]
    fn a_pattern_has_a_length() {
        assert_eq!(Glob::parse(""), Err(InvalidGlob));
        assert!(Glob::parse(&"a".repeat(MAX_LENGTH)).is_ok());
        assert_eq!(Glob::parse(&"a".repeat(MAX_LENGTH + 1)), Err(InvalidGlob));
    }

    #[test]
    fn many_stars_on_a_long_name_take_no_time() {
        let glob = Glob::parse(&"*a".repeat(100)).unwrap();
        assert!(!glob.matches(&format!("{}b", "a".repeat(4096))));
        assert!(glob.matches(&"a".repeat(4096)));
    }
}
