//! Text of others on its way to a person's terminal.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The most bytes of one line; a longer one is shown in parts.
const LINE_BYTES_MAX: usize = 16 * 1024;

/// The text with everything escaped that a terminal would act upon rather than show: control characters but the tabulator, and
/// the marks that change the direction of what follows. So a job's log cannot move the cursor, set a title or hide a line.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_acted_upon) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '\x1b' => shown.push_str("\\e"),
            _ if is_acted_upon(character) => {
                // Writing into memory does not fail.
                let _ = write!(shown, "\\u{{{:x}}}", u32::from(character));
            }
            _ => shown.push(character),
        }
    }
    Cow::Owned(shown)
}

fn is_acted_upon(character: char) -> bool {
    let turns = matches!(character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || (character.is_control() && character != '\t')
}

/// Cuts bytes that come in pieces into lines that can be shown: see [`printable`]. Bytes that are no UTF-8 are replaced.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    rest: Vec<u8>,
    verbatim: bool,
}

impl Lines {
    /// Lines for programs: nothing in them is escaped.
    #[must_use]
    pub fn verbatim() -> Self {
        Self { rest: Vec::new(), verbatim: true }
    }

    /// Takes the next bytes and gives the lines that are whole, without their ends. A carriage return ends a line too: what it
    /// was to overwrite has been shown already.
    pub fn take(&mut self, bytes: &[u8]) -> Vec<String> {
        self.rest.extend_from_slice(bytes);
        let mut lines = Vec::new();
        let mut from = 0;
        while let Some((text, next)) = self.next_line(from) {
            lines.push(text);
            from = next;
        }
        self.rest.drain(..from);
        lines
    }

    /// What is left when nothing more comes.
    pub fn finish(&mut self) -> Option<String> {
        let rest = std::mem::take(&mut self.rest);
        let rest = rest.strip_suffix(b"\r").unwrap_or(&rest);
        (!rest.is_empty()).then(|| self.text(rest))
    }

    /// The line that begins at `from`, and where the next one does.
    fn next_line(&self, from: usize) -> Option<(String, usize)> {
        let rest = &self.rest[from..];
        let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
        match end {
            // Whether a line feed follows decides where the next line begins.
            Some(end) if rest[end] == b'\r' && end + 1 == rest.len() && end < LINE_BYTES_MAX => None,
            Some(end) if end <= LINE_BYTES_MAX => {
                let both = rest[end..].starts_with(b"\r\n");
                Some((self.text(&rest[..end]), from + end + if both { 2 } else { 1 }))
            }
            _ if rest.len() > LINE_BYTES_MAX => {
                // Not within a character, where the bytes are text.
                let part = &rest[..LINE_BYTES_MAX];
                let begun = part.iter().rev().take(4).position(|byte| byte & 0xc0 != 0x80);
                let cut = match begun {
                    Some(back) if part[LINE_BYTES_MAX - 1 - back] >= 0xc0 => LINE_BYTES_MAX - 1 - back,
                    _ => LINE_BYTES_MAX,
                };
                Some((self.text(&rest[..cut]), from + cut))
            }
            _ => None,
        }
    }

    fn text(&self, line: &[u8]) -> String {
        let text = String::from_utf8_lossy(line);
        if self.verbatim { text.into_owned() } else { printable(&text).into_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_act_upon_is_escaped() {
        for (text, expected) in [
            ("loss 0.5\tätsch 漢字", "loss 0.5\tätsch 漢字"),
            ("\x1b[2J\x1b]0;title\x07", "\\e[2J\\e]0;title\\u{7}"),
            ("a\rb\nc\0d\x7f", "a\\u{d}b\\u{a}c\\u{0}d\\u{7f}"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("\u{202e}txt.exe\u{2066}", "\\u{202e}txt.exe\\u{2066}"),
        ] {
            assert_eq!(printable(text), expected);
        }
        let every: String = (0..=char::MAX as u32).filter_map(char::from_u32).collect();
        assert!(!printable(&every).contains(|shown: char| shown.is_control() && shown != '\t'));
    }

    #[test]
    fn lines_are_the_same_however_the_bytes_are_cut() {
        let text = "one\ntwö\r\n\r\n 10%\r 20%\r\u{1b}[31mred\nlast".as_bytes();
        let expected = ["one", "twö", "", " 10%", " 20%", "\\e[31mred", "last"];
        for size in 1..=text.len() {
            let mut lines = Lines::default();
            let mut got: Vec<String> = text.chunks(size).flat_map(|chunk| lines.take(chunk)).collect();
            got.extend(lines.finish());
            assert_eq!(got, expected, "pieces of {size}");
            assert_eq!(lines.finish(), None);
        }
        assert_eq!(Lines::verbatim().take(b"\x1b[31mred\n"), ["\x1b[31mred"]);
    }

    #[test]
    fn a_line_without_end_is_shown_in_parts() {
        let text = "ä".repeat(3 * LINE_BYTES_MAX);
        for size in [1_000, 4_097, text.len()] {
            let mut lines = Lines::default();
            let mut got = String::new();
            for chunk in text.as_bytes().chunks(size) {
                for line in lines.take(chunk) {
                    assert!(line.len() <= LINE_BYTES_MAX);
                    got.push_str(&line);
                }
                assert!(lines.rest.len() <= LINE_BYTES_MAX);
            }
            got.extend(lines.finish());
            assert!(got == text, "pieces of {size}");
        }
        let mut lines = Lines::default();
        assert_eq!(lines.take(&vec![0xff; LINE_BYTES_MAX + 1]).len(), 1);
    }
}
