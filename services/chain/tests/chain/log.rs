//! The log against published vectors, and the verifier against the writer.

use std::collections::HashMap;

use evenkeel_chain::{
    Hash, hash, proof,
    tree::{Frontier, NodeId, NodeReader},
    verify::{self, Replay},
};
use proptest::prelude::*;

/// A log in memory.
#[derive(Default)]
struct Log {
    frontier: Frontier,
    nodes: HashMap<NodeId, Hash>,
    roots: Vec<Hash>,
}

impl Log {
    fn of<B: AsRef<[u8]>>(bodies: impl IntoIterator<Item = B>) -> Self {
        let mut log = Self { roots: vec![hash::empty()], ..Self::default() };
        for body in bodies {
            let leaf = hash::leaf(body.as_ref());
            log.nodes.insert(NodeId { level: 0, index: log.frontier.size() }, leaf);
            log.frontier
                .append(leaf, |id, hash| assert_eq!(log.nodes.insert(id, hash), None, "{id:?} twice"));
            log.roots.push(log.frontier.root());
        }
        log
    }

    fn numbered(size: u64) -> Self {
        Self::of((0..size).map(u64::to_be_bytes))
    }
}

impl NodeReader for Log {
    type Error = NodeId;
    fn node(&mut self, id: NodeId) -> Result<Hash, NodeId> {
        self.nodes.get(&id).copied().ok_or(id)
    }
}

fn hashes(texts: &[&str]) -> Vec<Hash> {
    texts.iter().map(|text| Hash::from_slice(&hex::decode(text).unwrap()).unwrap()).collect()
}

/// The test tree of the Certificate Transparency project.
fn published() -> Log {
    let leaves =
        ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
    Log::of(leaves.map(|leaf| hex::decode(leaf).unwrap()))
}

#[test]
fn roots_are_those_published_for_the_test_tree() {
    let expected = hashes(&[
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ]);
    assert_eq!(published().roots, expected);
}

