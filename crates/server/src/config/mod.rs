//! The configuration: one TOML file, then the environment, then flags, read from one table of known keys and
//! checked as a whole before anything listens.

mod check;
mod duration;
mod error;
mod file;
mod init;
mod reader;
mod schema;
mod settings;
mod sources;
mod types;

pub use error::{ConfigError, Problem};
pub use init::template;
pub use settings::{Row, Settings};
pub use sources::{Sources, process_environment};
pub use types::{
    Config, DatabaseConfig, KeysConfig, LogConfig, LogFormat, LogLevel, OutboundConfig, PasswordsConfig,
    RegistrationConfig, RegistrationMode, ServerConfig, StateConfig, TokensConfig,
};
