//! Starting, restarting and ending the kept environment.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context as _, bail, ensure};
use evenkeel_cluster::{
    Jaeger, Tier,
    process::ProcessId,
    tools::{self, Tool},
};
use sha2::{Digest as _, Sha256};

use super::env_file;
use crate::{
    environment::{self, Environment},
    identity,
    install::Spaces,
    layout,
    place::{Place, Repository},
    ports,
    record::Record,
    service::{Service, ServiceProcess},
    teardown,
};

const PURPOSE: &str = "dev";
const DIRECTORY: &str = "target/dev";

/// Everything that runs.
pub(super) struct Up {
    pub(super) environment: Environment,
    /// Page and query API of Jaeger.
    pub(super) jaeger: String,
    /// Which tier, and why.
    pub(super) tier: (Tier, String),
    /// A pipeline to run, where there is Tekton.
    pub(super) bundle: Option<String>,
    /// The assignments for clients.
    pub(super) env_file: PathBuf,
}

impl Up {
    /// The assignments for clients.
    pub(super) async fn variables(&self) -> anyhow::Result<Vec<(&'static str, String)>> {
        env_file::variables(self, &token(&self.environment).await?)
    }
}

/// Starts what does not run or is not as it should be, and leaves the rest alone. Tekton, once it is
/// there, stays as long as the cluster.
pub(super) async fn up(repository: &Repository, tekton: bool) -> anyhow::Result<Up> {
    let _lock = lock(repository)?;
    let tier = Tier::best();
    ensure!(
        !tekton || tier.0 == Tier::Node,
        "Tekton is not possible here, since its tasks are pods: {}. Leave TEKTON=1 out to have the rest",
        tier.1
    );
    eprintln!("{}", tier.1);
    let place = environment::place(repository, PURPOSE, tier.0).await?;
    let (place, bundle) = tokio::task::spawn_blocking(move || with_bundle(place, tekton)).await??;
    let name = repository.cluster_name("traces");
    let jaeger = tokio::task::spawn_blocking(move || Jaeger::find_or_start(&name)).await??;
    let begun = Instant::now();
    let environment = open(repository, place, &jaeger).await?;
    environment.install().await?;
    step("namespaces, definitions and permissions are there", begun);
    for service in environment.services() {
        if !service.is_current() || env_file::failpoints().is_some() {
            begin_again(service).await?;
        }
        service.ready().await?;
        step(&format!("{} is ready", service.service()), begun);
    }
    let env_file = environment.directory().join("env");
    let up = Up { environment, jaeger: jaeger.url(), tier, bundle, env_file };
    env_file::write(&up.env_file, &up.variables().await?)?;
    Ok(up)
}

/// Sees to it that there is Tekton, if it is wanted, and a pipeline to run, if there is Tekton.
fn with_bundle(place: Place, tekton: bool) -> anyhow::Result<(Place, Option<String>)> {
    let Some(cluster) = &place.cluster else {
        if tekton {
            bail!("Tekton is only put into a cluster that is started here, and another one was named");
        }
        return Ok((place, None));
    };
    if tekton {
        cluster.tekton()?;
    }
    let bundle = if cluster.has_tekton() { Some(cluster.registry()?.push_demo_bundle()?) } else { None };
    Ok((place, bundle))
}

/// Builds what tests use and starts the cluster that they share, with Tekton where pods can run, before
/// many would wait for it.
pub(super) async fn up_tests(repository: &Repository) -> anyhow::Result<()> {
    let tier = Tier::best();
    let mut needed = Tool::ALL.to_vec();
    if tier.0 == Tier::Node {
        needed.extend(Tool::TEKTON);
    }
    tokio::task::spawn_blocking(move || tools::ensure(&needed)).await??;
    eprintln!("{}", tier.1);
    let place = environment::place(repository, layout::TEST_CLUSTER, tier.0).await?;
    // All tests see the same cluster, whichever of them runs first. One that was named is as it is.
    if tier.0 == Tier::Node && place.cluster.is_some() {
        environment::tekton(place.cluster).await?;
    }
    Ok(())
}

