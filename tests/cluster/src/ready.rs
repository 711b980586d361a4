//! Waiting for something to come to pass, or for the reason it cannot.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{
    error::{Error, Result},
    instance::{Component, Instance},
    process,
};

const PAUSE: Duration = Duration::from_millis(20);

/// Looks until `look` answers. Ends early when `component`, which must bring it about, has died.
pub(crate) fn wait<T>(
    instance: &Instance,
    component: Component,
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> Option<T>,
) -> Result<T> {
    let begun = Instant::now();
    let log = instance.log(component);
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if !instance.running(component)?.process.is_alive() {
            let tail = process::tail(&log);
            return Err(Error::Exited { component: component.to_string(), log, tail });
        }
        if begun.elapsed() > limit {
            let tail = process::tail(&log);
            return Err(Error::NotReady { what: what.into(), waited: limit, log, tail });
        }
        thread::sleep(PAUSE);
    }
}
