//! Events: what a caller may state, and the exact bytes that are stored for it.

use evenkeel_chain::{Hash, hash};
use evenkeel_proto::audit::v1::{Event, EventOutcome};
use jiff::Timestamp;
use uuid::Uuid;

use crate::canonical::{Node, write_scalar};

/// The only schema version there is.
const VERSION: &str = "1.0";
/// Most bytes of an event's payload.
const LARGEST_DATA: usize = 256 * 1024;

/// A valid event, ready to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Id of the event.
    pub event_id: Uuid,
    /// Leaf hash of the body.
    pub leaf: Hash,
    /// Canonical JSON of the event: exactly what is stored and hashed.
    pub body: Vec<u8>,
    /// Ties the events of one incident together.
    pub correlation_id: String,
    /// Dotted type.
    pub event_type: String,
    /// Identifier of the object acted on.
    pub resource_id: String,
    /// Namespace of the object; empty for cluster-wide ones.
    pub namespace: String,
}

/// What is wrong with an event. Never shows the value: it may be secret.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{field}: {problem}")]
pub struct InvalidEvent {
    /// Name of the field.
    pub field: &'static str,
    /// What a right value looks like.
    pub problem: String,
}

impl InvalidEvent {
    fn new(field: &'static str, problem: impl Into<String>) -> Self {
        Self { field, problem: problem.into() }
    }
}

/// Validates an event and fixes its bytes. Who leaves out actor or resource means the service of the
/// category, and the incident.
pub fn record(event: Event) -> Result<Record, InvalidEvent> {
    let event_id = parse_id(&event.event_id)?;
    if event.version != VERSION {
        return Err(InvalidEvent::new("version", format!("must be \"{VERSION}\"")));
    }
    check_length("event_type", &event.event_type, 1, 100)?;
    check_length("event_category", &event.event_category, 1, 50)?;
    check_length("event_action", &event.event_action, 1, 50)?;
    check_length("correlation_id", &event.correlation_id, 1, 255)?;
    check_length("actor_type", &event.actor_type, 0, 50)?;
    check_length("actor_id", &event.actor_id, 0, 255)?;
    check_length("resource_type", &event.resource_type, 0, 50)?;
    check_length("resource_id", &event.resource_id, 0, 255)?;
    check_length("namespace", &event.namespace, 0, 253)?;
    let event = with_defaults(event);
    let body = body(&event, event_id)?;
    Ok(Record {
        event_id,
        leaf: hash::leaf(&body),
        body,
        correlation_id: event.correlation_id,
        event_type: event.event_type,
        resource_id: event.resource_id,
        namespace: event.namespace,
    })
}

/// Reads an event id, in the form with hyphens only, so that an id is not written in several ways.
pub fn parse_id(text: &str) -> Result<Uuid, InvalidEvent> {
    let hyphenated = text.len() == uuid::fmt::Hyphenated::LENGTH;
    let id = Uuid::try_parse(text).ok().filter(|_| hyphenated);
    id.ok_or_else(|| InvalidEvent::new("event_id", "must be a UUID with hyphens"))
}

fn with_defaults(mut event: Event) -> Event {
    let or = |field: &mut String, default: &dyn Fn() -> String| {
        if field.is_empty() {
            *field = default();
        }
    };
    or(&mut event.actor_type, &|| "service".to_owned());
    or(&mut event.actor_id, &|| format!("{}-service", event.event_category));
    or(&mut event.resource_type, &|| event.event_category.clone());
    or(&mut event.resource_id, &|| event.correlation_id.clone());
    event
}

