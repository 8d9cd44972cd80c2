//! What the checker must know of connectors, without knowing any.
//!
//! The crate that has the registry implements [`Connectors`]; this crate knows neither.

/// What a checker asks about connectors.
pub trait Connectors {
    /// All kinds, sorted.
    fn kinds(&self) -> Vec<&'static str>;

    /// What a kind can do; `None` where there is no such kind.
    fn capability(&self, kind: &str) -> Option<Capability>;

    /// Lets a kind read the options written at one of three places, and throws away what it read. Whoever implements
    /// it only has to deserialize: the deserializer keeps track of places and reports what does not fit.
    fn check_options(
        &self,
        kind: &str,
        place: OptionsOf,
        options: &mut dyn erased_serde::Deserializer<'_>,
    ) -> Result<(), erased_serde::Error>;
}

/// Where options are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionsOf {
    /// In a Connection.
    Connection,
    /// In an extract.
    Read,
    /// In a load.
    Write,
}

/// What a connector can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability {
    /// Reading, where it can.
    pub source: Option<SourceCapability>,
    /// Writing, where it can.
    pub sink: Option<SinkCapability>,
}

/// What a source can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceCapability {
    /// It reads the answer of a query, not only tables.
    pub queries: bool,
    /// How it reads only what is new.
    pub incremental: Incremental,
    /// It knows which rows of a table changed, deleted ones too.
    pub changes: bool,
    /// What is read holds sessions, of which there are few.
    pub sessions: bool,
}

/// How a source reads only what is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incremental {
    /// It cannot.
    No,
    /// By the value of a column that grows.
    Column,
    /// By files that were not there before.
    Files,
}

/// What a sink can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a thing that a sink can do or not, apart from the others"
)]
pub struct SinkCapability {
    /// It adds rows.
    pub append: bool,
    /// It exchanges the whole content at once.
    pub replace: bool,
    /// It inserts and updates by key.
    pub merge: bool,
    /// It keeps with the rows how far their extracts have been read.
    pub remembers: bool,
}
