//! Wire types: lenient to read, strict to write.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use crate::json::Json;

/// What a type of this crate does not know, by its name on the wire.
///
/// Kept where it can decide about security: someone who evaluates a rule must be able to see that there is more to it than they
/// understand, and refuse.
pub type Extra = BTreeMap<String, Json>;

/// Declares a wire struct.
///
/// Every field gets the same attributes, which is why this is a macro: a missing field and `null` read as the default (Consul's
/// lists and maps may be `null` anywhere), unknown fields are ignored, defaults are not written (some endpoints refuse unknown
/// keys, and an older server knows fewer). `+ extra` adds a field that keeps what is unknown.
macro_rules! wire {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $($(#[$field_meta:meta])* pub $field:ident: $type:ty,)*
        }
        $(+ $extra:ident)?
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "PascalCase", default)]
        #[non_exhaustive]
        pub struct $name {
            $(
                $(#[$field_meta])*
                #[serde(deserialize_with = "crate::wire::lenient", skip_serializing_if = "crate::wire::is_default")]
                pub $field: $type,
            )*
            $(
                /// What Consul sent and this type does not know.
                #[serde(flatten)]
                pub $extra: crate::wire::Extra,
            )?
        }
    };
}
pub(crate) use wire;

/// `null` reads as the default.
pub(crate) fn lenient<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Declares an enum of words with a variant for those unknown to us, so that a newer Consul does not break reading.
macro_rules! words {
    (
        $(#[$meta:meta])*
        pub enum $name:ident {
            $($(#[$variant_meta:meta])* $variant:ident = $word:literal,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(from = "String", into = "String")]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$variant_meta])* $variant,)*
            /// A word this crate does not know; empty: none was said.
            Other(String),
        }

        impl Default for $name {
            fn default() -> Self {
                Self::Other(String::new())
            }
        }

        impl $name {
            /// The word on the wire.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $word,)*
                    Self::Other(word) => word,
                }
            }
        }

        impl From<String> for $name {
            fn from(word: String) -> Self {
                match word.as_str() {
                    $($word => Self::$variant,)*
                    _ => Self::Other(word),
                }
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                match value {
                    $name::Other(word) => word,
                    known => known.as_str().to_owned(),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
pub(crate) use words;

#[cfg(test)]
mod tests {
    #![expect(unreachable_pub, reason = "the macro makes what the API shows")]

    wire! {
        /// Nested in the other.
        pub struct Inner {
            /// A list.
            pub list: Vec<String>,
            /// A map.
            pub map: std::collections::BTreeMap<String, u64>,
        }
        + extra
    }

    wire! {
        /// With every kind of field.
        pub struct Outer {
            /// Renamed.
            #[serde(rename = "ID")]
            pub id: String,
            /// An object.
            pub inner: Inner,
            /// A number that no f64 can hold.
            pub hash: u64,
            /// Perhaps.
            pub maybe: Option<bool>,
        }
    }

    #[test]
    fn missing_null_and_unknown_fields_are_read() {
        for json in [
            "{}",
            r#"{"ID":null,"Inner":null,"Hash":null,"Maybe":null,"New":[1]}"#,
            r#"{"Inner":{"List":null,"Map":null}}"#,
        ] {
            assert_eq!(
                serde_json::from_str::<Outer>(json).expect(json),
                Outer::default(),
                "{json}"
            );
        }
    }

    #[test]
    fn defaults_are_not_written_and_a_set_option_is() {
        let mut outer = Outer {
            maybe: Some(false),
            ..Outer::default()
        };
        outer.id = "x".to_owned();
        assert_eq!(
            serde_json::to_string(&outer).expect("json"),
            r#"{"ID":"x","Maybe":false}"#
        );
    }

    #[test]
    fn large_numbers_keep_every_digit() {
        let outer: Outer = serde_json::from_str(r#"{"Hash":18446744073709551615}"#).expect("json");
        assert_eq!(outer.hash, u64::MAX);
    }

    #[test]
    fn what_is_unknown_is_kept_where_it_is_asked_for() {
        let inner: Inner =
            serde_json::from_str(r#"{"List":["a"],"Port":{"Exact":1}}"#).expect("json");
        assert_eq!(inner.extra.keys().collect::<Vec<_>>(), ["Port"]);
        assert_eq!(
            serde_json::to_string(&inner).expect("json"),
            r#"{"List":["a"],"Port":{"Exact":1}}"#
        );
    }
}
