//! The parameters of a workflow: those that it does not declare are not passed on, and those that
//! it declares must be what it declares. What is wrong is told by name and never by value, since
//! parameters are where people put secrets.

use std::collections::{BTreeMap, BTreeSet};

use regex::RegexBuilder;
use serde_json::Value;

/// How much of what is wrong is told, and in how many characters.
const TOLD: usize = 10;
const LONGEST: usize = 1000;
/// Largest program that a pattern may compile to.
const PATTERN_SIZE: usize = 1 << 20;

/// What values a parameter has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Any text.
    #[default]
    String,
    /// A whole number of 64 bits.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// A JSON array.
    Array,
    /// A finite number.
    Float,
}

impl Kind {
    /// Reads a kind as it is stored.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "string" => Self::String,
            "integer" => Self::Integer,
            "boolean" => Self::Boolean,
            "array" => Self::Array,
            "float" => Self::Float,
            _ => return None,
        })
    }
}

/// One parameter that a workflow declares.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// What values it has.
    pub kind: Kind,
    /// Whether the workflow needs it.
    pub required: bool,
    /// The only values it may have; empty for all.
    pub allowed: Vec<String>,
    /// A regular expression that is found in every value.
    pub pattern: Option<String>,
    /// Least number.
    pub minimum: Option<f64>,
    /// Greatest number.
    pub maximum: Option<f64>,
    /// Value when none is given.
    pub default: Option<String>,
    /// Parameters without which this one makes no sense.
    pub needs: Vec<String>,
}

impl Parameter {
    /// The text of a default as it would be given.
    pub fn default_text(value: &Value) -> Option<String> {
        match value {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        }
    }
}

/// Which parameters are passed on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Passed {
    /// Names of those that were given and are passed on; none when nothing is declared.
    pub(super) names: Option<Vec<String>>,
    /// Those that were not given and have a default.
    pub(super) defaults: BTreeMap<String, String>,
}

/// Decides which parameters are passed on, or tells all that is wrong.
pub(super) fn pass(declared: &[Parameter], given: &BTreeMap<String, String>) -> Result<Passed, String> {
    let (mut names, mut defaults, mut wrong) = (BTreeSet::new(), BTreeMap::new(), Vec::new());
    for parameter in declared {
        let name = &parameter.name;
        match (given.get(name), &parameter.default) {
            (Some(value), _) => {
                wrong.extend(problem(parameter, value).map(|problem| format!("{name} {problem}")));
                names.insert(name.clone());
            }
            (None, Some(value)) => {
                wrong.extend(
                    problem(parameter, value).map(|problem| format!("the default of {name} {problem}")),
                );
                defaults.insert(name.clone(), value.clone());
            }
            (None, None) if parameter.required => wrong.push(format!("{name} is required")),
            (None, None) => {}
        }
    }
    for parameter in declared.iter().filter(|parameter| names.contains(&parameter.name)) {
        let is_there = |name: &String| names.contains(name) || defaults.contains_key(name);
        if let Some(missing) = parameter.needs.iter().find(|name| !is_there(name)) {
            wrong.push(format!("{} needs {missing}, which is not given", parameter.name));
        }
    }
    if wrong.is_empty() {
        return Ok(Passed { names: Some(names.into_iter().collect()), defaults });
    }
    let more = wrong.len().saturating_sub(TOLD);
    wrong.truncate(TOLD);
    let rest = if more > 0 { format!("; and {more} more") } else { String::new() };
    Err((wrong.join("; ") + &rest).chars().take(LONGEST).collect())
}

