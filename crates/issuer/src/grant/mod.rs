//! One file a grant; each reads as its section of the RFC.

mod client_credentials;
mod password;
mod refresh_token;
