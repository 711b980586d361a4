//! Reading what a backend says in words only.

/// Whether a text holds a phrase as words of its own, in lower case or not, singular or plural: "oom"
/// is in "killed: OOM", and not in "chatroom".
pub(super) fn has(text: &str, phrase: &str) -> bool {
    let text = text.to_ascii_lowercase();
    text.match_indices(phrase).any(|(start, found)| {
        let (before, after) = (text.get(..start), text.get(start + found.len()..));
        let is_begin = before.is_some_and(|before| !before.ends_with(|c: char| c.is_alphanumeric()));
        let is_end = after.is_some_and(|after| {
            let after = after.strip_prefix('s').unwrap_or(after);
            !after.starts_with(|c: char| c.is_alphanumeric())
        });
        is_begin && is_end
    })
}

#[cfg(test)]
mod tests {
    use super::has;

    #[test]
    fn a_phrase_is_found_as_words_of_its_own_only() {
        for (text, phrase, expected) in [
            ("killed: OOM", "oom", true),
            ("chatroom", "oom", false),
            ("zoom level", "oom", false),
            ("Exceeded Quotas", "quota", true),
            ("quotation", "quota", false),
            ("mosquota", "quota", false),
            ("image pull failed", "image pull", true),
            ("image  pull failed", "image pull", false),
            ("über-quota", "quota", true),
            ("überquota", "quota", false),
            ("zoom, then oom", "oom", true),
            ("", "oom", false),
        ] {
            assert_eq!(has(text, phrase), expected, "{phrase} in {text}");
        }
    }
}