/// What is wrong with a value, in words that follow the parameter's name.
fn problem(parameter: &Parameter, value: &str) -> Option<String> {
    let number = match parameter.kind {
        #[expect(clippy::cast_precision_loss, reason = "limits are of that precision themselves")]
        Kind::Integer => match value.parse::<i64>() {
            Ok(number) => Some(number as f64),
            Err(_) => return Some(format!("must be an integer{}", range(parameter))),
        },
        Kind::Float => match value.parse::<f64>() {
            Ok(number) if number.is_finite() => Some(number),
            _ => return Some(format!("must be a number{}", range(parameter))),
        },
        Kind::Boolean if !matches!(value, "true" | "false") => {
            return Some("must be true or false".to_owned());
        }
        Kind::Array if !serde_json::from_str::<Value>(value).is_ok_and(|json| json.is_array()) => {
            return Some("must be a JSON array, such as [\"a\", \"b\"]".to_owned());
        }
        Kind::String | Kind::Boolean | Kind::Array => None,
    };
    if number.is_some_and(|number| is_outside(parameter, number)) {
        return Some(format!("must be{}", range(parameter)));
    }
    if !parameter.allowed.is_empty() && !parameter.allowed.iter().any(|allowed| allowed == value) {
        return Some(format!("must be one of: {}", parameter.allowed.join(", ")));
    }
    let pattern = parameter.pattern.as_deref().filter(|pattern| !pattern.is_empty())?;
    match RegexBuilder::new(pattern).size_limit(PATTERN_SIZE).build() {
        Ok(regex) if regex.is_match(value) => None,
        Ok(_) => Some(format!("must match {pattern}")),
        Err(_) => Some(format!("has a pattern that is no regular expression: {pattern}")),
    }
}

fn is_outside(parameter: &Parameter, number: f64) -> bool {
    parameter.minimum.is_some_and(|least| number < least)
        || parameter.maximum.is_some_and(|most| number > most)
}

