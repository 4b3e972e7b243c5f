//! The real Consul, newest and oldest, under the lab.

use mesh_lab::{Agent, DefaultPolicy, Error, Version};
use serde_json::{Value, json};

/// Polls until `accept` takes an answer, to a generous deadline.
async fn eventually(
    agent: &Agent,
    path: &str,
    accept: impl Fn(&Value) -> bool,
) -> Result<Value, Error> {
    let end = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let reply = agent.http().get(path).await;
        if let Ok(reply) = &reply
            && accept(&reply.json)
        {
            return Ok(reply.json.clone());
        }
        assert!(
            tokio::time::Instant::now() < end,
            "{path} never said what was waited for; last {reply:?}\n{}",
            agent.logs()
        );
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

async fn trust_domain(agent: &Agent) -> Result<String, Error> {
    let roots = agent.http().get("/v1/connect/ca/roots").await?.ok()?;
    Ok(roots["TrustDomain"].as_str().unwrap_or_default().to_owned())
}

async fn answers_what_the_mesh_asks(version: Version) -> Result<(), Error> {
    let Some(consul) = mesh_lab::consul(version) else {
        return Ok(());
    };
    let agent = consul
        .acl(DefaultPolicy::Deny)
        .default_intention_policy("deny")
        .start()
        .await?;
    let token = agent.service_token("web").await?;
    let web = agent.http_as(&token);

    let service = json!({ "ID": "web-1", "Name": "web", "Port": 9401, "Address": "127.0.0.1", "Connect": { "Native": true } });
    web.put("/v1/agent/service/register", &service)
        .await?
        .ok()?;
    let leaf = web.get("/v1/agent/connect/ca/leaf/web").await?.ok()?;
    let uri = format!(
        "spiffe://{}/ns/default/dc/dc1/svc/web",
        trust_domain(&agent).await?
    );
    assert_eq!(leaf["ServiceURI"], uri);
    agent.set_intention("api", "web", "allow").await?;
    let matched = web
        .get("/v1/connect/intentions/match?by=destination&name=web")
        .await?;
    assert!(matched.header("x-consul-index").is_some());
    assert_eq!(matched.json["web"][0]["SourceName"], "api");
    let endpoints =
        eventually(&agent, "/v1/health/connect/web", |json| json[0].is_object()).await?;
    assert_eq!(endpoints[0]["Service"]["Connect"]["Native"], true);
    let chain = web.get("/v1/discovery-chain/web").await?.ok()?;
    assert_eq!(chain["Chain"]["Protocol"], "tcp");
    assert_eq!(
        agent
            .http_anonymous()
            .get("/v1/agent/connect/ca/leaf/other")
            .await?
            .status,
        403
    );
    assert!(
        tokio::net::TcpStream::connect(agent.grpc_addr())
            .await
            .is_ok()
    );
    Ok(())
}

#[tokio::test]
async fn the_newest_answers_what_the_mesh_asks() -> Result<(), Error> {
    answers_what_the_mesh_asks(Version::Newest).await
}

#[tokio::test]
async fn the_oldest_answers_what_the_mesh_asks() -> Result<(), Error> {
    answers_what_the_mesh_asks(Version::Oldest).await
}

#[tokio::test]
async fn a_token_may_do_what_its_rules_say_and_dies_when_deleted() -> Result<(), Error> {
    let Some(consul) = mesh_lab::consul(Version::Newest) else {
        return Ok(());
    };
    let agent = consul.acl(DefaultPolicy::Deny).start().await?;
    let token = agent
        .token_with_rules(r#"service "web" { policy = "write" }"#)
        .await?;
    let call = "/v1/discovery-chain/web";
    assert_eq!(agent.http_as(&token).get(call).await?.status, 200);
    assert_eq!(
        agent
            .http_as(&token)
            .get("/v1/discovery-chain/api")
            .await?
            .status,
        403
    );
    agent.delete_token(&token).await?;
    let refused = agent.http_as(&token).get(call).await?;
    assert_eq!(
        (refused.status, refused.text.trim()),
        (403, "ACL not found")
    );
    Ok(())
}

#[tokio::test]
async fn a_server_keeps_its_mesh_over_a_crash_and_loses_it_when_wiped() -> Result<(), Error> {
    let Some(consul) = mesh_lab::consul(Version::Newest) else {
        return Ok(());
    };
    let agent = consul.server().start().await?;
    let (address, first) = (agent.http_addr(), trust_domain(&agent).await?);

    agent.kill().await?;
    assert!(!agent.is_running()?);
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
    agent.restart().await?;
    assert_eq!(
        (agent.http_addr(), trust_domain(&agent).await?),
        (address, first.clone())
    );

    assert!(agent.wipe().is_err(), "a running agent must not be wiped");
    agent.stop().await?;
    agent.wipe()?;
    agent.restart().await?;
    assert_ne!(trust_domain(&agent).await?, first);
    Ok(())
}

#[tokio::test]
async fn a_client_agent_forwards_to_its_server_and_comes_back_empty_when_wiped() -> Result<(), Error>
{
    let Some(consul) = mesh_lab::consul(Version::Newest) else {
        return Ok(());
    };
    let (server, client) = consul.acl(DefaultPolicy::Deny).start_pair().await?;
    assert_eq!(trust_domain(&client).await?, trust_domain(&server).await?);
    let token = server.service_token("web").await?;

    let service = json!({ "ID": "web-1", "Name": "web", "Port": 9401, "Token": token });
    client
        .http_as(&token)
        .put("/v1/agent/service/register", &service)
        .await?
        .ok()?;
    let seen = eventually(&server, "/v1/health/service/web", |json| {
        json[0].is_object()
    })
    .await?;
    assert_eq!(seen[0]["Node"]["Node"], client.node_name().as_str());

    client.kill().await?;
    client.wipe()?;
    client.restart().await?;
    assert_eq!(
        client.http().get("/v1/agent/services").await?.ok()?,
        json!({})
    );
    client
        .http_as(&token)
        .put("/v1/agent/service/register", &service)
        .await?
        .ok()?;
    eventually(&server, "/v1/health/service/web?passing", |json| {
        json[0].is_object()
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn a_paused_agent_answers_when_it_goes_on() -> Result<(), Error> {
    let Some(consul) = mesh_lab::consul(Version::Newest) else {
        return Ok(());
    };
    let agent = consul.start().await?;
    agent.pause()?;
    let http = agent.http();
    let mut call = std::pin::pin!(http.get("/v1/status/leader"));
    let while_paused =
        tokio::time::timeout(std::time::Duration::from_millis(300), call.as_mut()).await;
    assert!(
        while_paused.is_err(),
        "a paused agent answered: {while_paused:?}"
    );
    agent.resume()?;
    assert_eq!(call.await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn an_agent_that_cannot_start_says_why() -> Result<(), Error> {
    let Some(consul) = mesh_lab::consul(Version::Newest) else {
        return Ok(());
    };
    let error = consul
        .hcl("no_such_setting = true")
        .start()
        .await
        .expect_err("the configuration is wrong");
    assert!(error.to_string().contains("no_such_setting"), "{error}");
    Ok(())
}
