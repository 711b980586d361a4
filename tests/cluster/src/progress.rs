//! Says what is being done and how long it takes, to a person or not at all.

use std::{
    io::{self, IsTerminal, Write},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

/// Tells the steps of one task, on standard error.
#[derive(Debug)]
pub(crate) struct Progress {
    speak: bool,
    begun: Instant,
    expected: Duration,
}

impl Progress {
    /// A task that takes about `expected`.
    pub(crate) fn new(speak: bool, expected: Duration) -> Self {
        Self { speak, begun: Instant::now(), expected }
    }

    /// Something is done.
    pub(crate) fn step(&self, what: &str) {
        if !self.speak {
            return;
        }
        let spent = self.begun.elapsed();
        match self.expected.saturating_sub(spent).as_secs() {
            0 => eprintln!("  {what:<36} {:>5.1} s", spent.as_secs_f32()),
            left => eprintln!("  {what:<36} {:>5.1} s, about {left} s left", spent.as_secs_f32()),
        }
    }
}

/// Runs `work` and shows how long it has taken so far: every second to a terminal, every half a
/// minute to a log.
pub(crate) fn long<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let done = AtomicBool::new(false);
    let begun = Instant::now();
    thread::scope(|scope| {
        let ticker = scope.spawn(|| tick(what, begun, &done));
        let result = work();
        done.store(true, Ordering::Release);
        ticker.thread().unpark();
        result
    })
}

fn tick(what: &str, begun: Instant, done: &AtomicBool) {
    let terminal = io::stderr().is_terminal();
    let every = Duration::from_secs(if terminal { 1 } else { 30 });
    let end = if terminal { "" } else { "\n" };
    let say = |seconds: u64| {
        let start = if terminal { "\r" } else { "" };
        eprint!("{start}{what} … {seconds} s{end}");
        let _ = io::stderr().flush();
    };
    if terminal {
        say(0);
    } else {
        eprintln!("{what}");
    }
    while !done.load(Ordering::Acquire) {
        let next =
            begun + every * (1 + u32::try_from(begun.elapsed().as_secs() / every.as_secs()).unwrap_or(0));
        thread::park_timeout(next.saturating_duration_since(Instant::now()));
        if Instant::now() >= next {
            say(begun.elapsed().as_secs());
        }
    }
    if terminal {
        say(begun.elapsed().as_secs());
        eprintln!();
    }
}
