//! The tables of the state store, and how older ones become them.
//!
//! The files are compiled in. A file that was released is never changed: a change is a new file. (Listed by hand, since
//! `sqlx::migrate!` would compile every database driver once more, for the macro.)

use std::borrow::Cow;

use futures::FutureExt;
use futures::future::BoxFuture;
use sqlx::error::BoxDynError;
use sqlx::migrate::{Migration, MigrationSource, MigrationType};

/// One file: version, description, text.
type Script = (i64, &'static str, &'static str);

/// Migrations that are part of the program.
#[derive(Clone, Copy, Debug)]
pub(super) struct Embedded(&'static [Script]);

/// For SQLite.
pub(super) const SQLITE: Embedded = Embedded(&[
    (
        1,
        "run event",
        include_str!("migrations/sqlite/0001_run_event.sql"),
    ),
    (
        2,
        "decision",
        include_str!("migrations/sqlite/0002_decision.sql"),
    ),
    (3, "lease", include_str!("migrations/sqlite/0003_lease.sql")),
]);

/// For PostgreSQL.
pub(super) const POSTGRES: Embedded = Embedded(&[
    (
        1,
        "run event",
        include_str!("migrations/postgres/0001_run_event.sql"),
    ),
    (
        2,
        "decision",
        include_str!("migrations/postgres/0002_decision.sql"),
    ),
    (
        3,
        "lease",
        include_str!("migrations/postgres/0003_lease.sql"),
    ),
]);

impl MigrationSource<'static> for Embedded {
    fn resolve(self) -> BoxFuture<'static, Result<Vec<Migration>, BoxDynError>> {
        let migrations = self.0.iter().map(|&(version, description, sql)| {
            Migration::new(
                version,
                Cow::Borrowed(description),
                MigrationType::Simple,
                Cow::Borrowed(sql),
                false,
            )
        });
        let migrations = migrations.collect();
        async move { Ok(migrations) }.boxed()
    }
}
