//! What the services ask of the API server for one execution, as that recorded it.

use std::collections::BTreeMap;

use evenkeel_test_kit::Request;

use crate::{
    report::{Budget, Figure, Table},
    stats::as_float,
};

const STATUS_WRITES: f64 = 3.0;
const START_WRITES: f64 = 4.0;

/// Counts requests by who made them, what they did and to what, for so many executions.
pub fn table(title: &str, requests: &[Request], count: usize) -> Table {
    let mut table = Table::new(title);
    for (kind, number) in kinds(requests) {
        let each = as_float(number) / as_float(count);
        if each >= 0.01 {
            table.figure(Figure::new(kind, each, ""));
        }
    }
    let total = |chosen: &dyn Fn(&Request) -> bool| {
        as_float(requests.iter().filter(|request| chosen(request)).count()) / as_float(count)
    };
    let is_status = |request: &Request| request.is_write() && request.resource.ends_with("/status");
    // A release writes the Lease once and deletes the run once.
    let is_start = |request: &Request| {
        request.account == "evenkeel-executor"
            && request.is_write()
            && request.verb != "delete"
            && matches!(request.resource.as_str(), "leases" | "jobs" | "pipelineruns")
    };
    let status = Figure::new("all status writes", total(&is_status), "");
    table.figure(status.budget(Budget::AtMost(STATUS_WRITES)));
    let start = Figure::new("executor's writes before release", total(&is_start) - 1.0, "");
    table.figure(start.budget(Budget::AtMost(START_WRITES)));
    table.figure(Figure::new("all writes", total(&Request::is_write), ""));
    table.figure(Figure::new("all requests", total(&|_| true), ""));
    table.remark("the executor's writes before release: all but the deletion and one write of the Lease");
    table
}

/// How many there are of each kind: who made them, what they did and to what.
pub(crate) fn kinds(requests: &[Request]) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    for Request { account, verb, resource, .. } in requests {
        let who = account.trim_start_matches("evenkeel-");
        *kinds.entry(format!("{who}: {verb} {resource}")).or_default() += 1;
    }
    kinds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_before_release_leave_out_those_of_the_release() {
        let request = |account: &str, verb: &str, resource: &str| Request {
            account: account.into(),
            verb: verb.into(),
            resource: resource.into(),
            name: String::new(),
            code: 200,
            at: jiff::Timestamp::UNIX_EPOCH,
        };
        let executor = |verb, resource| request("evenkeel-executor", verb, resource);
        let requests = [
            executor("create", "leases"),
            executor("create", "jobs"),
            executor("patch", "jobs"),
            executor("get", "leases"),
            executor("update", "leases"),
            executor("delete", "jobs"),
            request("evenkeel-controller", "patch", "workflowexecutions/status"),
        ];
        let table = table("requests per execution", &requests, 1);
        let shown = table.show();
        let line = shown.lines().find(|line| line.starts_with("executor's writes")).unwrap();
        assert!(line.contains("3.00") && line.ends_with("met"), "{shown}");
        assert!(table.missed().is_empty(), "{shown}");
    }
}
