//! State: what runs did, as a log that only grows, and the rights that keep a pipeline to one run at a time.
//!
//! The log is a record and not the truth: what was committed stands in the tables, and the log can be written again from
//! there. Nothing derived is stored; [`status::of`] computes it. Beside it stands what was decided about schedules, each
//! decision once. Knows nothing of how a plan is carried out, of the lake, and of when a pipeline is due.

mod alive;
mod decisions;
mod event;
mod fault;
mod head;
mod lease;
mod migration;
mod postgres;
mod record;
mod run_id;
mod sqlite;
mod standing;
pub mod status;
mod store;

use std::path::Path;
use std::time::Duration;

use connectors::{Result, Secrets};

pub use decisions::{OpenDecision, PastDecision};
pub use event::{Event, RunEvent};
pub(crate) use lease::running;
pub use lease::{Lease, Take};
pub use record::RunRecord;
pub use run_id::RunId;
pub use standing::Standing;
pub(crate) use standing::standing;
pub use status::RunStatus;
pub use store::StateStore;

/// Opens the store of the project in `root`. Nothing is created or connected to before it is used. `lease` is how long a
/// process may stand still before another takes over what it has.
#[allow(
    clippy::unused_async,
    reason = "the lazy pool of PostgreSQL needs the runtime that an async caller has"
)]
pub async fn open(
    store: &spec::model::StateStore,
    root: &Path,
    secrets: &dyn Secrets,
    lease: Duration,
) -> Result<Box<dyn StateStore>> {
    match store {
        spec::model::StateStore::Sqlite { path } => {
            Ok(Box::new(sqlite::SqliteStore::at(root.join(path), lease)))
        }
        spec::model::StateStore::Postgres { url } => {
            let url = secrets.resolve(&crate::secret::reference(url))?;
            Ok(Box::new(postgres::PostgresStore::new(&url, lease)?))
        }
    }
}
