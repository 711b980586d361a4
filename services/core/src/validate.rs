//! What an execution needs in order to be run at all, checked in a fixed order: the first problem
//! is the one that is told.

use crate::{
    go_duration,
    record::Spec,
    target::{Target, TargetError},
};

/// Why an execution cannot be run as it was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// There is nothing to run.
    #[error("spec.workflowRef.executionBundle is required: it names what the engine runs")]
    NoBundle,
    /// There is nothing to act on, or it cannot be understood.
    #[error("spec.targetResource has no usable format: {0}")]
    Target(#[from] TargetError),
    /// The timeout cannot be understood.
    #[error("spec.executionConfig.timeout '{0}' is not a duration such as 10m or 1h30m")]
    Timeout(String),
    /// The timeout would leave no time.
    #[error("spec.executionConfig.timeout '{0}' leaves no time: it must be above zero, such as 10m or 1h30m")]
    NoTime(String),
}

/// Checks what was asked for.
pub fn validate(spec: &Spec) -> Result<(), Problem> {
    if spec.bundle.is_empty() {
        return Err(Problem::NoBundle);
    }
    Target::parse(&spec.target)?;
    let Some(text) = &spec.timeout else { return Ok(()) };
    // Go writes a duration below zero with a sign, which is all that is wrong with it here.
    match go_duration::parse(text.strip_prefix('-').unwrap_or(text)) {
        Some(time) if time.is_zero() || text.starts_with('-') => Err(Problem::NoTime(text.clone())),
        Some(_) => Ok(()),
        None => Err(Problem::Timeout(text.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(bundle: &str, target: &str) -> Spec {
        Spec {
            bundle: bundle.to_owned(),
            target: target.to_owned(),
            engine: Some("job".to_owned()),
            ..Spec::default()
        }
    }

    fn problem(spec: &Spec) -> String {
        validate(spec).unwrap_err().to_string()
    }

    #[test]
    fn the_bundle_is_checked_before_the_target() {
        let text = problem(&spec("", ""));
        assert!(text.contains("executionBundle") && text.contains("required"), "{text}");
    }

    #[test]
    fn a_target_of_the_wrong_shape_is_told_with_its_parts_and_both_formats() {
        for (target, parts) in [("default", "1"), ("a/b/c/d", "4")] {
            let text = problem(&spec("image", target));
            assert!(text.contains("format") && text.contains(parts), "{text}");
        }
        assert!(problem(&spec("image", "")).contains("targetResource"));
    }

    #[test]
    fn an_empty_part_is_told_by_its_position() {
        for (target, position) in [("/deployment/x", "0"), ("default//x", "1"), ("a/", "1"), ("a/b/", "2")] {
            let text = problem(&spec("image", target));
            assert!(text.contains(position) && text.contains("empty"), "{text}");
        }
    }

    #[test]
    fn both_formats_pass() {
        for target in ["node/worker-node-1", "default/deployment/nginx"] {
            assert_eq!(validate(&spec("image", target)), Ok(()));
        }
    }

    #[test]
    fn a_timeout_must_be_a_duration_above_zero() {
        for (timeout, word) in [
            ("10m", ""),
            ("soon", "is not a duration"),
            ("", "is not a duration"),
            ("--5s", "is not a duration"),
            ("0s", "above zero"),
            ("0", "above zero"),
            ("-5s", "above zero"),
            ("-1m30s", "above zero"),
        ] {
            let spec = Spec { timeout: Some(timeout.to_owned()), ..spec("image", "a/b") };
            let text = validate(&spec).err().map(|problem| problem.to_string()).unwrap_or_default();
            assert!(text.contains(word) && text.is_empty() == word.is_empty(), "{timeout}: {text}");
            assert!(word.is_empty() || text.contains(&format!("'{timeout}'")), "{text}");
        }
    }
}
