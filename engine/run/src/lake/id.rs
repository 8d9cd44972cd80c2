//! The name of a table in the lake.

use std::fmt;
use std::str::FromStr;

use connectors::{Error, ErrorKind, Result};
use iceberg::{NamespaceIdent, TableIdent};

/// The name of a table: a namespace (dots separate its levels) and a name in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId {
    /// The namespace.
    pub namespace: String,
    /// The name in the namespace.
    pub name: String,
}

impl TableId {
    /// A table of this name.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// The Iceberg library's form of it.
    pub(super) fn ident(&self) -> Result<TableIdent> {
        let levels = self.namespace.split('.').map(str::to_owned).collect();
        let namespace = NamespaceIdent::from_vec(levels).map_err(|error| {
            Error::new(
                ErrorKind::InvalidInput,
                "the namespace of the table is empty",
            )
            .with("table", self)
            .caused_by(error)
        })?;
        Ok(TableIdent::new(namespace, self.name.clone()))
    }
}

impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.namespace, self.name)
    }
}

impl FromStr for TableId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.rsplit_once('.') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
                Ok(Self::new(namespace, name))
            }
            _ => Err(Error::new(
                ErrorKind::InvalidInput,
                format!("`{text}` is not a table: write `namespace.table`"),
            )),
        }
    }
}
