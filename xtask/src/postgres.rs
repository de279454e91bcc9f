//! The PostgreSQL that the tests start for themselves: where its programs are, and how they get there.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command;

/// Names the folder of the programs; the tests read it too.
pub(crate) const FOLDER: &str = "VOUCHSAFE_PG_BIN";

/// Where Debian's packages put a folder for each version.
const VERSIONS: &str = "/usr/lib/postgresql";

/// What the tests run.
const PROGRAMS: [&str; 2] = ["initdb", "postgres"];

/// What a person types, and what root on Debian gets typed for them. The package must not start a server of its own.
const INSTALL: &str = "apt-get update && apt-get install -y --no-install-recommends postgresql-common && \
     sed -i 's/^#* *create_main_cluster *=.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf && \
     apt-get install -y --no-install-recommends postgresql";

/// Makes sure of PostgreSQL and gives the folder of its programs; the error says what to type.
pub(crate) fn ensure() -> Result<PathBuf, String> {
    if let Some(named) = std::env::var_os(FOLDER) {
        let named = command::root().join(named);
        return if has_programs(&named) {
            Ok(named)
        } else {
            Err(format!("{FOLDER} names {}, where no initdb is", named.display()))
        };
    }
    if let Some(found) = find() {
        return Ok(found);
    }
    if command::install(INSTALL)?
        && let Some(found) = find()
    {
        return Ok(found);
    }
    Err(format!(
        "the tests need PostgreSQL; install it, or set {FOLDER} to the folder of initdb, then run again:\n{INSTALL}"
    ))
}

fn find() -> Option<PathBuf> {
    let entries = std::fs::read_dir(VERSIONS).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let packaged = newest_first(names)
        .into_iter()
        .map(|version| Path::new(VERSIONS).join(version).join("bin"));
    packaged.chain(configured()).find(|folder| has_programs(folder))
}

/// What `pg_config` says, when it is there.
fn configured() -> Option<PathBuf> {
    let printed = command::output(Command::new("pg_config").arg("--bindir"))?;
    let printed = String::from_utf8(printed).ok()?;
    Some(PathBuf::from(printed.trim()))
}

fn has_programs(folder: &Path) -> bool {
    PROGRAMS.iter().all(|program| folder.join(program).is_file())
}

/// The names that are version numbers, the highest first.
fn newest_first(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut versions: Vec<(u32, String)> = names
        .filter_map(|name| Some((name.parse().ok()?, name)))
        .collect();
    versions.sort_unstable();
    versions.into_iter().rev().map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_numbers_and_the_newest_comes_first() {
        let names = ["9", "15", "common", "17", "15"].map(str::to_owned);
        assert_eq!(newest_first(names.into_iter()), ["17", "15", "15", "9"]);
        assert!(newest_first(std::iter::once("common".to_owned())).is_empty());
    }

    #[test]
    fn a_folder_counts_when_every_program_is_in_it() {
        let folder = std::env::temp_dir().join(format!("vouchsafe-postgres-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        for program in PROGRAMS {
            assert!(!has_programs(&folder));
            std::fs::write(folder.join(program), "").unwrap();
        }
        assert!(has_programs(&folder));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn the_package_makes_no_cluster_of_its_own() {
        let server = INSTALL.rfind("install").unwrap();
        assert!(INSTALL.find("create_main_cluster = false").unwrap() < server);
    }
}
