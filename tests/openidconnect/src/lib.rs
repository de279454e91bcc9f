//! What the tests of the crate `openidconnect` work on: a running server, and a person who needs no browser.

mod person;
mod server;

pub use person::{Arrival, Page, Person};
pub use server::{Demo, Server};

/// A test stops at the first thing that goes wrong.
pub type Outcome<T> = Result<T, Box<dyn std::error::Error>>;
