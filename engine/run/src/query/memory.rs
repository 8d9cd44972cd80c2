//! The memory that all queries share.
//!
//! Knows sizes and who asked; knows nothing of queries. The limit is where operators begin to spill. It is not passed
//! by more than what an operator needs to go on at all: a sort that is refused its first batch could only fail.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use datafusion::common::{Result, resources_datafusion_err};
use datafusion::execution::memory_pool::{
    MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation,
};

/// What every operator may hold whatever the others do, in bytes.
const FLOOR_BYTES: usize = 1 << 20;

/// What a small addition may be, which is granted a while longer: sorting a batch takes a little more than the batch.
const LITTLE_BYTES: usize = 64 << 10;
/// Up to where small additions are granted, in bytes.
const LITTLE_UNTIL_BYTES: usize = 4 << 20;

/// How DataFusion calls the merging half of a sort. When it is refused it merges fewer files at once.
const MERGE: &str = "ExternalSorterMerge";

/// The files that no merge can be of fewer.
const FILES_OF_A_MERGE: u32 = 2;

/// How DataFusion calls what merges sorted partitions: it holds a batch of each, and can do nothing with less.
const PARTITIONS_MERGE: &str = "SortPreservingMergeExec";

/// How DataFusion calls what hands rows from partition to partition. Refused, it writes them to files of which two that
/// are open can wait for each other for ever (<https://github.com/apache/datafusion/issues/24883>).
const REPARTITION: &str = "RepartitionExec";

/// The part of the limit that one of those may hold whatever the others do.
const REPARTITION_PART: usize = 4;

/// A limit in which every operator that can spill has an equal share for certain, and may borrow what nobody uses.
#[derive(Debug)]
pub(super) struct SharedMemory {
    limit: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    /// How many consumers can spill.
    spilling: usize,
    /// Bytes that they hold.
    spillable: usize,
    /// Bytes that all others hold.
    fixed: usize,
    /// How many files each merge was granted since it held none, by consumer.
    files: HashMap<usize, u32>,
}

impl SharedMemory {
    /// Memory of so many bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            held: Mutex::default(),
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a consumer that holds `has` may have `more`.
    fn grants(&self, held: &Held, consumer: &MemoryConsumer, has: usize, more: usize) -> bool {
        let little = consumer.can_spill() && more <= LITTLE_BYTES && has <= LITTLE_UNTIL_BYTES;
        if has < FLOOR_BYTES || little || consumer.name().starts_with(PARTITIONS_MERGE) {
            return true;
        }
        if consumer.name().starts_with(REPARTITION) && has + more <= self.limit / REPARTITION_PART {
            return true;
        }
        if consumer.can_spill() {
            let share = self.limit.saturating_sub(held.fixed) / held.spilling.max(1);
            return has + more <= share || held.spillable + held.fixed + more <= self.limit;
        }
        // What those that can spill have borrowed, they give back: it is not held against those that cannot. And no
        // merge is of fewer than two files.
        let needed = consumer.name().starts_with(MERGE)
            && held
                .files
                .get(&consumer.id())
                .is_none_or(|files| *files < FILES_OF_A_MERGE);
        needed || held.fixed + more <= self.limit
    }
}

impl fmt::Display for SharedMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} bytes", self.reserved(), self.limit)
    }
}

impl MemoryPool for SharedMemory {
    fn name(&self) -> &'static str {
        "shared"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        if consumer.can_spill() {
            self.held().spilling += 1;
        }
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        let mut held = self.held();
        held.files.remove(&consumer.id());
        if consumer.can_spill() {
            held.spilling = held.spilling.saturating_sub(1);
        }
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        let mut held = self.held();
        if reservation.consumer().can_spill() {
            held.spillable += additional;
        } else {
            held.fixed += additional;
        }
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        let mut held = self.held();
        if reservation.consumer().can_spill() {
            held.spillable = held.spillable.saturating_sub(shrink);
        } else {
            held.fixed = held.fixed.saturating_sub(shrink);
        }
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let mut held = self.held();
        let consumer = reservation.consumer();
        if !self.grants(&held, consumer, reservation.size(), additional) {
            let name = consumer.name();
            let (has, total) = (reservation.size(), held.spillable + held.fixed);
            return Err(resources_datafusion_err!(
                "{name} holds {has} bytes and wants {additional} more; {total} of {} are in use",
                self.limit
            ));
        }
        if consumer.name().starts_with(MERGE) {
            let files = held.files.entry(consumer.id()).or_default();
            *files = if reservation.size() == 0 {
                1
            } else {
                *files + 1
            };
        }
        if consumer.can_spill() {
            held.spillable += additional;
        } else {
            held.fixed += additional;
        }
        Ok(())
    }

    fn reserved(&self) -> usize {
        let held = self.held();
        held.spillable + held.fixed
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.limit)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const MIB: usize = 1 << 20;

    fn pool(limit: usize) -> Arc<dyn MemoryPool> {
        Arc::new(SharedMemory::new(limit))
    }

    fn consumer(name: &str, can_spill: bool, pool: &Arc<dyn MemoryPool>) -> MemoryReservation {
        MemoryConsumer::new(name)
            .with_can_spill(can_spill)
            .register(pool)
    }

    #[test]
    fn what_nobody_uses_can_be_borrowed_and_a_share_is_for_certain() {
        let pool = pool(10 * MIB);
        let first = consumer("first", true, &pool);
        let second = consumer("second", true, &pool);
        first.try_grow(10 * MIB).unwrap();
        assert!(first.try_grow(1).is_err());
        second.try_grow(2 * MIB).unwrap();
        second.try_grow(3 * MIB).unwrap();
        assert!(second.try_grow(1).is_err());
        first.free();
        second.try_grow(5 * MIB).unwrap();
    }

    #[test]
    fn the_first_batch_is_never_refused() {
        let pool = pool(4 * MIB);
        let holder = consumer("holder", false, &pool);
        holder.try_grow(4 * MIB).unwrap();
        assert!(holder.try_grow(1).is_err());
        let sort = consumer("ExternalSorter[0]", true, &pool);
        sort.try_grow(3 * MIB).unwrap();
        // What sorting it takes besides.
        sort.try_grow(500).unwrap();
        assert!(sort.try_grow(3 * MIB).is_err());
    }

    #[test]
    fn two_files_can_always_be_merged() {
        let pool = pool(4 * MIB);
        let holder = consumer("holder", false, &pool);
        holder.try_grow(4 * MIB).unwrap();
        let merge = consumer("ExternalSorterMerge[0]", false, &pool);
        merge.try_grow(3 * MIB).unwrap();
        merge.try_grow(2 * MIB).unwrap();
        assert!(merge.try_grow(3 * MIB).is_err());
        merge.free();
        merge.try_grow(5 * MIB).unwrap();
        merge.try_grow(2 * MIB).unwrap();
        assert!(merge.try_grow(2 * MIB).is_err());
    }
}
