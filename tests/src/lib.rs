//! The test application: the real router on a real socket, a movable clock, a real database, and the requests that
//! flows are made of.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on fails where it is"
)]

mod app;
mod browser;
mod client;
mod clock;
mod database;
mod fuzz_targets;
mod http;
mod keeper;
mod logs;
mod postgres;
pub mod process;
mod proxy;

pub use app::{CLIENT_SECRET, Setup, TestApp, password_of};
pub use browser::{Browser, CALLBACK, CHALLENGE, Page, VERIFIER};
pub use client::{Answer, TestClient, claims_of, kid_of};
pub use clock::{START, TestClock};
pub use database::DatabaseKind;
pub use fuzz_targets::{fuzz_basic, fuzz_form, fuzz_jws, fuzz_refresh_token, fuzz_tokens};
pub use http::http_client;
pub use logs::captured_logs;
pub use postgres::{Cluster, Snapshot};
pub use proxy::Proxy;
