//! The task that follows one provider: its entry in Consul, and its keys.

use std::sync::Arc;

use consul_api::{Client, Update, config_entry as wire};
use futures_util::StreamExt;

use super::{
    JwtConfig,
    keeper::{Keeper, sentence},
    key_set::KeySet,
    provider::Provider,
    published::Reporter,
};

/// Follows it, for ever; the owner stops it by dropping the task.
pub(super) async fn provider(client: Client, config: JwtConfig, report: Reporter) {
    let mut watch = client.config_entries().jwt_provider(&*report.name).watch();
    let mut keeper: Option<Keeper> = None;
    loop {
        tokio::select! {
            item = watch.next() => match item {
                Some(Ok(Update { value, .. })) => keeper = adopt(&value, keeper, &config, &report),
                Some(Err(error)) => report.failed(sentence(&error)),
                None => return,
            },
            keys = next(&mut keeper) => match keys {
                Ok(keys) => report.keys(keys),
                Err(error) => report.failed(error),
            },
        }
    }
}

async fn next(keeper: &mut Option<Keeper>) -> Result<Arc<KeySet>, String> {
    match keeper {
        Some(keeper) => keeper.next().await,
        None => std::future::pending().await,
    }
}

/// Takes over an entry. Whoever keeps its keys goes on if they come from where they came from.
fn adopt(
    entry: &Option<wire::JwtProvider>,
    keeper: Option<Keeper>,
    config: &JwtConfig,
    report: &Reporter,
) -> Option<Keeper> {
    let Some(entry) = entry else {
        report.fault("there is no config entry `jwt-provider` of this name", None);
        return None;
    };
    let (provider, source) = match Provider::compile(entry) {
        Ok(compiled) => compiled,
        Err(fault) => {
            report.fault(&fault.to_string(), Provider::payload_header_of(entry));
            return None;
        }
    };
    let keeper = match keeper {
        Some(keeper) if keeper.source == source => keeper,
        _ => Keeper::new(source, config),
    };
    report.entry(provider, keeper.keys());
    Some(keeper)
}
