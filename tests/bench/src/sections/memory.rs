//! How much memory the services occupy.

use evenkeel_test_kit::Service;

use crate::{
    report::{Budget, Figure, Table},
    resources::mib,
};

const IDLE_MIB: f64 = 60.0;

/// Before anything was done, and after so many executions.
pub fn table(idle: &[(Service, u64)], after: &[(Service, u64)], count: usize) -> Table {
    let mut table = Table::new("resident memory");
    for (when, sizes) in [("idle", idle), ("later", after)] {
        for (service, bytes) in sizes {
            table.figure(Figure::new(format!("{when}: {service}"), mib(*bytes), "MiB"));
        }
        let all =
            Figure::new(format!("{when}: all together"), mib(sizes.iter().map(|(_, b)| b).sum()), "MiB");
        let budget = if when == "idle" { Budget::AtMost(IDLE_MIB) } else { Budget::None };
        table.figure(all.budget(budget));
    }
    table.remark(format!("later: after {count} executions, all of which are still there"));
    table
}