fn range(parameter: &Parameter) -> String {
    match (parameter.minimum, parameter.maximum) {
        (Some(least), Some(most)) => format!(" from {least} to {most}"),
        (Some(least), None) => format!(" at least {least}"),
        (None, Some(most)) => format!(" at most {most}"),
        (None, None) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn declared(name: &str, kind: Kind) -> Parameter {
        Parameter { name: name.to_owned(), kind, ..Parameter::default() }
    }

    fn check(parameter: &Parameter, value: &str) -> Result<Passed, String> {
        pass(std::slice::from_ref(parameter), &given(&[(&parameter.name, value)]))
    }

    #[test]
    fn what_is_not_declared_is_not_passed_on() {
        let passed = pass(&[declared("A", Kind::String)], &given(&[("A", "1"), ("B", "2")])).unwrap();
        assert_eq!(passed.names, Some(vec!["A".to_owned()]));
        assert_eq!(pass(&[], &given(&[("A", "1")])).unwrap().names, Some(Vec::new()));
    }

    #[test]
    fn what_is_required_must_be_given_unless_it_has_a_default() {
        let required = Parameter { required: true, ..declared("A", Kind::String) };
        assert_eq!(pass(std::slice::from_ref(&required), &given(&[])).unwrap_err(), "A is required");
        let with_default = Parameter { default: Some("x".to_owned()), ..required };
        let passed = pass(std::slice::from_ref(&with_default), &given(&[])).unwrap();
        assert_eq!(passed, Passed { names: Some(Vec::new()), defaults: given(&[("A", "x")]) });
        let passed = pass(&[with_default], &given(&[("A", "y")])).unwrap();
        assert_eq!(passed, Passed { names: Some(vec!["A".to_owned()]), defaults: given(&[]) });
    }

    #[test]
    fn values_must_be_of_their_type() {
        for (kind, good, bad) in [
            (Kind::String, vec!["", "any thing"], vec![]),
            (
                Kind::Integer,
                vec!["0", "-7", "+5", "9223372036854775807"],
                vec!["", "1.0", "1e3", " 5", "9223372036854775808"],
            ),
            (Kind::Float, vec!["0", "-1.5", "1e3", ".5"], vec!["", "NaN", "inf", "1,5", "1.5 "]),
            (Kind::Boolean, vec!["true", "false"], vec!["", "True", "yes", "1"]),
            (Kind::Array, vec!["[]", "[1, \"a\"]"], vec!["", "a,b", "{}", "[1", "\"[]\""]),
        ] {
            let parameter = declared("P", kind);
            for value in good {
                assert!(check(&parameter, value).is_ok(), "{kind:?} {value:?}");
            }
            for value in bad {
                let told = check(&parameter, value).unwrap_err();
                assert!(told.starts_with("P must be "), "{kind:?} {value:?}: {told}");
            }
        }
    }

    #[test]
    fn numbers_outside_their_range_are_told_the_range() {
        let float = Parameter { minimum: Some(0.5), maximum: Some(2.0), ..declared("RATIO", Kind::Float) };
        for (value, fine) in [("0.5", true), ("2", true), ("0.49", false), ("2.01", false)] {
            assert_eq!(check(&float, value).is_ok(), fine, "{value}");
        }
        assert_eq!(check(&float, "3").unwrap_err(), "RATIO must be from 0.5 to 2");
        let least = Parameter { minimum: Some(1.0), ..declared("REPLICAS", Kind::Integer) };
        assert_eq!(check(&least, "0").unwrap_err(), "REPLICAS must be at least 1");
        assert_eq!(check(&least, "none").unwrap_err(), "REPLICAS must be an integer at least 1");
        let most = Parameter { maximum: Some(9.0), ..declared("REPLICAS", Kind::Integer) };
        assert_eq!(check(&most, "10").unwrap_err(), "REPLICAS must be at most 9");
    }

    #[test]
    fn closed_sets_and_patterns_are_kept() {
        let set = Parameter { allowed: vec!["fast".into(), "safe".into()], ..declared("MODE", Kind::String) };
        assert!(check(&set, "safe").is_ok());
        assert_eq!(check(&set, "Safe").unwrap_err(), "MODE must be one of: fast, safe");
        let pattern = Parameter { pattern: Some("^[a-z]+$".into()), ..declared("NAME", Kind::String) };
        assert!(check(&pattern, "web").is_ok());
        assert_eq!(check(&pattern, "Web").unwrap_err(), "NAME must match ^[a-z]+$");
        for broken in ["(", "(a{1000}){1000}"] {
            let broken = Parameter { pattern: Some(broken.into()), ..declared("NAME", Kind::String) };
            assert!(check(&broken, "web").unwrap_err().contains("no regular expression"));
        }
    }

    #[test]
    fn a_parameter_that_needs_another_is_told_without_it() {
        let needy = Parameter { needs: vec!["B".into()], ..declared("A", Kind::String) };
        let all = [needy, declared("B", Kind::String)];
        assert_eq!(pass(&all, &given(&[("A", "1")])).unwrap_err(), "A needs B, which is not given");
        assert!(pass(&all, &given(&[("A", "1"), ("B", "2")])).is_ok());
        assert!(pass(&all, &given(&[])).is_ok(), "nobody gave what needs it");
    }

    #[test]
    fn all_that_is_wrong_is_told_and_never_a_value() {
        let all = [declared("A", Kind::Integer), declared("B", Kind::Boolean)];
        let told = pass(&all, &given(&[("A", "hunter2"), ("B", "hunter3")])).unwrap_err();
        assert_eq!(told, "A must be an integer; B must be true or false");
        let many: Vec<_> = (10..32)
            .map(|i| Parameter { required: true, ..declared(&format!("P{i}"), Kind::String) })
            .collect();
        let told = pass(&many, &given(&[])).unwrap_err();
        assert!(told.ends_with("P19 is required; and 12 more"), "{told}");
    }

    #[test]
    fn a_default_is_checked_as_if_it_were_given() {
        let wrong = Parameter { default: Some("ten".into()), ..declared("A", Kind::Integer) };
        assert_eq!(pass(&[wrong], &given(&[])).unwrap_err(), "the default of A must be an integer");
        for (json, text) in [("3", Some("3")), ("\"3\"", Some("3")), ("[1]", Some("[1]")), ("null", None)] {
            let value = serde_json::from_str(json).unwrap();
            assert_eq!(Parameter::default_text(&value).as_deref(), text, "{json}");
        }
    }
}
