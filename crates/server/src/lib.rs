//! Vouchsafe listens: the accept loop, the endpoints, the configuration, the tasks and the command line.

pub mod api;
pub mod app;
pub mod cli;
pub mod config;
pub mod dev;
pub mod http;
pub mod machine;
mod outbound;
mod pages;
pub mod schema;
pub mod serve;
pub mod state;
pub mod tasks;
pub mod telemetry;
