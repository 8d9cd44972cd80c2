//! Which project a command is about: `--project` and `--env`, and what they lead to.

use std::path::PathBuf;
use std::str::FromStr;

use run::{Engine, Settings};
use spec::Texts;
use spec::model::{PipelineId, Project};

use crate::exit::Failure;
use crate::render::amount::parse_bytes;
use crate::screen;

/// How much memory an engine may use when nobody says.
pub(super) const DEFAULT_MEMORY: usize = 2 << 30;

/// The project a command is about.
#[derive(clap::Args, Clone)]
#[command(next_help_heading = "Project")]
pub(super) struct ProjectArguments {
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        default_value = ".",
        hide_default_value = true
    )]
    #[arg(help = "The project's folder; this folder when left out")]
    pub(super) project: PathBuf,

    /// The environment whose blocks replace those of the project, like `prod`
    #[arg(long, global = true, value_name = "NAME")]
    pub(super) env: Option<String>,
}

impl ProjectArguments {
    /// The project, checked. What it has findings about is printed on stderr.
    fn load(&self) -> Result<(Project, Texts), Failure> {
        let loaded = run::load_project(&self.project, self.env.as_deref())?;
        if !loaded.diagnostics.is_empty() {
            // `remark` takes the colours out again where nobody looks.
            screen::remark(loaded.diagnostics.render(true).trim_end());
        }
        match loaded.project {
            Some(project) if !loaded.diagnostics.has_errors() => Ok((project, loaded.texts)),
            _ => Err(Failure::Findings),
        }
    }

    /// An engine for the project.
    pub(super) fn engine(&self, settings: Settings) -> Result<Engine, Failure> {
        let (project, texts) = self.load()?;
        Ok(Engine::new(self.project.clone(), project, texts, settings))
    }

    /// An engine for commands that do not run pipelines.
    pub(super) fn engine_to_look(&self) -> Result<Engine, Failure> {
        self.engine(settings(DEFAULT_MEMORY, None))
    }
}

/// Reads how much memory queries may use.
pub(super) fn memory(text: &str) -> Result<usize, String> {
    let size = parse_bytes(text)?;
    if size < run::LEAST_MEMORY_BYTES {
        let least = run::LEAST_MEMORY_BYTES >> 20;
        return Err(format!(
            "queries cannot do with `{text}`: give them `{least}MiB` or more"
        ));
    }
    Ok(size)
}

/// Settings of an engine; one worker a core when `parallel` is left out.
pub(super) fn settings(memory_bytes: usize, parallel: Option<usize>) -> Settings {
    let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Settings {
        memory_bytes,
        parallel: parallel.unwrap_or_else(cores),
        ..Settings::default()
    }
}

/// The pipeline of this name, or what else there is.
pub(super) fn pipeline(project: &Project, name: &str) -> Result<PipelineId, Failure> {
    let known = PipelineId::from_str(name)
        .ok()
        .filter(|id| project.pipelines.contains_key(id));
    known.ok_or_else(|| unknown(project, name))
}

fn unknown(project: &Project, name: &str) -> Failure {
    let names: Vec<String> = project.pipelines.keys().map(ToString::to_string).collect();
    // Whoever forgets the domain means the pipeline of that name.
    let suffix = format!("/{name}");
    let near = names
        .iter()
        .find(|known| known.ends_with(&suffix))
        .map(String::as_str);
    let near = near.or_else(|| spec::nearest(name, names.iter().map(String::as_str)));
    let failure = Failure::usage(format!("no pipeline named `{name}`"));
    match near {
        Some(near) => failure.help(format!("did you mean `{near}`?")),
        None if names.is_empty() => failure.help("this project has no pipelines"),
        None => failure.help(format!("there are {}", listed(&names))),
    }
}

/// The most names that a message lists.
const LISTED: usize = 10;

fn listed(names: &[String]) -> String {
    let shown: Vec<String> = names
        .iter()
        .take(LISTED)
        .map(|name| format!("`{name}`"))
        .collect();
    let more = names.len().saturating_sub(LISTED);
    let rest = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    format!("{}{rest}", shown.join(", "))
}
