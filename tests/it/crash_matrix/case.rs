//! One case of the matrix: a fault, what comes of it, and that everything is as it must be after it.

use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use run::failpoint::{Action, Fault, Point, Side};

use super::kind::{From, Kind, To};
use super::world::{PAST_LIMIT, Ran, World};

/// `kill -9`.
const SIGKILL: i32 = 9;
/// How often a run is tried again while the server has not seen yet that the dead one is gone.
const PATIENCE: u32 = 40;

/// What goes wrong, in the order of the columns that are published.
pub(super) const COLUMNS: [&str; 5] = ["kill", "error", "disk full", "delay", "lost reply"];

/// A fault, and another that it needs to be reached at all.
#[derive(Clone)]
pub(super) struct Case {
    pub(super) fault: Fault,
    needs: Option<Fault>,
}

/// The number of an action's column.
pub(super) const fn column(action: Action) -> usize {
    match action {
        Action::Kill | Action::Stop => 0,
        Action::Error => 1,
        Action::DiskFull => 2,
        Action::Delay(_) => 3,
        Action::LostReply => 4,
    }
}

/// All cases of a pipeline.
pub(super) fn cases(kind: &Kind) -> Vec<Case> {
    let mut cases = Vec::new();
    for (point, times) in kind.reached {
        for side in Side::BOTH {
            for action in actions(kind, *point, side) {
                if action != Action::Kill && !kind.fails.at(*point) {
                    continue;
                }
                let fault = |time| Fault {
                    point: *point,
                    side,
                    action,
                    time,
                };
                let case = |time| Case {
                    fault: fault(time),
                    needs: None,
                };
                cases.push(case(1));
                if action == Action::Kill && *times > 1 {
                    cases.push(case(*times));
                }
            }
        }
    }
    if kind
        .reached
        .iter()
        .any(|(point, _)| *point == Point::CommitSwap)
    {
        cases.extend(Side::BOTH.map(while_cleaning));
    }
    cases
}

/// Files are removed after a commit that failed: the process dies at it.
fn while_cleaning(side: Side) -> Case {
    let fault = |point, side, action| Fault {
        point,
        side,
        action,
        time: 1,
    };
    Case {
        fault: fault(Point::CleanFiles, side, Action::Kill),
        needs: Some(fault(Point::CommitSwap, Side::Before, Action::Error)),
    }
}

fn actions(kind: &Kind, point: Point, side: Side) -> Vec<Action> {
    let limited = match point {
        Point::ReadSplit => kind.from == From::Database,
        Point::SinkStage | Point::SinkCommit => kind.to == To::Mart,
        _ => false,
    };
    let delay = if limited {
        Action::Delay(past_limit())
    } else {
        Action::Delay(Duration::from_millis(20))
    };
    let all = [
        Action::Kill,
        Action::Error,
        Action::DiskFull,
        delay,
        Action::LostReply,
    ];
    let mut all = all.to_vec();
    all.retain(|action| action.fits(point, side));
    // Nobody can tell after which of two points nothing happened for a while.
    all.retain(|action| *action != delay || limited || side == Side::Before);
    all
}

fn past_limit() -> Duration {
    let seconds = PAST_LIMIT
        .strip_prefix("delay:")
        .and_then(|text| text.strip_suffix('s'));
    Duration::from_secs(seconds.unwrap().parse().unwrap())
}

/// What the same load does when nothing goes wrong.
pub(super) fn in_peace(world: &mut World) -> Ran {
    world.reset();
    world.arrives(world.kind.faulted);
    let ran = world.run("");
    assert!(ran.status.success(), "{}", ran.told);
    assert_eq!(world.content(), world.kind.expected(world.kind.faulted));
    for point in Point::ALL {
        let times = ran.times(&format!("{point}.before"));
        let mut known = world.kind.reached.iter();
        let said = known.find(|(known, _)| *known == point);
        // How many files there are may depend on who was faster.
        let said = said.map_or(0, |(_, times)| *times);
        let fits = times >= said && (times > 0) == (said > 0);
        let name = world.kind.name;
        assert!(
            fits,
            "`{name}` reaches `{point}` {times} times, kind.rs says {said}"
        );
    }
    ran
}

/// Lets it happen; what is wrong afterwards.
pub(super) fn judge(world: &mut World, case: &Case, peace: &Ran) -> Result<(), String> {
    world.reset();
    world.arrives(world.kind.faulted);
    let needs = case.needs.iter().map(ToString::to_string);
    let faults: Vec<String> = needs.chain([case.fault.to_string()]).collect();
    let ran = world.run(&faults.join(","));
    for fault in &faults {
        if !ran.told.contains(&format!("failpoint: {fault}")) {
            return Err(format!("`{fault}` was never reached\n{}", ran.told));
        }
    }
    let ended = match case.fault.action {
        Action::Kill | Action::Stop => ran.status.signal() == Some(SIGKILL),
        // Trying again at once does not make room.
        Action::DiskFull => ran.status.code() == Some(1),
        Action::Error | Action::Delay(_) | Action::LostReply => ran.status.success(),
    };
    if !ended {
        return Err(format!("it ended with {}\n{}", ran.status, ran.told));
    }
    if ran.reads() > 2 * peace.reads() {
        return Err(format!("it read {} times\n{}", ran.reads(), ran.told));
    }
    let killed = ran.status.signal().is_some();
    if !(ran.status.success() || killed && ran.is_over()) {
        recover(world, &ran, peace)?;
    }
    holds(world, world.kind.faulted, &ran)?;
    let left = world.left_behind();
    if !left.is_empty() {
        return Err(format!("{left:?} were left on local disk"));
    }
    if killed && case.fault.time == 1 && !world.kind.reads_all_again() {
        let next = world.kind.faulted + 1;
        world.arrives(next);
        let later = patient(world);
        if !later.status.success() {
            return Err(format!("the next run fails\n{}", later.told));
        }
        holds(world, next, &later)?;
    }
    Ok(())
}

/// Runs again, and holds what that read and staged against what was left to do.
fn recover(world: &World, ran: &Ran, peace: &Ran) -> Result<(), String> {
    let again = patient(world);
    let wrong = |what: String| Err(format!("{what}\n{}\nand then\n{}", ran.told, again.told));
    if !again.status.success() {
        return wrong(format!("the next run ended with {}", again.status));
    }
    if again.reads() > peace.reads() {
        return wrong(format!("the next run read {} times", again.reads()));
    }
    if ran.commits() == peace.commits() {
        let idle = again.reads() == 0 && again.stages() == 0 && again.commits() == 0;
        return if idle {
            Ok(())
        } else {
            wrong("what was committed was read again".to_owned())
        };
    }
    // Rows that were set aside become visible before the loads that are counted here.
    let aside = peace.commits().saturating_sub(peace.stages());
    let left = peace.stages() - ran.commits().saturating_sub(aside);
    if again.stages() != left {
        return wrong(format!(
            "{left} loads were left, and {} were staged",
            again.stages()
        ));
    }
    Ok(())
}

/// Runs without a fault, as soon as the dead process has let go.
fn patient(world: &World) -> Ran {
    for _ in 0..PATIENCE {
        let ran = world.run("");
        if ran.status.success() || !ran.told.contains("is running already") {
            return ran;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    world.run("")
}

fn holds(world: &mut World, deliveries: u64, ran: &Ran) -> Result<(), String> {
    let (content, expected) = (world.content(), world.kind.expected(deliveries));
    if content == expected {
        return Ok(());
    }
    let told = &ran.told;
    Err(format!(
        "the tables hold\n{content:?}\nand not\n{expected:?}\n{told}"
    ))
}