/// The canonical JSON. Keys are written in sorted order; empty optional ones are left out.
fn body(event: &Event, event_id: Uuid) -> Result<Vec<u8>, InvalidEvent> {
    let mut out = Vec::with_capacity(event.event_data_json.len() + 640);
    let mut start = b'{';
    let mut text = |out: &mut Vec<u8>, key: &str, value: &str| {
        out.push(std::mem::replace(&mut start, b','));
        write_scalar(key, out);
        out.push(b':');
        write_scalar(value, out);
    };
    text(&mut out, "actor_id", &event.actor_id);
    text(&mut out, "actor_type", &event.actor_type);
    text(&mut out, "correlation_id", &event.correlation_id);
    text(&mut out, "event_action", &event.event_action);
    text(&mut out, "event_category", &event.event_category);
    out.extend(b",\"event_data\":");
    write_data(event, &mut out)?;
    text(&mut out, "event_id", event_id.hyphenated().encode_lower(&mut Uuid::encode_buffer()));
    text(&mut out, "event_outcome", outcome(event)?);
    text(&mut out, "event_timestamp", &timestamp(event)?);
    text(&mut out, "event_type", &event.event_type);
    if !event.namespace.is_empty() {
        text(&mut out, "namespace", &event.namespace);
    }
    text(&mut out, "resource_id", &event.resource_id);
    text(&mut out, "resource_type", &event.resource_type);
    if !event.span_id.is_empty() {
        text(&mut out, "span_id", &hex_id("span_id", &event.span_id, 16)?);
    }
    if !event.trace_id.is_empty() {
        text(&mut out, "trace_id", &hex_id("trace_id", &event.trace_id, 32)?);
    }
    text(&mut out, "version", &event.version);
    out.push(b'}');
    Ok(out)
}

fn write_data(event: &Event, out: &mut Vec<u8>) -> Result<(), InvalidEvent> {
    const FIELD: &str = "event_data_json";
    if event.event_data_json.len() > LARGEST_DATA {
        return Err(InvalidEvent::new(FIELD, format!("must have at most {LARGEST_DATA} bytes")));
    }
    let data: Node<'_> = serde_json::from_str(&event.event_data_json)
        .map_err(|error| InvalidEvent::new(FIELD, format!("must be JSON: {}", describe(&error))))?;
    if !matches!(data, Node::Object(_)) {
        return Err(InvalidEvent::new(FIELD, "must be a JSON object"));
    }
    if data.text("event_type") != Some(&event.event_type) {
        return Err(InvalidEvent::new(FIELD, "must have an \"event_type\" equal to that of the event"));
    }
    data.write(out).map_err(|_| InvalidEvent::new(FIELD, "is nested too deeply"))
}

/// Where the JSON is wrong, without any of its text.
fn describe(error: &serde_json::Error) -> String {
    let kind = if error.is_data() { "a key is there twice" } else { "syntax error" };
    format!("{kind} at line {} column {}", error.line(), error.column())
}

fn outcome(event: &Event) -> Result<&'static str, InvalidEvent> {
    match event.event_outcome() {
        EventOutcome::Success => Ok("success"),
        EventOutcome::Failure => Ok("failure"),
        EventOutcome::Pending => Ok("pending"),
        EventOutcome::Unspecified => {
            Err(InvalidEvent::new("event_outcome", "must be success, failure or pending"))
        }
    }
}

/// RFC 3339 in UTC, always with nine decimals.
fn timestamp(event: &Event) -> Result<String, InvalidEvent> {
    let invalid = || InvalidEvent::new("event_timestamp", "must be a time in the years 1 to 9999");
    let stated = event.event_timestamp.ok_or_else(invalid)?;
    if !(0..1_000_000_000).contains(&stated.nanos) {
        return Err(invalid());
    }
    let time = Timestamp::new(stated.seconds, stated.nanos).map_err(|_| invalid())?;
    let text = format!("{time:.9}");
    // Other years are written with a sign, which RFC 3339 does not know.
    if text.starts_with(['-', '+']) || text.starts_with("0000") { Err(invalid()) } else { Ok(text) }
}

fn hex_id(field: &'static str, text: &str, digits: usize) -> Result<String, InvalidEvent> {
    if text.len() != digits || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(InvalidEvent::new(field, format!("must be empty or {digits} hex digits")));
    }
    Ok(text.to_ascii_lowercase())
}

fn check_length(field: &'static str, text: &str, least: usize, most: usize) -> Result<(), InvalidEvent> {
    if text.len() < least || (text.len() > most && text.chars().count() > most) {
        return Err(InvalidEvent::new(field, format!("must have {least} to {most} characters")));
    }
    Ok(())
}
