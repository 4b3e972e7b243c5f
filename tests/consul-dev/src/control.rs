//! What a test does to the server besides calling it.

mod authority;
mod contents;
mod peerings;
mod script;
