//! Whole members of a mesh around a development Consul.
#![cfg(feature = "axum")]

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, routing::get};
use consul_dev::ConsulDev;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
    time::Instant,
};
use tower_mesh::{
    Error, ErrorKind, Mesh, MeshBuilder, Peer, consul_api::Config,
    consul_connect::registration::RegistrationState,
};

fn member(consul: &ConsulDev, service: &str) -> MeshBuilder {
    let grpc = consul.grpc_addr().parse().expect("an address");
    let config = Config::new(consul.http_addr())
        .expect("an address")
        .with_grpc_address(grpc);
    Mesh::builder(service)
        .consul(config)
        .drain_grace(Duration::from_millis(300))
        .drain_deadline(Duration::from_secs(5))
}

async fn joined(consul: &ConsulDev, service: &str) -> Mesh {
    member(consul, service).join().await.expect("joined")
}

/// Serves `app` as a member, and waits until it is in the catalog.
async fn serving(mesh: &Mesh, app: Router) -> JoinHandle<Result<(), Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
    let server = mesh.clone();
    let task = tokio::spawn(async move { server.serve_on(listener, app).await });
    mesh.ready().await.expect("ready");
    task
}

fn hello() -> Router {
    Router::new().route(
        "/",
        get(async |caller: Peer| format!("hello {}", caller.id().service())),
    )
}

