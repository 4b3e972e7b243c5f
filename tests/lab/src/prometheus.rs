//! A Prometheus server that scrapes what a test tells it to.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
};

use serde_json::{Value, json};

use crate::{
    Component, Error, Found, Http,
    gate::component,
    ports::Ports,
    running::{READY_WITHIN, Running, Start, work_directory},
};

/// Prometheus for a test, or `None` when the test cannot run here and should return; as with [`consul`](crate::consul).
///
/// # Panics
/// When it is missing and `MESH_LAB=required`.
#[must_use]
pub fn prometheus() -> Option<Prometheus> {
    component(Component::Prometheus).map(|found| Prometheus {
        found,
        targets: Vec::new(),
    })
}

/// A server to be started.
#[derive(Debug)]
#[must_use = "nothing runs before `start`"]
pub struct Prometheus {
    found: Found,
    targets: Vec<SocketAddr>,
}

impl Prometheus {
    /// Reads `http://<target>/metrics` every half second.
    pub fn scrape(mut self, target: SocketAddr) -> Self {
        self.targets.push(target);
        self
    }

    /// Starts it on a free loopback port, and waits until its API answers.
    ///
    /// # Errors
    /// When it does not start, or does not answer within a minute; the message carries the end of its log.
    ///
    /// # Cancel safety
    /// Dropping the future stops what has been started.
    pub async fn start(self) -> Result<RunningPrometheus, Error> {
        let directory = work_directory("prometheus")?;
        let ports = Ports::reserve()?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports.at(0)));
        let targets: Vec<String> = self.targets.iter().map(ToString::to_string).collect();
        // JSON is YAML.
        let configuration = json!({
            "global": { "scrape_interval": "500ms", "scrape_timeout": "500ms" },
            "scrape_configs": [{ "job_name": "mesh", "static_configs": [{ "targets": targets }] }],
        });
        let file = directory.path().join("prometheus.yml");
        fs::write(&file, configuration.to_string())
            .map_err(|error| Error::because("writing Prometheus' configuration", error))?;
        let arguments = [
            format!("--config.file={}", file.display()),
            format!(
                "--storage.tsdb.path={}",
                directory.path().join("data").display()
            ),
            format!("--web.listen-address={address}"),
        ];
        let start = Start {
            program: &self.found.path,
            arguments: &arguments,
            environment: &[],
            piped: false,
        };
        let running = Running::start("Prometheus", directory, start)?;
        let http = Http::at(address);
        running
            .ready(READY_WITHIN, async || {
                http.get("/-/ready").await?.ok().map(drop)
            })
            .await?;
        Ok(RunningPrometheus {
            address,
            http,
            running,
            _ports: ports,
        })
    }
}

/// A running server. Dropping it kills it.
#[derive(Debug)]
pub struct RunningPrometheus {
    address: SocketAddr,
    http: Http,
    running: Running,
    _ports: Ports,
}

/// One series of an answer.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Sample {
    /// Its labels, its name as `__name__`.
    pub labels: Value,
    /// Its value; not a number where Prometheus has none.
    pub value: f64,
}

impl RunningPrometheus {
    /// Where its API and its pages are.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What a query in PromQL yields now; no series is an empty answer.
    ///
    /// # Errors
    /// When it does not answer, or not with an instant vector.
    pub async fn query(&self, query: &str) -> Result<Vec<Sample>, Error> {
        let mut path = "/api/v1/query?query=".to_owned();
        for byte in query.bytes() {
            path.push_str(&format!("%{byte:02x}"));
        }
        let answer = self.http.get(&path).await?.ok()?;
        let series = answer["data"]["result"].as_array();
        let series =
            series.ok_or_else(|| Error::new(format!("asking Prometheus `{query}`: {answer}")))?;
        let samples = series.iter().map(|one| {
            let value = one["value"][1].as_str().and_then(|text| text.parse().ok());
            Sample {
                labels: one["metric"].clone(),
                value: value.unwrap_or(f64::NAN),
            }
        });
        Ok(samples.collect())
    }

    /// The names of all series it has.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn names(&self) -> Result<Vec<String>, Error> {
        let answer = self.http.get("/api/v1/label/__name__/values").await?.ok()?;
        let names = answer["data"].as_array().into_iter().flatten();
        Ok(names.filter_map(Value::as_str).map(str::to_owned).collect())
    }

    /// Its log.
    #[must_use]
    pub fn logs(&self) -> String {
        self.running.logs()
    }
}
