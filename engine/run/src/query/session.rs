//! The DataFusion session of a run: memory that is bounded and spills, names taken as they are written.

use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use connectors::Result;
use datafusion::catalog::{MemorySchemaProvider, SchemaProvider, TableProvider};
use datafusion::dataframe::DataFrame;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::optimizer::Analyzer;
use datafusion::prelude::{SQLOptions, SessionConfig, SessionContext};
use datafusion::sql::TableReference;

use super::date_part::CutAsDate;
use super::memory::SharedMemory;
use super::partial::SmallPartials;
use super::{from_datafusion, join};

/// The least memory with which all queries can do their work, in bytes.
pub const LEAST_MEMORY_BYTES: usize = 32 << 20;

/// The least and the most rows in a batch between steps.
const BATCH_ROWS: (usize, usize) = (1024, 8192);

/// What a row may have of one partition's memory if a batch is to be small against it, in bytes.
const BATCH_ROW_BYTES: usize = 4 << 10;

/// The memory below which one more partition would cost more than it brings, in bytes.
const PARTITION_BYTES: usize = 8 << 20;

/// The least and the most that a sort keeps back to merge what it has spilled, in bytes.
const SORT_RESERVE_BYTES: (usize, usize) = (64 << 10, 10 << 20);

/// The memory up to which what a sort holds is sorted in one piece: a merge of its batches would need as much again,
/// which it might not get.
const SMALL_MEMORY_BYTES: usize = 512 << 20;

/// Sorts and their merges that may have something kept back at the same time, in one partition.
const SORTS: usize = 32;

/// What all sessions of an engine share.
#[derive(Clone)]
pub(crate) struct Resources {
    runtime: Arc<RuntimeEnv>,
    memory_bytes: usize,
    partitions: usize,
}

impl Resources {
    /// Memory for all queries together, after which they spill to `scratch`; a query has at most `parallel` partitions.
    pub(crate) fn new(memory_bytes: usize, parallel: usize, scratch: &Path) -> Result<Self> {
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(SharedMemory::new(memory_bytes)))
            .with_temp_file_path(scratch)
            // What may be spilled is what there is room for.
            .with_max_temp_directory_size(u64::MAX)
            .build_arc()
            .map_err(from_datafusion)?;
        Ok(Self {
            runtime,
            memory_bytes,
            partitions: parallel.min(memory_bytes / PARTITION_BYTES).max(1),
        })
    }

    /// Rows in a batch: fewer where memory is small, since a merge holds batches of many files.
    fn batch_rows(&self) -> usize {
        let (least, most) = BATCH_ROWS;
        (self.memory_bytes / self.partitions / BATCH_ROW_BYTES).clamp(least, most)
    }

    fn sort_reserve_bytes(&self) -> usize {
        let (least, most) = SORT_RESERVE_BYTES;
        (self.memory_bytes / self.partitions / SORTS).clamp(least, most)
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
            .with_target_partitions(resources.partitions)
            .with_batch_size(resources.batch_rows())
            .with_sort_spill_reservation_bytes(resources.sort_reserve_bytes())
            .with_information_schema(true);
        if resources.memory_bytes <= SMALL_MEMORY_BYTES {
            config = config.with_sort_in_place_threshold_bytes(resources.memory_bytes);
        }
        // Legacy systems have columns like `VisitID`: SQL means the name as it is written.
        config.options_mut().sql_parser.enable_ident_normalization = false;
        config.options_mut().sql_parser.collect_spans = true;
        let mut rules = join::optimizer_rules(resources.memory_bytes);
        rules.push(Arc::new(SmallPartials));
        let mut analyzer = Analyzer::new();
        analyzer.add_function_rewrite(Arc::new(CutAsDate));
        let mut builder = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(Arc::clone(&resources.runtime))
            .with_default_features()
            .with_physical_optimizer_rules(rules);
        *builder.analyzer() = Some(analyzer);
        Self {
            context: SessionContext::new_with_state(builder.build()),
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
        match self.context.sql_with_options(sql, only_queries).await {
            Ok(frame) => Ok(frame),
            Err(error) => Err(Box::pin(self.refused(sql, error)).await),
        }
    }

    /// The columns of a query that can be computed. Some types are found not to go together only when a query is
    /// optimised.
    pub(crate) async fn columns_of_query(&self, sql: &str) -> Result<SchemaRef> {
        let frame = self.query(sql).await?;
        match self.context.state().optimize(frame.logical_plan()) {
            Ok(_) => Ok(Arc::new(frame.schema().as_arrow().clone())),
            Err(error) => Err(Box::pin(self.refused(sql, error)).await),
        }
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