#[test]
fn inclusion_proofs_are_those_published_for_the_test_tree() {
    let cases: [(u64, u64, &[&str]); 4] = [
        (
            0,
            8,
            &[
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ],
        ),
        (
            5,
            8,
            &[
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ],
        ),
        (2, 3, &["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
        (
            1,
            5,
            &[
                "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            ],
        ),
    ];
    for (index, size, expected) in cases {
        assert_eq!(
            proof::inclusion(index, size, &mut published()),
            Ok(hashes(expected)),
            "{index} in {size}"
        );
    }
}

#[test]
fn consistency_proofs_are_those_published_for_the_test_tree() {
    let cases: [(u64, u64, &[&str]); 3] = [
        (
            1,
            8,
            &[
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ],
        ),
        (
            6,
            8,
            &[
                "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ],
        ),
        (
            2,
            5,
            &[
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            ],
        ),
    ];
    for (old, new, expected) in cases {
        assert_eq!(proof::consistency(old, new, &mut published()), Ok(hashes(expected)), "{old} to {new}");
    }
}

#[test]
fn every_proof_of_every_small_log_verifies() {
    let mut log = Log::numbered(40);
    for size in 0..=40 {
        let root = log.roots[size as usize];
        for index in 0..size {
            let path = proof::inclusion(index, size, &mut log).unwrap();
            let leaf = hash::leaf(&index.to_be_bytes());
            assert_eq!(verify::inclusion(leaf, index, size, root, &path), Ok(()), "{index} in {size}");
        }
        for old in 0..=size {
            let path = proof::consistency(old, size, &mut log).unwrap();
            let old_root = log.roots[old as usize];
            assert_eq!(verify::consistency(old, old_root, size, root, &path), Ok(()), "{old} to {size}");
        }
    }
}

#[test]
fn replay_finds_the_nodes_and_roots_that_the_writer_made() {
    let mut log = Log::numbered(300);
    let mut replay = Replay::new();
    for index in 0..300_u64 {
        assert_eq!(replay.root(), log.roots[index as usize]);
        let leaf = hash::leaf(&index.to_be_bytes());
        assert_eq!(log.nodes.remove(&NodeId { level: 0, index }), Some(leaf));
        replay.push(leaf, |level, index, hash| {
            assert_eq!(log.nodes.remove(&NodeId { level, index }), Some(hash), "level {level} index {index}");
        });
    }
    assert_eq!(replay.root(), log.roots[300]);
    assert_eq!(log.nodes, HashMap::new(), "nodes that only the writer made");
}

#[test]
fn replay_of_subtrees_is_replay_of_their_leaves() {
    let log = Log::numbered(1000);
    for level in 0..7_u32 {
        let mut replay = Replay::new();
        let mut shown = Vec::new();
        for index in 0..1000_u64 >> level {
            let root = log.nodes[&NodeId { level, index }];
            replay.push_subtree(level, root, |level, index, hash| {
                shown.push((NodeId { level, index }, hash));
            });
        }
        let size = 1000 >> level << level;
        assert_eq!((replay.size(), replay.root()), (size, log.roots[size as usize]));
        assert!(shown.iter().all(|(id, hash)| log.nodes[id] == *hash && id.level > level));
        let above = log.nodes.keys().filter(|id| id.level > level && (id.index + 1) << id.level <= size);
        assert_eq!(shown.len(), above.count());
    }
}

#[test]
fn a_frontier_loaded_from_nodes_grows_like_the_one_that_made_them() {
    for size in 0..70 {
        let mut log = Log::numbered(size);
        let mut loaded = Frontier::load(size, &mut log).unwrap();
        assert_eq!(loaded, log.frontier);
        assert_eq!(loaded.root(), log.roots[size as usize]);
        loaded.append(hash::leaf(b"next"), |_, _| {});
        log.frontier.append(hash::leaf(b"next"), |_, _| {});
        assert_eq!(loaded.root(), log.frontier.root());
    }
}

#[test]
fn what_lies_outside_the_tree_has_no_proof() {
    let mut log = Log::numbered(5);
    assert_eq!(proof::inclusion(5, 5, &mut log), Err(proof::ProofError::OutOfRange { inner: 5, size: 5 }));
    assert_eq!(proof::consistency(6, 5, &mut log), Err(proof::ProofError::OutOfRange { inner: 6, size: 5 }));
    let (leaf, root) = (hash::leaf(b""), hash::empty());
    assert_eq!(
        verify::inclusion(leaf, 0, 0, root, &[]),
        Err(verify::VerifyError::IndexOutOfRange { index: 0, size: 0 })
    );
    assert_eq!(
        verify::consistency(2, root, 1, root, &[]),
        Err(verify::VerifyError::Shrunk { old: 2, new: 1 })
    );
}

#[test]
fn a_proof_for_one_size_does_not_serve_for_another() {
    let mut log = Log::numbered(8);
    let (old, new, leaf) = (log.roots[4], log.roots[8], hash::leaf(&0_u64.to_be_bytes()));
    let path = proof::consistency(4, 8, &mut log).unwrap();
    let wrong = Err(verify::VerifyError::WrongLength { found: path.len() });
    assert_eq!(verify::consistency(4, old, 16, new, &path), wrong);
    assert_eq!(verify::consistency(4, old, 4, old, &path), wrong);
    let path = proof::inclusion(0, 8, &mut log).unwrap();
    let wrong = Err(verify::VerifyError::WrongLength { found: path.len() });
    assert_eq!(verify::inclusion(leaf, 0, 16, new, &path), wrong);
    assert_eq!(verify::inclusion(leaf, 0, 4, new, &path), wrong);
}

#[test]
fn the_empty_log_is_a_prefix_of_any_but_only_with_the_empty_root() {
    let log = Log::numbered(3);
    assert_eq!(verify::consistency(0, hash::empty(), 3, log.roots[3], &[]), Ok(()));
    assert!(matches!(
        verify::consistency(0, log.roots[1], 3, log.roots[3], &[]),
        Err(verify::VerifyError::WrongOldRoot { .. })
    ));
}

fn flip(hash: Hash, bit: usize) -> Hash {
    let mut bytes = *hash.as_bytes();
    bytes[bit / 8 % 32] ^= 1 << (bit % 8);
    Hash::new(bytes)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn an_inclusion_proof_verifies_and_no_flipped_bit_does(
        size in 1_u64..600, pick in any::<u64>(), bit in 0_usize..256, at in any::<usize>(),
    ) {
        let mut log = Log::numbered(size);
        let index = pick % size;
        let (leaf, root) = (hash::leaf(&index.to_be_bytes()), log.frontier.root());
        let path = proof::inclusion(index, size, &mut log).unwrap();
        prop_assert_eq!(verify::inclusion(leaf, index, size, root, &path), Ok(()));

        prop_assert!(verify::inclusion(flip(leaf, bit), index, size, root, &path).is_err());
        prop_assert!(verify::inclusion(leaf, index, size, flip(root, bit), &path).is_err());
        let longer: Vec<Hash> = path.iter().copied().chain([leaf]).collect();
        prop_assert!(verify::inclusion(leaf, index, size, root, &longer).is_err());
        if !path.is_empty() {
            let mut forged = path.clone();
            let at = at % path.len();
            forged[at] = flip(forged[at], bit);
            prop_assert!(verify::inclusion(leaf, index, size, root, &forged).is_err());
            prop_assert!(verify::inclusion(leaf, index, size, root, &path[1..]).is_err());
            let elsewhere = (index + 1 + pick % (size - 1).max(1)) % size;
            if elsewhere != index {
                prop_assert!(verify::inclusion(leaf, elsewhere, size, root, &path).is_err());
            }
        }
    }

    #[test]
    fn a_consistency_proof_verifies_and_no_flipped_bit_does(
        new in 1_u64..600, pick in any::<u64>(), bit in 0_usize..256, at in any::<usize>(),
    ) {
        let mut log = Log::numbered(new);
        let old = 1 + pick % new;
        let (old_root, new_root) = (log.roots[old as usize], log.frontier.root());
        let path = proof::consistency(old, new, &mut log).unwrap();
        prop_assert_eq!(verify::consistency(old, old_root, new, new_root, &path), Ok(()));

        prop_assert!(verify::consistency(old, flip(old_root, bit), new, new_root, &path).is_err());
        prop_assert!(verify::consistency(old, old_root, new, flip(new_root, bit), &path).is_err());
        let longer: Vec<Hash> = path.iter().copied().chain([old_root]).collect();
        prop_assert!(verify::consistency(old, old_root, new, new_root, &longer).is_err());
        if !path.is_empty() {
            let mut forged = path.clone();
            let at = at % path.len();
            forged[at] = flip(forged[at], bit);
            prop_assert!(verify::consistency(old, old_root, new, new_root, &forged).is_err());
            prop_assert!(verify::consistency(old, old_root, new, new_root, &path[1..]).is_err());
        }
    }
}
