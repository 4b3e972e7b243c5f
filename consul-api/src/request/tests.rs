use super::*;

fn uri(request: &Request<serde_json::Value>, config: &Config) -> String {
    request
        .to_http(config)
        .expect("a request")
        .uri()
        .to_string()
}

#[test]
fn segments_and_parameters_are_escaped_whole() {
    let request = Request::get(["health", "service", "a/b c?é"]).query("filter", "a == \"b&c\"");
    assert_eq!(
        uri(&request, &Config::default()),
        "http://localhost:8500/v1/health/service/a%2Fb%20c%3F%C3%A9?filter=a%20%3D%3D%20%22b%26c%22"
    );
}

#[test]
fn a_segment_that_would_change_the_path_is_refused() {
    for name in ["", ".", ".."] {
        let request: Request<()> = Request::get(["health", "service", name]);
        let error = request.to_http(&Config::default()).expect_err("refused");
        assert!(error.is_invalid_request(), "{error}");
    }
}

#[test]
fn scope_of_the_configuration_gives_way_to_that_of_the_call() {
    let config = Config::default()
        .with_datacenter("dc1")
        .with_namespace("team");
    let request = Request::get(["x"]).query("dc", "dc2");
    assert_eq!(
        uri(&request, &config),
        "http://localhost:8500/v1/x?ns=team&dc=dc2"
    );
}

#[test]
fn prefix_of_the_address_stands_before_the_path() {
    let config = Config::new("https://gw.example/consul/").expect("an address");
    assert_eq!(
        uri(&Request::get(["x"]), &config),
        "https://gw.example/consul/v1/x"
    );
}

#[test]
fn a_server_name_is_dialled_and_the_host_kept_in_its_header() {
    let config = Config::new("https://10.0.0.1:8501")
        .expect("an address")
        .with_tls_server_name("server.dc1.consul");
    let request = Request::<()>::get(["x"])
        .to_http(&config)
        .expect("a request");
    assert_eq!(request.uri(), "https://server.dc1.consul:8501/v1/x");
    assert_eq!(request.headers()[header::HOST], "10.0.0.1:8501");
}

#[test]
fn patience_covers_the_servers_jitter() {
    let config = Config::default();
    let mut request: Request<()> = Request::get(["x"]);
    assert_eq!(request.patience(&config), config.timeout());
    request.set_cursor(Some(Cursor::Index(1)));
    assert!(request.patience(&config) > LONGEST_WAIT * 17 / 16);
    request.set_wait(Some(Duration::from_secs(16)));
    assert_eq!(
        request.patience(&config),
        Duration::from_secs(17) + config.timeout()
    );
}

#[test]
fn a_limit_that_no_clock_can_hold_is_no_limit() {
    let config = Config::default().with_timeout(Duration::MAX);
    let mut request: Request<()> = Request::get(["x"]);
    request.set_cursor(Some(Cursor::Index(1)));
    assert_eq!(request.patience(&config), Duration::MAX);
    request.set_wait(Some(Duration::MAX));
    let request = request.to_http(&config).expect("a request");
    assert_eq!(request.uri().query(), Some("index=1&wait=600000ms"));
}

#[test]
fn debug_shows_neither_body_nor_headers() {
    let request = Request::<()>::put(["acl", "login"]).json("secret-jwt");
    assert!(!format!("{request:?}").contains("secret"));
}
