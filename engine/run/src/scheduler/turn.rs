//! Whose turn it is: which of the runs that wait may begin, where what they share is not enough for all. Pure.
//!
//! A run takes a share of the project, of its domain and of each connection that it uses, for as long as it goes on. Of
//! those that wait the one with the highest priority is next, then the one of the domain that has the least, by its
//! weight, then the oldest. Whoever finds something taken waits, and those after it may begin all the same, until it has
//! waited for long: then what it needs and is free is kept for it.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use spec::model::{ConnectionName, DomainName, Pipeline, PipelineId, Project, StepKind, Target};

use crate::state::OpenDecision;

/// How long a run waits until others are kept from what it needs.
const LONG: TimeDelta = TimeDelta::minutes(10);

/// Something that runs share.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shared {
    /// The whole project.
    Project,
    /// A domain.
    Domain(DomainName),
    /// A connection.
    Connection(ConnectionName),
}

impl fmt::Display for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Project => f.write_str("project"),
            Self::Domain(name) => write!(f, "domain {name}"),
            Self::Connection(name) => write!(f, "connection {name}"),
        }
    }
}

/// What a run takes of something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// Of what.
    pub of: Shared,
    /// How many runs may have one at once; any number when `None`.
    pub most: Option<usize>,
}

/// Who has a share of what, by [`Shared`] as text.
pub type Taken = BTreeMap<String, BTreeSet<PipelineId>>;

/// A run that waits, in its turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn<'a> {
    /// The decision that it is of.
    pub decision: &'a OpenDecision,
    /// What it has to wait for; nothing when `None`.
    pub waits_for: Option<Share>,
}

/// What a run of a pipeline takes.
pub fn shares(project: &Project, pipeline: &Pipeline) -> Vec<Share> {
    let domain = &pipeline.id.domain;
    let mut shares = vec![
        Share {
            of: Shared::Project,
            most: project.runs,
        },
        Share {
            of: Shared::Domain(domain.clone()),
            most: project.domains.get(domain).and_then(|domain| domain.runs),
        },
    ];
    let used = pipeline.steps.iter().filter_map(|step| match &step.kind {
        StepKind::Extract(extract) => Some(&extract.connection),
        StepKind::Load(load) => match &load.target {
            Target::Connection { connection, .. } => Some(connection),
            Target::Lake(_) => None,
        },
        StepKind::Transform(_) | StepKind::Check(_) => None,
    });
    let used: BTreeSet<&ConnectionName> = used.collect();
    shares.extend(used.into_iter().map(|name| {
        Share {
            of: Shared::Connection(name.clone()),
            most: project
                .connections
                .get(name)
                .and_then(|connection| connection.limits.runs),
        }
    }));
    shares
}

/// Runs that wait, in their turn. Those of pipelines that the project does not have, or that somebody is at, have none.
pub fn turns<'a>(
    now: DateTime<Utc>,
    project: &Project,
    waiting: impl IntoIterator<Item = &'a OpenDecision>,
    taken: &Taken,
) -> Vec<Turn<'a>> {
    let mut room = Room::of(taken);
    let mut seen = BTreeSet::new();
    let mut queues: BTreeMap<&DomainName, Vec<(&Pipeline, &OpenDecision)>> = BTreeMap::new();
    for decision in waiting {
        let Some(pipeline) = project.pipelines.get(&decision.pipeline) else {
            continue;
        };
        // Of one pipeline there is one run at a time, the oldest decision first.
        if !room.running.contains(&pipeline.id) && seen.insert(&pipeline.id) {
            let queue = queues.entry(&pipeline.id.domain).or_default();
            queue.push((pipeline, decision));
        }
    }
    let mut queues: Vec<Queue<'_, '_>> = queues
        .into_iter()
        .map(|(domain, queue)| Queue::of(project, domain, queue, taken))
        .collect();
    let mut turns = Vec::new();
    while let Some(queue) = queues
        .iter_mut()
        .filter(|queue| !queue.runs.is_empty())
        .min_by(|one, other| one.before(other))
    {
        let Some((pipeline, decision)) = queue.runs.pop_front() else {
            break;
        };
        let shares = shares(project, pipeline);
        let waits_for = shares.iter().find(|share| room.is_full(share)).cloned();
        if waits_for.is_none() {
            queue.begun += 1;
        }
        if waits_for.is_none() || now - decision.due > LONG {
            room.take(&shares);
        }
        turns.push(Turn {
            decision,
            waits_for,
        });
    }
    turns
}

/// What is taken, and what would be.
struct Room<'a> {
    running: BTreeSet<&'a PipelineId>,
    taken: BTreeMap<String, usize>,
}

impl<'a> Room<'a> {
    fn of(taken: &'a Taken) -> Self {
        Self {
            running: taken.values().flatten().collect(),
            taken: taken
                .iter()
                .map(|(of, who)| (of.clone(), who.len()))
                .collect(),
        }
    }

    fn is_full(&self, share: &Share) -> bool {
        let taken = self.taken.get(&share.of.to_string()).copied();
        share.most.is_some_and(|most| taken.unwrap_or(0) >= most)
    }

    fn take(&mut self, shares: &[Share]) {
        for share in shares {
            *self.taken.entry(share.of.to_string()).or_default() += 1;
        }
    }
}

/// The runs of a domain that wait.
struct Queue<'p, 'a> {
    weight: u64,
    /// Runs that go on, and that would begin.
    begun: u64,
    runs: VecDeque<(&'p Pipeline, &'a OpenDecision)>,
}

impl<'p, 'a> Queue<'p, 'a> {
    fn of(
        project: &Project,
        domain: &DomainName,
        mut runs: Vec<(&'p Pipeline, &'a OpenDecision)>,
        taken: &Taken,
    ) -> Self {
        runs.sort_by_key(|(pipeline, decision)| (Reverse(pipeline.priority), decision.due));
        let running = taken.get(&Shared::Domain(domain.clone()).to_string());
        let weight = project
            .domains
            .get(domain)
            .map_or(1, |domain| domain.weight);
        Self {
            weight: u64::from(weight.max(1)),
            begun: running.map_or(0, |who| u64::try_from(who.len()).unwrap_or(u64::MAX)),
            runs: runs.into(),
        }
    }

    /// Which of two has the next run: by the priority of their first, by how much each would have of its weight, by age.
    fn before(&self, other: &Self) -> Ordering {
        let (Some((mine, my_first)), Some((theirs, their_first))) =
            (self.runs.front(), other.runs.front())
        else {
            return Ordering::Equal;
        };
        let share = |one: &Self, weight: u64| one.begun.saturating_add(1).saturating_mul(weight);
        theirs
            .priority
            .cmp(&mine.priority)
            .then_with(|| share(self, other.weight).cmp(&share(other, self.weight)))
            .then_with(|| my_first.due.cmp(&their_first.due))
    }
}
