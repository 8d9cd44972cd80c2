//! The memory that all queries share.
//!
//! Knows sizes and who asked; knows nothing of queries. The limit is where operators begin to spill. It is not passed
//! by more than what an operator needs to go on at all: a sort that is refused its first batch could only fail.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use datafusion::common::{Result, resources_datafusion_err};
use datafusion::execution::memory_pool::{
    MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation,
};

/// What every operator may hold whatever the others do, in bytes.
const FLOOR_BYTES: usize = 1 << 20;

/// How DataFusion calls the merging half of a sort. When it is refused it merges fewer files at once.
const MERGE: &str = "ExternalSorterMerge";

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
        if has < FLOOR_BYTES {
            return true;
        }
        if consumer.can_spill() {
            let share = self.limit.saturating_sub(held.fixed) / held.spilling.max(1);
            return has + more <= share || held.spillable + held.fixed + more <= self.limit;
        }
        // What those that can spill have borrowed, they give back: it is not held against those that cannot. And no
        // merge is of fewer than two files.
        let second_file = consumer.name().starts_with(MERGE) && more >= has;
        second_file || held.fixed + more <= self.limit
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
        if consumer.can_spill() {
            let mut held = self.held();
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
        sort.try_grow(8 * MIB).unwrap();
        assert!(sort.try_grow(1).is_err());
    }

    #[test]
    fn two_files_can_always_be_merged() {
        let pool = pool(4 * MIB);
        let holder = consumer("holder", false, &pool);
        holder.try_grow(4 * MIB).unwrap();
        let merge = consumer("ExternalSorterMerge[0]", false, &pool);
        merge.try_grow(3 * MIB).unwrap();
        merge.try_grow(3 * MIB).unwrap();
        assert!(merge.try_grow(3 * MIB).is_err());
    }
}
