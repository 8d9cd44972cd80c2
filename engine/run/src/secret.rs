//! Secrets of a project: environment variables, and files beside it.
//!
//! Besides the command line this is the only place that reads the environment. Knows nothing of who asks; a value goes
//! into a [`Secret`] at once and from there into no message.

use std::env::VarError;
use std::io;
use std::path::{Path, PathBuf};

use connectors::{Error, ErrorKind, Result, Secret, SecretRef, Secrets};

/// Resolves references to secrets for the project in one folder.
#[derive(Clone, Debug)]
pub(crate) struct ProjectSecrets {
    root: PathBuf,
}

impl ProjectSecrets {
    /// For the project in this folder: files are relative to it.
    pub(crate) fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    fn file(&self, path: &Path) -> Result<Secret> {
        let full = self.root.join(path);
        let shown = full.display();
        let mut text = std::fs::read_to_string(&full).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::new(
                ErrorKind::NotFound,
                format!("the secret file `{shown}` does not exist"),
            )
            .help(format!("write the secret to `{shown}`")),
            io::ErrorKind::PermissionDenied => Error::new(
                ErrorKind::PermissionDenied,
                format!("the secret file `{shown}` may not be read"),
            )
            .help(format!("give this user the right to read `{shown}`")),
            // The bytes of a file that is not text are in no error of the standard library.
            _ => Error::new(
                ErrorKind::InvalidData,
                format!("the secret file `{shown}` cannot be read as text"),
            )
            .caused_by(error),
        })?;
        if text.ends_with('\n') {
            text.pop();
            if text.ends_with('\r') {
                text.pop();
            }
        }
        Ok(Secret::new(text))
    }
}

impl Secrets for ProjectSecrets {
    fn resolve(&self, reference: &SecretRef) -> Result<Secret> {
        match reference {
            SecretRef::Env(name) => variable(name),
            SecretRef::File(path) => self.file(path),
        }
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "a secret that is declared as `{ env: NAME }` is read here and nowhere else"
)]
fn variable(name: &str) -> Result<Secret> {
    match std::env::var(name) {
        Ok(value) => Ok(Secret::new(value)),
        Err(VarError::NotPresent) => Err(Error::new(
            ErrorKind::NotFound,
            format!("the secret `{name}` is not set"),
        )
        .help(format!("set the environment variable `{name}`"))),
        // Without its cause: that one prints the value.
        Err(VarError::NotUnicode(_)) => Err(Error::new(
            ErrorKind::InvalidData,
            format!("the secret `{name}` is not UTF-8 text"),
        )
        .help(format!("set the environment variable `{name}` to text"))),
    }
}

/// A spec's reference, in the words of the connectors.
pub(crate) fn reference(of: &spec::model::SecretRef) -> SecretRef {
    match of {
        spec::model::SecretRef::Env(name) => SecretRef::Env(name.clone()),
        spec::model::SecretRef::File(path) => SecretRef::File(path.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_newline_at_the_end_of_a_file_is_dropped() -> Result<()> {
        let root = std::env::temp_dir().join(format!("secret-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir_all(&root).unwrap();
        std::fs::write(root.join("password"), " pass word \n\n").unwrap();
        let secrets = ProjectSecrets::new(&root);
        let secret = secrets.resolve(&SecretRef::File("password".into()))?;
        std::fs::remove_dir_all(&root).unwrap();
        assert_eq!(secret.expose(), " pass word \n");
        Ok(())
    }

    #[test]
    fn what_is_missing_is_named() {
        let secrets = ProjectSecrets::new("/nowhere");
        for (reference, name) in [
            (
                SecretRef::Env("LAKEWRIGHT_NO_SUCH_VARIABLE".into()),
                "`LAKEWRIGHT_NO_SUCH_VARIABLE`",
            ),
            (SecretRef::File("password".into()), "`/nowhere/password`"),
        ] {
            let error = secrets.resolve(&reference).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::NotFound);
            assert!(error.message().contains(name), "{error}");
            assert!(error.help_text().is_some_and(|help| help.contains(name)));
        }
    }
}
