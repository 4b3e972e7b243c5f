//! Short forms of what tests ask a server for all the time.

use serde_json::{Value, json};

use super::Agent;
use crate::Error;

impl Agent {
    /// Makes a token with the identity of a service: it may be that service and find the others. Returns its secret.
    ///
    /// # Errors
    /// When Consul refuses, as it does without ACLs.
    pub async fn service_token(&self, service: &str) -> Result<String, Error> {
        self.make_token(&json!({ "ServiceIdentities": [{ "ServiceName": service }] }))
            .await
    }

    /// Makes a token with these policy rules (HCL): `service "web" { policy = "write" }`. Returns its secret.
    ///
    /// # Errors
    /// When Consul refuses.
    pub async fn token_with_rules(&self, rules: &str) -> Result<String, Error> {
        let name = format!("lab-{:016x}", rand::random::<u64>());
        let policy = json!({ "Name": name, "Rules": rules });
        let policy = self.http().put("/v1/acl/policy", &policy).await?.ok()?;
        self.make_token(&json!({ "Policies": [{ "ID": policy["ID"] }] }))
            .await
    }

    async fn make_token(&self, request: &Value) -> Result<String, Error> {
        let token = self.http().put("/v1/acl/token", request).await?.ok()?;
        let secret = token["SecretID"].as_str();
        secret
            .map(str::to_owned)
            .ok_or_else(|| Error::new("making a token: the answer has no SecretID"))
    }

    /// Deletes the token with this secret.
    ///
    /// # Errors
    /// When Consul does not know it.
    pub async fn delete_token(&self, secret: &str) -> Result<(), Error> {
        let token = self.http_as(secret).get("/v1/acl/token/self").await?.ok()?;
        let accessor = token["AccessorID"].as_str().unwrap_or_default();
        self.http()
            .delete(&format!("/v1/acl/token/{accessor}"))
            .await?
            .ok()
            .map(drop)
    }

    /// Writes an L4 intention: `action` is `allow` or `deny`, either name may be `*`.
    ///
    /// # Errors
    /// When Consul refuses.
    pub async fn set_intention(
        &self,
        source: &str,
        destination: &str,
        action: &str,
    ) -> Result<(), Error> {
        let intention = json!({ "SourceType": "consul", "Action": action });
        self.http()
            .put(&exact(source, destination), &intention)
            .await?
            .ok()
            .map(drop)
    }

    /// Removes the intention between exactly these two names.
    ///
    /// # Errors
    /// When Consul refuses.
    pub async fn remove_intention(&self, source: &str, destination: &str) -> Result<(), Error> {
        self.http()
            .delete(&exact(source, destination))
            .await?
            .ok()
            .map(drop)
    }

    /// Writes a configuration entry: `{"Kind": "service-defaults", "Name": "web", "Protocol": "http"}`.
    ///
    /// # Errors
    /// When Consul refuses.
    pub async fn write_config_entry(&self, entry: &Value) -> Result<(), Error> {
        self.http().put("/v1/config", entry).await?.ok().map(drop)
    }

    /// Deletes a configuration entry; deleting one that is not there succeeds.
    ///
    /// # Errors
    /// When Consul refuses.
    pub async fn delete_config_entry(&self, kind: &str, name: &str) -> Result<(), Error> {
        self.http()
            .delete(&format!("/v1/config/{kind}/{name}"))
            .await?
            .ok()
            .map(drop)
    }
}

fn exact(source: &str, destination: &str) -> String {
    format!("/v1/connect/intentions/exact?source={source}&destination={destination}")
}
