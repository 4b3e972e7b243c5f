//! HTTP on what the listener yields.

mod connection;
mod limits;
mod protocol;
mod request;
mod tether;

#[cfg(test)]
mod tests;