/// The kept environment: as it was, if its cluster still is the same.
async fn open(repository: &Repository, place: Place, jaeger: &Jaeger) -> anyhow::Result<Environment> {
    let directory = repository.file(DIRECTORY);
    let cluster = hex::encode(Sha256::digest(fs::read(&place.kubeconfig)?));
    let known = Record::read(&directory).filter(|record| record.cluster == cluster);
    if known.is_none() {
        teardown::kill_services(&directory);
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).with_context(|| format!("create {}", directory.display()))?;
    }
    let mut settings = known.as_ref().map(|record| record.settings.clone()).unwrap_or_default();
    env_file::update(&mut settings);
    let free = known.as_ref().map(|record| record.port);
    let runs = Service::ALL.iter().any(|service| teardown::runs(&directory, *service));
    let (port, guard) = match free {
        // Its own services hold its ports.
        Some(port) if runs => (port, None),
        _ => {
            let block = free.and_then(ports::try_claim).map_or_else(ports::claim, Ok)?;
            (block.first, Some(block.guard))
        }
    };
    let spaces = Spaces::usual();
    let record = Record {
        owner: ProcessId::own(),
        keep: true,
        passing: false,
        has_node: place.cluster.as_ref().is_some_and(|cluster| cluster.tier() == Tier::Node),
        cluster,
        kubeconfig: place.kubeconfig,
        requests: place.requests,
        namespace: spaces.namespace,
        execution_namespace: spaces.execution_namespace,
        port,
        settings,
        traces: Some(jaeger.otlp_endpoint()),
    };
    record.write(&directory)?;
    Environment::open(repository.clone(), directory, record, guard).await
}

/// A token for clients, the same until everything is taken down.
async fn token(environment: &Environment) -> anyhow::Result<String> {
    let path = environment.directory().join("token");
    if let Ok(token) = fs::read_to_string(&path) {
        return Ok(token);
    }
    let token = environment.token().await?;
    identity::private(&path, &token)?;
    Ok(token)
}

/// Stops one service and starts it again, with the settings it had and those that are set now.
pub(super) async fn restart(repository: &Repository, service: Service) -> anyhow::Result<()> {
    let _lock = lock(repository)?;
    let begun = Instant::now();
    let directory = repository.file(DIRECTORY);
    let mut record = kept(&directory)?;
    env_file::update(&mut record.settings);
    record.write(&directory)?;
    let environment = opened(repository).await?;
    let process = environment.service(service);
    begin_again(process).await?;
    process.ready().await?;
    step(&format!("{service} is ready again, as process {}", process.pid().unwrap_or_default()), begun);
    Ok(())
}

/// Stops a service if it runs, whatever it takes, and starts it.
async fn begin_again(process: &ServiceProcess) -> anyhow::Result<()> {
    if let Err(error) = process.stop().await {
        eprintln!("  warning: {error:#}");
    }
    let failpoints = env_file::failpoints();
    let extra: Vec<(&str, &str)> = failpoints.iter().map(|(name, value)| (*name, value.as_str())).collect();
    process.start(&extra)
}

/// The kept environment, without starting anything.
pub(super) async fn opened(repository: &Repository) -> anyhow::Result<Environment> {
    let directory = repository.file(DIRECTORY);
    let record = kept(&directory)?;
    Environment::open(repository.clone(), directory, record, None).await
}

fn kept(directory: &Path) -> anyhow::Result<Record> {
    Record::read(directory).filter(|record| record.keep).context("nothing is up: run `make up` first")
}

/// Ends everything, also after a crash: from what the directories say alone.
pub(super) fn down(repository: &Repository, only_tests: bool) -> anyhow::Result<()> {
    let begun = Instant::now();
    if teardown::tests_run(repository) {
        eprintln!("  tests are running: their cluster is left alone");
    } else if teardown::end_tests(repository)? && !only_tests {
        step("the cluster of the tests is gone", begun);
    }
    if only_tests {
        return Ok(());
    }
    let _lock = lock(repository)?;
    let directory = repository.file(DIRECTORY);
    teardown::kill_services(&directory);
    step("services are gone", begun);
    if Place::down(repository, PURPOSE)? {
        step("cluster is gone", begun);
    }
    if evenkeel_cluster::down(&repository.cluster_name("traces"))? {
        step("Jaeger is gone", begun);
    }
    if directory.exists() {
        fs::remove_dir_all(&directory).with_context(|| format!("remove {}", directory.display()))?;
    }
    Ok(())
}

/// Held by whoever starts or ends things, so that two commands do not meet.
fn lock(repository: &Repository) -> anyhow::Result<File> {
    let path = repository.file("target/dev.lock");
    fs::create_dir_all(repository.file("target"))?;
    let file = File::create(&path).with_context(|| format!("create {}", path.display()))?;
    file.lock().with_context(|| format!("lock {}", path.display()))?;
    Ok(file)
}

fn step(what: &str, begun: Instant) {
    eprintln!("  {what:<50} {:>5.1} s", begun.elapsed().as_secs_f32());
}
