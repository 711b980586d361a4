//! Ending environments, those of killed tests too, from what their directories say.

use std::{fs, path::Path, thread, time::Duration};

use anyhow::Context as _;

use crate::{
    environment, install, layout,
    place::{Place, Repository},
    record::Record,
    service::Service,
};

/// Ends an environment from what its directory says alone. The logs stay after a failure.
pub(crate) fn end(repository: &Repository, directory: &Path, record: &Record) {
    kill_services(directory);
    if !record.passing {
        let removed = thread::scope(|scope| scope.spawn(|| remove(repository, record)).join());
        if let Ok(Err(error)) = removed {
            eprintln!("could not remove {} from its cluster: {error:#}", record.namespace);
        }
    }
    if thread::panicking() {
        let _ = fs::remove_file(Record::path(directory));
    } else {
        let _ = fs::remove_dir_all(directory);
    }
}

/// Kills the services of an environment and their replicas, whoever started them.
pub(crate) fn kill_services(directory: &Path) {
    let below = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    for directory in below.filter(|path| path.is_dir()).chain([directory.to_owned()]) {
        for service in Service::ALL {
            layout::bare(&directory, service).kill();
        }
    }
}

/// Whether a service of an environment runs, whoever started it.
pub(crate) fn runs(directory: &Path, service: Service) -> bool {
    layout::bare(directory, service).pid().is_some()
}

/// On a thread of its own: clients belong to the runtime they were made in.
fn remove(repository: &Repository, record: &Record) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = environment::client(&record.kubeconfig).await?;
        let spaces = record.spaces();
        let removed = install::remove(&client, repository, &spaces);
        tokio::time::timeout(Duration::from_secs(20), removed).await.context("the cluster does not answer")?
    })
}

/// Ends environments whose test was killed.
pub(crate) fn reap(repository: &Repository) {
    for entry in fs::read_dir(repository.file(layout::TESTS)).into_iter().flatten().flatten() {
        if let Some(record) = Record::read(&entry.path())
            && record.is_stale()
        {
            end(repository, &entry.path(), &record);
        }
    }
}

/// Whether a test runs just now.
pub(crate) fn tests_run(repository: &Repository) -> bool {
    let entries = fs::read_dir(repository.file(layout::TESTS)).into_iter().flatten().flatten();
    entries.filter_map(|entry| Record::read(&entry.path())).any(|record| !record.is_stale())
}

/// Ends what tests left, and their cluster.
pub(crate) fn end_tests(repository: &Repository) -> anyhow::Result<bool> {
    for entry in fs::read_dir(repository.file(layout::TESTS)).into_iter().flatten().flatten() {
        kill_services(&entry.path());
    }
    let _ = fs::remove_dir_all(repository.file(layout::TESTS));
    Place::down(repository, layout::TEST_CLUSTER)
}