/// Tries until `reached`, for ten seconds.
async fn eventually<T>(what: &str, mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(10) {
        if let Some(reached) = attempt().await {
            return reached;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("not within 10 s: {what}");
}

async fn status_of(client: &tower_mesh::Client) -> Option<u16> {
    Some(client.get("/").send().await.ok()?.status().as_u16())
}

#[tokio::test]
async fn two_members_find_and_know_each_other() {
    let consul = ConsulDev::start().await.expect("a Consul");
    let (api, web) = (joined(&consul, "api").await, joined(&consul, "web").await);
    let _served = serving(&api, hello()).await;

    let client = web.client("api");
    let hello = client
        .get("/")
        .send()
        .await
        .expect("a response")
        .text()
        .await
        .expect("text");
    assert_eq!(hello, "hello web");

    let status = api.status();
    assert!(status.is_ready(), "{status}");
    assert_eq!(status.registrations.len(), 1, "{status}");
    assert_eq!(status.registrations[0].state, RegistrationState::Registered);
    let shown = web.status().to_string();
    assert!(
        shown.contains("upstream: api, 1 of 1 instances usable"),
        "{shown}"
    );
}

#[tokio::test]
async fn an_intention_is_in_force_on_the_next_request() {
    let consul = ConsulDev::start().await.expect("a Consul");
    let (api, web) = (joined(&consul, "api").await, joined(&consul, "web").await);
    let _served = serving(&api, hello()).await;
    let client = web.client("api");
    assert_eq!(status_of(&client).await, Some(200));

    for (allow, status) in [(false, 403), (true, 200)] {
        consul.set_intention("web", "api", allow).expect("written");
        eventually("the intention", async || {
            (status_of(&client).await == Some(status)).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn leaving_fails_no_request_and_leaves_nothing_behind() {
    let consul = ConsulDev::start().await.expect("a Consul");
    let web = joined(&consul, "web").await;
    let (one, two) = (joined(&consul, "api").await, joined(&consul, "api").await);
    let slow = Router::new().route(
        "/",
        get(async || {
            tokio::time::sleep(Duration::from_millis(20)).await;
            "done"
        }),
    );
    let served = [serving(&one, slow.clone()).await, serving(&two, slow).await];
    let client = web.client("api");
    eventually("both instances", async || {
        let _ = status_of(&client).await;
        (web.status().upstreams.first()?.usable.len() == 2).then_some(())
    })
    .await;

    let callers = (0..8).map(|_| {
        let (client, leaving) = (client.clone(), one.clone());
        tokio::spawn(async move {
            let mut answered = 0;
            // Beyond the end of the first instance's leaving.
            while !leaving.status().leaving || answered < 100 {
                let response = client.get("/").send().await.expect("no request fails");
                assert_eq!(response.status(), 200);
                assert_eq!(response.text().await.expect("a whole body"), "done");
                answered += 1;
            }
        })
    });
    let callers: Vec<_> = callers.collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    one.shutdown().await;

    for caller in callers {
        caller.await.expect("no failed request");
    }
    let [first, second] = served;
    first.await.expect("no panic").expect("an orderly end");
    assert_eq!(consul.service_ids().len(), 1, "deregistered");
    let left = one.serve_on(
        TcpListener::bind("127.0.0.1:0").await.expect("a socket"),
        hello(),
    );
    assert_eq!(left.await.expect_err("left").kind(), ErrorKind::Shutdown);

    two.shutdown().await;
    second.await.expect("no panic").expect("an orderly end");
    assert!(consul.service_ids().is_empty(), "deregistered");
    let error = client.get("/").send().await.expect_err("nobody is left");
    assert_eq!(error.kind(), ErrorKind::NoEndpoints, "{error:?}");
}

#[tokio::test]
async fn a_dropped_server_is_a_crash_and_stays_in_the_catalog() {
    let consul = ConsulDev::start().await.expect("a Consul");
    let api = joined(&consul, "api").await;
    let served = serving(&api, hello()).await;
    served.abort();
    assert!(served.await.expect_err("aborted").is_cancelled());
    assert_eq!(consul.service_ids().len(), 1);
    assert!(api.status().registrations.is_empty(), "no server runs");
}

#[tokio::test]
async fn serves_until_its_own_signal_and_on_several_sockets() {
    let consul = ConsulDev::start().await.expect("a Consul");
    let api = joined(&consul, "api").await;
    let _other = serving(&api, hello()).await;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = api.clone();
    let served = tokio::spawn(async move {
        let stopped = async { stopped.await.unwrap_or_default() };
        server
            .serve_with_shutdown("127.0.0.1:0", hello(), stopped)
            .await
    });
    eventually("both servers", async || {
        (consul.service_ids().len() == 2).then_some(())
    })
    .await;
    stop.send(()).expect("it serves");
    served.await.expect("no panic").expect("an orderly end");
    assert_eq!(consul.service_ids().len(), 1);
    assert!(!api.status().leaving, "one server left, not the process");
}

#[tokio::test]
async fn readiness_goes_with_the_last_server_that_is_told_to_leave() {
    let consul = ConsulDev::start().await.expect("a Consul");
    let api = joined(&consul, "api").await;
    let serve = |stopped: tokio::sync::oneshot::Receiver<()>| {
        let server = api.clone();
        tokio::spawn(async move {
            let stopped = async { stopped.await.unwrap_or_default() };
            server
                .serve_with_shutdown("127.0.0.1:0", hello(), stopped)
                .await
        })
    };
    let (stop_one, one) = tokio::sync::oneshot::channel();
    let (stop_two, two) = tokio::sync::oneshot::channel();
    let (one, two) = (serve(one), serve(two));
    eventually("both servers", async || {
        (consul.service_ids().len() == 2).then_some(())
    })
    .await;

    stop_one.send(()).expect("it serves");
    one.await.expect("no panic").expect("an orderly end");
    assert!(api.status().is_ready(), "{}", api.status());
    api.ready().await.expect("the other stays");

    stop_two.send(()).expect("it serves");
    eventually("not ready", async || {
        (!api.status().is_ready()).then_some(())
    })
    .await;
    assert!(api.status().leaving && !two.is_finished(), "before its end");
    let error = api.ready().await.expect_err("on its way out");
    assert_eq!(error.kind(), ErrorKind::Shutdown);
    two.await.expect("no panic").expect("an orderly end");
    assert!(api.status().leaving, "it does not become ready by ending");

    let _again = serving(&api, hello()).await;
    assert!(api.status().is_ready(), "{}", api.status());
}

#[tokio::test]
async fn the_end_of_one_server_and_of_all_is_one_wish() {
    let consul = ConsulDev::start().await.expect("a Consul");
    let (api, web) = (joined(&consul, "api").await, joined(&consul, "web").await);
    let (entered, mut called) = tokio::sync::mpsc::unbounded_channel();
    let slow = get(async move || {
        entered.send(()).expect("the test waits");
        tokio::time::sleep(Duration::from_millis(600)).await;
        "done"
    });
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = api.clone();
    let served = tokio::spawn(async move {
        let stopped = async { stopped.await.unwrap_or_default() };
        let app = Router::new().route("/", slow);
        server
            .serve_with_shutdown("127.0.0.1:0", app, stopped)
            .await
    });
    api.ready().await.expect("ready");
    let client = web.client("api");
    let call = tokio::spawn(async move { client.get("/").send().await?.text().await });
    called.recv().await.expect("a request");

    stop.send(()).expect("it serves");
    eventually("leaving", async || api.status().leaving.then_some(())).await;
    api.shutdown().await;

    assert_eq!(call.await.expect("no panic").expect("not cut"), "done");
    served.await.expect("no panic").expect("an orderly end");
}

#[tokio::test]
async fn durations_without_an_end_are_taken() {
    let consul = ConsulDev::start().await.expect("a Consul");
    let never = Duration::MAX;
    let api = member(&consul, "api")
        .join_deadline(never)
        .node_grace(never)
        .drain_deadline(never)
        .join()
        .await
        .expect("joined");
    let served = serving(&api, hello()).await;
    let client = api.client("api").timeout(never).idle_timeout(never);
    assert_eq!(status_of(&client).await, Some(200));
    drop(client);
    api.shutdown().await;
    served.await.expect("no panic").expect("an orderly end");
}

#[tokio::test]
async fn the_applications_health_takes_an_instance_out() {
    let consul = ConsulDev::start().await.expect("a Consul");
    let (api, web) = (joined(&consul, "api").await, joined(&consul, "web").await);
    let _served = serving(&api, hello()).await;
    let client = web.client("api");
    assert_eq!(status_of(&client).await, Some(200));
    api.health().set_critical("the database is away");
    eventually("out", async || {
        let error = client.get("/").send().await.err()?;
        (error.kind() == ErrorKind::NoEndpoints).then_some(())
    })
    .await;
    api.health().set_passing();
    eventually("back", async || {
        (status_of(&client).await == Some(200)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn byte_streams_are_echoed_until_an_intention_cuts_them() {
    let consul = ConsulDev::start().await.expect("a Consul");
    let (db, web) = (joined(&consul, "db").await, joined(&consul, "web").await);
    let mut listener = db.listen("127.0.0.1:0").await.expect("a socket");
    let echo = tokio::spawn(async move {
        while let Some(stream) = listener.accept().await {
            assert_eq!(stream.peer().id().service().as_str(), "web");
            tokio::spawn(async move {
                let (mut reader, mut writer) = tokio::io::split(stream);
                tokio::io::copy(&mut reader, &mut writer).await
            });
        }
    });
    db.ready().await.expect("ready");

    let mut stream = web.connect("db").await.expect("a stream");
    assert_eq!(stream.peer().id().service().as_str(), "db");
    let mut heard = [0; 4];
    stream.write_all(b"ping").await.expect("written");
    stream.read_exact(&mut heard).await.expect("read");
    assert_eq!(&heard, b"ping");

    consul.set_intention("web", "db", false).expect("written");
    assert!(
        matches!(stream.read(&mut heard).await, Ok(0) | Err(_)),
        "cut"
    );
    consul.set_intention("web", "db", true).expect("written");
    let mut stream = eventually("allowed again", async || {
        let mut stream = web.connect("db").await.ok()?;
        stream.write_all(b"ping").await.ok()?;
        stream.read_exact(&mut heard).await.ok()?;
        Some(stream)
    })
    .await;

    // Leaving tells an open stream to end, waits for it, and only then deregisters.
    let leaving = db.clone();
    let left = tokio::spawn(async move { leaving.shutdown().await });
    eventually("the end of accepting", async || {
        web.connect("db").await.err()
    })
    .await;
    assert_eq!(consul.service_ids().len(), 1, "a stream is open");
    stream.shutdown().await.expect("closed");
    left.await.expect("left");
    echo.await.expect("no panic");
    assert!(consul.service_ids().is_empty());
}

#[tokio::test]
async fn byte_streams_are_spread_by_how_many_are_open() {
    let consul = ConsulDev::start().await.expect("a Consul");
    let web = joined(&consul, "web").await;
    let mut members = Vec::new();
    for _ in 0..2 {
        let db = joined(&consul, "db").await;
        let mut listener = db.listen("127.0.0.1:0").await.expect("a socket");
        db.ready().await.expect("ready");
        let hold = tokio::spawn(async move {
            let mut open = Vec::new();
            while let Some(stream) = listener.accept().await {
                open.push(stream);
            }
        });
        members.push((db, hold));
    }
    let client = web.client("db");
    eventually("both instances", async || {
        client.resolved().await.expect("resolved");
        (client.status().usable.len() == 2).then_some(())
    })
    .await;

    let mut streams = Vec::new();
    for _ in 0..40 {
        streams.push(web.connect("db").await.expect("a stream"));
    }
    let open = || {
        let usable = client.status().usable;
        usable.iter().map(|one| one.in_flight).collect::<Vec<_>>()
    };
    assert_eq!(open().iter().sum::<u32>(), 40, "{:?}", open());
    assert!(open().iter().all(|open| *open >= 4), "{:?}", open());
    drop(streams);
    assert_eq!(open(), [0, 0]);

    drop(client);
    let followed = web.status().upstreams;
    assert_eq!(followed.len(), 1, "for the next stream");
    assert_eq!(followed[0].usable.len(), 2);
}

#[tokio::test]
async fn a_thousand_clients_of_one_call_each_ask_consul_once() {
    let consul = ConsulDev::start().await.expect("a Consul");
    let (api, web) = (joined(&consul, "api").await, joined(&consul, "web").await);
    let _served = serving(&api, hello()).await;
    for _ in 0..1000 {
        assert_eq!(status_of(&web.client("api")).await, Some(200));
    }
    let first_reads = |path: &str| {
        let all = consul.requests();
        let of = all.iter().filter(|one| one.path == path);
        of.filter(|one| !one.query.contains("index=")).count()
    };
    assert_eq!(first_reads("/v1/health/connect/api"), 1);
    // The member reads its own chain, too.
    assert!(first_reads("/v1/discovery-chain/api") <= 3);
    assert_eq!(web.status().upstreams[0].usable[0].connections, 1);
}

#[tokio::test]
async fn the_sixty_four_services_asked_for_last_are_followed_on() {
    let consul = ConsulDev::start().await.expect("a Consul");
    let web = joined(&consul, "web").await;
    let held = web.client("held");
    for number in 0..100 {
        let _client = web.client(format!("api-{number}"));
    }
    let names = |mesh: &Mesh| {
        let upstreams = mesh.status().upstreams.into_iter();
        upstreams.map(|one| one.name).collect::<Vec<_>>()
    };
    let followed = names(&web);
    assert_eq!(followed.len(), 65, "{followed:?}");
    assert!(followed.contains(&"held".to_owned()));
    assert!(!followed.contains(&"api-35".to_owned()) && followed.contains(&"api-36".to_owned()));
    drop(held);
    assert_eq!(names(&web).len(), 64);
}

#[tokio::test]
async fn a_consul_that_is_away_is_named_with_what_to_do() {
    // A port nobody listens on.
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a socket");
    let address = socket.local_addr().expect("an address").to_string();
    drop(socket);
    let error = Mesh::builder("web")
        .consul(Config::new(&address).expect("an address"))
        .join_deadline(Duration::from_millis(300))
        .join()
        .await
        .expect_err("nobody is there");
    assert_eq!(error.kind(), ErrorKind::Consul);
    let words = error.to_string();
    assert!(
        words.contains(&address) && words.contains("CONSUL_HTTP_ADDR"),
        "{words}"
    );
}

#[tokio::test]
async fn a_consul_that_comes_later_is_waited_for() {
    let consul = Arc::new(ConsulDev::start().await.expect("a Consul"));
    consul.down().await.expect("down");
    let builder = member(&consul, "web");
    let joining = tokio::spawn(async move { builder.join().await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!joining.is_finished());
    consul.up().await.expect("up");
    joining.await.expect("no panic").expect("joined");
}

#[tokio::test]
async fn a_refused_token_is_an_error_at_once() {
    let consul = ConsulDev::builder()
        .acl(true)
        .start()
        .await
        .expect("a Consul");
    let began = Instant::now();
    let error = member(&consul, "web").join().await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
    assert!(error.to_string().contains("CONSUL_HTTP_TOKEN"), "{error}");
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "waited for nothing"
    );
}

#[tokio::test]
async fn names_and_addresses_that_cannot_be_are_refused_before_anything_is_asked() {
    let consul = ConsulDev::start().await.expect("a Consul");
    for builder in [
        member(&consul, "a/b"),
        member(&consul, "web").advertise("http://here"),
    ] {
        let error = builder.join().await.expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Config);
    }
    assert!(consul.requests().is_empty(), "nobody was asked");
}

#[tokio::test]
async fn what_is_advertised_is_what_others_dial() {
    let consul = ConsulDev::start().await.expect("a Consul");
    let web = joined(&consul, "web").await;
    let listener = TcpListener::bind("0.0.0.0:0").await.expect("a socket");
    let port = listener.local_addr().expect("an address").port();
    let api = member(&consul, "api")
        .advertise(SocketAddr::from(([127, 0, 0, 1], port)).to_string())
        .tag("blue")
        .join()
        .await
        .expect("joined");
    let server = api.clone();
    let _served = tokio::spawn(async move { server.serve_on(listener, hello()).await });
    api.ready().await.expect("ready");
    assert_eq!(status_of(&web.client("api")).await, Some(200));
}

#[tokio::test]
async fn a_member_without_registration_is_ready_and_not_in_the_catalog() {
    let consul = ConsulDev::start().await.expect("a Consul");
    let api = member(&consul, "api")
        .without_registration()
        .join()
        .await
        .expect("joined");
    let served = serving(&api, hello()).await;
    assert!(api.status().is_ready());
    assert!(consul.service_ids().is_empty());
    // Nobody has to learn of it, so it does not linger.
    let began = Instant::now();
    api.shutdown().await;
    served.await.expect("no panic").expect("an orderly end");
    assert!(
        began.elapsed() < Duration::from_millis(250),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn goes_on_serving_while_consul_is_away() {
    let consul = ConsulDev::start().await.expect("a Consul");
    let (api, web) = (joined(&consul, "api").await, joined(&consul, "web").await);
    let served = serving(&api, hello()).await;
    let client = web.client("api");
    assert_eq!(status_of(&client).await, Some(200));
    consul.down().await.expect("down");
    for _ in 0..20 {
        assert_eq!(status_of(&client).await, Some(200));
    }
    // And its absence does not keep the process from ending.
    let began = Instant::now();
    api.shutdown().await;
    served.await.expect("no panic").expect("an orderly end");
    assert!(
        began.elapsed() < Duration::from_secs(9),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn a_client_outlives_its_mesh() {
    let consul = ConsulDev::start().await.expect("a Consul");
    let (api, web) = (joined(&consul, "api").await, joined(&consul, "web").await);
    let _served = serving(&api, hello()).await;
    let client = web.client("api");
    web.shutdown().await;
    drop(web);
    assert_eq!(status_of(&client).await, Some(200));
}
