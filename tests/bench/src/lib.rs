//! What the services cost and how fast they are, beside a client that does the least it could.
//!
//! One run, one machine, one cluster: [`site`] starts them. [`load`] makes executions, [`timeline`]
//! notes when what happens to them, [`backend`] ends their runs at once, and [`raw`] is the client
//! to compare with. [`stock`] writes executions that finished, [`startup`] starts a controller on what is
//! there, and [`probe`] is a small load beside it. [`sections`] are the tables, [`report`] prints them
//! beside their budgets.

pub mod backend;
pub mod load;
pub mod probe;
pub mod raw;
pub mod report;
pub mod resources;
pub mod sections;
pub mod site;
pub mod startup;
pub mod stats;
pub mod stock;
pub mod timeline;
