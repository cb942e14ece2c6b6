//! Where a feeder is killed.

use std::fmt;
use std::time::Duration;

use batch_inference_operator::results::{INDEX, JOB, MANIFEST, RESULTS, SEGMENTS};
use batch_inference_operator::storage::Store;
use rand::RngExt;
use rand::rngs::StdRng;
use tokio::time::sleep;

use super::ROWS;
use crate::world::World;

/// Between two looks: the last steps of a feeder take some milliseconds.
const PAUSE: Duration = Duration::from_millis(4);
/// Kills of one run.
const MOST_KILLS: usize = 4;

/// A time after an event.
#[derive(Clone, Copy, Debug)]
pub struct KillPoint {
    event: Event,
    then: Duration,
}

/// What a feeder has reached, seen from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Started,
    /// What inspection found is in the status.
    Inspected,
    /// An object is there.
    Object(&'static str),
    /// Servers have given so many answers.
    Answers(usize),
    /// So many segments are there.
    Segments(usize),
    /// Every row has been answered: the last flush is next.
    AllAnswered,
    /// No server is needed any more: the results are being written.
    ServersReleased,
}

/// Kinds of events.
const EVENTS: u64 = 11;

impl Event {
    /// An event, and the longest time after it in milliseconds: so long that what follows is cut into too.
    fn draw(kind: u64, random: &mut StdRng) -> (Self, u64) {
        match kind % EVENTS {
            0 => (Self::Started, 400),
            1 => (Self::Inspected, 30),
            2 => (Self::Object(JOB), 30),
            3 => (Self::Object(INDEX), 200),
            4 => (Self::Answers(random.random_range(1..ROWS / 4)), 50),
            5 => (Self::Answers(random.random_range(ROWS / 4..ROWS)), 50),
            6 => (Self::Segments(random.random_range(1..4)), 1000),
            7 => (Self::AllAnswered, 500),
            8 => (Self::ServersReleased, 300),
            9 => (Self::Object(RESULTS), 10),
            _ => (Self::Object(MANIFEST), 5),
        }
    }

    async fn happened(self, world: &World, store: &Store) -> bool {
        match self {
            Self::Started => true,
            Self::Inspected => !world.status()["dataset"].is_null(),
            Self::Object(key) => store.size(key).await.unwrap().is_some(),
            Self::Answers(answers) => world.answers_given() >= answers,
            Self::Segments(segments) => store.list(SEGMENTS).await.unwrap().len() >= segments,
            Self::AllAnswered => {
                let all = || world.counts().values().filter(|count| count.answered > 0).count();
                world.answers_given() >= ROWS && all() == ROWS
            }
            Self::ServersReleased => world.servers_needed().ends_with(&[true, false]),
        }
    }
}

impl KillPoint {
    /// One to four points. Seeds in a row have each kind of event as their first.
    pub fn draw(seed: u64, random: &mut StdRng) -> Vec<Self> {
        let kills = random.random_range(1..=MOST_KILLS);
        let mut points = Vec::new();
        for number in 0..kills {
            let kind = if number == 0 { seed } else { random.random() };
            let (event, longest) = Event::draw(kind, random);
            let then = Duration::from_millis(random.random_range(0..=longest));
            points.push(Self { event, then });
        }
        points
    }

    /// The event, without its numbers.
    pub fn kind(&self) -> &'static str {
        match self.event {
            Event::Started => "start",
            Event::Inspected => "inspection",
            Event::Object(key) => key,
            Event::Answers(_) => "answers",
            Event::Segments(_) => "segments",
            Event::AllAnswered => "last answer",
            Event::ServersReleased => "servers released",
        }
    }

    /// Returns when it is time to kill.
    pub async fn reached(&self, world: &World, store: &Store) {
        while !self.event.happened(world, store).await {
            sleep(PAUSE).await;
        }
        sleep(self.then).await;
    }
}

impl fmt::Display for KillPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} + {} ms", self.event, self.then.as_millis())
    }
}
