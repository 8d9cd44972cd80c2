//! What happens at which failpoint, as it is written: `commit.swap.before=kill@2, state.ended.after=lost_reply`.

use std::fmt;
use std::time::Duration;

use connectors::{Error, ErrorKind, Result};

use super::point::{Point, Side};

/// What happens at a failpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// The process is gone, as by `kill -9`: nothing is unwound, flushed or told.
    Kill,
    /// The process stands still, as by `kill -STOP`, until it is told to go on.
    Stop,
    /// The world fails in a way that passes.
    Error,
    /// The disk is full.
    DiskFull,
    /// It takes this long.
    Delay(Duration),
    /// It was done, and whoever asked never hears of it.
    LostReply,
}

impl Action {
    /// Whether it can happen there.
    pub const fn fits(self, point: Point, side: Side) -> bool {
        match (self, side) {
            (Self::Kill | Self::Stop | Self::Delay(_), _) => true,
            // After a transition that somebody else makes, an error is the loss of a reply.
            (Self::Error, Side::After) => point.can_fail() && !point.has_reply(),
            (Self::Error, Side::Before) => point.can_fail(),
            (Self::DiskFull, Side::Before) => point.fills_a_disk(),
            (Self::LostReply, Side::After) => point.has_reply(),
            (Self::DiskFull, Side::After) | (Self::LostReply, Side::Before) => false,
        }
    }

    fn read(text: &str) -> Option<Self> {
        Some(match text {
            "kill" => Self::Kill,
            "stop" => Self::Stop,
            "error" => Self::Error,
            "disk_full" => Self::DiskFull,
            "lost_reply" => Self::LostReply,
            _ => Self::Delay(delay(text.strip_prefix("delay:")?)?),
        })
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill => f.write_str("kill"),
            Self::Stop => f.write_str("stop"),
            Self::Error => f.write_str("error"),
            Self::DiskFull => f.write_str("disk_full"),
            Self::Delay(delay) => write!(f, "delay:{}ms", delay.as_millis()),
            Self::LostReply => f.write_str("lost_reply"),
        }
    }
}

/// `5s` or `300ms`.
fn delay(text: &str) -> Option<Duration> {
    if let Some(millis) = text.strip_suffix("ms") {
        return millis.parse().ok().map(Duration::from_millis);
    }
    text.strip_suffix('s')?
        .parse()
        .ok()
        .map(Duration::from_secs)
}

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// At this transition.
    pub point: Point,
    /// On this side of it.
    pub side: Side,
    /// What.
    pub action: Action,
    /// The how-manieth time the point is reached, from one.
    pub time: u64,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            point,
            side,
            action,
            time,
        } = self;
        write!(f, "{point}.{side}={action}@{time}")
    }
}

impl Fault {
    fn read(text: &str) -> Result<Self> {
        let wrong = |what: &str| {
            Error::new(
                ErrorKind::InvalidInput,
                format!("`{text}` is no failpoint: {what}"),
            )
            .help("write it like `commit.swap.before=kill` or `file.close.after=delay:5s@2`")
        };
        let (place, done) = text.split_once('=').ok_or_else(|| wrong("it has no `=`"))?;
        let (name, side) = place
            .rsplit_once('.')
            .ok_or_else(|| wrong("it has no side"))?;
        let point = Point::ALL.into_iter().find(|point| point.name() == name);
        let point = point.ok_or_else(|| wrong("there is no such transition"))?;
        let mut sides = Side::BOTH.into_iter();
        let side = sides
            .find(|known| known.to_string() == side)
            .ok_or_else(|| wrong("its side is neither `before` nor `after`"))?;
        let (action, time) = done.split_once('@').unwrap_or((done, "1"));
        let action = Action::read(action).ok_or_else(|| wrong("there is no such action"))?;
        if !action.fits(point, side) {
            return Err(wrong("this cannot happen there"));
        }
        let time = time
            .parse()
            .ok()
            .filter(|time| *time > 0)
            .ok_or_else(|| wrong("what follows `@` is no number from 1"))?;
        Ok(Self {
            point,
            side,
            action,
            time,
        })
    }
}

/// What goes wrong in a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// The faults.
    pub faults: Vec<Fault>,
    /// Whether every point that is reached is told: `trace`.
    pub trace: bool,
}

impl Script {
    /// Reads faults with commas between.
    pub fn read(text: &str) -> Result<Self> {
        let mut script = Self::default();
        for part in text.split(',').map(str::trim) {
            match part {
                "" => {}
                "trace" => script.trace = true,
                fault => script.faults.push(Fault::read(fault)?),
            }
        }
        Ok(script)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let text = "commit.swap.before=kill@2, file.close.after=delay:5s,trace,state.ended.after=lost_reply";
        let script = Script::read(text).unwrap();
        assert!(script.trace);
        let faults: Vec<String> = script.faults.iter().map(ToString::to_string).collect();
        let wanted = [
            "commit.swap.before=kill@2",
            "file.close.after=delay:5000ms@1",
            "state.ended.after=lost_reply@1",
        ];
        assert_eq!(faults, wanted);
        for fault in faults {
            assert!(Script::read(&fault).is_ok(), "{fault}");
        }
    }

    #[test]
    fn nothing_is_guessed() {
        for wrong in [
            "commit.swap",
            "commit.swap=kill",
            "commit.swop.before=kill",
            "commit.swap.beside=kill",
            "commit.swap.before=die",
            "commit.swap.before=kill@0",
            "commit.swap.before=delay:5",
            "commit.swap.before=lost_reply",
            "commit.swap.after=error",
            "clean.files.before=error",
            "load.stage.before=disk_full",
        ] {
            let error = Script::read(wrong).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{wrong}");
        }
    }
}
