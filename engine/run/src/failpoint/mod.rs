//! Failpoints: named places before and after every transition of a run, where a test lets something go wrong.
//!
//! Alive in debug builds only: in any other each of these functions is an empty one. Knows names and what happens
//! there; knows nothing of what lies between two points, nor where a script comes from.

#[cfg(debug_assertions)]
mod act;
#[cfg(debug_assertions)]
mod connection;
mod point;
mod script;

use connectors::Result;

#[cfg(debug_assertions)]
pub(crate) use self::act::{after, before, passed, passing};
#[cfg(debug_assertions)]
pub(crate) use self::connection::around;
pub use self::point::{Point, Side};
pub use self::script::{Action, Fault, Script};

/// Arms the failpoints of this process, once. Does nothing in a release build, which has none.
pub fn arm(script: &str) -> Result<()> {
    let script = Script::read(script)?;
    #[cfg(debug_assertions)]
    act::arm(script);
    #[cfg(not(debug_assertions))]
    drop(script);
    Ok(())
}

#[cfg(not(debug_assertions))]
mod absent {
    use std::future::{Ready, ready};

    use connectors::{Connection, Result};

    use super::Point;

    pub(crate) fn before(_: Point) -> Ready<Result<()>> {
        ready(Ok(()))
    }

    pub(crate) fn after(_: Point) -> Ready<Result<()>> {
        ready(Ok(()))
    }

    pub(crate) const fn passing(_: Point) {}

    pub(crate) const fn passed(_: Point) {}

    pub(crate) fn around(connection: Box<dyn Connection>) -> Box<dyn Connection> {
        connection
    }
}
#[cfg(not(debug_assertions))]
pub(crate) use self::absent::{after, around, before, passed, passing};
