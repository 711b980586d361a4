//! evenkeel, also kubectl-evenkeel.
