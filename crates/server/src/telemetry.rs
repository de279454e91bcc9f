//! The log: lines with stable event names, JSON or text, on stderr.

use tracing::Level;
use tracing_subscriber::fmt;

use crate::config::{LogConfig, LogFormat, LogLevel};

/// Starts the log of this process, and makes a panic one line of it without its words. Once; later calls change nothing.
pub fn start(config: &LogConfig) {
    let level = match config.level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Trace => Level::TRACE,
    };
    let log = fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_target(false)
        // Told of on standard error, which is what just failed: that would be a panic.
        .log_internal_errors(false);
    let started = match config.format {
        LogFormat::Json => log.json().flatten_event(true).try_init(),
        LogFormat::Text => log.try_init(),
    };
    if started.is_ok() {
        std::panic::set_hook(Box::new(|panic| {
            let place = panic.location().map(|at| format!("{}:{}", at.file(), at.line()));
            tracing::error!(event = "panic", place = place.as_deref());
        }));
    }
}
