//! Writes settings as TOML: single values for `config show`, a whole commented file for `config init`.

use super::schema::{KEYS, Key, Kind};

/// A configuration file in which every key stands commented with its help and its default.
#[must_use]
pub fn template() -> String {
    let mut text = String::from(
        "# Configuration of Vouchsafe. A line that begins with `#` and no space is a key with its default or an\n\
         # example: take away the `#` and change it. The environment (VOUCHSAFE_SECTION__KEY) wins over this\n\
         # file, flags win over both.\n",
    );
    let mut current = "";
    for key in KEYS {
        let (section, name) = key.path.rsplit_once('.').unwrap_or(("", key.path));
        if section != current {
            text.push_str(&format!("\n[{section}]\n"));
            current = section;
        }
        let need = if key.required { " Required." } else { "" };
        text.push_str(&format!("# {}{need}\n", key.help));
        text.push_str(&assignment(key, name));
    }
    text
}

fn assignment(key: &Key, name: &str) -> String {
    match (key.kind, key.default) {
        // An example of a secret itself would end up in use.
        (Kind::Secret, _) => format!(
            "# Or: {name} = \"...\", {}, or the file {} in $CREDENTIALS_DIRECTORY.\n#{name}_file = {}\n",
            key.variable(),
            key.path,
            quoted(key.example)
        ),
        (Kind::List, default) => format!("#{name} = {}\n", list(items(default.unwrap_or(key.example)))),
        (kind, default) => format!("#{name} = {}\n", scalar(kind, default.unwrap_or(key.example))),
    }
}

/// The items of a list written with commas.
pub(super) fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

/// A single value as TOML.
pub(super) fn scalar(kind: Kind, text: &str) -> String {
    match kind {
        Kind::Integer | Kind::Boolean => text.to_owned(),
        Kind::Text | Kind::Duration | Kind::Path | Kind::List | Kind::Secret => quoted(text),
    }
}

/// A list of strings as TOML.
pub(super) fn list<'a>(items: impl Iterator<Item = &'a str>) -> String {
    let items: Vec<String> = items.map(quoted).collect();
    format!("[{}]", items.join(", "))
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file;

    #[test]
    fn the_template_sets_nothing() {
        let mut problems = Vec::new();
        let entries = file::entries("t", &template(), &mut problems).unwrap();
        assert!(entries.is_empty());
        assert_eq!(problems, []);
    }

    #[test]
    fn the_template_without_marks_is_a_file_of_known_keys() {
        let text: String = template()
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(rest) if !rest.starts_with(' ') => format!("{rest}\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        let mut problems = Vec::new();
        let entries = file::entries("t", &text, &mut problems).unwrap();
        assert_eq!(problems, []);
        assert_eq!(entries.len(), KEYS.len());
    }

    #[test]
    fn values_are_toml() {
        assert_eq!(scalar(Kind::Integer, "2"), "2");
        assert_eq!(scalar(Kind::Path, "a\\b"), toml::Value::from("a\\b").to_string());
        assert_eq!(list(items("ES256, RS256,")), r#"["ES256", "RS256"]"#);
        assert_eq!(list(items("")), "[]");
    }
}
