//! Asks the jobs' worker over HTTP; a problem it tells is told on.

use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::{Method, RequestBuilder, Url};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Place;
use crate::command::up::workers_file;

/// Time for the worker to answer.
const ANSWER: Duration = Duration::from_secs(10);

pub(super) struct Client {
    http: reqwest::Client,
    worker: String,
}

impl Client {
    /// The worker that was named, or the one of `longshore up` that has jobs.
    pub(super) async fn find(place: &Place) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .timeout(ANSWER)
            .no_proxy()
            .build()?;
        if let Some(worker) = place.worker.clone() {
            return Ok(Self { http, worker });
        }
        let file = workers_file(&place.data);
        let text = std::fs::read_to_string(&file).with_context(|| {
            format!(
                "no `longshore up` runs with {}; name the jobs' worker with --worker HOST:PORT",
                place.data.display()
            )
        })?;
        let workers: Vec<String> = serde_json::from_str(&text)
            .with_context(|| format!("cannot read {}", file.display()))?;
        for worker in workers {
            let client = Self {
                http: http.clone(),
                worker,
            };
            if client.get::<Value>(&["jobs", "queues"], &[]).await.is_ok() {
                return Ok(client);
            }
        }
        bail!(
            "none of the workers in {} has jobs; name the jobs' worker with --worker HOST:PORT",
            file.display()
        )
    }

    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, String)],
    ) -> anyhow::Result<T> {
        let mut url = self.url(path)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let text = self.send(self.http.get(url)).await?;
        serde_json::from_str(&text).context("what answers is no worker of this version")
    }

    pub(super) async fn post(&self, path: &[&str]) -> anyhow::Result<()> {
        let request = self.http.post(self.url(path)?);
        self.send(request).await.map(drop)
    }

    pub(super) async fn delete(&self, path: &[&str]) -> anyhow::Result<()> {
        let request = self.http.delete(self.url(path)?);
        self.send(request).await.map(drop)
    }

    /// Sends a document; returns the one that comes back.
    pub(super) async fn write<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        body: &Value,
    ) -> anyhow::Result<T> {
        let request = self.http.request(method, self.url(path)?);
        let request = request
            .header("content-type", "application/json")
            .body(body.to_string());
        let text = self.send(request).await?;
        serde_json::from_str(&text).context("what answers is no worker of this version")
    }

    /// Ids may hold anything: each part of the path is escaped.
    fn url(&self, path: &[&str]) -> anyhow::Result<Url> {
        let wrong = || format!("{} is no address; write HOST:PORT", self.worker);
        let mut url = Url::parse(&format!("http://{}", self.worker)).with_context(wrong)?;
        match url.path_segments_mut() {
            Ok(mut segments) => segments.extend(path),
            Err(()) => bail!(wrong()),
        };
        Ok(url)
    }

    async fn send(&self, request: RequestBuilder) -> anyhow::Result<String> {
        let no_answer = || {
            format!(
                "no answer from {}; is the jobs' worker running, and started with --admin-listen?",
                self.worker
            )
        };
        let response = request.send().await.with_context(no_answer)?;
        let status = response.status();
        let text = response.text().await.with_context(no_answer)?;
        if status.is_success() {
            return Ok(text);
        }
        let problem: Option<Value> = serde_json::from_str(&text).ok();
        match problem
            .as_ref()
            .and_then(|problem| problem["detail"].as_str())
        {
            Some(detail) => bail!("{detail}"),
            None => bail!("{} answers {status}: {}", self.worker, text.trim()),
        }
    }
}
