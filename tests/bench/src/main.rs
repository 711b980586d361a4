//! `evenkeel-bench`: prints what the services cost and how fast they are.

use std::{process::ExitCode, time::Instant};

use clap::{Parser, ValueEnum};
use evenkeel_cluster::Tier;
use evenkeel_test_bench::{
    load::burst,
    report::Table,
    resources,
    sections::{active, audit, latency, memory, scale, tekton, throughput, tracing, writes},
    site::{Ground, Site},
    timeline::Stage,
};

/// Measures the services beside a client that does the least it could, in the same run.
#[derive(Parser)]
#[command(name = "evenkeel-bench")]
struct Cli {
    /// Only these sections; all of them unless some are named.
    only: Vec<Section>,
    /// How many executions to measure throughput, memory and requests with.
    #[arg(long, default_value_t = 1000)]
    executions: usize,
    /// How many executions run in the section `active`, one number after the other.
    #[arg(long, value_delimiter = ',', default_values_t = [10, 100, 1000])]
    active: Vec<usize>,
    /// How many finished executions there are in the section `scale`.
    #[arg(long, env = "EVENKEEL_BENCH_OBJECTS", default_value_t = 50_000)]
    objects: usize,
    /// How many executions run besides, there.
    #[arg(long, env = "EVENKEEL_BENCH_RUNNING", default_value_t = 2000)]
    running: usize,
    /// How many pipelines to run with and without us, in the section `tekton`.
    #[arg(long, default_value_t = 25)]
    pipelines: usize,
}

/// A part of what is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Section {
    /// How long an execution waits for us.
    Latency,
    /// How many a second, and what each costs: processor, memory, requests.
    Throughput,
    /// What tracing costs.
    Tracing,
    /// How fast the audit log is.
    Audit,
    /// How fast all is while many executions run.
    Active,
    /// Start, memory and speed where very many executions have finished.
    Scale,
    /// What an execution adds to a pipeline of the real Tekton.
    Tekton,
}

impl Cli {
    fn wants(&self, section: Section) -> bool {
        self.only.is_empty() || self.only.contains(&section)
    }
}

/// Executions before anything is measured: connections open, caches fill.
const WARM_UP: usize = 50;

fn main() -> ExitCode {
    if cfg!(debug_assertions) {
        eprintln!("this is a debug build, whose figures mean nothing: use `make bench`");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(run(&Cli::parse()))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: &Cli) -> anyhow::Result<()> {
    let begun = Instant::now();
    println!("{}; the cluster, the services and this bench share them", resources::processor());
    println!("etcd does not sync its writes to disk here; the audit log does");
    let mut tables = Tables::default();
    if cli.only.is_empty() || cli.only.iter().any(|section| *section != Section::Tekton) {
        without_pods(cli, &mut tables).await?;
    }
    if cli.wants(Section::Tekton) {
        with_tekton(cli, &mut tables).await?;
    }
    tables.end();
    println!("measured in {:.0} s", begun.elapsed().as_secs_f32());
    Ok(())
}

/// What is measured in a control plane, where runs end at once.
async fn without_pods(cli: &Cli, tables: &mut Tables) -> anyhow::Result<()> {
    let ground = tokio::task::spawn_blocking(Ground::start).await??;
    if [Section::Latency, Section::Throughput, Section::Tracing, Section::Audit].iter().any(|s| cli.wants(*s))
    {
        usual(cli, &ground, tables).await?;
    }
    if cli.wants(Section::Active) {
        let (services, raw) = (ground.services(None).await?, ground.raw().await?);
        for site in [&services, &raw] {
            warm_up(site).await?;
        }
        tables.add(active::measure(&services, &raw, &cli.active).await?);
    }
    if cli.wants(Section::Scale) {
        scale::measure(&ground, cli.objects, cli.running, |table| tables.add(table)).await?;
    }
    Ok(())
}

/// What is measured where the real Tekton runs pipelines.
async fn with_tekton(cli: &Cli, tables: &mut Tables) -> anyhow::Result<()> {
    let (tier, why) = Tier::best();
    if tier != Tier::Node {
        println!("\nthe section tekton is left out: {why}");
        return Ok(());
    }
    let ground = tokio::task::spawn_blocking(Ground::start_with_tekton).await??;
    tekton::measure(&ground, cli.pipelines).await?.into_iter().for_each(|table| tables.add(table));
    Ok(())
}

/// What is measured where little else is there.
async fn usual(cli: &Cli, ground: &Ground, tables: &mut Tables) -> anyhow::Result<()> {
    let count = cli.executions;
    let services = ground.services(None).await?;
    let raw = ground.raw().await?;
    let idle = services.resident_memory()?;
    for site in [&services, &raw] {
        warm_up(site).await?;
    }
    if cli.wants(Section::Latency) {
        tables.add(latency::measure(&services, &raw).await?);
    }
    if cli.wants(Section::Throughput) {
        let before = services.environment.requests()?.len();
        tables.add(throughput::measure(ground, &services, &raw, count).await?);
        tables.add(writes::table(
            "requests per execution",
            &services.environment.requests()?[before..],
            count,
        ));
        let done = services.timeline.count(Stage::Settled);
        tables.add(memory::table(&idle, &services.resident_memory()?, done));
    }
    if cli.wants(Section::Tracing) {
        tables.add(tracing::measure(ground, &services, count).await?);
    }
    if cli.wants(Section::Audit) {
        tables.add(audit::measure(&services.environment).await?);
    }
    Ok(())
}

async fn warm_up(site: &Site) -> anyhow::Result<()> {
    burst(&site.maker, &site.timeline, "warm-", WARM_UP).await?;
    site.timeline.reach(Stage::Settled, WARM_UP, std::time::Duration::from_secs(60)).await
}

/// Tables, shown as they are done, and what they miss.
#[derive(Default)]
struct Tables {
    missed: Vec<String>,
}

impl Tables {
    fn add(&mut self, table: Table) {
        print!("{}", table.show());
        self.missed.extend(table.missed());
    }

    fn end(&self) {
        match self.missed.len() {
            0 => println!("\nevery budget is met"),
            count => println!("\n{count} budgets are missed: {}", self.missed.join("; ")),
        }
    }
}
