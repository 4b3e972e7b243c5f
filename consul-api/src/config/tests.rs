use std::{collections::BTreeMap, error::Error as _};

use super::*;

fn from(pairs: &[(&str, &str)]) -> Result<Config, Error> {
    let map: BTreeMap<&str, &str> = pairs.iter().copied().collect();
    Config::from_lookup(|name| map.get(name).map(Into::into))
}

fn ok(pairs: &[(&str, &str)]) -> Config {
    from(pairs).expect("usable variables")
}

#[test]
fn nothing_set_is_the_local_agent_without_a_token() {
    let config = ok(&[]);
    assert_eq!(config.address().to_string(), "http://localhost:8500");
    assert!(
        config.token().is_anonymous()
            && !config.is_verification_off()
            && config.grpc_address().is_none()
    );
}

#[test]
fn all_sixteen_variables_are_read() {
    let seen = std::cell::RefCell::new(std::collections::BTreeSet::new());
    let _config = Config::from_lookup(|name| {
        seen.borrow_mut().insert(name.to_owned());
        None
    });
    assert_eq!(
        seen.into_inner().into_iter().collect::<Vec<_>>(),
        [
            "CONSUL_CACERT",
            "CONSUL_CAPATH",
            "CONSUL_CLIENT_CERT",
            "CONSUL_CLIENT_KEY",
            "CONSUL_GRPC_ADDR",
            "CONSUL_GRPC_CACERT",
            "CONSUL_GRPC_CAPATH",
            "CONSUL_HTTP_ADDR",
            "CONSUL_HTTP_AUTH",
            "CONSUL_HTTP_SSL",
            "CONSUL_HTTP_SSL_VERIFY",
            "CONSUL_HTTP_TOKEN",
            "CONSUL_HTTP_TOKEN_FILE",
            "CONSUL_NAMESPACE",
            "CONSUL_PARTITION",
            "CONSUL_TLS_SERVER_NAME",
        ]
    );
}

#[test]
fn ssl_makes_https_and_an_https_address_stays_so() {
    assert_eq!(
        ok(&[
            ("CONSUL_HTTP_SSL", "true"),
            ("CONSUL_HTTP_ADDR", "http://c:8501")
        ])
        .address()
        .to_string(),
        "https://c:8501"
    );
    assert!(
        ok(&[
            ("CONSUL_HTTP_SSL", "0"),
            ("CONSUL_HTTP_ADDR", "https://c:8501")
        ])
        .address()
        .is_tls()
    );
    assert!(
        ok(&[
            ("CONSUL_HTTP_SSL", "1"),
            ("CONSUL_HTTP_ADDR", "unix:///c.sock")
        ])
        .address()
        .is_tls()
    );
}

#[test]
fn a_mistyped_boolean_is_an_error_that_names_the_variable() {
    for name in ["CONSUL_HTTP_SSL", "CONSUL_HTTP_SSL_VERIFY"] {
        for value in ["yes", "flase", "TrUe", " true"] {
            let error = from(&[(name, value)]).expect_err("no boolean");
            assert!(
                error.is_config() && error.to_string().contains(name),
                "{error}"
            );
        }
    }
}

#[test]
fn verification_is_off_only_when_it_says_false() {
    assert!(ok(&[("CONSUL_HTTP_SSL_VERIFY", "false")]).is_verification_off());
    assert!(!ok(&[("CONSUL_HTTP_SSL_VERIFY", "true")]).is_verification_off());
    assert!(!ok(&[("CONSUL_HTTP_SSL_VERIFY", "")]).is_verification_off());
}

#[test]
fn a_token_file_wins_over_a_token() {
    let config = ok(&[
        ("CONSUL_HTTP_TOKEN", "value"),
        ("CONSUL_HTTP_TOKEN_FILE", "/secret/token"),
    ]);
    assert_eq!(*config.token(), Token::file("/secret/token"));
    assert_eq!(
        *ok(&[("CONSUL_HTTP_TOKEN", " value\n")]).token(),
        Token::new("value")
    );
}

#[test]
fn half_a_client_certificate_is_an_error() {
    let error = from(&[("CONSUL_CLIENT_CERT", "/c.pem")]).expect_err("no key");
    assert!(error.is_config() && error.to_string().contains("CONSUL_CLIENT_KEY"));
    assert!(from(&[("CONSUL_CLIENT_KEY", "/k.pem")]).is_err());
}

#[test]
fn a_bad_address_names_the_variable_and_the_cause() {
    let error = from(&[("CONSUL_GRPC_ADDR", "nope:nope")]).expect_err("no port");
    assert!(error.to_string().contains("CONSUL_GRPC_ADDR"));
    assert!(
        error
            .source()
            .is_some_and(|cause| cause.to_string().contains("port"))
    );
}

#[test]
fn server_name_loses_its_port() {
    for (given, kept) in [
        ("consul.local:8501", "consul.local"),
        ("consul.local", "consul.local"),
        ("[::1]:8501", "::1"),
        ("::1", "::1"),
    ] {
        assert_eq!(
            Config::default()
                .with_tls_server_name(given)
                .tls()
                .server_name
                .as_deref(),
            Some(kept)
        );
    }
}

#[test]
fn debug_shows_no_secret() {
    let config = ok(&[
        ("CONSUL_HTTP_TOKEN", "s3cret-token"),
        ("CONSUL_HTTP_AUTH", "ann:hunter2"),
    ])
    .with_client_certificate_pem("certificate", "-----BEGIN KEY");
    let debug = format!("{config:?} {config:#?}");
    for secret in ["s3cret", "hunter2", "BEGIN KEY"] {
        assert!(!debug.contains(secret), "{debug}");
    }
    assert!(debug.contains("ann"));
}

#[test]
fn basic_authentication_is_encoded_and_marked_as_a_secret() {
    let header = ok(&[("CONSUL_HTTP_AUTH", "ann:hunter2")])
        .basic_auth_header()
        .expect("valid")
        .expect("set");
    assert_eq!(header.to_str().ok(), Some("Basic YW5uOmh1bnRlcjI="));
    assert!(header.is_sensitive());
    let user_only = ok(&[("CONSUL_HTTP_AUTH", "ann")])
        .basic_auth_header()
        .expect("valid")
        .expect("set");
    assert_eq!(user_only.to_str().ok(), Some("Basic YW5uOg=="));
}
