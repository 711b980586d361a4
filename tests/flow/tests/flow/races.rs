//! Several executions that want one target, also where no pod really runs.

use evenkeel_test_kit::{race, run};

use crate::support::{LIMIT, Stage, options};

async fn racing(count: usize) {
    let stage = Stage::start(options()).await;
    race(&stage, count, LIMIT).await.unwrap();
}

#[test]
fn two_executions_take_turns_and_the_one_that_waits_names_the_holder() {
    run(racing(2));
}

#[test]
fn five_executions_take_turns_and_those_that_wait_name_the_holder() {
    run(racing(5));
}
