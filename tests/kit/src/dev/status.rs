//! `make status`: what runs.

use std::process::ExitCode;

use super::up;
use crate::{http, place::Repository};

/// Prints a line per service; success when all are ready.
pub(super) async fn show(repository: &Repository) -> anyhow::Result<ExitCode> {
    let environment = up::opened(repository).await?;
    let mut good = true;
    for service in environment.services() {
        let answer = http::get(&format!("{}/readyz", service.admin())).await;
        let state = match (service.pid(), answer) {
            (None, _) => "stopped".to_owned(),
            (Some(pid), Ok((200, _))) => format!("ready, process {pid}"),
            (Some(pid), Ok((_, body))) => format!("{body}, process {pid}"),
            (Some(pid), Err(error)) => format!("no answer, process {pid}: {error:#}"),
        };
        good &= state.starts_with("ready");
        println!("{:<12} {:<24} {state}", service.service(), service.admin());
    }
    let api = environment.client().apiserver_version().await;
    good &= api.is_ok();
    println!(
        "{:<12} {}",
        "kubernetes",
        api.map_or_else(|error| format!("no answer: {error}"), |it| it.git_version)
    );
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
