//! Why may, or may not, a caller call? `explain web api GET /orders/7 x-tenant:a` asks the Consul of the environment for the
//! intentions of `api` and says what a member of the mesh decides by them. Without a method and a path: about a connection.

use std::{error::Error, time::Duration};

use consul_api::{Client, Config};
use consul_connect::{Intentions, IntentionsConfig, ServiceName, TrustDomain};
use http::{Request, request::Parts};
use tokio::time::timeout;

const WITHIN: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [source, destination, request @ ..] = &arguments[..] else {
        return Err("say the caller, the service, and perhaps a method, a path and headers".into());
    };
    let (source, destination): (ServiceName, ServiceName) = (source.parse()?, destination.parse()?);
    let request = read(request)?;

    let client = Client::new(Config::from_env()?)?;
    let roots = client.connect_ca().roots().await?.into_value();
    let own: TrustDomain = roots.trust_domain.parse()?;
    let intentions = Intentions::watch(&client, destination, own, IntentionsConfig::default());
    timeout(WITHIN, intentions.ready()).await??;

    println!("{}", intentions.explain_service(&source, request.as_ref()));
    for finding in intentions.status().findings {
        println!("note: {}: {}", finding.rule, finding.text);
    }
    Ok(())
}

/// `GET /path name:value …`, or nothing.
fn read(arguments: &[String]) -> Result<Option<Parts>, Box<dyn Error>> {
    let [method, path, headers @ ..] = arguments else {
        return match arguments {
            [] => Ok(None),
            _ => Err("a method wants a path".into()),
        };
    };
    let mut request = Request::builder().method(method.as_str()).uri(path);
    for header in headers {
        let (name, value) = header.split_once(':').ok_or("a header is name:value")?;
        request = request.header(name.trim(), value.trim());
    }
    Ok(Some(request.body(())?.into_parts().0))
}
