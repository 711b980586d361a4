//! Services killed and paused around every effect they have outside of themselves.
//!
//! Each row of the table is one [`fault::Fault`]: a real service process is killed or paused at one
//! point on the path of one execution, in a real API server, and started again or let go on.
//! Whatever the point, the run must go live exactly once, the audit log must have exactly the
//! events of the execution, and nothing may be left over.
//!
//! [`matrix`] has all rows. [`scenario`] plays one, [`story`] is what people do meanwhile, [`rival`]
//! plays those in which attempts compete for a target, [`verdict`] judges it, [`lane`] is where it
//! happens, and [`table`] plays all of them. [`schedule`] adds faults at random moments, and [`soak`]
//! many of them over a long time on real pods; both are repeatable by their seed.

pub mod cluster;
pub mod ending;
pub mod fault;
pub mod lane;
pub mod matrix;
pub mod rival;
pub mod scenario;
pub mod schedule;
pub mod seed;
pub mod soak;
pub mod story;
pub mod switch;
pub mod table;
pub mod verdict;
