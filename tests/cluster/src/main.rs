//! `evenkeel-cluster`: a real Kubernetes on this machine, up and down.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    time::Instant,
};

use anyhow::Result;
use clap::{Parser, Subcommand, ValueEnum};
use evenkeel_cluster::{
    Cluster, DEMO_IMAGE, DEMO_STEP, Tier, down, list,
    tools::{self, Tool},
};

/// A real Kubernetes on this machine, for tests and for trying things out. It never touches your
/// own kubeconfig.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start a cluster, or find the one that runs, and leave it running
    Up {
        /// Name of the cluster
        #[arg(long, default_value = "dev")]
        name: String,
        /// How much of a cluster: pods run only on a node, which needs root
        #[arg(long, value_enum, default_value_t = Choice::Auto)]
        tier: Choice,
        /// Tekton and an image registry too, which need a node
        #[arg(long)]
        tekton: bool,
    },
    /// End a cluster and remove all it left, also after a crash
    Down {
        /// Name of the cluster
        #[arg(long, default_value = "dev")]
        name: String,
        /// All clusters instead, also those of running tests
        #[arg(long)]
        all: bool,
    },
    /// Show what runs
    Status,
    /// Print variables for a shell: eval "$(evenkeel-cluster env)"
    Env {
        /// Name of the cluster
        #[arg(long, default_value = "dev")]
        name: String,
    },
    /// Build all programs now, so that nothing needs to be built later
    Tools {
        /// Tekton's too
        #[arg(long)]
        tekton: bool,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum Choice {
    Auto,
    ControlPlane,
    Node,
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Up { name, tier, tekton } => up(&name, tier, tekton),
        Command::Down { all: true, .. } => list()?.iter().try_for_each(|instance| take_down(&instance.name)),
        Command::Down { name, all: false } => take_down(&name),
        Command::Status => status(),
        Command::Env { name } => env(&name),
        Command::Tools { tekton } => build_all(tekton),
    }
}

fn up(name: &str, choice: Choice, tekton: bool) -> Result<()> {
    if let Ok(cluster) = Cluster::attach(name) {
        // What runs serves, unless a node is wanted and there is none.
        if !((tekton || matches!(choice, Choice::Node)) && cluster.tier() == Tier::ControlPlane) {
            if tekton {
                cluster.tekton()?;
            }
            println!("cluster {name} is already running ({} tier)", cluster.tier());
            return how_to_use(&cluster);
        }
    }
    let tier = match choice {
        Choice::Auto => {
            let (tier, why) = Tier::best();
            println!("{why}");
            tier
        }
        Choice::ControlPlane => Tier::ControlPlane,
        Choice::Node => Tier::Node,
    };
    tools::ensure(&[Tool::Kubectl])?;
    println!("starting cluster {name} ({tier} tier)");
    let begun = Instant::now();
    let cluster =
        Cluster::options().name(name).tier(tier).keep(true).progress(true).tekton(tekton).find_or_start()?;
    println!("cluster {name} is up after {:.1} s", begun.elapsed().as_secs_f32());
    how_to_use(&cluster)
}

fn how_to_use(cluster: &Cluster) -> Result<()> {
    let tools = tools::ensure(&[Tool::Kubectl])?;
    println!("  kubeconfig  {}", cluster.kubeconfig_path().display());
    println!("  logs        {}", cluster.logs().display());
    println!(
        "  try         {} --kubeconfig {} get namespaces",
        tools.path(Tool::Kubectl)?.display(),
        cluster.kubeconfig_path().display()
    );
    if cluster.tier() == Tier::Node {
        println!("  demo image  {DEMO_IMAGE}");
    }
    if cluster.has_tekton() {
        let registry = cluster.registry()?;
        println!("  registry    {}", registry.address());
        println!("  demo step   {}", registry.reference(DEMO_STEP));
        println!("  demo bundle {}", registry.push_demo_bundle()?);
    }
    println!("  end it      make cluster-down (or evenkeel-cluster down --name {})", cluster.name());
    Ok(())
}

fn take_down(name: &str) -> Result<()> {
    let begun = Instant::now();
    if down(name)? {
        println!("cluster {name} is down after {:.1} s", begun.elapsed().as_secs_f32());
    } else {
        println!("no cluster {name} is running");
    }
    Ok(())
}

fn status() -> Result<()> {
    let instances = list()?;
    let mut text = String::new();
    if instances.is_empty() {
        text.push_str("nothing is running\n");
    }
    for instance in instances {
        let state = if instance.up { "up" } else { "not complete" };
        let lifetime = if instance.kept { "until it is taken down" } else { "until its test ends" };
        writeln!(text, "{}: {state}, runs {lifetime}, {}", instance.name, instance.dir.display())?;
        for (component, pid, alive) in instance.components {
            writeln!(text, "  {component:<24} {pid:>8}  {}", if alive { "running" } else { "ended" })?;
        }
    }
    // A reader that has seen enough, such as `head`, is no error.
    let _ = io::stdout().write_all(text.as_bytes());
    Ok(())
}

fn env(name: &str) -> Result<()> {
    let cluster = Cluster::attach(name)?;
    println!("export KUBECONFIG={}", quoted(&cluster.kubeconfig_path().display().to_string()));
    if cluster.tier() == Tier::Node {
        println!("export EVENKEEL_DEMO_IMAGE={}", quoted(DEMO_IMAGE));
    }
    if cluster.has_tekton() {
        let registry = cluster.registry()?;
        println!("export EVENKEEL_REGISTRY={}", quoted(&registry.address()));
        println!("export EVENKEEL_DEMO_BUNDLE={}", quoted(&registry.push_demo_bundle()?));
    }
    Ok(())
}

/// One word of a shell, whatever it holds.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn build_all(tekton: bool) -> Result<()> {
    let mut all = Tool::ALL.to_vec();
    if tekton {
        all.extend(Tool::TEKTON);
    }
    let tools = tools::ensure(&all)?;
    for tool in all {
        println!("{:<24} {}", tool.name(), tools.path(tool)?.display());
    }
    Ok(())
}
