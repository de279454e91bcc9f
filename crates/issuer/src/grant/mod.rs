//! One file a grant; each reads as its section of the RFC.

pub(crate) mod authorization_code;
mod client_credentials;
mod device_code;
mod password;
mod refresh_token;
