use proptest::prelude::*;

use super::*;

const TD: &str = "11111111-2222-3333-4444-555555555555.consul";

fn parsed(path: &str) -> Result<SpiffeId, InvalidSpiffeId> {
    format!("spiffe://{TD}{path}").parse()
}

#[test]
fn every_form_consul_issues_prints_as_it_was_read() {
    for path in [
        "",
        "/ns/default/dc/dc1/svc/web",
        "/ap/billing/ns/shop/dc/dc1/svc/web",
        "/agent/client/dc/dc1/id/node-1",
        "/ap/billing/agent/client/dc/dc1/id/node-1",
        "/agent/server/dc/dc1",
        "/gateway/mesh/dc/dc1",
        "/ap/billing/gateway/mesh/dc/dc1",
        "/ns/default/dc/dc1/svc/a%20b",
        "/ns/default/dc/dc1/svc/...",
    ] {
        let id = parsed(path).unwrap();
        assert_eq!(id.to_string(), format!("spiffe://{TD}{path}"));
        assert_eq!(id.trust_domain().as_str(), TD);
    }
}

#[test]
fn a_second_spelling_of_a_name_is_refused() {
    for path in [
        "/",
        "/ns/default/dc/dc1/svc/web/",
        "/ns/default/dc/dc1/svc/%77eb",
        "/ns/default/dc/dc1/svc/a%2fb",
        "/ns/default/dc/dc1/svc/a%2Fb",
        "/ns/default/dc/dc1/svc/a%00b",
        "/ns/default/dc/dc1/svc/a%25b",
        "/ns/default/dc/dc1/svc/a%5Cb",
        "/ns/default/dc/dc1/svc/a%e4%b8",
        "/ns/default/dc/dc1/svc/a%2",
        "/ns/default/dc/dc1/svc/a b",
        "/ns/default/dc/dc1/svc/*",
        "/ns/default/dc/dc1/svc/%2A",
        "/ns/default/dc/dc1/svc/..",
        "/ns/default/dc/dc1/svc/",
        "/ns/default//dc1/svc/web",
        "/ap/default/ns/default/dc/dc1/svc/web",
        "/ns/default/dc/dc1/svc/web?x=1",
        "/ns/default/dc/dc1/svc/web#x",
        "/ns/default/dc/dc1/svc/web/more",
        "/NS/default/dc/dc1/svc/web",
        "/ap/billing/agent/server/dc/dc1",
        "/dc/dc1/svc/web",
    ] {
        assert!(parsed(path).is_err(), "{path} was accepted");
    }
}

#[test]
fn the_authority_is_a_bare_lower_case_trust_domain() {
    for uri in [
        "spiffe:///ns/default/dc/dc1/svc/web",
        "SPIFFE://a.consul/ns/default/dc/dc1/svc/web",
        "https://a.consul/ns/default/dc/dc1/svc/web",
        "spiffe:/a.consul/ns/default/dc/dc1/svc/web",
        "spiffe://A.consul/ns/default/dc/dc1/svc/web",
        "spiffe://a.consul:80/ns/default/dc/dc1/svc/web",
        "spiffe://u@a.consul/ns/default/dc/dc1/svc/web",
        "spiffe://[::1]/ns/default/dc/dc1/svc/web",
        "spiffe://a%2Econsul/ns/default/dc/dc1/svc/web",
        " spiffe://a.consul/ns/default/dc/dc1/svc/web",
        "",
    ] {
        assert!(uri.parse::<SpiffeId>().is_err(), "{uri} was accepted");
    }
}

#[test]
fn the_error_names_the_id_and_the_problem() {
    let error = "spiffe://a.consul/nonsense"
        .parse::<SpiffeId>()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"not a SPIFFE id of a Consul mesh: "spiffe://a.consul/nonsense": its path is not one of Consul's forms"#
    );
}

#[test]
fn too_long_an_id_is_refused() {
    assert!(parsed(&format!("/ns/{}/dc/dc1/svc/web", "n".repeat(2048))).is_err());
}

#[test]
fn each_ascii_character_in_a_name_round_trips_or_is_refused() {
    for byte in 0u8..=127 {
        let name = format!("a{}b", char::from(byte));
        match name.parse::<ServiceName>() {
            Ok(service) => {
                let id = ServiceId::new(TD.parse().unwrap(), "dc1", service);
                assert_eq!(
                    id.to_string().parse::<SpiffeId>().unwrap(),
                    SpiffeId::Service(id)
                );
            }
            Err(_) => assert!(is_refused_in_names(byte), "{name:?} was refused"),
        }
    }
}

fn is_refused_in_names(byte: u8) -> bool {
    byte < 32 || byte == 127 || b"/\\*%?#".contains(&byte)
}

proptest! {
    #[test]
    fn parsing_never_panics_and_what_parses_prints_back(uri in "(spiffe://)?[ -~é%/.a-z]{0,60}") {
        if let Ok(id) = uri.parse::<SpiffeId>() {
            prop_assert_eq!(id.to_string(), uri);
        }
    }

    #[test]
    fn any_service_name_survives_the_way_through_a_uri(name in "\\PC{1,40}") {
        if let Ok(service) = name.parse::<ServiceName>() {
            let id = ServiceId::new(TD.parse().unwrap(), "dc1", service);
            let read = id.to_string().parse::<SpiffeId>().unwrap();
            prop_assert_eq!(read.as_service().unwrap().service().as_str(), name);
        }
    }
}
