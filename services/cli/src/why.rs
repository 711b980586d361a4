//! `evenkeel why`: what is the matter with one execution, and what happens next.

use clap::Args;
use evenkeel_controller::CANCEL_ANNOTATION;
use evenkeel_core::{conditions::reason, gate};
use jiff::Timestamp;
use kube::ResourceExt as _;

use crate::{
    cluster::{Cluster, ClusterArgs},
    describe::fields,
    error::Result,
    execution::{self, Execution},
    output::{self, Screen, Tone},
};

/// Which execution.
#[derive(Args, Debug)]
pub struct WhyArgs {
    /// Name of the execution.
    pub name: String,
}

/// Runs the command.
pub async fn run(cluster: &ClusterArgs, args: WhyArgs) -> Result<()> {
    let cluster = Cluster::open(cluster).await?;
    let one = execution::get(&cluster, &args.name).await?;
    // What the execution says of itself is worth showing even when the others may not be read.
    let others = execution::list(&cluster, false).await.unwrap_or_else(|error| {
        output::note(&format!("the other executions on the target are not shown: {error}"));
        Vec::new()
    });
    let (target, name) = (&one.typed.spec.target_resource, one.name());
    let on_target = |other: &&Execution| other.typed.spec.target_resource == *target && other.name() != name;
    let others: Vec<_> = others.iter().filter(on_target).collect();
    output::print(&fields(&story(&one, &others, Screen::detect(), Timestamp::now()), 0))
}

fn story(
    one: &Execution,
    others: &[&Execution],
    screen: Screen,
    now: Timestamp,
) -> Vec<(&'static str, String)> {
    let mut story = vec![
        ("Execution", full_name(one)),
        ("Phase", screen.paint(Tone::of_phase(one.phase()), one.phase())),
        ("Target", one.typed.spec.target_resource.clone()),
    ];
    if let Some(gate) = one.waiting() {
        let since = output::since(gate.last_transition_time.0, now);
        story.push(("Waits for", format!("{}, for {since} so far\n{}", gate.reason, gate.message)));
        story.push(("Until", until(&gate.message, now)));
        if let Some(blocker) = blocker(&gate.message, others) {
            story.push(("Because of", told(blocker, now)));
        }
    }
    if one.phase() == "Failed" {
        story.push(("Failure", one.failure()));
    }
    if let Some(last) = last_failure(others) {
        story.push(("Last failure", format!("{}\n{}", told(last, now), last.failure())));
    }
    story.push(("Cleared", clearance(one)));
    story.push(("Next", next(one)));
    story.push(("Trace", one.trace_id().unwrap_or_default()));
    story
}

fn full_name(one: &Execution) -> String {
    format!("{}/{}", one.namespace(), one.name())
}

/// When a wait ends by itself; empty when it does not, or nobody knows.
fn until(message: &str, now: Timestamp) -> String {
    let ends = gate::ends_at(message).and_then(|ends| Timestamp::from_millisecond(ends).ok());
    ends.map_or_else(String::new, |ends| match ends.duration_since(now) {
        left if left.is_positive() => format!("{ends:.0}, in {}", output::span(left)),
        _ => format!("{ends:.0}, which is now"),
    })
}

/// Whom a wait speaks of: the execution whose name it has.
fn blocker<'a>(message: &str, others: &[&'a Execution]) -> Option<&'a Execution> {
    let named = others.iter().filter(|other| message.contains(&full_name(other)));
    // A name can be the beginning of another.
    named.max_by_key(|other| other.name().len()).copied()
}

/// Another execution, in a line, and what it waits for.
fn told(other: &Execution, now: Timestamp) -> String {
    let end = other.status().and_then(|status| status.completion_time.as_ref());
    let when = end.map_or_else(String::new, |end| format!(" {} ago", output::since(end.0, now)));
    let waits = other.waiting().map_or_else(String::new, |gate| {
        let until = until(&gate.message, now);
        let until = if until.is_empty() { String::new() } else { format!(" until {until}") };
        format!("\nwhich waits for {}{until}: {}", gate.reason, gate.message)
    });
    format!("{}, {}{when}{waits}", full_name(other), other.phase())
}

