//! The DAG of all steps of a project, and of its pipelines. The only file that knows petgraph.
//!
//! Edges follow data (a step reads another's rows; a step reads a table that another pipeline loads) and order
//! (`after:`). Whoever reads a step that has checks reads what passed them: the edge comes from the last check.

use std::collections::{BTreeMap, BTreeSet};

use petgraph::Direction;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;

use crate::model::{Pipeline, PipelineId, Project, StepKind, StepName, TableRef, Target};

/// A step of a pipeline.
pub type Node = (PipelineId, StepName);

/// Why one step comes before another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edge {
    /// The later one reads the earlier one's rows.
    Rows,
    /// The later one reads a table that the earlier one loads.
    Table(TableRef),
    /// `after:` says so.
    Order,
}

/// The DAG of a checked project.
#[derive(Clone, Debug)]
pub struct Graph {
    steps: DiGraph<Node, Edge>,
    index: BTreeMap<Node, NodeIndex>,
    /// Every pipeline, with those that its schedule waits for.
    waits: BTreeMap<PipelineId, BTreeSet<PipelineId>>,
}

impl Graph {
    /// The graph of a project. Every reference resolves and nothing is in a circle: the checker saw to both.
    pub fn of(project: &Project) -> Self {
        let mut graph = Self {
            steps: DiGraph::new(),
            index: BTreeMap::new(),
            waits: BTreeMap::new(),
        };
        for (id, pipeline) in &project.pipelines {
            let after = pipeline
                .schedule
                .iter()
                .flat_map(|schedule| &schedule.after);
            graph.waits.insert(id.clone(), after.cloned().collect());
            for step in &pipeline.steps {
                let node = (id.clone(), step.name.clone());
                let index = graph.steps.add_node(node.clone());
                graph.index.insert(node, index);
            }
        }
        let loads = loads_by_table(project);
        for pipeline in project.pipelines.values() {
            graph.connect(pipeline, &loads);
        }
        graph
    }

    fn connect(&mut self, pipeline: &Pipeline, loads: &BTreeMap<TableRef, Node>) {
        let inputs = Inputs::of(pipeline);
        for step in &pipeline.steps {
            let node = (pipeline.id.clone(), step.name.clone());
            for earlier in inputs.of_step(&step.name) {
                self.edge(&(pipeline.id.clone(), earlier.clone()), &node, Edge::Rows);
            }
            for earlier in &step.after {
                self.edge(&(pipeline.id.clone(), earlier.clone()), &node, Edge::Order);
            }
            if let StepKind::Transform(transform) = &step.kind {
                for table in &transform.tables {
                    // A pipeline that reads the table it loads reads what an earlier run left there.
                    if let Some(load) = loads.get(table).filter(|load| load.0 != pipeline.id) {
                        self.edge(load, &node, Edge::Table(table.clone()));
                    }
                }
            }
        }
    }

    fn edge(&mut self, from: &Node, to: &Node, edge: Edge) {
        if let (Some(&from), Some(&to)) = (self.index.get(from), self.index.get(to)) {
            self.steps.update_edge(from, to, edge);
        }
    }

    /// The steps of a pipeline, each after all that it depends on; ties in the order they were written.
    pub fn order(&self, pipeline: &Pipeline) -> Vec<StepName> {
        let mut order = Vec::with_capacity(pipeline.steps.len());
        let mut waiting: Vec<&StepName> = pipeline.steps.iter().map(|step| &step.name).collect();
        while !waiting.is_empty() {
            let ready = waiting.iter().position(|step| {
                self.before(&pipeline.id, step)
                    .iter()
                    .all(|earlier| order.contains(earlier))
            });
            // The checker refused circles; if one slipped through, the order it was written in ends the loop.
            order.push(waiting.remove(ready.unwrap_or(0)).clone());
        }
        order
    }

    /// The steps of the same pipeline that come directly before this one.
    fn before(&self, pipeline: &PipelineId, step: &StepName) -> Vec<StepName> {
        self.neighbours(pipeline, step, Direction::Incoming, |_| true)
    }

