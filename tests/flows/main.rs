//! One file a flow, in one binary.

mod audit;
mod by_role;
mod cli;
mod client_auth;
mod crash;
mod faults;
mod fuzz;
mod introspect;
mod jwt;
mod key_rotation;
mod metadata;
mod migrations;
mod refresh;
mod refresh_model;
mod refresh_races;
mod replicas;
mod revoke;
mod rollback;
mod secrets;
mod sign_in;
mod timeline;
mod token_request;
mod transport;
mod workspace;
