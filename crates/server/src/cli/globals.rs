//! The options that every command takes, and the configuration they lead to.

use std::path::PathBuf;

use clap::Args;
use vouchsafe_protocol::SecretString;
use vouchsafe_store::Database;

use super::failure::Failure;
use super::output::Format;
use crate::config::{Config, Settings, Sources, process_environment};

const WHERE_TO_LOOK: &str =
    "name a configuration with --config FILE, or an instance of `vouchsafe dev` with --data-dir DIR";

/// The options that every command takes.
#[derive(Clone, Debug, Args)]
pub(super) struct Globals {
    /// Read the configuration from this TOML file
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Speak of the instance that `dev` keeps in this folder
    #[arg(long, global = true, value_name = "DIR")]
    pub(super) data_dir: Option<PathBuf>,
    /// How to print; a table on a terminal, json elsewhere
    #[arg(short, long, global = true, value_name = "FORMAT")]
    pub(super) output: Option<Format>,
}

impl Globals {
    /// Every setting in force, right or wrong.
    pub(super) fn settings(&self) -> Result<Settings, Failure> {
        let sources = Sources::new(self.config.clone(), process_environment(), Vec::new());
        let Some(dir) = &self.data_dir else {
            return Ok(Settings::load(&sources));
        };
        if !dir.is_dir() {
            let text = format!(
                "there is no instance in {}; `vouchsafe dev` makes one",
                dir.display()
            );
            return Err(Failure::unreachable(text));
        }
        Ok(Settings::load(&sources.with_presets(crate::dev::presets(dir))))
    }

    /// The whole configuration.
    pub(super) fn config(&self) -> Result<Config, Failure> {
        self.settings()?
            .config()
            .map_err(|error| self.hinted(error.into()))
    }

    /// The address of the database, which is all that some commands need.
    pub(super) fn database_url(&self) -> Result<SecretString, Failure> {
        let database = self
            .settings()?
            .database()
            .map_err(|error| self.hinted(error.into()))?;
        Ok(database.url)
    }

    fn hinted(&self, failure: Failure) -> Failure {
        match (&self.config, &self.data_dir) {
            (None, None) => failure.with_hint(WHERE_TO_LOOK),
            _ => failure,
        }
    }
}

/// The file of a database that is one; none for another kind.
pub(super) fn database_file(url: &SecretString) -> Option<PathBuf> {
    Database::file_of(url.expose())
}

/// Says clearly that a database file is missing, which the database itself does not.
pub(super) fn database_exists(url: &SecretString) -> Result<(), Failure> {
    match database_file(url) {
        Some(file) if !file.exists() => {
            let text = format!(
                "there is no database at {}; `vouchsafe db migrate` makes it",
                file.display()
            );
            Err(Failure::unreachable(text))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_a_database_is_found_in_its_url() {
        let file = |url: &str| database_file(&SecretString::new(url.to_owned()));
        assert_eq!(file("sqlite:a/b.db"), Some(PathBuf::from("a/b.db")));
        assert_eq!(
            file("sqlite:///var/b.db?mode=rw"),
            Some(PathBuf::from("/var/b.db"))
        );
        assert_eq!(file("postgres://u:p@host/db"), None);
    }
}
