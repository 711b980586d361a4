//! Keeps secret values out of what is told.

use k8s_openapi::ByteString;

/// What stands for a value that was hidden.
const HIDDEN: &str = "***";
/// Shorter values are hidden only as words of their own: as parts of others they tell nothing.
const SHORT: usize = 4;
/// From this length on, the parts of a structured value (JSON, an environment file) count as values.
const PART: usize = 6;

/// Values that are not told.
#[derive(Default)]
pub(super) struct Mask {
    /// The longest first, since one may contain another.
    values: Vec<String>,
}

impl Mask {
    /// Hides these values, each line of them, their parts, and their usual other forms.
    pub(super) fn of<'a>(values: impl Iterator<Item = &'a ByteString>) -> Self {
        let mut values: Vec<String> = values.flat_map(forms).filter(|value| says_something(value)).collect();
        values.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        values.dedup();
        Self { values }
    }

    /// The text without the values.
    pub(super) fn hide(&self, text: &str) -> String {
        self.values.iter().fold(text.to_owned(), |text, value| {
            if value.len() < SHORT { without_word(&text, value) } else { text.replace(value, HIDDEN) }
        })
    }
}

/// Values are never shown, also not to whoever looks for defects.
impl std::fmt::Debug for Mask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mask of {} values", self.values.len())
    }
}

fn forms(value: &ByteString) -> Vec<String> {
    let mut forms = Vec::new();
    if let Ok(serde_json::Value::String(base64)) = serde_json::to_value(value) {
        forms.push(base64.trim_end_matches('=').to_owned());
    }
    let Ok(text) = std::str::from_utf8(&value.0) else { return forms };
    let escaped = serde_json::to_string(text.trim()).unwrap_or_default();
    forms.extend(escaped.strip_prefix('"').and_then(|text| text.strip_suffix('"')).map(str::to_owned));
    for line in text.lines().map(str::trim) {
        forms.push(line.to_owned());
        let parts = line.split(|c: char| c.is_whitespace() || "\"'=:,;".contains(c));
        forms.extend(parts.filter(|part| part.len() >= PART).map(str::to_owned));
    }
    forms
}

fn says_something(value: &str) -> bool {
    value.chars().any(char::is_alphanumeric)
}

fn without_word(text: &str, word: &str) -> String {
    let mut rest = text;
    let mut out = String::new();
    while let Some((before, after)) = rest.split_once(word) {
        let is_word = !out_ends_word(&out, before) && !after.starts_with(char::is_alphanumeric);
        out.push_str(before);
        out.push_str(if is_word { HIDDEN } else { word });
        rest = after;
    }
    out + rest
}

fn out_ends_word(out: &str, before: &str) -> bool {
    let last = before.chars().next_back().or_else(|| out.chars().next_back());
    last.is_some_and(char::is_alphanumeric)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(values: &[&str]) -> Mask {
        let values: Vec<ByteString> = values.iter().map(|v| ByteString(v.as_bytes().to_vec())).collect();
        Mask::of(values.iter())
    }

    #[test]
    fn a_secret_value_is_hidden_wherever_it_stands() {
        let mask = mask(&["hunter2\n"]);
        assert_eq!(mask.hide("with hunter2, xhunter2x"), "with ***, x***x");
        assert_eq!(mask.hide("nothing"), "nothing");
        assert_eq!(Mask::default().hide("hunter2"), "hunter2");
    }

    #[test]
    fn every_line_and_part_of_a_secret_is_hidden_and_so_are_its_other_forms() {
        let key = mask(&["-----BEGIN KEY-----\nabcdefgh\nijklmnop\n-----END KEY-----\n"]);
        assert_eq!(key.hide("got ijklmnop"), "got ***");
        assert_eq!(
            mask(&["{\"user\": \"me\", \"password\": \"correct horse\"}"]).hide("is correct"),
            "is ***"
        );
        assert_eq!(mask(&["TOKEN=s3cr3t-value"]).hide("s3cr3t-value!"), "***!");
        assert_eq!(mask(&["hunter2"]).hide("aHVudGVyMg=="), "***==");
        assert_eq!(mask(&["say \"hunter2\""]).hide(r#"{"a":"say \"hunter2\""}"#), r#"{"a":"***"}"#);
        let bytes = ByteString(vec![0xff, 0xfe, 0x01, 0x02]);
        assert_eq!(Mask::of([&bytes].into_iter()).hide("//4BAg=="), "***==");
    }

    #[test]
    fn a_short_secret_is_hidden_as_a_word_and_not_inside_of_words() {
        let mask = mask(&["on", "1"]);
        assert_eq!(mask.hide("turned on, not one; 1 of 11"), "turned ***, not one; *** of 11");
        assert_eq!(mask.hide("onon on"), "onon ***");
    }

    #[test]
    fn the_longer_of_two_values_is_hidden_first_and_blanks_hide_nothing() {
        assert_eq!(mask(&["hunter", "hunter2"]).hide("hunter2"), "***");
        assert_eq!(mask(&["", "  \n", "{\n}"]).hide("a { b }"), "a { b }");
    }

    #[test]
    fn a_mask_does_not_show_what_it_hides() {
        assert!(!format!("{:?}", mask(&["hunter2"])).contains("hunter2"));
    }
}
