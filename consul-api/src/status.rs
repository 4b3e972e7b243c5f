//! Who leads (`/v1/status/…`). Needs no token.

use crate::{client::Client, read::Call, request::Request};

/// The calls of `/v1/status`: see [`Client::status`].
#[derive(Clone, Copy, Debug)]
pub struct Status<'a> {
    client: &'a Client,
}

impl Client {
    /// Who leads.
    #[must_use]
    pub fn status(&self) -> Status<'_> {
        Status { client: self }
    }
}

impl Status<'_> {
    /// The address of the leader; empty: there is none. `GET /v1/status/leader`
    pub fn leader(&self) -> Call<String> {
        Call::new(self.client, Request::get(["status", "leader"]))
    }

    /// The addresses of all servers. `GET /v1/status/peers`
    pub fn peers(&self) -> Call<Vec<String>> {
        Call::new(self.client, Request::get(["status", "peers"]))
    }
}
