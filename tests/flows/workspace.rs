//! The layout of the workspace: which crate may know which, who alone may name what, and how long a file may get.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails where it is")]

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// None for what the crate itself needs; `dev` or `build`.
    kind: Option<String>,
}

/// Every crate of ours and those of ours that it may know, for whatever purpose.
const LAYERS: &[(&str, &[&str])] = &[
    ("vouchsafe-protocol", &[]),
    ("vouchsafe-jose", &["vouchsafe-protocol"]),
    ("vouchsafe-verifier", &["vouchsafe-protocol", "vouchsafe-jose"]),
    ("vouchsafe-keys", &["vouchsafe-protocol", "vouchsafe-jose"]),
    ("vouchsafe-store", &["vouchsafe-protocol"]),
    (
        "vouchsafe-issuer",
        &[
            "vouchsafe-protocol",
            "vouchsafe-jose",
            "vouchsafe-verifier",
            "vouchsafe-keys",
            "vouchsafe-store",
        ],
    ),
    (
        "vouchsafe",
        &[
            "vouchsafe-protocol",
            "vouchsafe-jose",
            "vouchsafe-verifier",
            "vouchsafe-keys",
            "vouchsafe-store",
            "vouchsafe-issuer",
            "vouchsafe-migrations",
        ],
    ),
    ("vouchsafe-migrations", &[]),
    (
        "vouchsafe-tests",
        &[
            "vouchsafe-protocol",
            "vouchsafe-jose",
            "vouchsafe-verifier",
            "vouchsafe-keys",
            "vouchsafe-store",
            "vouchsafe-issuer",
            "vouchsafe-migrations",
            "vouchsafe",
        ],
    ),
    ("xtask", &[]),
];

/// Crates of others, and the only ones of ours that may need them.
const BOUND: &[(&[&str], &[&str])] = &[
    (
        &["sea-orm"],
        &["vouchsafe-store", "vouchsafe-migrations", "vouchsafe-tests"],
    ),
    (
        &["sea-orm-migration", "sqlx", "rusqlite", "libsqlite3-sys"],
        &["vouchsafe-store", "vouchsafe-migrations"],
    ),
    (&["jsonwebtoken"], &["vouchsafe-jose"]),
    (&["argon2"], &["vouchsafe-issuer"]),
    (&["rsa"], &["vouchsafe-keys"]),
    (
        &[
            "hyper",
            "hyper-util",
            "http-body-util",
            "tokio-rustls",
            "clap",
            "askama",
            "webpki-roots",
        ],
        &["vouchsafe"],
    ),
    (&["rustls"], &["vouchsafe", "vouchsafe-tests"]),
    // The verifier serves other people's applications too.
    (&["poem", "poem-openapi"], &["vouchsafe", "vouchsafe-verifier"]),
    (
        &["reqwest"],
        &["vouchsafe", "vouchsafe-tests", "vouchsafe-verifier"],
    ),
    (
        &["tokio"],
        &[
            "vouchsafe-verifier",
            "vouchsafe-store",
            "vouchsafe-issuer",
            "vouchsafe",
            "vouchsafe-tests",
        ],
    ),
];

/// What the tests inside a crate may need beyond that.
const BOUND_IN_TESTS: &[(&str, &str)] = &[("vouchsafe-jose", "rsa")];

/// Where a database may be named: behind the trait of backends, and where an operator names one in a setting.
const MAY_NAME_DATABASES: &[&str] = &[
    "crates/store/src/backend/",
    "crates/server/src/config/",
    "crates/server/src/dev.rs",
];

/// Where the machine may be asked for the time; everywhere else it is an argument.
const MAY_ASK_THE_TIME: &[&str] = &["crates/server/src/machine.rs", "crates/store/src/backend/"];

/// Lines of a file without its tests.
const LONGEST_FILE: usize = 400;

/// A name in the documents with as many words is one of a test.
const WORDS_OF_TEST: usize = 6;

/// Names as long that are none of tests.
const NO_TESTS: &[&str] = &["id_token_signing_alg_values_supported"];

fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap().to_owned()
}

fn packages() -> Vec<Package> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let metadata: Metadata = serde_json::from_slice(&output.stdout).unwrap();
    metadata.packages
}

/// Every source file under a folder of the repository, by its path in it.
fn sources(folder: &str) -> Vec<(String, String)> {
    files(folder, "rs")
}

/// Every file whose name ends so under a folder of the repository, by its path in it.
fn files(folder: &str, wanted: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == wanted) {
                let text = std::fs::read_to_string(&path).unwrap();
                let name = path.strip_prefix(root()).unwrap();
                found.push((name.to_str().unwrap().replace('\\', "/"), text));
            }
        }
    }
    found.sort();
    found
}

/// The sources of our libraries and of the server, without their own tests.
fn library_sources() -> Vec<(String, String)> {
    let inside = |path: &str| path.split('/').nth(2) == Some("src");
    let mut found = sources("crates");
    found.retain(|(path, _)| inside(path));
    found
}

/// The lines before the tests at the end of a file.
fn without_tests(text: &str) -> Vec<&str> {
    let lines: Vec<&str> = text.lines().collect();
    let tests = lines
        .windows(2)
        .position(|pair| matches!(pair, ["#[cfg(test)]", module] if module.starts_with("mod ")));
    match tests {
        Some(end) => lines.into_iter().take(end).collect(),
        None => lines,
    }
}

