//! One environment for many tests of one program, and the runtime they all run on: clients belong
//! to the runtime they were made in.

use std::{
    ops::Deref,
    sync::{Arc, LazyLock, Weak},
    thread,
};

use tokio::{runtime::Runtime, sync::Mutex};

use crate::{environment::Environment, options::Options};

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build();
    runtime.expect("a process that can run tests can start four threads")
});

/// Runs a test on the runtime that all tests of the program share. A test fails by panicking, so
/// that what it drops on its way out knows of the failure.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    RUNTIME.block_on(test)
}

/// An environment that is started by the first test that asks for it and ends with the last of
/// those that use it at the same time. Its tests use targets and names of their own.
pub struct Shared {
    options: fn() -> Options,
    current: Mutex<Weak<Environment>>,
}

impl Shared {
    /// An environment like this, when it is asked for.
    pub const fn new(options: fn() -> Options) -> Self {
        Self { options, current: Mutex::const_new(Weak::new()) }
    }

    /// The environment that others use just now, or a new one.
    pub async fn get(&self) -> anyhow::Result<InUse> {
        let mut current = self.current.lock().await;
        if let Some(environment) = current.upgrade() {
            return Ok(InUse(environment));
        }
        let environment = Arc::new(Environment::start((self.options)()).await?);
        *current = Arc::downgrade(&environment);
        Ok(InUse(environment))
    }
}

/// An environment in use.
pub struct InUse(Arc<Environment>);

impl Deref for InUse {
    type Target = Environment;
    fn deref(&self) -> &Environment {
        &self.0
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        // Others may use it on; what a failed test saw is shown now.
        if thread::panicking() && Arc::strong_count(&self.0) > 1 {
            self.0.show_logs();
        }
    }
}
