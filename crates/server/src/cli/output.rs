//! The one place that prints: JSON for programs, aligned text for people, and errors in one line on the other stream.

use std::io::{self, BufRead as _, Write};

use serde::Serialize;
use serde_json::json;

use super::failure::Failure;

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    Table,
    Json,
}

/// Where a command prints, and how.
pub(super) struct Output<'a> {
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
    json: bool,
    json_errors: bool,
}

impl<'a> Output<'a> {
    /// Without a format that was asked for, people at a terminal get a table and programs get JSON.
    pub(super) fn new(
        out: &'a mut dyn Write,
        err: &'a mut dyn Write,
        asked: Option<Format>,
        terminal: bool,
    ) -> Self {
        let json = asked.map_or(!terminal, |format| format == Format::Json);
        Self {
            out,
            err,
            json,
            json_errors: asked == Some(Format::Json),
        }
    }

    /// Prints a value as JSON, or as the text that `people` makes of it.
    pub(super) fn show<T: Serialize + ?Sized>(
        &mut self,
        value: &T,
        people: impl FnOnce(&T) -> String,
    ) -> Result<(), Failure> {
        if !self.json {
            return self.text(&people(value));
        }
        let text = serde_json::to_string_pretty(value);
        let text = text.map_err(|error| Failure::failed(format!("cannot be written as JSON: {error}")))?;
        self.text(&format!("{text}\n"))
    }

    /// Prints a text as it is.
    pub(super) fn text(&mut self, text: &str) -> Result<(), Failure> {
        let written = self
            .out
            .write_all(text.as_bytes())
            .and_then(|()| self.out.flush());
        written.map_err(|error| Failure::failed(format!("cannot print: {error}")))
    }

    /// Tells people something that is no part of the answer.
    pub(super) fn note(&mut self, text: &str) {
        if !self.json_errors {
            // Whoever closed standard error does not want to know.
            let _ = writeln!(self.err, "{text}");
        }
    }

    /// Tells why a command was not carried out.
    pub(super) fn failure(&mut self, failure: &Failure) {
        if self.json_errors {
            let mut told = json!({ "error": failure.problems().join("; ") });
            if let (Some(hint), Some(members)) = (failure.hint(), told.as_object_mut()) {
                members.insert("hint".to_owned(), hint.into());
            }
            let _ = writeln!(self.err, "{told}");
            return;
        }
        for problem in failure.problems() {
            let _ = writeln!(self.err, "error: {}", plain(problem));
        }
        if let Some(hint) = failure.hint() {
            let _ = writeln!(self.err, "hint: {hint}");
        }
    }

    /// Tells why a command line was not understood, in the words of its parser.
    pub(super) fn usage_error(&mut self, text: &str) {
        let _ = if self.json_errors {
            let lines = text
                .lines()
                .map(str::trim)
                .take_while(|line| !line.starts_with("Usage"));
            let reason = lines
                .filter(|line| !line.is_empty())
                .collect::<Vec<_>>()
                .join(" ");
            let told = json!({ "error": reason.strip_prefix("error: ").unwrap_or(&reason) });
            writeln!(self.err, "{told}")
        } else {
            self.err.write_all(text.as_bytes())
        };
    }

    /// Asks at the terminal; everything but yes is no.
    pub(super) fn ask(&mut self, question: &str) -> Result<bool, Failure> {
        let mut answer = String::new();
        write!(self.err, "{question} [y/N] ")?;
        self.err.flush()?;
        io::stdin().lock().read_line(&mut answer)?;
        Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
    }
}

/// Rows under their heads, aligned.
pub(super) fn table<const N: usize>(head: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut lines = vec![head.map(str::to_owned)];
    lines.extend(rows.into_iter().map(|row| row.map(|cell| plain(&cell))));
    let mut widths = [0; N];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for line in &lines {
        let cells: Vec<String> = line
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// The properties of one thing, one a line; those without a value are left out.
pub(super) fn record<'n>(properties: impl IntoIterator<Item = (&'n str, String)>) -> String {
    let said: Vec<(&str, String)> = properties
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .collect();
    let width = said
        .iter()
        .map(|(name, _)| name.chars().count())
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for (name, value) in &said {
        text.push_str(&format!("{name:<width$}  {}\n", plain(value)));
    }
    text
}

/// A text that cannot steer a terminal.
fn plain(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(asked: Option<Format>, terminal: bool, act: impl FnOnce(&mut Output<'_>)) -> (String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        act(&mut Output::new(&mut out, &mut err, asked, terminal));
        (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    #[test]
    fn columns_are_aligned_and_lines_end_where_they_end() {
        let rows = [
            ["web".to_owned(), "é".to_owned()],
            ["a-long-id".to_owned(), String::new()],
        ];
        assert_eq!(
            table(["ID", "NAME"], rows),
            "ID         NAME\nweb        é\na-long-id\n"
        );
        assert_eq!(table(["ID", "NAME"], []), "ID  NAME\n");
    }

    #[test]
    fn a_record_leaves_out_what_is_not_said() {
        let text = record([
            ("id", "web".to_owned()),
            ("name", String::new()),
            ("scope", "a b".to_owned()),
        ]);
        assert_eq!(text, "id     web\nscope  a b\n");
    }

    #[test]
    fn nothing_shown_can_steer_a_terminal() {
        assert_eq!(
            table(["N"], [["a\u{1b}[2Jb\n".to_owned()]]),
            "N\na\u{fffd}[2Jb\u{fffd}\n"
        );
    }

    #[test]
    fn a_program_gets_json_and_a_terminal_gets_text() {
        let show = |out: &mut Output<'_>| {
            out.show(&[1, 2], |list| format!("{} items\n", list.len()))
                .unwrap()
        };
        assert_eq!(printed(None, true, show).0, "2 items\n");
        assert_eq!(printed(None, false, show).0, "[\n  1,\n  2\n]\n");
        assert_eq!(printed(Some(Format::Table), false, show).0, "2 items\n");
        assert_eq!(printed(Some(Format::Json), true, show).0, "[\n  1,\n  2\n]\n");
    }

    #[test]
    fn errors_are_one_line_each() {
        let failure = Failure::refused("no\nway").with_hint("try --yes");
        let tell = |out: &mut Output<'_>| out.failure(&failure);
        assert_eq!(printed(None, false, tell).1, "error: no way\nhint: try --yes\n");
        let told = printed(Some(Format::Json), false, tell).1;
        assert_eq!(told, "{\"error\":\"no way\",\"hint\":\"try --yes\"}\n");
    }

    #[test]
    fn a_line_that_was_not_understood_is_told_in_the_asked_format() {
        let tell = |out: &mut Output<'_>| out.usage_error("error: unknown\n\nUsage: vouchsafe\n");
        assert_eq!(
            printed(None, false, tell).1,
            "error: unknown\n\nUsage: vouchsafe\n"
        );
        assert_eq!(
            printed(Some(Format::Json), false, tell).1,
            "{\"error\":\"unknown\"}\n"
        );
    }
}
