//! Several executions that want one target: one at a time, each once, none forgotten.

use evenkeel_test_kit::{Environment, race};

use crate::support::{LIMIT, on_a_node, options};

async fn racing(count: usize) {
    let options = options().setting("EVENKEEL_COOLDOWN", "1s");
    race(&Environment::start(options).await.unwrap(), count, LIMIT).await.unwrap();
}

#[test]
fn two_executions_that_race_for_a_target_run_one_after_the_other() {
    on_a_node(racing(2));
}

#[test]
fn five_executions_that_race_for_a_target_run_one_after_the_other() {
    on_a_node(racing(5));
}
