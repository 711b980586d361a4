//! GET over plain HTTP on this machine: admin ports and Jaeger.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

const LIMIT: Duration = Duration::from_secs(10);

/// Status code and body of the answer.
pub async fn get(url: &str) -> anyhow::Result<(u16, String)> {
    let uri = url.parse().with_context(|| format!("'{url}' is not a URL"))?;
    let client: Client<HttpConnector, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let exchange = async {
        let response = client.get(uri).await?;
        let code = response.status().as_u16();
        let body = response.into_body().collect().await?.to_bytes();
        anyhow::Ok((code, String::from_utf8_lossy(&body).into_owned()))
    };
    tokio::time::timeout(LIMIT, exchange)
        .await
        .with_context(|| format!("GET {url}: no answer in {LIMIT:?}"))?
}

/// Body of the answer, which must be a 200.
pub async fn get_ok(url: &str) -> anyhow::Result<String> {
    let (code, body) = get(url).await?;
    ensure!(code == 200, "GET {url}: {code}: {}", body.trim());
    Ok(body)
}
