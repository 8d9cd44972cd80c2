//! From a folder of specs to a checked project.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use connectors::{Error, ErrorKind, Incremental, Result, registry};
use sha2::{Digest as _, Sha256};
use spec::model::Project;
use spec::{Diagnostics, SourceFile, Texts};

/// Folders that hold no specs: state, build output, version control.
const SKIPPED: &[&str] = &["lake", "target", "node_modules"];

/// The most files that a project may have.
const MAX_FILES: usize = 20_000;

/// The largest file that is looked at, in bytes; what is larger is passed on cut, for the checker to refuse.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// How deep folders may be nested.
const MAX_DEPTH: usize = 32;

/// What a folder of specs says.
pub struct Loaded {
    /// The project; `None` when there are errors.
    pub project: Option<Project>,
    /// Everything that was found.
    pub diagnostics: Diagnostics,
    /// Where its SQL stands.
    pub texts: Texts,
    /// How many spec files there are.
    pub files: usize,
    /// What tells this state of the files from any other: 16 hexadecimal digits over their names and bytes.
    pub fingerprint: String,
}

/// Reads and checks all specs below a folder, for one environment.
pub fn load_project(root: &Path, environment: Option<&str>) -> Result<Loaded> {
    let mut paths = Vec::new();
    collect(root, root, 0, &mut paths)?;
    paths.sort();
    let mut files = Vec::with_capacity(paths.len());
    for path in paths {
        files.push(read(root, &path)?);
    }
    let specs = files
        .iter()
        .filter(|file| {
            Path::new(&file.path)
                .extension()
                .is_some_and(|end| end != "sql")
        })
        .count();
    let fingerprint = fingerprint(&files);
    let (project, diagnostics, texts) = spec::check(files, environment, &Registry);
    Ok(Loaded {
        fingerprint,
        project,
        diagnostics,
        texts,
        files: specs,
    })
}

fn fingerprint(files: &[SourceFile]) -> String {
    let mut digest = Sha256::new();
    for file in files {
        for part in [file.path.as_bytes(), &file.bytes] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
    }
    let digest = digest.finalize();
    digest.iter().take(8).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn collect(root: &Path, folder: &Path, depth: usize, paths: &mut Vec<PathBuf>) -> Result<()> {
    if depth > MAX_DEPTH {
        return Err(Error::new(
            ErrorKind::LimitExceeded,
            "folders of specs are nested too deeply",
        )
        .with("folder", folder.display()));
    }
    for entry in std::fs::read_dir(folder).map_err(|error| unreadable(folder, error))? {
        let entry = entry.map_err(|error| unreadable(folder, error))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let kind = entry
            .file_type()
            .map_err(|error| unreadable(&entry.path(), error))?;
        if name.starts_with('.')
            || (kind.is_dir() && folder == root && SKIPPED.contains(&name.as_ref()))
        {
            continue;
        }
        let path = entry.path();
        if kind.is_dir() {
            collect(root, &path, depth + 1, paths)?;
        } else if path
            .extension()
            .is_some_and(|end| end == "yaml" || end == "yml" || end == "sql")
        {
            paths.push(path);
        }
        if paths.len() > MAX_FILES {
            return Err(
                Error::new(ErrorKind::LimitExceeded, "there are too many spec files")
                    .with("folder", root.display())
                    .with("limit", MAX_FILES),
            );
        }
    }
    Ok(())
}

fn read(root: &Path, path: &Path) -> Result<SourceFile> {
    use std::io::Read as _;
    let file = std::fs::File::open(path).map_err(|error| unreadable(path, error))?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES)
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(path, error))?;
    let relative = path.strip_prefix(root).unwrap_or(path);
    let parts: Vec<_> = relative.iter().map(|part| part.to_string_lossy()).collect();
    Ok(SourceFile {
        path: parts.join("/"),
        bytes,
    })
}

fn unreadable(path: &Path, error: std::io::Error) -> Error {
    let (kind, help) = match error.kind() {
        std::io::ErrorKind::NotFound => (
            ErrorKind::NotFound,
            Some("`--project DIR` names the folder that holds `project.yaml`"),
        ),
        std::io::ErrorKind::PermissionDenied => (ErrorKind::PermissionDenied, None),
        _ => (ErrorKind::Unavailable, None),
    };
    let error = Error::new(kind, "specs cannot be read")
        .with("path", path.display())
        .caused_by(error)
        .retry(false);
    match help {
        Some(help) => error.help(help),
        None => error,
    }
}

/// The connectors there are, as the checker asks about them.
pub struct Registry;

impl spec::Connectors for Registry {
    fn kinds(&self) -> Vec<&'static str> {
        registry::all()
            .iter()
            .map(|connector| connector.kind())
            .collect()
    }

    fn capability(&self, kind: &str) -> Option<spec::Capability> {
        let capability = registry::find(kind)?.capability();
        Some(spec::Capability {
            source: capability.source.map(|source| spec::SourceCapability {
                sessions: source.sessions,
                queries: source.queries,
                changes: source.changes,
                incremental: match source.incremental {
                    Incremental::No => spec::Incremental::No,
                    Incremental::Column => spec::Incremental::Column,
                    Incremental::Files => spec::Incremental::Files,
                },
            }),
            sink: capability.sink.map(|sink| spec::SinkCapability {
                append: sink.append,
                replace: sink.replace,
                merge: sink.merge,
                remembers: sink.remembers,
            }),
        })
    }

    fn check_options(
        &self,
        kind: &str,
        place: spec::OptionsOf,
        options: &mut dyn erased_serde::Deserializer<'_>,
    ) -> Result<(), erased_serde::Error> {
        let place = match place {
            spec::OptionsOf::Connection => registry::OptionsOf::Connection,
            spec::OptionsOf::Read => registry::OptionsOf::Read,
            spec::OptionsOf::Write => registry::OptionsOf::Write,
        };
        registry::find(kind).map_or(Ok(()), |connector| connector.check(place, options))
    }
}
