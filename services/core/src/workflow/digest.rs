//! Digests of bundles: what was asked for must be what runs.

use super::Problem;

const PREFIX: &str = "sha256:";

/// The one digest that everybody who names one agrees on. For the engines whose bundles are images
/// it must be that in the bundle; what the digest of another engine's bundle is, its engine knows.
pub(super) fn agreed<'a>(
    engine: &str,
    bundle: &str,
    asked: impl IntoIterator<Item = Option<&'a str>>,
) -> Result<Option<String>, Problem> {
    let is_image = matches!(engine, "job" | "tekton");
    let mut actual = bundle.split_once('@').filter(|_| is_image).map(|(_, pinned)| pinned.to_owned());
    let mut agreed = None;
    for asked in asked.into_iter().flatten().filter(|asked| !asked.is_empty()) {
        let asked = if is_image { full(asked)? } else { asked.to_owned() };
        if let Some(actual) = actual.filter(|actual| *actual != asked) {
            return Err(Problem::DigestMismatch { actual, expected: asked });
        }
        actual = Some(asked.clone());
        agreed = Some(asked);
    }
    Ok(agreed)
}

/// Catalogues leave the algorithm out.
fn full(digest: &str) -> Result<String, Problem> {
    let hex = digest.strip_prefix(PREFIX).unwrap_or(digest);
    if hex.len() == 64 && hex.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')) {
        Ok(format!("{PREFIX}{hex}"))
    } else {
        Err(Problem::Digest(digest.chars().take(100).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(digit: char) -> String {
        std::iter::repeat_n(digit, 64).collect()
    }

    #[test]
    fn the_digest_in_the_bundle_must_be_the_one_that_was_asked_for() {
        let (a, b) = (hex('a'), hex('b'));
        let pinned = format!("image:v1@sha256:{a}");
        for asked in [a.clone(), format!("sha256:{a}")] {
            assert_eq!(agreed("job", &pinned, [Some(asked.as_str())]), Ok(Some(format!("sha256:{a}"))));
        }
        let mismatch =
            Problem::DigestMismatch { actual: format!("sha256:{a}"), expected: format!("sha256:{b}") };
        assert_eq!(agreed("job", &pinned, [Some(b.as_str())]), Err(mismatch));
    }

    #[test]
    fn a_digest_pins_a_bundle_that_has_none_and_all_who_name_one_must_agree() {
        let (a, b) = (hex('a'), hex('b'));
        let full = Some(format!("sha256:{a}"));
        assert_eq!(agreed("tekton", "bundle", [None, Some(a.as_str())]), Ok(full.clone()));
        assert_eq!(agreed("tekton", "bundle", [Some(a.as_str()), Some("")]), Ok(full));
        assert_eq!(agreed("job", "image", [None, Some("")]), Ok(None));
        assert_eq!(agreed("job", "image@sha512:12", [None]), Ok(None), "nobody asked for one");
        assert!(agreed("job", "image", [Some(a.as_str()), Some(b.as_str())]).is_err());
    }

    #[test]
    fn what_is_no_digest_of_an_image_is_told() {
        for wrong in ["sha256:12", "12", &hex('A'), &format!("sha512:{}", hex('a'))] {
            assert_eq!(agreed("job", "image", [Some(wrong)]), Err(Problem::Digest(wrong.to_owned())));
        }
    }

    #[test]
    fn the_digest_of_another_engines_bundle_is_left_to_the_engine() {
        let commit = "9fceb02d0ae598e95dc970b74767f19372d61af8";
        let digest = agreed("ansible", "https://git.example/ops@main", [Some(commit)]);
        assert_eq!(digest, Ok(Some(commit.to_owned())));
    }
}
