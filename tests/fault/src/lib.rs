//! Services killed and paused around every effect they have outside of themselves.
//!
//! Each row of the table is one [`fault::Fault`]: a real service process is killed or paused at one
//! point on the path of one execution, in a real API server, and started again or let go on.
//! Whatever the point, the run must go live exactly once, the audit log must have exactly the
//! events of the execution, and nothing may be left over.
//!
//! [`scenario`] plays a row, [`rival`] those in which attempts compete for a target, [`verdict`] judges it, [`lane`] is where it happens, and [`table`]
//! plays all of them. [`schedule`] adds faults at random moments, repeatable by their seed.

pub mod cluster;
pub mod fault;
pub mod lane;
pub mod rival;
pub mod scenario;
pub mod schedule;
pub mod seed;
pub mod switch;
pub mod table;
pub mod verdict;
