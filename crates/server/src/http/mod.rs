//! The way from a socket to a handler and back: what must hold for every endpoint alike, so that no endpoint has to
//! remember it.

pub mod accept;
mod access;
pub mod address;
pub mod answer;
mod body;
mod finish;
pub mod pipeline;
pub mod rate_limit;
pub mod route;
mod share;
mod throttle;
pub mod tls;