/// The execution on the target that failed last.
fn last_failure<'a>(others: &[&'a Execution]) -> Option<&'a Execution> {
    let failed = others.iter().filter(|other| other.phase() == "Failed");
    let end = |other: &&&Execution| other.status()?.completion_time.as_ref().map(|time| time.0);
    failed.max_by_key(end).copied()
}

fn clearance(one: &Execution) -> String {
    let cleared = one.status().and_then(|status| status.block_clearance.as_ref());
    cleared.map_or_else(String::new, |cleared| format!("by {}: {}", cleared.cleared_by, cleared.clear_reason))
}

/// What happens next, and who has to do it.
fn next(one: &Execution) -> String {
    if one.typed.metadata.deletion_timestamp.is_some() {
        return "it is being deleted: its run is ended and removed, and it goes when the audit log has its events"
            .to_owned();
    }
    let is_cancelled = one.typed.annotations().contains_key(CANCEL_ANNOTATION);
    match (one.phase(), one.waiting()) {
        ("Pending", _) if is_cancelled => {
            "it was cancelled: it ends as soon as the executor has made sure that nothing of it starts".to_owned()
        }
        ("Running", _) if is_cancelled => "it was cancelled: it ends when its run has been stopped".to_owned(),
        ("Failed", _) if is_cancelled && !one.failed_while_running() => {
            "nothing; it was cancelled before it started, and holds nobody up".to_owned()
        }
        ("Pending", Some(gate)) => when_open(&gate.reason).to_owned(),
        ("Pending", None) => {
            "the controller looks at it in a moment; if it does not, see whether it runs and is ready"
                .to_owned()
        }
        ("Running", None) => "its run is followed to its end".to_owned(),
        ("Running", Some(gate)) if gate.reason == reason::CANNOT_START => {
            "it goes on by itself when what keeps it from starting is mended; at that time its run is given up"
                .to_owned()
        }
        ("Running", Some(_)) => "its run goes on meanwhile, and is followed again when it can be".to_owned(),
        ("Completed", _) => when_released(one, "nothing; the target is free"),
        ("Failed", _) if one.failed_while_running() && clearance(one).is_empty() => format!(
            "others wait for the target until somebody has looked at it: evenkeel -n {} clear {} --reason '…'",
            one.namespace(),
            one.name()
        ),
        ("Failed", _) if one.failed_while_running() => when_released(one, "nothing; the target is free"),
        ("Failed", _) => {
            "nothing; correct the cause and create another execution, which may have to wait a little: \
                          longer after each that cannot begin"
                .to_owned()
        }
        _ => "nothing that this release knows of".to_owned(),
    }
}

fn when_released(one: &Execution, then: &str) -> String {
    match one.condition(evenkeel_core::conditions::kind::RELEASED) {
        Some(released) if released.status == "True" => then.to_owned(),
        _ => "the target rests, then it is released for the next execution".to_owned(),
    }
}

