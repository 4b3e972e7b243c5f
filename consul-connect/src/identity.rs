//! Who I am: the leaf, the roots, and where they come from.

mod material;
pub mod source;

pub use material::{KeyPem, Material};
