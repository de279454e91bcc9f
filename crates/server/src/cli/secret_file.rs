//! A file for a secret that was just made: private, never over another file, and open before the secret exists.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use vouchsafe_protocol::SecretString;

use super::failure::Failure;

/// A new file of mode 0600; it goes away again unless a secret is kept in it.
pub(super) struct SecretFile {
    file: File,
    path: PathBuf,
    kept: bool,
}

impl SecretFile {
    /// Makes the file.
    pub(super) fn create(path: &Path) -> Result<Self, Failure> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        match options.open(path) {
            Ok(file) => Ok(Self {
                file,
                path: path.to_owned(),
                kept: false,
            }),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(Failure::refused(format!(
                "{} is there already; a secret never replaces a file",
                path.display()
            ))),
            Err(error) => Err(Failure::failed(format!(
                "cannot make {}: {error}",
                path.display()
            ))),
        }
    }

    /// Writes the secret, as it is, to the disk.
    pub(super) fn keep(mut self, secret: &SecretString) -> Result<(), Failure> {
        let written = self
            .file
            .write_all(secret.expose().as_bytes())
            .and_then(|()| self.file.sync_all());
        written.map_err(|error| {
            let path = self.path.display();
            Failure::failed(format!(
                "the secret is in force, but cannot be written to {path}: {error}"
            ))
            .with_hint("`vouchsafe client rotate-secret` gives another one")
        })?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for SecretFile {
    fn drop(&mut self) {
        if !self.kept {
            // What is left behind is an empty file, which harms nobody.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_gets_a_private_file_of_its_own() {
        let path = std::env::temp_dir().join(format!("vouchsafe-secret-file-{}", std::process::id()));
        let secret = SecretString::new("sesame".to_owned());
        drop(SecretFile::create(&path).unwrap());
        assert!(!path.exists());
        SecretFile::create(&path).unwrap().keep(&secret).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "sesame");
        #[cfg(unix)]
        {
            let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
            assert_eq!(mode & 0o777, 0o600);
        }
        assert_eq!(SecretFile::create(&path).err().unwrap().status(), 4);
        assert_eq!(fs::read_to_string(&path).unwrap(), "sesame");
        fs::remove_file(&path).unwrap();
    }
}