fn when_open(why: &str) -> &'static str {
    match why {
        reason::QUEUED => "it starts when it is its turn and the target is free",
        reason::TARGET_BUSY => "it starts by itself when the target is released and has rested",
        reason::COOLDOWN_ACTIVE | reason::EXPONENTIAL_BACKOFF => "it starts by itself at that time",
        reason::PREVIOUS_EXECUTION_FAILED => {
            "nothing by itself: somebody has to look at the target and clear the execution that failed; then it \
             starts as soon as the target has rested"
        }
        _ => "it is tried again and again, and goes on by itself",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::execution::tests::{execution, failed};

    const PLAIN: Screen = Screen { live: false, colour: false, width: None };

    fn waiting(reason: &str, message: &str) -> Execution {
        let condition = json!({
            "type": "Blocked", "status": "True", "reason": reason, "message": message,
            "lastTransitionTime": "2026-01-02T03:01:40Z",
        });
        execution(json!({"phase": "Pending", "conditions": [condition]}))
    }

    fn named(name: &str, mut one: Execution) -> Execution {
        one.typed.metadata.name = Some(name.to_owned());
        one
    }

    #[track_caller]
    fn check(one: &Execution, others: &[&Execution], parts: &[&str]) -> String {
        let text = fields(&story(one, others, PLAIN, "2026-01-02T03:05:00Z".parse().unwrap()), 0);
        for part in parts {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
        text
    }

    #[test]
    fn a_wait_is_told_with_its_blocker_and_the_time_that_is_left() {
        let one = waiting(
            "CooldownActive",
            "target default/Deployment/checkout rests until 2026-01-02T03:07:30Z (5m0s after kubernaut-system/web-2 ended)",
        );
        let web =
            named("web", execution(json!({"phase": "Completed", "completionTime": "2026-01-02T03:00:00Z"})));
        let web_2 = named(
            "web-2",
            execution(json!({"phase": "Completed", "completionTime": "2026-01-02T03:02:30Z"})),
        );
        let parts = [
            "CooldownActive, for 3m20s so far",
            "2026-01-02T03:07:30Z, in 2m30s",
            "kubernaut-system/web-2, Completed 2m30s ago",
            "starts by itself at that time",
            "0af7651916cd43dd8448eb211c80319c",
        ];
        check(&one, &[&web, &web_2], &parts);
    }

    #[test]
    fn a_block_is_told_with_what_failed_and_what_to_do() {
        let blocked = waiting(
            "PreviousExecutionFailed",
            "target default/Deployment/checkout is blocked: kubernaut-system/bad failed while it ran",
        );
        let bad = named("bad", execution(failed(true)));
        let parts =
            ["kubernaut-system/bad, Failed 2m30s ago", "it broke", "nothing by itself", "Last failure"];
        let text = check(&blocked, &[&bad], &parts);
        assert!(!text.contains("Until"), "{text}");
        check(&bad, &[], &["it broke", "evenkeel -n kubernaut-system clear bad --reason"]);
    }

    #[test]
    fn a_queue_is_told_with_what_the_one_ahead_waits_for() {
        let one =
            waiting("Queued", "kubernaut-system/early came first to target default/Deployment/checkout");
        let early = named("early", waiting("TargetBusy", "target is held by kubernaut-system/x"));
        check(
            &one,
            &[&early],
            &["kubernaut-system/early, Pending", "which waits for TargetBusy", "its turn"],
        );
    }

    #[test]
    fn what_was_cancelled_and_what_cannot_start_is_told_as_such() {
        let cancelled = |mut one: Execution| {
            one.typed.annotations_mut().insert(CANCEL_ANNOTATION.to_owned(), "enough".to_owned());
            one
        };
        let waits = || waiting("ExecutorUnavailable", "the executor gives no usable answer");
        check(&cancelled(waits()), &[], &["it was cancelled: it ends as soon as"]);
        check(
            &cancelled(execution(json!({"phase": "Running"}))),
            &[],
            &["it ends when its run has been stopped"],
        );
        check(&cancelled(execution(failed(false))), &[], &["cancelled before it started"]);
        let mut stuck = waiting(
            "CannotStart",
            "the workflow cannot start (ImagePullBackOff); this is waited for until 2026-01-02T03:07:00Z, and then its run is given up",
        );
        stuck.typed.status.as_mut().unwrap().phase = Some("Running".to_owned());
        check(&stuck, &[], &["CannotStart, for 3m20s", "03:07:00Z, in 2m", "its run is given up", "mended"]);
    }

    #[test]
    fn every_end_says_what_happens_next() {
        let mut cleared = failed(true);
        cleared["blockClearance"] =
            json!({"clearMethod": "StatusField", "clearReason": "looked at it", "clearedBy": "mary"});
        let released = json!([{
            "type": "Released", "status": "True", "reason": "LockReleased", "message": "",
            "lastTransitionTime": "2026-01-02T03:01:40Z",
        }]);
        for (status, part) in [
            (Value::Null, "looks at it in a moment"),
            (json!({"phase": "Running"}), "followed to its end"),
            (json!({"phase": "Completed"}), "rests"),
            (json!({"phase": "Completed", "conditions": released}), "the target is free"),
            (failed(false), "correct the cause"),
            (cleared, "by mary: looked at it"),
            (json!({"phase": "Skipped"}), "nothing that this release knows of"),
        ] {
            check(&execution(status), &[], &[part]);
        }
    }
}
