//! Reading connections, off the async workers.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::{
    error::{Error, Result},
    store::{Reader, Store, StoreError},
};

/// Reads that run at once; more wait.
const CONCURRENT: usize = 4;

/// A pool of readers. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Readers {
    store: Arc<dyn Store>,
    idle: Arc<Mutex<Vec<Box<dyn Reader>>>>,
    slots: Arc<Semaphore>,
}

impl Readers {
    /// Readers of this store, opened when they are needed.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, idle: Arc::default(), slots: Arc::new(Semaphore::new(CONCURRENT)) }
    }

    /// Runs `read` on a thread that may block.
    pub async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut dyn Reader) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let slot = Arc::clone(&self.slots).acquire_owned().await;
        let Self { store, idle, .. } = self.clone();
        let done = tokio::task::spawn_blocking(move || {
            let _slot = slot;
            let reused = idle.lock().pop();
            let mut reader = match reused {
                Some(reader) => reader,
                None => store.reader()?,
            };
            let result = read(reader.as_mut());
            idle.lock().push(reader);
            result
        });
        done.await.unwrap_or_else(|panic| Err(Error::Internal(StoreError::Damaged(Arc::new(panic)))))
    }
}
