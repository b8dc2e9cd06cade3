//! Text that somebody else wrote, made fit to be read beside our own words.

/// What is left of an untrusted text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Without controls and invisible characters, white space folded, cut to the length asked for. Not escaped.
    pub text: String,
    /// Whether something was cut off; the text then ends in `…`.
    pub shortened: bool,
}

/// More accents than this on one letter are dropped: real writing needs two or three, piles of them climb over the
/// lines around.
const MAX_ACCENTS: usize = 3;

/// Cleans a text that a stranger chose, and cuts it to `max_chars`.
///
/// Goes: control characters, everything that changes the direction of writing for what follows (Unicode TR 9 §2), and
/// everything that is there but cannot be seen. Line ends and other white space become one blank.
#[must_use]
pub fn shown(text: &str, max_chars: usize) -> Shown {
    let mut out = String::new();
    let mut chars = 0;
    let mut accents = 0;
    let mut blank = false;
    for c in text.chars() {
        if c.is_whitespace() {
            blank = !out.is_empty();
            continue;
        }
        if c.is_control() || is_invisible(c) {
            continue;
        }
        accents = if is_accent(c) { accents + 1 } else { 0 };
        if accents > MAX_ACCENTS {
            continue;
        }
        if chars + usize::from(blank) >= max_chars {
            out.push('…');
            return Shown { text: out, shortened: true };
        }
        if blank {
            out.push(' ');
            chars += 1;
            blank = false;
        }
        out.push(c);
        chars += 1;
    }
    Shown { text: out, shortened: false }
}

/// Direction marks, embeddings, overrides and isolates; zero-width and filler characters; tags.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{00ad}' | '\u{034f}' | '\u{061c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffc}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// The blocks of combining marks that any letter can carry any number of.
fn is_accent(c: char) -> bool {
    matches!(c,
        '\u{0300}'..='\u{036f}' | '\u{0483}'..='\u{0489}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}'
        | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}')
}
