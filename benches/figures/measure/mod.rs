//! Each kind of figure: what is run for it, and what is calculated from it.

mod finalise;
pub mod inspection;
mod kill;
mod large_rows;
mod llama;
mod many_rows;
mod memory;
mod rows;

use std::io::BufReader;
use std::process::{Command, ExitCode, Stdio};

use super::arguments::{Arguments, Group};
use super::figure::Figure;
use super::job::World;
use super::{figure, machine, page};

/// Measures what is asked for. What is done is on the page before the next begins.
pub async fn all(arguments: &Arguments) {
    let load = machine::load();
    let world = World::start().await;
    for group in arguments.groups() {
        eprintln!("measuring {group:?}");
        let begin = std::time::Instant::now();
        let figures = measure(&world, *group, arguments).await;
        for figure in &figures {
            println!("{}", page::row(figure));
        }
        eprintln!("measured {group:?} in {} s", begin.elapsed().as_secs());
        if !arguments.dry_run {
            page::add(figures, load);
        }
    }
}

/// Adds the figures that a command measures.
pub fn add_from(command: &str) -> ExitCode {
    let load = machine::load();
    let shell = ["-c", command];
    let mut child = Command::new("sh").args(shell).stdout(Stdio::piped()).spawn().unwrap();
    let figures = figure::read_lines(BufReader::new(child.stdout.take().unwrap()));
    if !child.wait().unwrap().success() {
        return ExitCode::FAILURE;
    }
    page::add(figures, load);
    ExitCode::SUCCESS
}

async fn measure(world: &World, group: Group, arguments: &Arguments) -> Vec<Figure> {
    let Arguments { rounds, shrink, .. } = *arguments;
    match group {
        Group::Rows => rows::measure(world, rounds, arguments.rows / shrink, arguments.wrk_seconds).await,
        Group::Memory => memory::measure(world, rounds, memory::ROWS / shrink).await,
        Group::LargeRows => large_rows::measure(world, rounds, shrink).await,
        Group::Inspection => inspection::measure(world, rounds, inspection::ROWS / shrink).await,
        Group::Finalise => finalise::measure(world, rounds).await,
        Group::Kill => kill::measure(world, rounds).await,
        Group::Million => many_rows::measure(world, 1_000_000 / shrink, rounds).await,
        Group::TenMillion => many_rows::measure(world, 10_000_000 / shrink, 1).await,
        Group::Llama => llama::measure(world, rounds, llama::ROWS / shrink).await,
    }
}
