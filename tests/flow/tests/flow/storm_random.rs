//! Everything at once, in an order that a seed decides.

use std::time::Duration;

use evenkeel_test_kit::{Fault, Proxy, Rule, run};

use super::{OBJECT, STATUS, Storm, rival};
use crate::support::options;

/// Repeats a storm.
const SEED: &str = "EVENKEEL_STORM_SEED";
/// How often one kind of fault happens at most, so that a storm ends.
const EACH: usize = 6;

/// Says its seed when a test fails.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{SEED}={} repeats the faults of this storm", self.0);
        }
    }
}

fn chosen() -> Seed {
    let asked = std::env::var(SEED).ok().filter(|text| !text.is_empty());
    let new = || uuid::Uuid::new_v4().as_u64_pair().0 >> 32;
    Seed(asked.map_or_else(new, |text| text.parse().unwrap()))
}

/// Faults of everything that is asked through a proxy.
fn brew(proxy: &Proxy, resources: &[&'static str], seed: u64) {
    let faults = || {
        [
            Fault::Answer(500),
            Fault::Answer(503),
            Fault::Later(429, Duration::from_secs(1)),
            Fault::LoseRequest,
            Fault::LoseAnswer,
            Fault::Delay(Duration::from_millis(200)),
        ]
    };
    proxy.seed(seed);
    for resource in resources {
        for fault in faults() {
            proxy.add(Rule::new("", resource, fault).times(EACH).chance(0.03));
        }
        proxy.add(Rule::of_events(resource, Fault::Cut).times(EACH).chance(0.05));
        proxy.add(Rule::of_events(resource, Fault::Expire).times(EACH).chance(0.05));
    }
}

#[test]
fn in_a_storm_of_faults_everything_runs_once_and_is_recorded_once() {
    run(async {
        let seed = chosen();
        let storm = Storm::begin(options().setting("EVENKEEL_POLL_INTERVAL", "5s")).await;
        for conflict in [Fault::Answer(409), rival(storm.executions())] {
            storm.controller().add(Rule::new("patch", STATUS, conflict).times(EACH).chance(0.1));
        }
        brew(storm.controller(), &[OBJECT, STATUS, "leases", "events"], seed.0);
        brew(storm.executor_side(), &["leases", "jobs", "pods"], !seed.0);
        let mut applied = Vec::new();
        for number in 0..12 {
            let (name, target) = (format!("storm-{number}"), format!("storm-{}", number % 4));
            applied.push(storm.apply_one(&name, &target, "0").await);
        }
        storm.check(&applied).await;
        storm.check_log().await;
        let all = [storm.controller(), storm.executor_side()].map(Proxy::asked).concat();
        let broken = all.iter().filter(|(_, code)| *code == 0).count();
        assert!(broken > 0, "no connection broke");
    });
}