/// Every line of code, outside tests and comments, that holds one of these words in whatever case, unless it stands
/// where it may.
fn lines_with(words: &[&str], allowed: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in library_sources() {
        if allowed.iter().any(|place| path.starts_with(place)) {
            continue;
        }
        for (number, line) in without_tests(&text).into_iter().enumerate() {
            let code = !line.trim_start().starts_with("//");
            let lower = line.to_lowercase();
            if code && words.iter().any(|word| lower.contains(word)) {
                found.push(format!("{path}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    found
}

/// The names between backticks in a document that look like those of tests.
fn tests_named_in(text: &str) -> impl Iterator<Item = &str> {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    text.lines()
        .flat_map(|line| line.split('`').skip(1).step_by(2))
        .filter(move |name| name.bytes().all(is_letter) && name.split('_').count() >= WORDS_OF_TEST)
        .filter(|name| !NO_TESTS.contains(name))
}

/// The names of the functions in a source file.
fn functions_in(text: &str) -> impl Iterator<Item = &str> {
    let is_letter = |letter: char| letter.is_alphanumeric() || letter == '_';
    let ends = move |rest: &str| rest.find(|letter: char| !is_letter(letter)).unwrap_or(rest.len());
    text.split("fn ")
        .skip(1)
        .map(move |rest| rest.split_at(ends(rest)).0)
}

#[test]
fn dependencies_run_one_way() {
    let mut wrong = Vec::new();
    let packages = packages();
    for package in &packages {
        let Some((_, may_know)) = LAYERS.iter().find(|(name, _)| *name == package.name) else {
            wrong.push(format!("{} has no place in the layers", package.name));
            continue;
        };
        for needed in &package.dependencies {
            let ours = LAYERS.iter().any(|(name, _)| *name == needed.name);
            if ours && !may_know.contains(&needed.name.as_str()) {
                wrong.push(format!("{} knows {}", package.name, needed.name));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!(packages.len(), LAYERS.len(), "a crate is gone");
}

#[test]
fn what_one_crate_hides_no_other_needs() {
    let mut wrong = Vec::new();
    for package in packages() {
        for needed in &package.dependencies {
            let bound = BOUND
                .iter()
                .find(|(names, _)| names.contains(&needed.name.as_str()));
            let allowed = bound.is_none_or(|(_, by)| by.contains(&package.name.as_str()));
            let in_tests = needed.kind.as_deref() == Some("dev")
                && BOUND_IN_TESTS.contains(&(package.name.as_str(), needed.name.as_str()));
            if !allowed && !in_tests {
                wrong.push(format!("{} needs {}", package.name, needed.name));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn every_crate_takes_the_lints_of_the_workspace() {
    let without: Vec<String> = packages()
        .into_iter()
        .filter(|package| {
            let manifest = std::fs::read_to_string(&package.manifest_path).unwrap();
            let lines: Vec<&str> = manifest.lines().map(str::trim).collect();
            !lines
                .windows(2)
                .any(|pair| matches!(pair, ["[lints]", "workspace = true"]))
        })
        .map(|package| package.name)
        .collect();
    assert_eq!(without, Vec::<String>::new());
}

#[test]
fn a_database_is_named_behind_the_backend_and_in_settings_only() {
    let found = lines_with(&["sqlite", "postgres"], MAY_NAME_DATABASES);
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn the_time_is_an_argument() {
    let found = lines_with(&["systemtime::now", "instant::now"], MAY_ASK_THE_TIME);
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn no_file_is_longer_than_a_reader_likes() {
    let mut files = library_sources();
    for folder in ["migrations/src", "xtask/src", "tests/src"] {
        files.extend(sources(folder));
    }
    assert!(files.len() > 100, "the sources are somewhere else");
    let longer: Vec<String> = files
        .iter()
        .map(|(path, text)| (path, without_tests(text).len()))
        .filter(|(_, lines)| *lines > LONGEST_FILE)
        .map(|(path, lines)| format!("{path}: {lines} lines"))
        .collect();
    assert!(longer.is_empty(), "\n{}", longer.join("\n"));
}

#[test]
fn every_test_that_the_documents_name_is_there() {
    let folders = [
        "crates",
        "migrations",
        "tests/flows",
        "tests/src",
        "tests/soak",
        "xtask/src",
    ];
    let sources: Vec<(String, String)> = folders.into_iter().flat_map(sources).collect();
    let there: HashSet<&str> = sources.iter().flat_map(|(_, text)| functions_in(text)).collect();
    let documents = files("docs", "md");
    let named: Vec<(&str, &str)> = documents
        .iter()
        .flat_map(|(path, text)| tests_named_in(text).map(move |name| (path.as_str(), name)))
        .collect();
    assert!(named.len() > 100, "the documents are somewhere else");
    let gone: Vec<String> = named
        .into_iter()
        .filter(|(_, name)| !there.contains(name))
        .map(|(path, name)| format!("{path}: {name}"))
        .collect();
    assert!(gone.is_empty(), "\n{}", gone.join("\n"));
}
