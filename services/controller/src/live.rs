//! What may change while the controller runs: how the rules decide, and nothing else.

use std::{sync::Arc, time::Duration};

use evenkeel_core::plan::Settings;
use evenkeel_kit::{settings, shutdown::CancellationToken};
use parking_lot::RwLock;
use tokio::time::sleep;

use crate::{
    config::{Arguments, Config, Source, is_live},
    watch::Wake,
};

/// How often the configuration file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What is configured now. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Live {
    current: Arc<RwLock<Current>>,
}

#[derive(Clone)]
struct Current {
    settings: Arc<Settings>,
    retention: Option<Duration>,
}

impl Live {
    /// What a configuration says.
    pub fn new(config: &Config) -> Self {
        let live = Self::of(config.settings());
        live.set(config);
        live
    }

    /// These settings, and no retention.
    pub(crate) fn of(settings: Settings) -> Self {
        let current = Current { settings: Arc::new(settings), retention: None };
        Self { current: Arc::new(RwLock::new(current)) }
    }

    /// The settings of the rules.
    pub(crate) fn settings(&self) -> Arc<Settings> {
        self.current.read().settings.clone()
    }

    /// How long finished executions are kept.
    pub(crate) fn retention(&self) -> Option<Duration> {
        self.current.read().retention
    }

    fn set(&self, config: &Config) {
        let settings = Arc::new(config.settings());
        *self.current.write() = Current { settings, retention: config.retention };
    }
}

/// Looks for changes of the configuration file.
pub(crate) struct Reload {
    source: Source,
    /// What was read last, used or not.
    text: Option<String>,
    current: settings::Settings<Arguments>,
    /// How often in a row the file could not be read.
    missed: u32,
}

impl Reload {
    /// What was read at the start.
    pub(crate) fn new(source: Source, current: settings::Settings<Arguments>) -> Self {
        let text = source.file.as_deref().and_then(settings::text);
        Self { source, text, current, missed: 0 }
    }

    /// Follows the file until shutdown.
    pub(crate) async fn run(mut self, live: Live, wake: Wake, shutdown: CancellationToken) {
        while shutdown.run_until_cancelled(sleep(LOOK_EVERY)).await.is_some() {
            if self.look(&live) {
                wake.everything();
            }
        }
    }

    /// Takes in what changed, if anything. True when something takes effect.
    fn look(&mut self, live: &Live) -> bool {
        let Some(file) = &self.source.file else { return false };
        let Some(text) = settings::text(file) else {
            // One that is being replaced may be away for a moment.
            self.missed += 1;
            if self.missed == 2 {
                tracing::error!(file = %file.display(), "the configuration cannot be read any more, the one before stays");
            }
            return false;
        };
        self.missed = 0;
        if self.text.as_ref() == Some(&text) {
            return false;
        }
        self.text = Some(text);
        let read = match self.source.read() {
            Ok(read) => read,
            Err(error) => {
                tracing::error!(
                    "the configuration changed and cannot be used, the one before stays: {error}"
                );
                return false;
            }
        };
        let (now, later): (Vec<_>, Vec<_>) =
            read.differing(&self.current).into_iter().partition(|path| is_live(path));
        if !later.is_empty() {
            tracing::warn!(keys = ?later, "these settings changed and take effect at the next start");
        }
        if now.is_empty() {
            return false;
        }
        tracing::info!(keys = ?now, "settings changed");
        live.set(&read.arguments.config);
        // What waits for the next start still differs from what is in force; it was told.
        self.current = read;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reload(text: &str) -> (tempfile::TempDir, Reload, Live) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.yaml");
        std::fs::write(&path, text).unwrap();
        let line = ["evenkeel-controller".into(), "--config".into(), path.into_os_string()];
        let loaded = Arguments::load(line).unwrap();
        let live = Live::new(&loaded.settings.arguments.config);
        (directory, Reload::new(loaded.source, loaded.settings), live)
    }

    #[test]
    fn what_is_safe_takes_effect_without_a_restart() {
        let (directory, mut reload, live) = reload("execution: {cooldownPeriod: 1m}\n");
        let path = directory.path().join("config.yaml");
        assert!(!reload.look(&live), "nothing changed");
        std::fs::write(&path, "execution: {cooldownPeriod: 2m}\nretention: {finished: 24h}\n").unwrap();
        assert!(reload.look(&live));
        assert_eq!(live.settings().cooldown.as_secs(), 120);
        assert_eq!(live.retention().unwrap().as_secs(), 86_400);
    }

    #[test]
    fn a_file_that_cannot_be_used_changes_nothing() {
        let (directory, mut reload, live) = reload("execution: {cooldownPeriod: 1m}\n");
        let path = directory.path().join("config.yaml");
        for text in ["execution: {cooldown: 2m}\n", "execution: {cooldownPeriod: 0s}\n", "execution: ["] {
            std::fs::write(&path, text).unwrap();
            assert!(!reload.look(&live), "{text}");
            assert_eq!(live.settings().cooldown.as_secs(), 60);
        }
        std::fs::remove_file(&path).unwrap();
        assert!(!reload.look(&live) && !reload.look(&live));
        assert_eq!((reload.missed, live.settings().cooldown.as_secs()), (2, 60));
        std::fs::write(&path, "execution: {cooldownPeriod: 3m}\n").unwrap();
        assert!(reload.look(&live));
        assert_eq!((reload.missed, live.settings().cooldown.as_secs()), (0, 180));
    }

    #[test]
    fn what_needs_a_restart_waits_for_it() {
        let (directory, mut reload, live) = reload("");
        let path = directory.path().join("config.yaml");
        std::fs::write(&path, "controller: {concurrency: 7}\nexecution: {startTimeout: 9s}\n").unwrap();
        assert!(!reload.look(&live));
        assert_eq!(live.settings().start_timeout.as_secs(), 30);
    }
}
