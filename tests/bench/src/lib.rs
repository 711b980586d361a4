//! What the services cost and how fast they are, beside a client that does the least it could.
//!
//! One run, one machine, one cluster: [`site`] starts them. [`load`] makes executions, [`timeline`]
//! notes when what happens to them, [`backend`] ends their runs at once, and [`raw`] is the client
//! to compare with. [`sections`] are the tables, [`report`] prints them beside their budgets.

pub mod backend;
pub mod load;
pub mod raw;
pub mod report;
pub mod resources;
pub mod sections;
pub mod site;
pub mod stats;
pub mod timeline;
