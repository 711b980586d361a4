//! What an execution acts on, and the names derived from it.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// Longest value of a Kubernetes label, and longest DNS label.
const LABEL_MAX: usize = 63;
/// Longest target, in bytes.
const TARGET_MAX: usize = 1024;
/// Length of the hash that keeps a changed name distinct.
const MARK_LEN: usize = 8;

/// A target that was understood: `namespace/Kind/name`, or `Kind/name` for what has no namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    raw: String,
    namespace: Option<String>,
    kind: String,
    name: String,
}

/// Why a text is no target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Nothing was given.
    #[error("targetResource is required")]
    Empty,
    /// It does not have two or three parts.
    #[error(
        "targetResource must be {{namespace}}/{{kind}}/{{name}} or {{kind}}/{{name}}, not {found} part(s)"
    )]
    PartCount {
        /// How many parts it has.
        found: usize,
    },
    /// It is longer than any name of an object can make it.
    #[error("targetResource is {length} bytes long, of at most {TARGET_MAX}")]
    TooLong {
        /// How long it is, in bytes.
        length: usize,
    },
    /// It has a character that no name has and no environment variable may have.
    #[error("targetResource has a control character (U+{code:04X}) at byte {at}: take it out")]
    Control {
        /// Its code point.
        code: u32,
        /// Where it is, in bytes.
        at: usize,
    },
    /// One of its parts is empty.
    #[error("targetResource part {position} is empty")]
    EmptyPart {
        /// Which one, counted from zero.
        position: usize,
    },
}

impl Target {
    /// Understands `namespace/Kind/name` and `Kind/name`. Case and white space are left alone: targets
    /// are compared byte by byte.
    pub fn parse(raw: &str) -> Result<Self, TargetError> {
        if raw.is_empty() {
            return Err(TargetError::Empty);
        }
        if raw.len() > TARGET_MAX {
            return Err(TargetError::TooLong { length: raw.len() });
        }
        if let Some((at, control)) = raw.char_indices().find(|(_, one)| one.is_control()) {
            return Err(TargetError::Control { code: control.into(), at });
        }
        let parts: Vec<&str> = raw.split('/').collect();
        let (namespace, kind, name) = match parts[..] {
            [kind, name] => (None, kind, name),
            [namespace, kind, name] => (Some(namespace), kind, name),
            _ => return Err(TargetError::PartCount { found: parts.len() }),
        };
        if let Some(position) = parts.iter().position(|part| part.is_empty()) {
            return Err(TargetError::EmptyPart { position });
        }
        Ok(Self {
            raw: raw.to_owned(),
            namespace: namespace.map(str::to_owned),
            kind: kind.to_owned(),
            name: name.to_owned(),
        })
    }

    /// The text it was parsed from.
    pub fn as_str(&self) -> &str {
        &self.raw
    }

    /// Namespace, unless the target has none.
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// Kind, as written.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Name, as written.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Name of the lock and of every run on this target.
    pub fn run_name(&self) -> String {
        run_name(&self.raw)
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.raw)
    }
}

/// Name of the lock and of every run on a target: `wfe-` and the first 16 hex digits of the SHA-256
/// of the target's bytes. The same for every engine, so that one name means one target.
pub fn run_name(target: &str) -> String {
    format!("wfe-{}", hash(target, 16))
}

/// A valid label value for any text, at most 63 characters: "/" becomes "__" as in the labels people
/// already select by. Whatever else had to change gets a short hash of the text, so that two texts do
/// not meet in one label.
pub fn label_value(raw: &str) -> String {
    let plain = raw.replace('/', "__");
    if plain.is_empty() || is_label_value(&plain) {
        return plain;
    }
    let safe: String = plain.chars().map(|c| if is_label_char(c) { c } else { '_' }).collect();
    marked(&safe, raw, LABEL_MAX)
}

/// A valid and distinct volume name (a DNS label) for an object of any valid name.
pub fn volume_name(prefix: &str, name: &str) -> String {
    let plain = format!("{prefix}-{name}");
    let is_valid = plain.len() <= LABEL_MAX
        && plain.chars().all(is_dns_char)
        && plain.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && !plain.ends_with('-');
    if is_valid {
        return plain;
    }
    let safe: String = plain.chars().map(|c| if is_dns_char(c) { c } else { '-' }).collect();
    marked(&safe, name, LABEL_MAX)
}

/// Whether a text can name an environment variable everywhere: `[A-Za-z_][A-Za-z0-9_]*`.
pub fn is_env_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Whether a text is a DNS label (RFC 1123): lower case, at most 63 characters.
pub fn is_dns_label(name: &str) -> bool {
    name.len() <= LABEL_MAX && name.chars().all(is_dns_char) && has_dns_ends(name)
}

/// Whether a text is a DNS subdomain (RFC 1123): DNS labels joined by dots, at most 253 characters.
pub fn is_dns_subdomain(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(|label| label.chars().all(is_dns_char) && has_dns_ends(label))
}

fn has_dns_ends(label: &str) -> bool {
    !label.is_empty() && !label.starts_with('-') && !label.ends_with('-')
}

fn is_label_value(value: &str) -> bool {
    value.len() <= LABEL_MAX
        && value.chars().all(is_label_char)
        && value.starts_with(|c: char| c.is_ascii_alphanumeric())
        && value.ends_with(|c: char| c.is_ascii_alphanumeric())
}

fn is_label_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

fn is_dns_char(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'
}

/// `safe`, cut and trimmed to alphanumeric ends, with a hash of `raw` behind it.
fn marked(safe: &str, raw: &str, max: usize) -> String {
    let is_edge = |c: char| !c.is_ascii_alphanumeric();
    let kept: String = safe.trim_start_matches(is_edge).chars().take(max - MARK_LEN - 1).collect();
    let kept = kept.trim_end_matches(is_edge);
    let mark = hash(raw, MARK_LEN);
    if kept.is_empty() { mark } else { format!("{kept}-{mark}") }
}

