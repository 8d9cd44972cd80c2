//! The DataFusion session of a run: memory that is bounded and spills, names taken as they are written.

use std::path::Path;
use std::sync::Arc;

use connectors::Result;
use datafusion::catalog::{MemorySchemaProvider, SchemaProvider, TableProvider};
use datafusion::dataframe::DataFrame;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::prelude::{SQLOptions, SessionConfig, SessionContext};
use datafusion::sql::TableReference;

use super::from_datafusion;

/// Rows in a batch between steps.
const BATCH_ROWS: usize = 8192;

/// The least and the most that a sort keeps back to merge what it has spilled, in bytes.
const SORT_RESERVE_BYTES: (usize, usize) = (64 << 10, 10 << 20);

/// What all sessions of an engine share.
#[derive(Clone)]
pub(crate) struct Resources {
    runtime: Arc<RuntimeEnv>,
    parallel: usize,
    sort_reserve_bytes: usize,
}

impl Resources {
    /// Memory for all queries together, after which they spill to `scratch`.
    pub(crate) fn new(memory_bytes: usize, parallel: usize, scratch: &Path) -> Result<Self> {
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(FairSpillPool::new(memory_bytes)))
            .with_temp_file_path(scratch)
            .build_arc()
            .map_err(from_datafusion)?;
        let (least, most) = SORT_RESERVE_BYTES;
        Ok(Self {
            runtime,
            parallel,
            sort_reserve_bytes: (memory_bytes / (8 * parallel.max(1))).clamp(least, most),
        })
    }
}

/// One session: the tables that a run's SQL can read.
pub(crate) struct Session {
    context: SessionContext,
}

impl Session {
    /// A session without tables.
    pub(crate) fn new(resources: &Resources) -> Self {
        let mut config = SessionConfig::new()
            .with_target_partitions(resources.parallel)
            .with_batch_size(BATCH_ROWS)
            .with_sort_spill_reservation_bytes(resources.sort_reserve_bytes)
            .with_information_schema(true);
        // Legacy systems have columns like `VisitID`: SQL means the name as it is written.
        config.options_mut().sql_parser.enable_ident_normalization = false;
        let runtime = Arc::clone(&resources.runtime);
        Self {
            context: SessionContext::new_with_config_rt(config, runtime),
        }
    }

    /// The context itself, for expressions.
    pub(crate) fn context(&self) -> &SessionContext {
        &self.context
    }

    /// Makes a step's rows readable under the step's name.
    pub(crate) fn register_step(&self, name: &str, table: Arc<dyn TableProvider>) -> Result<()> {
        let name = TableReference::bare(name);
        // Several transforms of a run may read one step, each through a table of its own over the same rows.
        self.context
            .deregister_table(name.clone())
            .and_then(|_| self.context.register_table(name, table))
            .map_err(from_datafusion)?;
        Ok(())
    }

    /// Makes a lake table readable as `namespace.name`.
    pub(crate) fn register_lake_table(
        &self,
        namespace: &str,
        name: &str,
        table: Arc<dyn TableProvider>,
    ) -> Result<()> {
        let catalog_name = self
            .context
            .state()
            .config_options()
            .catalog
            .default_catalog
            .clone();
        if let Some(catalog) = self.context.catalog(&catalog_name) {
            let schema = if let Some(schema) = catalog.schema(namespace) {
                schema
            } else {
                let schema: Arc<dyn SchemaProvider> = Arc::new(MemorySchemaProvider::new());
                catalog
                    .register_schema(namespace, Arc::clone(&schema))
                    .map_err(from_datafusion)?;
                schema
            };
            // Several transforms of a run may read one table: of the same snapshot, since they share a plan.
            if !schema.table_exist(name) {
                schema
                    .register_table(name.to_owned(), table)
                    .map_err(from_datafusion)?;
            }
        }
        Ok(())
    }

    /// A query's rows, not yet computed. Only queries: nothing that changes anything.
    pub(crate) async fn query(&self, sql: &str) -> Result<DataFrame> {
        let only_queries = SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false);
        self.context
            .sql_with_options(sql, only_queries)
            .await
            .map_err(from_datafusion)
    }

    /// The relations that a query names, `[name]` or `[namespace, name]`, with every mention counted.
    pub(crate) fn relations(&self, sql: &str) -> Result<Vec<Vec<String>>> {
        use datafusion::sql::sqlparser::ast::visit_relations;
        let state = self.context.state();
        let dialect = state.config_options().sql_parser.dialect;
        let statement = state
            .sql_to_statement(sql, &dialect)
            .map_err(from_datafusion)?;
        let mut relations = Vec::new();
        if let datafusion::sql::parser::Statement::Statement(statement) = statement {
            let _ = visit_relations(&*statement, |relation| {
                let parts = relation.0.iter().filter_map(|part| part.as_ident());
                relations.push(parts.map(|ident| ident.value.clone()).collect());
                std::ops::ControlFlow::<()>::Continue(())
            });
        }
        Ok(relations)
    }
}