    /// The steps of the same pipeline whose rows this one reads, in their names' order.
    pub fn inputs(&self, pipeline: &PipelineId, step: &StepName) -> Vec<StepName> {
        self.neighbours(pipeline, step, Direction::Incoming, |edge| {
            *edge == Edge::Rows
        })
    }

    /// The steps of the same pipeline that read this one's rows, in their names' order.
    pub fn readers(&self, pipeline: &PipelineId, step: &StepName) -> Vec<StepName> {
        self.neighbours(pipeline, step, Direction::Outgoing, |edge| {
            *edge == Edge::Rows
        })
    }

    fn neighbours(
        &self,
        pipeline: &PipelineId,
        step: &StepName,
        direction: Direction,
        keep: impl Fn(&Edge) -> bool,
    ) -> Vec<StepName> {
        let Some(&index) = self.index.get(&(pipeline.clone(), step.clone())) else {
            return Vec::new();
        };
        let mut found: Vec<StepName> = self
            .steps
            .edges_directed(index, direction)
            .filter(|edge| keep(edge.weight()))
            .map(|edge| {
                if direction == Direction::Incoming {
                    edge.source()
                } else {
                    edge.target()
                }
            })
            .filter_map(|other| self.steps.node_weight(other))
            .filter(|(id, _)| id == pipeline)
            .map(|(_, name)| name.clone())
            .collect();
        found.sort();
        found
    }

    /// The extracts of the same pipeline whose rows reach this step, in their names' order.
    pub fn extracts_of(&self, pipeline: &Pipeline, step: &StepName) -> Vec<StepName> {
        let mut seen = Vec::new();
        let mut next = vec![step.clone()];
        while let Some(step) = next.pop() {
            if !seen.contains(&step) {
                next.extend(self.inputs(&pipeline.id, &step));
                seen.push(step);
            }
        }
        seen.retain(|name| {
            let step = pipeline.steps.iter().find(|step| step.name == *name);
            step.is_some_and(|step| matches!(step.kind, StepKind::Extract(_)))
        });
        seen.sort();
        seen
    }

    /// These loads, and the steps whose rows end in them and nowhere else.
    pub fn only_feeding(
        &self,
        pipeline: &Pipeline,
        loads: &BTreeSet<StepName>,
    ) -> BTreeSet<StepName> {
        let mut found = loads.clone();
        for step in self.order(pipeline).into_iter().rev() {
            let readers = self.readers(&pipeline.id, &step);
            if !readers.is_empty() && readers.iter().all(|reader| found.contains(reader)) {
                found.insert(step);
            }
        }
        found
    }

    /// Pipelines, each after those whose tables it reads or whose end it waits for; ties by name.
    pub fn pipelines(&self) -> Vec<PipelineId> {
        let mut pipelines = self.waits.clone();
        for edge in self.steps.edge_references() {
            let ends = (
                self.steps.node_weight(edge.source()),
                self.steps.node_weight(edge.target()),
            );
            if let (Some((earlier, _)), Some((later, _))) = ends
                && earlier != later
            {
                pipelines
                    .entry(later.clone())
                    .or_default()
                    .insert(earlier.clone());
            }
        }
        let mut order: Vec<PipelineId> = Vec::with_capacity(pipelines.len());
        while !pipelines.is_empty() {
            let ready = pipelines.iter().find(|(_, earlier)| {
                earlier
                    .iter()
                    .all(|id| !self.waits.contains_key(id) || order.contains(id))
            });
            // The checker refused circles; if one slipped through, the order of names ends the loop.
            let Some(next) = ready
                .or_else(|| pipelines.iter().next())
                .map(|(id, _)| id.clone())
            else {
                break;
            };
            pipelines.remove(&next);
            order.push(next);
        }
        order
    }

