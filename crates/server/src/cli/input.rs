//! What commands read: files named by flags, `-` for standard input, and nothing of a secret on the command line.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use vouchsafe_protocol::SecretString;
use zeroize::Zeroizing;

use super::failure::Failure;

/// No secret, password or token is longer, in bytes.
const LONGEST_SECRET: u64 = 64 << 10;
/// No file of clients, resources and roles is longer, in bytes.
const LONGEST_FILE: u64 = 16 << 20;

/// A secret or a password; one newline at its end is dropped.
pub(super) fn secret(path: &Path) -> Result<SecretString, Failure> {
    let text = read(path, LONGEST_SECRET)?;
    Ok(SecretString::new(without_newline(&text).to_owned()))
}

/// A token; white space around it is no part of it.
pub(super) fn token(path: &Path) -> Result<SecretString, Failure> {
    let text = read(path, LONGEST_SECRET)?;
    Ok(SecretString::new(text.trim().to_owned()))
}

/// A whole text.
pub(super) fn text(path: &Path) -> Result<String, Failure> {
    Ok(read(path, LONGEST_FILE)?.as_str().to_owned())
}

fn read(path: &Path, most: u64) -> Result<Zeroizing<String>, Failure> {
    let mut text = Zeroizing::new(String::new());
    let read = if path == Path::new("-") {
        io::stdin().lock().take(most + 1).read_to_string(&mut text)
    } else {
        File::open(path).and_then(|file| file.take(most + 1).read_to_string(&mut text))
    };
    let cannot = |why: &dyn Display| Failure::failed(format!("cannot read {}: {why}", shown(path)));
    read.map_err(|error| cannot(&error))?;
    if text.len() as u64 > most {
        return Err(cannot(&format!("longer than {most} bytes")));
    }
    Ok(text)
}

/// The name of a file as people know it.
pub(super) fn shown(path: &Path) -> String {
    if path == Path::new("-") {
        "standard input".to_owned()
    } else {
        path.display().to_string()
    }
}

/// Drops one newline at the end, as an editor or a shell leaves it.
fn without_newline(text: &str) -> &str {
    text.strip_suffix("\r\n")
        .or_else(|| text.strip_suffix('\n'))
        .unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_newline_at_the_end_is_dropped_and_no_more() {
        let cases = [
            ("secret", "secret"),
            ("secret\n", "secret"),
            ("secret\r\n", "secret"),
            ("secret\n\n", "secret\n"),
            (" se cret \n", " se cret "),
            ("\n", ""),
            ("", ""),
        ];
        for (text, kept) in cases {
            assert_eq!(without_newline(text), kept, "{text:?}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let failure = secret(Path::new("no-such-file")).unwrap_err();
        assert_eq!(failure.status(), 1);
        let problem = failure.problems().first().unwrap();
        assert!(problem.starts_with("cannot read no-such-file: "), "{problem}");
    }
}
