//! The list of connectors, and what the engine sees of each.

use std::marker::PhantomData;

use async_trait::async_trait;
use schemars::{Schema, SchemaGenerator};

use crate::contract::{Capability, Connection, Connector, Opening};
use crate::error::{Error, ErrorKind, Result};
use crate::files;
use crate::memory::Memory;
use crate::postgres::Postgres;
use crate::sql_server::SqlServer;

/// Every connector, sorted by kind.
static CONNECTORS: &[&dyn AnyConnector] = &[
    &Erased::<files::Local>::new(),
    &Erased::<Memory>::new(),
    &Erased::<files::Minio>::new(),
    &Erased::<Postgres>::new(),
    &Erased::<files::S3>::new(),
    &Erased::<SqlServer>::new(),
];

/// All connectors, sorted by kind.
pub fn all() -> &'static [&'static dyn AnyConnector] {
    CONNECTORS
}

/// The connector of this kind.
pub fn find(kind: &str) -> Option<&'static dyn AnyConnector> {
    CONNECTORS
        .iter()
        .copied()
        .find(|connector| connector.kind() == kind)
}

/// Reads options from any format, so that whoever holds the text can say where a mistake is.
pub type OptionsReader<'a> = &'a mut dyn erased_serde::Deserializer<'static>;

/// A connector with its types erased: what the engine sees.
#[async_trait]
pub trait AnyConnector: Send + Sync {
    /// The word in `connector:`.
    fn kind(&self) -> &'static str;
    /// What it can do.
    fn capability(&self) -> Capability;
    /// The JSON Schemas of `options:` in a connection, an extract and a load.
    fn schemas(&self, generator: &mut SchemaGenerator) -> OptionSchemas;
    /// Checks `options:` without I/O, at one of the three places where they are written.
    fn check(
        &self,
        place: OptionsOf,
        options: &mut dyn erased_serde::Deserializer<'_>,
    ) -> Result<(), erased_serde::Error>;
    /// Opens a connection with options that were checked.
    async fn open(
        &self,
        options: serde_json::Value,
        opening: Opening<'_>,
    ) -> Result<Box<dyn Connection>>;
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

/// The JSON Schemas of a connector's options.
pub struct OptionSchemas {
    /// `options:` of a Connection.
    pub connection: Schema,
    /// `options:` of an extract.
    pub read: Schema,
    /// `options:` of a load.
    pub write: Schema,
}

/// Erases a [`Connector`].
struct Erased<C>(PhantomData<fn() -> C>);

impl<C> Erased<C> {
    const fn new() -> Self {
        Self(PhantomData)
    }
}

#[async_trait]
impl<C: Connector> AnyConnector for Erased<C> {
    fn kind(&self) -> &'static str {
        C::KIND
    }

    fn capability(&self) -> Capability {
        C::CAPABILITY
    }

    fn schemas(&self, generator: &mut SchemaGenerator) -> OptionSchemas {
        OptionSchemas {
            connection: generator.subschema_for::<C::Options>(),
            read: generator.subschema_for::<C::ReadOptions>(),
            write: generator.subschema_for::<C::WriteOptions>(),
        }
    }

    fn check(
        &self,
        place: OptionsOf,
        options: &mut dyn erased_serde::Deserializer<'_>,
    ) -> Result<(), erased_serde::Error> {
        match place {
            OptionsOf::Connection => erased_serde::deserialize::<C::Options>(options).map(drop),
            OptionsOf::Read => erased_serde::deserialize::<C::ReadOptions>(options).map(drop),
            OptionsOf::Write => erased_serde::deserialize::<C::WriteOptions>(options).map(drop),
        }
    }

    async fn open(
        &self,
        options: serde_json::Value,
        opening: Opening<'_>,
    ) -> Result<Box<dyn Connection>> {
        let options = serde_json::from_value(options).map_err(|error| {
            Error::new(
                ErrorKind::InvalidInput,
                "the options of the connection do not fit its connector",
            )
            .with("connector", C::KIND)
            .caused_by(error)
        })?;
        C::open(options, opening).await
    }
}
