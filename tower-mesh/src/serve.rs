//! HTTP on what the listener yields.

mod connection;
mod limits;
mod protocol;
mod request;
