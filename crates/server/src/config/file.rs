//! The TOML file as a list of entries, each with the line on which it stands.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::Problem;
use super::schema::{self, Found, Kind};
use super::sources::{Entry, Given, unknown};

/// Reads the text of a file called `name`. `None` when it is no TOML; what is wrong goes to `problems`.
pub(super) fn entries(name: &str, text: &str, problems: &mut Vec<Problem>) -> Option<Vec<Entry>> {
    let document = match DeTable::parse(text) {
        Ok(document) => document,
        // The error's own Display would quote the line, which may hold a secret.
        Err(error) => {
            let line = line_of(text, error.span().unwrap_or_default());
            problems.push(Problem::new(format!("{name}:{line}"), error.message()));
            return None;
        }
    };
    let mut walk = Walk {
        name,
        text,
        entries: Vec::new(),
        problems: Vec::new(),
    };
    walk.table("", document.get_ref());
    walk.problems.sort_by_key(|(line, _)| *line);
    problems.extend(walk.problems.into_iter().map(|(_, problem)| problem));
    Some(walk.entries)
}

fn line_of(text: &str, span: Range<usize>) -> usize {
    let before = text.get(..span.start).unwrap_or(text);
    before.matches('\n').count() + 1
}

struct Walk<'t> {
    name: &'t str,
    text: &'t str,
    entries: Vec<Entry>,
    problems: Vec<(usize, Problem)>,
}

impl Walk<'_> {
    fn table(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let path = if prefix.is_empty() {
                name.get_ref().to_string()
            } else {
                format!("{prefix}.{}", name.get_ref())
            };
            let line = line_of(self.text, name.span());
            // A dot inside a quoted name is part of the name, and no name has one.
            let found = if name.get_ref().contains('.') {
                None
            } else {
                schema::find(&path)
            };
            match (found, value.get_ref()) {
                (Some(found), value) => self.leaf(found, line, value),
                (None, DeValue::Table(inner)) if schema::is_section(&path) || !inner.is_empty() => {
                    self.table(&path, inner);
                }
                (None, _) if schema::is_section(&path) => {
                    self.problem(line, &format!("`{path}` is a section: write [{path}]"));
                }
                (None, _) => self
                    .problems
                    .push((line, unknown(&format!("{}:{line}", self.name), &path))),
            }
        }
    }

    fn leaf(&mut self, found: Found, line: usize, value: &DeValue<'_>) {
        let given = match (found.kind(), value) {
            (Kind::List, DeValue::Array(items)) => strings(items).map(Given::List),
            (Kind::Integer, DeValue::Integer(number)) if number.radix() == 10 => {
                Some(Given::Text(number.as_str().to_owned()))
            }
            (Kind::Boolean, DeValue::Boolean(flag)) => Some(Given::Text(flag.to_string())),
            (Kind::Text | Kind::Duration | Kind::Path | Kind::Secret, DeValue::String(text)) => {
                Some(Given::Text(text.to_string()))
            }
            _ => None,
        };
        if given.is_none() {
            self.problem(line, &format!("{}: want {}", found.path(), found.kind().wanted()));
        }
        self.entries.push(Entry {
            found,
            place: format!("{}:{line}", self.name),
            given,
        });
    }

    fn problem(&mut self, line: usize, message: &str) {
        self.problems
            .push((line, Problem::new(format!("{}:{line}", self.name), message)));
    }
}

fn strings(items: &[Spanned<DeValue<'_>>]) -> Option<Vec<String>> {
    items
        .iter()
        .map(|item| item.get_ref().as_str().map(str::to_owned))
        .collect()
}
