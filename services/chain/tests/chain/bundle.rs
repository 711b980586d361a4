//! What an auditor can verify from exported entries and a public key.

use evenkeel_chain::{
    Checkpoint, Hash,
    bundle::{BundleError, Content, Facts, Verifier},
    hash,
    note::SignerKey,
    proof,
    tree::{Frontier, NodeId, NodeReader},
    verify::VerifyError,
};

struct Leaves(Vec<Hash>);

impl NodeReader for Leaves {
    type Error = std::convert::Infallible;
    fn node(&mut self, id: NodeId) -> Result<Hash, Self::Error> {
        let (start, end) = (id.index << id.level, (id.index + 1) << id.level);
        Ok(root(&self.0[start as usize..end as usize]))
    }
}

fn root(leaves: &[Hash]) -> Hash {
    let mut frontier = Frontier::new();
    for leaf in leaves {
        frontier.append(*leaf, |_, _| {});
    }
    frontier.root()
}

fn key() -> SignerKey {
    SignerKey::from_seed("evenkeel.dev/audit", &[3; 32]).unwrap()
}

fn body(index: u64) -> Vec<u8> {
    format!("event {index}").into_bytes()
}

fn leaves(size: u64) -> Leaves {
    Leaves((0..size).map(|index| hash::leaf(&body(index))).collect())
}

fn checkpoint(size: u64) -> String {
    Checkpoint::sign(size, root(&leaves(size).0), &key())
}

fn verifier(size: u64) -> Verifier {
    Verifier::new(&checkpoint(size), key().verifier()).unwrap()
}

fn whole(size: u64, bodies: impl IntoIterator<Item = Vec<u8>>) -> Result<Facts, BundleError> {
    let mut verifier = verifier(size);
    for (index, body) in bodies.into_iter().enumerate() {
        verifier.entry(index as u64, Content::Body(&body), None)?;
    }
    verifier.finish()
}

#[test]
fn a_whole_log_needs_no_proofs() {
    let facts = whole(11, (0..11).map(body)).unwrap();
    assert_eq!((facts.entries, facts.removed, facts.complete, facts.extends), (11, 0, true, None));
    assert_eq!(facts.checkpoint.size, 11);
}

#[test]
fn an_empty_log_is_complete() {
    assert!(whole(0, []).unwrap().complete);
}

#[test]
fn a_changed_body_in_a_whole_log_is_noticed() {
    let bodies = (0..11).map(|index| if index == 4 { b"forged".to_vec() } else { body(index) });
    assert!(matches!(whole(11, bodies), Err(BundleError::WrongRoot { size: 11, .. })));
}

#[test]
fn a_missing_tail_leaves_the_entries_unproved() {
    assert_eq!(whole(11, (0..10).map(body)), Err(BundleError::Unproved { index: 0, missing: 10 }));
}

#[test]
fn some_entries_are_proved_one_by_one() {
    let mut verifier = verifier(11);
    for index in [2, 3, 9] {
        let path = proof::inclusion(index, 11, &mut leaves(11)).unwrap();
        verifier.entry(index, Content::Body(&body(index)), Some(&path)).unwrap();
    }
    let facts = verifier.finish().unwrap();
    assert_eq!((facts.entries, facts.complete), (3, false));
}

#[test]
fn a_changed_body_with_a_proof_is_noticed_at_once() {
    let path = proof::inclusion(2, 11, &mut leaves(11)).unwrap();
    let refused = verifier(11).entry(2, Content::Body(b"forged"), Some(&path));
    assert!(matches!(
        refused,
        Err(BundleError::NotIncluded { index: 2, source: VerifyError::WrongRoot { .. } })
    ));
}

#[test]
fn an_entry_without_proof_is_not_believed_beside_others_that_have_one() {
    let mut verifier = verifier(11);
    let path = proof::inclusion(2, 11, &mut leaves(11)).unwrap();
    verifier.entry(2, Content::Body(&body(2)), Some(&path)).unwrap();
    verifier.entry(5, Content::Body(&body(5)), None).unwrap();
    assert_eq!(verifier.finish(), Err(BundleError::Unproved { index: 5, missing: 0 }));
}

#[test]
fn a_removed_body_is_counted_apart() {
    let mut verifier = verifier(3);
    verifier.entry(0, Content::Removed(hash::leaf(&body(0))), None).unwrap();
    verifier.entry(1, Content::Body(&body(1)), None).unwrap();
    verifier.entry(2, Content::Body(&body(2)), None).unwrap();
    let facts = verifier.finish().unwrap();
    assert_eq!((facts.entries, facts.removed, facts.complete), (2, 1, true));
}

#[test]
fn entries_out_of_order_or_beyond_the_log_are_refused() {
    let mut verifier = verifier(3);
    verifier.entry(1, Content::Body(&body(1)), None).unwrap();
    assert_eq!(
        verifier.entry(1, Content::Body(&body(1)), None),
        Err(BundleError::OutOfOrder { index: 1, previous: 1 })
    );
    assert!(matches!(
        verifier.entry(3, Content::Body(&body(3)), None),
        Err(BundleError::NotIncluded { index: 3, source: VerifyError::IndexOutOfRange { .. } })
    ));
}

#[test]
fn a_log_is_shown_to_extend_an_older_checkpoint() {
    let mut verifier = verifier(11);
    let path = proof::consistency(6, 11, &mut leaves(11)).unwrap();
    verifier.extends(&checkpoint(6), &path).unwrap();
    let forked = Checkpoint::sign(6, hash::leaf(b"fork"), &key());
    assert!(matches!(verifier.extends(&forked, &path), Err(BundleError::Inconsistent(_))));
    let mut facts = verifier;
    for index in 0..11 {
        facts.entry(index, Content::Body(&body(index)), None).unwrap();
    }
    assert_eq!(facts.finish().unwrap().extends.unwrap().size, 6);
}

#[test]
fn a_checkpoint_by_another_key_is_refused() {
    let other = SignerKey::from_seed("evenkeel.dev/audit", &[4; 32]).unwrap();
    assert!(matches!(Verifier::new(&checkpoint(1), other.verifier()), Err(BundleError::Checkpoint(_))));
    let old = Checkpoint::sign(1, root(&leaves(1).0), &other);
    assert!(matches!(verifier(3).extends(&old, &[]), Err(BundleError::OldCheckpoint(_))));
}
