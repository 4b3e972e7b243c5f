//! The `CONSUL_…` variables.

use std::ffi::OsString;

use super::{Address, Config};
use crate::{error::Error, token::Token};

impl Config {
    /// Reads the variables every Consul tool reads. An empty variable counts as not set.
    ///
    /// | variable | meaning |
    /// | --- | --- |
    /// | `CONSUL_HTTP_ADDR` | address; default `localhost:8500` |
    /// | `CONSUL_HTTP_TOKEN_FILE` | file with the token; wins over `CONSUL_HTTP_TOKEN`; read again when it changes |
    /// | `CONSUL_HTTP_TOKEN` | the token |
    /// | `CONSUL_HTTP_AUTH` | `user` or `user:password`, basic authentication |
    /// | `CONSUL_HTTP_SSL` | TLS also for an address that does not say `https://` |
    /// | `CONSUL_HTTP_SSL_VERIFY` | `false` accepts any server certificate, with a warning |
    /// | `CONSUL_CACERT`, `CONSUL_CAPATH` | PEM file, directory of PEM files to trust instead of the system's |
    /// | `CONSUL_CLIENT_CERT`, `CONSUL_CLIENT_KEY` | client certificate and key, PEM files; both or none |
    /// | `CONSUL_TLS_SERVER_NAME` | name to ask for and check, instead of the address's host |
    /// | `CONSUL_NAMESPACE`, `CONSUL_PARTITION` | Enterprise: the Community Edition refuses every call that carries them |
    /// | `CONSUL_GRPC_ADDR` | gRPC address |
    /// | `CONSUL_GRPC_CACERT`, `CONSUL_GRPC_CAPATH` | as above, for gRPC; default: those for HTTP |
    ///
    /// # Errors
    /// A configuration error that names the variable: text that is no address, a boolean that is neither true nor false
    /// (`1 t T TRUE true True 0 f F FALSE false False`), half a client certificate, text that is not UTF-8. Unlike Consul's own
    /// client, a mistyped `CONSUL_HTTP_SSL_VERIFY` does not switch verification off.
    pub fn from_env() -> Result<Self, Error> {
        Self::from_lookup(|name| std::env::var_os(name))
    }

    /// As [`from_env`](Self::from_env), with the variables from elsewhere: a test, or a configuration file of your own.
    ///
    /// # Errors
    /// As [`from_env`](Self::from_env).
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<OsString>) -> Result<Self, Error> {
        let text = |name: &'static str| -> Result<Option<String>, Error> {
            match lookup(name).map(OsString::into_string) {
                None => Ok(None),
                Some(Ok(value)) => Ok(Some(value).filter(|value| !value.is_empty())),
                Some(Err(_)) => Err(Error::config(format!("{name} is not UTF-8"))),
            }
        };
        let path = |name| lookup(name).filter(|value| !value.is_empty());

        let mut config = Self::default();
        if let Some(value) = text("CONSUL_HTTP_ADDR")? {
            config.address = address("CONSUL_HTTP_ADDR", &value)?;
        }
        if boolean("CONSUL_HTTP_SSL", text("CONSUL_HTTP_SSL")?)? == Some(true) {
            config = config.with_tls();
        }
        if boolean("CONSUL_HTTP_SSL_VERIFY", text("CONSUL_HTTP_SSL_VERIFY")?)? == Some(false) {
            config = config.danger_accept_invalid_certificates();
        }
        if let Some(file) = path("CONSUL_HTTP_TOKEN_FILE") {
            config.token = Token::file(file);
        } else if let Some(secret) = text("CONSUL_HTTP_TOKEN")? {
            config.token = Token::new(secret);
        }
        if let Some(value) = text("CONSUL_HTTP_AUTH")? {
            let (user, password) = value.split_once(':').unwrap_or((&value, ""));
            config = config.with_basic_auth(user, password);
        }
        if let Some(file) = path("CONSUL_CACERT") {
            config = config.with_ca_file(file);
        }
        if let Some(directory) = path("CONSUL_CAPATH") {
            config = config.with_ca_path(directory);
        }
        match (path("CONSUL_CLIENT_CERT"), path("CONSUL_CLIENT_KEY")) {
            (Some(certificate), Some(key)) => {
                config = config.with_client_certificate_files(certificate, key);
            }
            (Some(_), None) => {
                return Err(Error::config(
                    "CONSUL_CLIENT_CERT is set and CONSUL_CLIENT_KEY is not",
                ));
            }
            (None, Some(_)) => {
                return Err(Error::config(
                    "CONSUL_CLIENT_KEY is set and CONSUL_CLIENT_CERT is not",
                ));
            }
            (None, None) => {}
        }
        if let Some(name) = text("CONSUL_TLS_SERVER_NAME")? {
            config = config.with_tls_server_name(name);
        }
        if let Some(namespace) = text("CONSUL_NAMESPACE")? {
            config = config.with_namespace(namespace);
        }
        if let Some(partition) = text("CONSUL_PARTITION")? {
            config = config.with_partition(partition);
        }
        if let Some(value) = text("CONSUL_GRPC_ADDR")? {
            config = config.with_grpc_address(address("CONSUL_GRPC_ADDR", &value)?);
        }
        if let Some(file) = path("CONSUL_GRPC_CACERT") {
            config = config.with_grpc_ca_file(file);
        }
        if let Some(directory) = path("CONSUL_GRPC_CAPATH") {
            config = config.with_grpc_ca_path(directory);
        }
        Ok(config)
    }
}

fn address(name: &str, value: &str) -> Result<Address, Error> {
    value
        .parse()
        .map_err(|error| Error::config(format!("{name} cannot be used")).with_source(error))
}

fn boolean(name: &str, value: Option<String>) -> Result<Option<bool>, Error> {
    match value.as_deref() {
        None => Ok(None),
        Some("1" | "t" | "T" | "TRUE" | "true" | "True") => Ok(Some(true)),
        Some("0" | "f" | "F" | "FALSE" | "false" | "False") => Ok(Some(false)),
        Some(other) => Err(Error::config(format!(
            "{name} is neither true nor false: {other:?}"
        ))),
    }
}
