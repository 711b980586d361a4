//! Places where a fault test can kill or pause the process. Release builds contain nothing of it.
//!
//! `EVENKEEL_FAILPOINTS="executor.create.after=kill"` kills the process with SIGKILL the first
//! time it gets there; `=stop` pauses it with SIGSTOP until somebody sends SIGCONT. Several are
//! separated by commas; `name@3=kill` acts the third time.

/// Acts when the environment names this failpoint.
#[cfg(debug_assertions)]
pub fn hit(name: &'static str) {
    armed::hit(name);
}

/// Does nothing in a release build.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn hit(_name: &'static str) {}

#[cfg(debug_assertions)]
mod armed {
    use std::{
        collections::HashMap,
        process::Command,
        sync::{LazyLock, Mutex},
    };

    /// Sends the signal; by another program, since that needs unsafe code here. A stop is taken by
    /// the main thread whenever that comes to run, and whoever came to the place must not go on
    /// before, so this ends after it.
    const SCRIPT: &str = r"
        kill -s $1 $2
        tries=0
        while [ $1 = STOP ] && [ $tries -lt 2000 ] && ! grep -q '^State:.[TZX]' /proc/$2/status; do
            tries=$((tries + 1))
        done";

    struct Armed {
        signal: &'static str,
        remaining: u32,
    }

    static ARMED: LazyLock<Mutex<HashMap<String, Armed>>> =
        LazyLock::new(|| Mutex::new(parse(&std::env::var("EVENKEEL_FAILPOINTS").unwrap_or_default())));

    fn parse(text: &str) -> HashMap<String, Armed> {
        text.split(',')
            .filter_map(|one| one.split_once('='))
            .map(|(place, action)| {
                let (name, count) = place.split_once('@').unwrap_or((place, "1"));
                let signal = if action == "stop" { "STOP" } else { "KILL" };
                (name.to_owned(), Armed { signal, remaining: count.parse().unwrap_or(1) })
            })
            .collect()
    }

    pub(super) fn hit(name: &str) {
        let signal = {
            let mut armed = ARMED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let Some(entry) = armed.get_mut(name) else { return };
            entry.remaining = entry.remaining.saturating_sub(1);
            if entry.remaining > 0 {
                return;
            }
            armed.remove(name).map(|entry| entry.signal)
        };
        if let Some(signal) = signal {
            eprintln!("failpoint {name}: SIG{signal}");
            let own = std::process::id().to_string();
            let _ = Command::new("sh").args(["-c", SCRIPT, "failpoint", signal, &own]).status();
        }
    }
}
