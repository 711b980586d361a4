//! A block of ports per environment, chosen once, so that a restarted service keeps its address.
//!
//! Ports are below the range from which systems give ports to outgoing connections, and above
//! those of the local clusters, so a port stays free while its service is down.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::Context as _;

const FIRST: u16 = 26_000;
const EACH: u16 = 8;
const BLOCKS: u16 = 800;

/// The first port of a block, and the guard that keeps others off it until it is dropped.
pub(crate) struct Block {
    pub(crate) first: u16,
    pub(crate) guard: TcpListener,
}

/// Claims the lowest free block. One that was claimed before stays taken while anything listens
/// in it, even when nobody holds its guard any more.
pub(crate) fn claim() -> anyhow::Result<Block> {
    (0..BLOCKS).find_map(|block| try_claim(FIRST + block * EACH)).context("no free block of ports is left")
}

/// Claims one block, if it is free.
pub(crate) fn try_claim(first: u16) -> Option<Block> {
    let listen = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok();
    let guard = listen(first + EACH - 1)?;
    let free = (first..first + EACH - 1).all(|port| listen(port).is_some());
    free.then_some(Block { first, guard })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_blocks_never_meet() {
        let (one, other) = (claim().unwrap(), claim().unwrap());
        assert!(one.first.abs_diff(other.first) >= EACH);
        assert_eq!(try_claim(one.first).map(|block| block.first), None);
    }

    #[test]
    fn a_block_with_a_listener_is_taken_although_its_guard_is_gone() {
        let block = claim().unwrap();
        let _service = TcpListener::bind((Ipv4Addr::LOCALHOST, block.first + 2)).unwrap();
        let first = block.first;
        drop(block.guard);
        assert!(try_claim(first).is_none());
    }

    #[test]
    fn ports_stay_below_those_of_outgoing_connections() {
        const { assert!(FIRST + BLOCKS * EACH <= 32_768) };
    }
}
