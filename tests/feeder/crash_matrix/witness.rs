//! What the servers saw of a run, and what it must have kept to.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use batch_inference_operator::openai::RowNumber;
use batch_inference_operator::results::Durable;

use super::points::KillPoint;
use crate::fake_model_server::{Count, Given};
use crate::world::World;

/// A kill costs the answers of this time before it: twice what is promised, as four runs share the machine.
const REPEATED_WITHIN: Duration = Duration::from_secs(10);

/// A kill, and how things were right after it.
pub struct Kill {
    pub point: KillPoint,
    /// When the feeder was gone.
    pub at: Instant,
    /// The rows that the store had.
    pub durable: Durable,
    /// How often each row had been received and answered.
    pub counts: BTreeMap<String, Count>,
}

/// A run that has ended.
pub struct Witness {
    took: Duration,
    kills: Vec<Kill>,
    counts: BTreeMap<String, Count>,
    /// For each answer that was given again later: how long before the kill it was.
    repeated: Vec<Duration>,
}

impl Witness {
    /// How often the feeder was killed.
    pub fn kills(&self) -> usize {
        self.kills.len()
    }

    pub fn new(took: Duration, kills: Vec<Kill>, world: &World, servers: [&str; 2]) -> Self {
        let mut answers: BTreeMap<String, Vec<Given>> = BTreeMap::new();
        for given in servers.iter().flat_map(|server| world.server(server).answers()) {
            answers.entry(given.id.clone()).or_default().push(given);
        }
        let mut repeated = Vec::new();
        for of_row in answers.values_mut() {
            of_row.sort_by_key(|given| given.answered);
            // Every answer but the last was in vain: the feeder that asked was killed, perhaps before the answer came.
            for in_vain in &of_row[..of_row.len() - 1] {
                let kill = kills.iter().map(|kill| kill.at).find(|at| *at >= in_vain.received);
                let kill = kill.unwrap_or_else(|| panic!("{} was answered twice without a kill", in_vain.id));
                repeated.push(kill.saturating_duration_since(in_vain.answered));
            }
        }
        Self {
            took,
            counts: world.counts(),
            kills,
            repeated,
        }
    }

    /// Every row was answered; none that was durable was sent again; and a kill cost the answers of five seconds at most.
    pub fn check(&self, rows: usize, id: impl Fn(usize) -> String) {
        assert_eq!(self.counts.len(), rows);
        assert!(self.counts.values().all(|count| count.answered >= 1));
        for Kill {
            point, durable, counts, ..
        } in &self.kills
        {
            let sent_again = (0..rows)
                .filter(|number| durable.contains(RowNumber(*number as u64)))
                .map(&id);
            let sent_again = sent_again.filter(|id| self.counts[id].received != counts[id].received);
            let sent_again: Vec<_> = sent_again.take(10).collect();
            assert!(
                sent_again.is_empty(),
                "durable at the kill at {point}, and sent again: {sent_again:?}"
            );
        }
        let (count, oldest) = (self.repeated.len(), self.oldest());
        assert!(
            oldest <= REPEATED_WITHIN,
            "{count} rows were answered in vain, one {oldest:?} before a kill: {self}"
        );
    }

    fn oldest(&self) -> Duration {
        self.repeated.iter().max().copied().unwrap_or_default()
    }
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kills: Vec<_> = self.kills.iter().map(|kill| kill.point.to_string()).collect();
        write!(
            f,
            "{} kills [{}], {} answers in vain, the oldest {:.1} s before a kill, {:.1} s in all",
            kills.len(),
            kills.join(", "),
            self.repeated.len(),
            self.oldest().as_secs_f64(),
            self.took.as_secs_f64(),
        )
    }
}

/// All runs in a few lines.
pub fn summary(runs: &[Witness]) -> String {
    let kills = || runs.iter().flat_map(|run| &run.kills);
    let mut by_kind: BTreeMap<&str, usize> = BTreeMap::new();
    for kill in kills() {
        *by_kind.entry(kill.point.kind()).or_default() += 1;
    }
    let by_kind: Vec<_> = by_kind.iter().map(|(kind, kills)| format!("{kind} {kills}")).collect();
    let rows: usize = runs.iter().map(|run| run.counts.len()).sum();
    let repeated: usize = runs.iter().map(|run| run.repeated.len()).sum();
    let oldest = runs.iter().map(Witness::oldest).max().unwrap_or_default();
    format!(
        "{} runs, {} kills, soon after: {}\n{rows} rows, each once in the results; {repeated} answers in vain, the oldest {:.1} s \
         before a kill",
        runs.len(),
        kills().count(),
        by_kind.join(", "),
        oldest.as_secs_f64()
    )
}
