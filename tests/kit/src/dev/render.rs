//! How things look: headings, tables and the trace as a tree.

use std::{fmt::Write as _, io::IsTerminal as _, time::Duration};

use evenkeel_cluster::Tier;

use super::up::Up;
use crate::traces::{Span, Trace};

const BAR: usize = 28;

/// A colour, on a terminal that wants one.
#[derive(Clone, Copy)]
pub(super) enum Tone {
    Strong,
    Good,
    Bad,
    Faint,
}

pub(super) fn paint(tone: Tone, text: &str) -> String {
    let wanted =
        std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|it| it.is_empty());
    let code = match tone {
        Tone::Strong => "1",
        Tone::Good => "32",
        Tone::Bad => "31",
        Tone::Faint => "2",
    };
    if wanted { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

/// Begins a chapter of the demo.
pub(super) fn heading(text: &str) {
    println!("\n{}", paint(Tone::Strong, text));
}

/// Lines of somebody else's, set off from ours.
pub(super) fn quote(text: &str) {
    for line in text.trim_end().lines() {
        println!("  {} {line}", paint(Tone::Faint, "│"));
    }
}

/// Columns as wide as they need to be, the first row being their names.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        let _ = writeln!(text, "  {}", line.trim_end());
    }
    text
}

/// A duration as people say it.
pub(super) fn spoken(duration: Duration) -> String {
    match duration.as_micros() {
        micros @ ..1_000 => format!("{micros} µs"),
        micros @ ..10_000 => {
            format!("{:.1} ms", Duration::from_micros(micros.try_into().unwrap_or(0)).as_secs_f64() * 1e3)
        }
        ..1_000_000 => format!("{} ms", duration.as_millis()),
        _ => format!("{:.2} s", duration.as_secs_f64()),
    }
}

/// A trace as a tree: what, by whom, since when, for how long, and where in the whole that is.
pub(super) fn trace(trace: &Trace) -> String {
    let begin = trace.spans.iter().map(|span| span.start).min().unwrap_or_default();
    let end = trace.spans.iter().map(|span| span.start + span.took).max().unwrap_or_default();
    let whole = end.saturating_sub(begin);
    let mut rows = vec![["SPAN", "SERVICE", "STARTS", "TAKES", ""].map(str::to_owned).to_vec()];
    let roots: Vec<&Span> = trace.roots().chain(trace.orphans()).collect();
    for root in roots {
        branch(trace, root, "", "", &mut |label, span| {
            let since = span.start.saturating_sub(begin);
            let service = span.service.trim_start_matches("evenkeel-").to_owned();
            rows.push(vec![label, service, spoken(since), spoken(span.took), bar(since, span.took, whole)]);
        });
    }
    let services = trace.services().len();
    format!(
        "  trace {} · {} spans · {services} services · {}\n\n{}",
        trace.id,
        trace.spans.len(),
        spoken(whole),
        table(&rows)
    )
}

/// Visits a span and those below it, depth first, in the order they began.
fn branch(trace: &Trace, span: &Span, lead: &str, below: &str, visit: &mut impl FnMut(String, &Span)) {
    let mark = if span.failed() { " ✗" } else { "" };
    visit(format!("{lead}{}{}{mark}", short(&span.name), about(span)), span);
    let children: Vec<&Span> = trace.children(&span.id).collect();
    for (place, child) in children.iter().enumerate() {
        let (fork, rail) =
            if place + 1 == children.len() { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        branch(trace, child, &format!("{below}{fork}"), &format!("{below}{rail}"), visit);
    }
}

/// `evenkeel.execution.v1.ExecutionService/StartExecution` without its package.
fn short(name: &str) -> &str {
    let end = name.find('/').unwrap_or(0);
    name[..end].rfind('.').map_or(name, |dot| &name[dot + 1..])
}

/// The task or step that a span is about: their spans all have one name.
fn about(span: &Span) -> String {
    let tags = ["tekton.task.name", "tekton.step.name"];
    let found = tags.iter().find_map(|tag| span.tags.get(*tag));
    found.map_or_else(String::new, |name| format!(" {name}"))
}

fn bar(since: Duration, took: Duration, whole: Duration) -> String {
    let place = |time: Duration| match whole.as_micros() {
        0 => 0,
        all => usize::try_from(time.as_micros() * BAR as u128 / all).unwrap_or(BAR),
    };
    let from = place(since).min(BAR - 1);
    let to = place(since + took).clamp(from + 1, BAR);
    format!("{}{}{}", "·".repeat(from), "█".repeat(to - from), "·".repeat(BAR - to))
}

/// What a person can do now.
pub(super) fn welcome(up: &Up, took: Duration) -> String {
    let environment = &up.environment;
    let pods = match up.tier.0 {
        Tier::Node => "really run",
        Tier::ControlPlane => "do not run: their Jobs stay active",
    };
    let line = |name: &str, value: &str| vec![name.to_owned(), value.to_owned()];
    let mut rows = vec![
        line("executions are applied in", environment.namespace()),
        line("runs appear in", environment.execution_namespace()),
        line("pods", pods),
        line("executor", &environment.executor_address()),
        line("audit log", &environment.audit_address()),
        line("traces", &up.jaeger),
        line("logs", &environment.directory().join("*.log").display().to_string()),
    ];
    rows.extend(up.bundle.iter().map(|bundle| line("pipeline to run", bundle)));
    let mut text = format!(
        "\n{}\n\n{}",
        paint(Tone::Strong, &format!("Evenkeel is up ({})", spoken(took))),
        table(&rows)
    );
    text.push_str("\n  In a shell:        . target/dev/env\n");
    text.push_str("  Then, for example: kubectl get wfe -n $EVENKEEL_NAMESPACE\n");
    text.push_str("  See it at work:    make demo\n");
    text.push_str("  End everything:    make down\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(id: &str, parent: Option<&str>, name: &str, start: u64, took: u64) -> Span {
        Span {
            id: id.into(),
            parent: parent.map(Into::into),
            name: name.into(),
            service: "evenkeel-controller".into(),
            start: Duration::from_millis(start),
            took: Duration::from_millis(took),
            ..Span::default()
        }
    }

    #[test]
    fn a_trace_is_drawn_as_a_tree_with_its_times() {
        let spans = vec![
            span("a", None, "run", 0, 100),
            span("b", Some("a"), "evenkeel.execution.v1.ExecutionService/StartExecution", 10, 20),
            Span {
                tags: [("tekton.task.name".to_owned(), "repair".to_owned())].into(),
                ..span("c", Some("b"), "tekton.task", 12, 5)
            },
            span("d", Some("a"), "status", 50, 50),
        ];
        let text = trace(&Trace { id: "t".into(), spans });
        let names: Vec<&str> =
            text.lines().skip(3).map(|line| line.split("  controller").next().unwrap()).collect();
        assert_eq!(
            names.iter().map(|name| name.trim()).collect::<Vec<_>>(),
            ["run", "├─ ExecutionService/StartExecution", "│  └─ tekton.task repair", "└─ status"]
        );
        assert!(text.contains("trace t · 4 spans · 1 services · 100 ms"), "{text}");
        assert!(
            text.lines().last().unwrap().ends_with(&format!(
                "50 ms   50 ms   {}{}",
                "·".repeat(14),
                "█".repeat(14)
            )),
            "{text}"
        );
    }

    #[test]
    fn durations_are_short() {
        for (micros, text) in [(7, "7 µs"), (1_500, "1.5 ms"), (41_200, "41 ms"), (6_310_000, "6.31 s")] {
            assert_eq!(spoken(Duration::from_micros(micros)), text);
        }
    }
}
