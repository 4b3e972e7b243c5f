//! An entry of any kind.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser::SerializeMap};

use super::{
    JwtProvider, Mesh, ProxyDefaults, ServiceDefaults, ServiceIntentions, ServiceResolver,
    ServiceRouter, ServiceSplitter,
};
use crate::json::Json;

/// A config entry of any kind.
///
/// Every typed entry converts into it: `ConfigEntry::from(mesh)`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ConfigEntry {
    /// `jwt-provider`
    JwtProvider(Box<JwtProvider>),
    /// `mesh`
    Mesh(Box<Mesh>),
    /// `proxy-defaults`
    ProxyDefaults(Box<ProxyDefaults>),
    /// `service-defaults`
    ServiceDefaults(Box<ServiceDefaults>),
    /// `service-intentions`
    ServiceIntentions(Box<ServiceIntentions>),
    /// `service-resolver`
    ServiceResolver(Box<ServiceResolver>),
    /// `service-router`
    ServiceRouter(Box<ServiceRouter>),
    /// `service-splitter`
    ServiceSplitter(Box<ServiceSplitter>),
    /// Any other kind.
    Other(OtherEntry),
}

/// An entry of a kind that has no type here: gateways, routes, certificates, … .
#[derive(Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct OtherEntry {
    /// The kind.
    pub kind: String,
    /// Everything but the kind, by its name on the wire.
    pub fields: BTreeMap<String, Json>,
}

impl OtherEntry {
    /// An entry of a kind with a name. The name is one of the fields.
    #[must_use]
    pub fn new(kind: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            fields: BTreeMap::from([("Name".to_owned(), Json::String(name.into()))]),
        }
    }
}

impl fmt::Debug for OtherEntry {
    /// Without the fields' values: private keys of certificates are among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OtherEntry")
            .field("kind", &self.kind)
            .field("name", &self.fields.get("Name").and_then(Json::as_str))
            .field("fields", &self.fields.keys().collect::<Vec<_>>())
            .finish()
    }
}

macro_rules! kinds {
    ($($variant:ident = $kind:literal,)*) => {
        impl ConfigEntry {
            /// The kind, as on the wire.
            #[must_use]
            pub fn kind(&self) -> &str {
                match self {
                    $(Self::$variant(_) => $kind,)*
                    Self::Other(entry) => &entry.kind,
                }
            }
        }

        $(
            impl From<$variant> for ConfigEntry {
                fn from(entry: $variant) -> Self {
                    Self::$variant(Box::new(entry))
                }
            }

            impl TryFrom<ConfigEntry> for $variant {
                type Error = ConfigEntry;

                /// # Errors
                /// The entry itself, if it is of another kind.
                fn try_from(entry: ConfigEntry) -> Result<Self, ConfigEntry> {
                    match entry {
                        ConfigEntry::$variant(entry) => Ok(*entry),
                        other => Err(other),
                    }
                }
            }
        )*

        impl Serialize for ConfigEntry {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self {
                    $(Self::$variant(entry) => Tagged { kind: $kind, entry }.serialize(serializer),)*
                    Self::Other(entry) => {
                        let mut map = serializer.serialize_map(None)?;
                        map.serialize_entry("Kind", &entry.kind)?;
                        for (name, value) in &entry.fields {
                            map.serialize_entry(name, value)?;
                        }
                        map.end()
                    }
                }
            }
        }

        impl<'de> Deserialize<'de> for ConfigEntry {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                // The kind may stand anywhere in the object, so the whole is read before the type is known.
                let mut fields = BTreeMap::<String, Json>::deserialize(deserializer)?;
                let Some(Json::String(kind)) = fields.remove("Kind") else {
                    return Err(de::Error::missing_field("Kind"));
                };
                match kind.as_str() {
                    $($kind => typed(fields).map(Self::$variant),)*
                    _ => Ok(Self::Other(OtherEntry { kind, fields })),
                }
            }
        }
    };
}

kinds! {
    JwtProvider = "jwt-provider",
    Mesh = "mesh",
    ProxyDefaults = "proxy-defaults",
    ServiceDefaults = "service-defaults",
    ServiceIntentions = "service-intentions",
    ServiceResolver = "service-resolver",
    ServiceRouter = "service-router",
    ServiceSplitter = "service-splitter",
}

impl From<OtherEntry> for ConfigEntry {
    fn from(entry: OtherEntry) -> Self {
        Self::Other(entry)
    }
}

#[derive(Serialize)]
struct Tagged<'a, T> {
    #[serde(rename = "Kind")]
    kind: &'static str,
    #[serde(flatten)]
    entry: &'a T,
}

fn typed<T: de::DeserializeOwned, E: de::Error>(
    fields: BTreeMap<String, Json>,
) -> Result<Box<T>, E> {
    Json::Object(fields)
        .to_value()
        .map(Box::new)
        .map_err(|error| match std::error::Error::source(&error) {
            Some(cause) => E::custom(cause),
            None => E::custom(error),
        })
}
