//! Compaction of one table: bins are read and written side by side, and committed as soon as there is enough.

use connectors::{ErrorKind, Result};
use futures::{StreamExt, stream};

use super::Compacted;
use crate::engine::Engine;
use crate::lake::{
    Bin, Compaction, CompactionRules, LakeTable, SortedBy, TableStage, WrittenFiles,
};
use crate::query::{from_datafusion, quoted};

/// Bytes of files that one commit replaces: what was done before it is not lost by what comes after.
const COMMIT_BYTES: u64 = 4 << 30;

/// The compaction of a table.
pub(super) struct Compacting<'a> {
    pub(super) engine: &'a Engine,
    pub(super) table: LakeTable,
    pub(super) rules: CompactionRules,
    /// By which its commits are found again.
    pub(super) id: String,
}

/// Bins that are written and not committed.
#[derive(Default)]
struct Batch<'b> {
    bins: Vec<&'b Bin>,
    written: Vec<WrittenFiles>,
}

impl Batch<'_> {
    fn bytes(&self) -> u64 {
        self.bins.iter().map(|bin| bin.bytes()).sum()
    }
}

impl Compacting<'_> {
    /// Compacts the table, or with `dry_run` says what there is to do.
    pub(super) async fn run(&self, dry_run: bool) -> Result<Compacted> {
        let lake = self.engine.lake().await?;
        let compaction = lake.compaction(&self.table, &self.rules).await?;
        let bins = compaction.bins();
        let mut kept = Compacted::default();
        if dry_run {
            for bin in bins {
                count(&mut kept, bin);
            }
            if bins.is_empty() {
                kept.manifests = compaction.manifests();
            }
            return Ok(kept);
        }
        kept.into = Some(0);
        if bins.is_empty() {
            if compaction.manifests() > 0 {
                let merged = self.commit(&compaction, Batch::default(), 0).await?;
                kept.manifests = if merged { compaction.manifests() } else { 0 };
            }
            return Ok(kept);
        }
        let stage = compaction.stage()?;
        let sorted_by = compaction.sorted_by();
        let write = async |bin| {
            let written = self.write(&compaction, &stage, &sorted_by, bin).await;
            written.map(|written| (bin, written))
        };
        let at_once = self.engine.parallel();
        let done = stream::iter(bins).map(write);
        let mut done = done.buffer_unordered(at_once).boxed();
        let (mut batch, mut number) = (Batch::default(), 0);
        while let Some(one) = done.next().await {
            let (bin, written) = one?;
            batch.bins.push(bin);
            batch.written.push(written);
            if batch.bytes() >= COMMIT_BYTES {
                let full = std::mem::take(&mut batch);
                self.end(&compaction, full, number, &mut kept).await?;
                number += 1;
            }
        }
        if !batch.bins.is_empty() {
            self.end(&compaction, batch, number, &mut kept).await?;
        }
        Ok(kept)
    }

    /// Reads the rows of a bin, in order where the table has one, and writes them.
    async fn write(
        &self,
        compaction: &Compaction,
        stage: &TableStage,
        sorted_by: &[SortedBy],
        bin: &Bin,
    ) -> Result<WrittenFiles> {
        let session = self.engine.session()?;
        session.register_step("bin", compaction.rows(bin))?;
        let columns = stage.table_schema()?;
        let columns: Vec<String> = columns
            .fields()
            .iter()
            .map(|field| quoted(field.name()))
            .collect();
        let mut sql = format!("SELECT {} FROM bin", columns.join(", "));
        let order: Vec<String> = sorted_by.iter().map(by).collect();
        if !order.is_empty() {
            sql = format!("{sql} ORDER BY {}", order.join(", "));
        }
        let frame = session.query(&sql).await?;
        let mut rows = frame.execute_stream().await.map_err(from_datafusion)?;
        let mut writer = stage.writer()?;
        while let Some(batch) = rows.next().await {
            writer.write(&batch.map_err(from_datafusion)?).await?;
        }
        writer.finish().await
    }

    /// Commits a batch, and counts what became of it.
    async fn end(
        &self,
        compaction: &Compaction,
        batch: Batch<'_>,
        number: usize,
        kept: &mut Compacted,
    ) -> Result<()> {
        let bins = batch.bins.clone();
        let files: usize = batch.written.iter().map(WrittenFiles::files).sum();
        let bytes: u64 = batch.written.iter().map(WrittenFiles::bytes).sum();
        if !self.commit(compaction, batch, number).await? {
            kept.left += bins.iter().map(|bin| bin.files()).sum::<usize>();
            return Ok(());
        }
        for bin in bins {
            count(kept, bin);
        }
        *kept.into.get_or_insert(0) += files;
        kept.into_bytes += bytes;
        Ok(())
    }

    /// Makes the files of a batch visible; false where somebody else has changed theirs meanwhile.
    async fn commit(
        &self,
        compaction: &Compaction,
        batch: Batch<'_>,
        number: usize,
    ) -> Result<bool> {
        let staged = compaction.staged(batch.written, &batch.bins)?;
        let id = format!("{}-{number}", self.id);
        let now_ms = self.engine.now().timestamp_millis();
        match staged.commit_maintenance(&id, now_ms).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::Conflict => {
                tracing::info!(%error, "files that others changed are left for the next time");
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

fn count(kept: &mut Compacted, bin: &Bin) {
    kept.files += bin.files();
    kept.bytes += bin.bytes();
    kept.deleted_rows += bin.deleted_rows();
}

/// A column of an order, in SQL.
fn by(sorted: &SortedBy) -> String {
    let direction = if sorted.descending { "DESC" } else { "ASC" };
    let nulls = if sorted.nulls_first { "FIRST" } else { "LAST" };
    format!("{} {direction} NULLS {nulls}", quoted(&sorted.column))
}
