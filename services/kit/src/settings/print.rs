//! Settings as a configuration file.

use std::fmt::Write as _;

/// One setting.
pub(super) struct Line {
    /// Its key.
    pub(super) path: &'static str,
    pub(super) values: Vec<String>,
    /// Where it comes from, unless that is the file or its default.
    pub(super) source: String,
}

/// The file. Keys of one section stand together, in the order of the table.
pub(super) fn yaml(lines: &[Line]) -> String {
    let mut text = String::new();
    let mut open: Vec<&str> = Vec::new();
    // Writing to a string cannot fail.
    for line in lines {
        let mut parts: Vec<&str> = line.path.split('.').collect();
        let name = parts.pop().unwrap_or_default();
        let common = open.iter().zip(&parts).take_while(|(a, b)| a == b).count();
        for (depth, section) in parts.iter().enumerate().skip(common) {
            let _ = writeln!(text, "{}{section}:", "  ".repeat(depth));
        }
        let _ = write!(text, "{}{name}: {}", "  ".repeat(parts.len()), value(&line.values));
        if !line.source.is_empty() {
            let _ = write!(text, " # {}", line.source);
        }
        text.push('\n');
        open = parts;
    }
    text
}

fn value(values: &[String]) -> String {
    match values {
        [one] => scalar(one),
        many => format!("[{}]", many.iter().map(|one| scalar(one)).collect::<Vec<_>>().join(", ")),
    }
}

/// Quoted unless it is plain in every reading of YAML.
fn scalar(text: &str) -> String {
    let is_plain = !text.is_empty()
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/' | '-'))
        && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/')
        && !["y", "n", "yes", "no", "on", "off"].contains(&text.to_ascii_lowercase().as_str());
    if is_plain { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}
