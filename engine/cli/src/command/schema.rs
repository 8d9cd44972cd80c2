//! `lakewright schema`: JSON Schemas of the specs, for editors.

use std::path::{Path, PathBuf};

use connectors::registry::{self, AnyConnector, OptionSchemas};
use connectors::{Error, ErrorKind};
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use crate::exit::Failure;
use crate::screen;

/// Print the JSON Schema of a kind of spec, for editors
///
/// An editor with a YAML language server completes and checks specs that begin with a line like
///
///   # yaml-language-server: $schema=schemas/pipeline.schema.json
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lakewright schema pipeline > pipeline.schema.json
  lakewright schema --all schemas")]
pub(super) struct Schema {
    /// The kind of spec
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    kind: Option<Kind>,

    /// Write the schemas of all kinds into this folder, as KIND.schema.json
    #[arg(long, value_name = "DIR")]
    all: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    Project,
    Connection,
    Domain,
    Pipeline,
}

impl Kind {
    const ALL: [Self; 4] = [
        Self::Project,
        Self::Connection,
        Self::Domain,
        Self::Pipeline,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Project => "project",
            Self::Connection => "connection",
            Self::Domain => "domain",
            Self::Pipeline => "pipeline",
        }
    }
}

impl Schema {
    pub(super) fn execute(self) -> Result<(), Failure> {
        match (&self.all, self.kind) {
            (Some(folder), _) => write_all(folder),
            (None, Some(kind)) => screen::answer(&text(kind)?),
            (None, None) => Err(Failure::usage("which kind?")),
        }
    }
}

fn write_all(folder: &Path) -> Result<(), Failure> {
    let unwritable = |path: &Path, error: std::io::Error| {
        Error::new(ErrorKind::Unavailable, "a schema cannot be written")
            .with("path", path.display())
            .caused_by(error)
    };
    std::fs::create_dir_all(folder).map_err(|error| unwritable(folder, error))?;
    for kind in Kind::ALL {
        let path = folder.join(format!("{}.schema.json", kind.as_str()));
        std::fs::write(&path, text(kind)?).map_err(|error| unwritable(&path, error))?;
    }
    Ok(())
}

fn text(kind: Kind) -> Result<String, Failure> {
    let schema = spec::schemas()
        .into_iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(kind.as_str()));
    let Some((_, mut schema)) = schema else {
        let message = format!("there is no schema of `{}`", kind.as_str());
        return Err(Error::new(ErrorKind::Internal, message).into());
    };
    match kind {
        Kind::Connection => know_connectors(&mut schema, registry::all()),
        Kind::Pipeline => know_options(&mut schema, registry::all()),
        Kind::Project | Kind::Domain => {}
    }
    Ok(format!("{schema:#}\n"))
}

/// Teaches the schema of a pipeline what can be told to connectors. Which connector a step's connection is of stands in
/// another file, so that the options of any that reads, or writes, will do.
fn know_options(schema: &mut Value, connectors: &[&dyn AnyConnector]) {
    let reads = |connector: &dyn AnyConnector| connector.capability().source.is_some();
    let writes = |connector: &dyn AnyConnector| connector.capability().sink.is_some();
    let of = |schemas: OptionSchemas| [schemas.read, schemas.write];
    let places: [(&str, Able); 2] = [("ExtractSpec", reads), ("LoadSpec", writes)];
    for (place, (step, able)) in places.into_iter().enumerate() {
        let mut choices: Vec<(Vec<&str>, Value)> = Vec::new();
        for connector in connectors.iter().filter(|connector| able(**connector)) {
            let schemas = of(connector.schemas(&mut inlined().into_generator()));
            let Some(options) = schemas
                .into_iter()
                .nth(place)
                .map(schemars::Schema::to_value)
            else {
                continue;
            };
            match choices.iter_mut().find(|(_, known)| *known == options) {
                Some((kinds, _)) => kinds.push(connector.kind()),
                None => choices.push((vec![connector.kind()], options)),
            }
        }
        let choices = choices.into_iter().map(|(kinds, mut options)| {
            if let Some(options) = options.as_object_mut() {
                options.insert("title".into(), kinds.join(", ").into());
            }
            options
        });
        let choices: Vec<Value> = choices.collect();
        let options = format!("/$defs/{step}/properties/options");
        if let Some(options) = schema.pointer_mut(&options).and_then(Value::as_object_mut) {
            options.insert("anyOf".into(), Value::Array(choices));
        }
    }
}

/// Whether a connector can be asked for something.
type Able = fn(&dyn AnyConnector) -> bool;

/// Inlined, because two connectors may use one name for different types.
fn inlined() -> SchemaSettings {
    SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true)
}

/// Teaches the schema of a connection which connectors there are, and which options belong to each.
fn know_connectors(schema: &mut Value, connectors: &[&dyn AnyConnector]) {
    let kinds: Vec<&str> = connectors
        .iter()
        .map(|connector| connector.kind())
        .collect();
    if let Some(connector) = schema
        .pointer_mut("/properties/connector")
        .and_then(Value::as_object_mut)
    {
        connector.insert("enum".into(), json!(kinds));
    }
    let choices: Vec<Value> = connectors
        .iter()
        .map(|connector| {
            let options = connector.schemas(&mut inlined().into_generator());
            let options = options.connection.to_value();
            // Whoever must say something must have `options:` to say it in.
            let must = options.get("required").is_some();
            let required = if must { json!(["options"]) } else { json!([]) };
            json!({
                "if": { "properties": { "connector": { "const": connector.kind() } }, "required": ["connector"] },
                "then": { "properties": { "options": options }, "required": required },
            })
        })
        .collect();
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("allOf".into(), Value::Array(choices));
    }
}