    /// The graph in Graphviz' language: one cluster a pipeline.
    pub fn to_dot(&self) -> String {
        let mut clusters: BTreeMap<&PipelineId, Vec<&StepName>> = BTreeMap::new();
        for (id, step) in self.steps.node_weights() {
            clusters.entry(id).or_default().push(step);
        }
        let mut lines = vec![
            "digraph lakewright {".to_owned(),
            "  rankdir=LR; node [shape=box];".to_owned(),
        ];
        for (i, (id, steps)) in clusters.iter().enumerate() {
            lines.push(format!("  subgraph cluster_{i} {{"));
            lines.push(format!("    label=\"{id}\";"));
            lines.extend(
                steps
                    .iter()
                    .map(|step| format!("    \"{id}/{step}\" [label=\"{step}\"];")),
            );
            lines.push("  }".to_owned());
        }
        for edge in self.steps.edge_references() {
            let ends = (
                self.steps.node_weight(edge.source()),
                self.steps.node_weight(edge.target()),
            );
            if let (Some((from, a)), Some((to, b))) = ends {
                let style = match edge.weight() {
                    Edge::Rows => String::new(),
                    Edge::Table(table) => format!(" [label=\"{table}\", style=bold]"),
                    Edge::Order => " [style=dashed]".to_owned(),
                };
                lines.push(format!("  \"{from}/{a}\" -> \"{to}/{b}\"{style};"));
            }
        }
        lines.push("}\n".to_owned());
        lines.join("\n")
    }
}

/// Which load of the project writes each lake table.
fn loads_by_table(project: &Project) -> BTreeMap<TableRef, Node> {
    let mut loads = BTreeMap::new();
    for (id, pipeline) in &project.pipelines {
        for step in &pipeline.steps {
            match &step.kind {
                StepKind::Load(load) => {
                    if let Target::Lake(table) = &load.target {
                        loads.insert(table.clone(), (id.clone(), step.name.clone()));
                    }
                }
                StepKind::Check(check) => {
                    if let Some(table) = &check.quarantine {
                        loads.insert(table.clone(), (id.clone(), step.name.clone()));
                    }
                }
                StepKind::Extract(_) | StepKind::Transform(_) => {}
            }
        }
    }
    loads
}

/// Whose rows each step reads, with checks in between.
struct Inputs<'a> {
    pipeline: &'a Pipeline,
    checks: BTreeMap<&'a StepName, Vec<&'a StepName>>,
}

impl<'a> Inputs<'a> {
    fn of(pipeline: &'a Pipeline) -> Self {
        let mut checks: BTreeMap<&StepName, Vec<&StepName>> = BTreeMap::new();
        for step in &pipeline.steps {
            if let StepKind::Check(check) = &step.kind {
                checks.entry(&check.on).or_default().push(&step.name);
            }
        }
        Self { pipeline, checks }
    }

    fn of_step(&self, name: &StepName) -> Vec<&'a StepName> {
        let Some(step) = self.pipeline.steps.iter().find(|step| step.name == *name) else {
            return Vec::new();
        };
        match &step.kind {
            StepKind::Extract(_) => Vec::new(),
            StepKind::Transform(transform) => transform
                .reads
                .iter()
                .map(|read| self.passed(read))
                .collect(),
            StepKind::Load(load) => vec![self.passed(&load.from)],
            StepKind::Check(check) => {
                let chain = self
                    .checks
                    .get(&check.on)
                    .map(Vec::as_slice)
                    .unwrap_or_default();
                let place = chain.iter().position(|other| **other == *name).unwrap_or(0);
                let before = place
                    .checked_sub(1)
                    .and_then(|before| chain.get(before))
                    .copied();
                vec![before.unwrap_or(&check.on)]
            }
        }
    }

    /// The step whose rows a reader of `name` gets: its last check, or itself.
    fn passed(&self, name: &'a StepName) -> &'a StepName {
        self.checks
            .get(name)
            .and_then(|chain| chain.last())
            .copied()
            .unwrap_or(name)
    }
}