fn hash(text: &str, digits: usize) -> String {
    let mut out = String::with_capacity(64);
    for byte in Sha256::digest(text.as_bytes()) {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
    }
    out.truncate(digits);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_names_are_the_published_ones() {
        for (target, name) in [
            ("default/deployment/my-app", "wfe-c00449355dfb987a"),
            ("default/Deployment/my-app", "wfe-c2be19fc7e50e012"),
            ("default/deployment/my-app ", "wfe-5e2b67b5bc8e7b6e"),
            ("default/deployment/nginx", "wfe-f3457dcc8fbcb6d9"),
            ("production/deployment/my-app", "wfe-007e16934c651ce5"),
            ("payment/deployment/payment-api", "wfe-cf0cc089293b1165"),
            ("kube-system/configmap/coredns", "wfe-facb8fdea3f26897"),
            ("node/worker-node-1", "wfe-ac45b7d6911e97a5"),
            ("Node/worker-node-1", "wfe-0f9e789a95ecd501"),
            ("a/b", "wfe-c14cddc033f64b9d"),
            ("", "wfe-e3b0c44298fc1c14"),
        ] {
            assert_eq!(run_name(target), name, "{target:?}");
        }
    }

    #[test]
    fn a_target_that_is_too_long_is_told_its_length() {
        let longest = format!("Node/{}", "x".repeat(1019));
        assert!(Target::parse(&longest).is_ok());
        assert_eq!(Target::parse(&format!("{longest}x")), Err(TargetError::TooLong { length: 1025 }));
    }

    #[test]
    fn a_control_character_is_told_with_its_place() {
        for (raw, code, at) in [("a/b/c\0", 0, 5), ("a\n/b", 10, 1), ("ü/\u{1b}[2J", 27, 3)] {
            assert_eq!(Target::parse(raw), Err(TargetError::Control { code, at }));
        }
        assert!(Target::parse("a b/ü").is_ok());
    }

    #[test]
    fn targets_have_two_or_three_parts_none_of_them_empty() {
        let target = Target::parse("default/Deployment/my-app").unwrap();
        assert_eq!(target.namespace(), Some("default"));
        assert_eq!((target.kind(), target.name()), ("Deployment", "my-app"));
        let target = Target::parse("Node/worker-1").unwrap();
        assert_eq!(target.namespace(), None);
        assert_eq!(target.as_str(), "Node/worker-1");
        for (raw, error) in [
            ("", TargetError::Empty),
            ("default", TargetError::PartCount { found: 1 }),
            ("a/b/c/d", TargetError::PartCount { found: 4 }),
            ("/deployment/x", TargetError::EmptyPart { position: 0 }),
            ("default//x", TargetError::EmptyPart { position: 1 }),
            ("default/deployment/", TargetError::EmptyPart { position: 2 }),
            ("/", TargetError::EmptyPart { position: 0 }),
        ] {
            assert_eq!(Target::parse(raw), Err(error), "{raw:?}");
        }
        assert_eq!(
            TargetError::PartCount { found: 4 }.to_string(),
            "targetResource must be {namespace}/{kind}/{name} or {kind}/{name}, not 4 part(s)"
        );
    }

    #[test]
    fn label_values_are_valid_whatever_they_come_from() {
        let long = format!("production/Deployment/{}", "x".repeat(80));
        let dashes = format!("{}{}", "a".repeat(60), "-".repeat(30));
        for raw in [
            "default/Deployment/my-app",
            "clusterrole/system:admin",
            "a b/c d",
            "ns/Deployment/größe",
            "//",
            "---",
            "日本",
            "-x-",
            "",
            &long,
            &dashes,
        ] {
            let value = label_value(raw);
            assert!(value.is_empty() == raw.is_empty(), "{raw:?} gave {value:?}");
            assert!(value.is_empty() || is_label_value(&value), "{raw:?} gave {value:?}");
        }
        assert_eq!(label_value("default/Deployment/my-app"), "default__Deployment__my-app");
        assert_eq!(label_value(&long).len(), 63);
        assert_ne!(label_value("a:b"), label_value("a;b"));
        assert_ne!(label_value("a:b"), "a_b");
        assert_ne!(label_value(&long), label_value(&format!("{long}y")));
    }

    #[test]
    fn volume_names_are_dns_labels_and_distinct() {
        assert_eq!(volume_name("secret", "db-credentials"), "secret-db-credentials");
        let long = "a".repeat(253);
        let names = ["a.b", "a-b", "tls.example.com", &long, &"a".repeat(60), "ends-", "Upper"];
        let mut seen = std::collections::HashSet::new();
        for name in names {
            let volume = volume_name("configmap", name);
            assert!(is_dns_label(&volume), "{name:?} gave {volume:?}");
            assert!(seen.insert(volume), "{name:?} is not distinct");
        }
    }

    #[test]
    fn environment_names_are_checked() {
        for name in ["A", "_", "a1_B", "TARGET_RESOURCE"] {
            assert!(is_env_name(name), "{name:?}");
        }
        for name in ["", "1A", "A-B", "A.B", "Ä", "A B", "A="] {
            assert!(!is_env_name(name), "{name:?}");
        }
    }

    #[test]
    fn dns_names_are_checked() {
        assert!(is_dns_label("a-1") && !is_dns_label("-a") && !is_dns_label("a.b") && !is_dns_label(""));
        assert!(is_dns_subdomain("a.b-c.d") && !is_dns_subdomain("a..b") && !is_dns_subdomain("A"));
    }
}
