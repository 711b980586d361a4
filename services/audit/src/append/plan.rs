//! Decides what a commit adds: which records are new, where they go, and what each caller is told.

use std::collections::HashMap;

use evenkeel_chain::{
    Hash,
    tree::{Frontier, NodeId},
};
use uuid::Uuid;

use crate::{
    error::{Error, Result},
    event::Record,
    store::Place,
};

/// What a commit would do.
pub(super) struct Plan<'a> {
    /// The tree afterwards.
    pub(super) frontier: Frontier,
    /// The new records, in order.
    pub(super) fresh: Vec<&'a Record>,
    /// The inner nodes that they complete.
    pub(super) nodes: Vec<(NodeId, Hash)>,
    /// What each request is told once the commit is durable.
    pub(super) answers: Vec<Result<Vec<Place>>>,
}

/// Plans a commit of several requests, each all or none. `known` has the places of the records that the
/// log holds already.
pub(super) fn plan<'a>(
    frontier: &Frontier,
    mut known: HashMap<Uuid, Place>,
    requests: impl IntoIterator<Item = &'a [Record]>,
    now: i64,
) -> Plan<'a> {
    let mut fresh = Vec::new();
    let first = frontier.size();
    let answers =
        requests.into_iter().map(|records| place_all(records, &mut known, &mut fresh, first, now)).collect();
    let mut frontier = frontier.clone();
    let mut nodes = Vec::with_capacity(fresh.len());
    for record in &fresh {
        frontier.append(record.leaf, |id, hash| nodes.push((id, hash)));
    }
    Plan { frontier, fresh, nodes, answers }
}

fn place_all<'a>(
    records: &'a [Record],
    known: &mut HashMap<Uuid, Place>,
    fresh: &mut Vec<&'a Record>,
    first: u64,
    now: i64,
) -> Result<Vec<Place>> {
    let before = fresh.len();
    let mut places = Vec::with_capacity(records.len());
    for (position, record) in records.iter().enumerate() {
        let place = *known.entry(record.event_id).or_insert_with(|| {
            fresh.push(record);
            Place { index: first + fresh.len() as u64 - 1, leaf: record.leaf, recorded_at: now }
        });
        if place.leaf != record.leaf {
            // None of the request is written, so nothing of it may be known to those that follow.
            for undone in fresh.drain(before..) {
                known.remove(&undone.event_id);
            }
            return Err(Error::EventConflict { event_id: record.event_id, position });
        }
        places.push(place);
    }
    Ok(places)
}

#[cfg(test)]
mod tests {
    use evenkeel_chain::hash;

    use super::*;

    fn record(id: u128, body: &str) -> Record {
        Record {
            event_id: Uuid::from_u128(id),
            leaf: hash::leaf(body.as_bytes()),
            body: body.as_bytes().to_vec(),
            correlation_id: String::new(),
            event_type: String::new(),
            resource_id: String::new(),
            namespace: String::new(),
        }
    }

    fn indexes(answer: &Result<Vec<Place>>) -> Vec<u64> {
        answer.as_ref().unwrap().iter().map(|place| place.index).collect()
    }

    #[test]
    fn new_records_get_dense_indexes_across_requests() {
        let (a, b) = ([record(1, "a"), record(2, "b")], [record(3, "c")]);
        let planned = plan(&Frontier::new(), HashMap::new(), [&a[..], &b[..]], 7);
        assert_eq!(indexes(&planned.answers[0]), [0, 1]);
        assert_eq!(indexes(&planned.answers[1]), [2]);
        assert_eq!((planned.frontier.size(), planned.fresh.len(), planned.nodes.len()), (3, 3, 1));
    }

    #[test]
    fn a_record_known_before_or_in_the_same_commit_is_not_added_again() {
        let old = Place { index: 40, leaf: hash::leaf(b"old"), recorded_at: 1 };
        let known = [(Uuid::from_u128(9), old)].into();
        let (a, b) = ([record(1, "a"), record(9, "old"), record(1, "a")], [record(1, "a"), record(2, "b")]);
        let planned = plan(&Frontier::new(), known, [&a[..], &b[..]], 7);
        assert_eq!(indexes(&planned.answers[0]), [0, 40, 0]);
        assert_eq!(planned.answers[0].as_ref().unwrap()[1], old);
        assert_eq!(indexes(&planned.answers[1]), [0, 1]);
        assert_eq!(planned.fresh.len(), 2);
    }

    #[test]
    fn a_conflict_undoes_its_own_request_and_no_other() {
        let a = [record(1, "a")];
        let bad = [record(2, "b"), record(1, "changed"), record(3, "c")];
        let after = [record(2, "different, and first now")];
        let planned = plan(&Frontier::new(), HashMap::new(), [&a[..], &bad[..], &after[..]], 7);
        assert!(matches!(
            planned.answers[1],
            Err(Error::EventConflict { event_id, position: 1 }) if event_id == Uuid::from_u128(1)
        ));
        assert_eq!(indexes(&planned.answers[2]), [1]);
        let bodies: Vec<_> = planned.fresh.iter().map(|record| record.body.as_slice()).collect();
        assert_eq!(bodies, [b"a".as_slice(), b"different, and first now"]);
    }

    #[test]
    fn two_contents_under_one_id_in_one_request_conflict() {
        let bad = [record(1, "a"), record(1, "b")];
        let planned = plan(&Frontier::new(), HashMap::new(), [&bad[..]], 7);
        assert!(matches!(planned.answers[0], Err(Error::EventConflict { position: 1, .. })));
        assert_eq!((planned.fresh.len(), planned.frontier.size()), (0, 0));
    }
}
