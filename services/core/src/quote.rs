//! The words of somebody else, such as what a workflow printed, made fit to be shown.

/// Most lines that are quoted.
const LINES: usize = 10;
/// Most characters of a line.
const CHARACTERS: usize = 240;

/// The last lines of a text that say something, oldest first, without colours and control characters.
pub fn last_lines(text: &str) -> Vec<String> {
    let mut lines: Vec<String> =
        text.lines().rev().map(shown).filter(|line| !line.is_empty()).take(LINES).collect();
    lines.reverse();
    lines
}

/// A line as a terminal shows it in the end, cut where it is longer than anybody reads.
fn shown(line: &str) -> String {
    let overwritten = line.trim_end().rsplit('\r').next().unwrap_or_default();
    let plain = without_colours(overwritten);
    let plain = plain.trim_end();
    if plain.chars().count() <= CHARACTERS {
        return plain.to_owned();
    }
    let mut cut: String = plain.chars().take(CHARACTERS - 1).collect();
    cut.push('…');
    cut
}

/// Leaves out escape sequences as terminals know them (ECMA-48) and other control characters.
fn without_colours(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text.chars();
    while let Some(next) = rest.next() {
        match next {
            '\u{1b}' => skip_sequence(&mut rest),
            '\t' => plain.push(' '),
            control if control.is_control() => {}
            other => plain.push(other),
        }
    }
    plain
}

fn skip_sequence(rest: &mut std::str::Chars<'_>) {
    if rest.next() == Some('[') {
        let _ = rest.find(|c| ('\u{40}'..='\u{7e}').contains(c));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_that_say_something_are_quoted_in_their_order() {
        assert_eq!(last_lines("one\n\n  \ntwo\r\n\tthree\n"), ["one", "two", " three"]);
        assert_eq!(last_lines(""), [""; 0]);
        let many: Vec<String> = (0..40).map(|number| format!("line {number}")).collect();
        assert_eq!(last_lines(&many.join("\n")), many[30..]);
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let lines = last_lines(&"ä".repeat(1_000));
        assert_eq!(lines[0].chars().count(), CHARACTERS);
        assert!(lines[0].ends_with("ä…"));
        assert_eq!(last_lines(&"ä".repeat(CHARACTERS)), ["ä".repeat(CHARACTERS)]);
    }

    #[test]
    fn colours_and_control_characters_are_left_out() {
        assert_eq!(last_lines("\u{1b}[31;1mfailed\u{1b}[0m: \u{7}no\u{0}"), ["failed: no"]);
        assert_eq!(last_lines("10 %\r20 %\r100 %\r\n"), ["100 %"]);
        assert_eq!(last_lines("cut \u{1b}[3"), ["cut"]);
        assert_eq!(last_lines("cut \u{1b}"), ["cut"]);
    }
}
