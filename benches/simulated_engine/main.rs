//! How much of the best fixed concurrency the feeder's own brings, before simulated servers. Prints a table for people, or with
//! `--json` one object for each server and seed, or with `--figures` the figures of docs/benchmarks.md. Nothing here is measured: the figures are the same on every machine.

mod cases;
mod share;
mod simulation;

/// The lengths of the rows come from them.
const SEEDS: [u64; 3] = [1, 2, 3];

fn main() {
    if std::env::args().any(|argument| argument == "--figures") {
        return print_figures();
    }
    let json = std::env::args().any(|argument| argument == "--json");
    if !json {
        println!("| server | seed | best fixed | rows/s | share with metrics | share without | bound with | without |");
        println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    }
    for case in cases::CASES {
        for seed in SEEDS {
            let shares = share::shares(*case, seed);
            println!("{}", if json { shares.json() } else { shares.row() });
        }
    }
}

/// One line for each figure (benches/README.md). The lowest share is what has to reach the goal.
fn print_figures() {
    let of_case = |case: &simulation::Case| SEEDS.map(|seed| share::shares(*case, seed));
    let all: Vec<_> = cases::CASES.iter().map(|case| (case.name, of_case(case))).collect();
    let figure = |id: &str, what: &str, goal: f64, share: fn(&share::Shares) -> f64| {
        let details: Vec<_> = all
            .iter()
            .map(|(name, shares)| serde_json::json!({"what": name, "measured": shares.each_ref().map(share)}))
            .collect();
        let every = all.iter().flat_map(|(_, shares)| shares).map(share);
        let lowest = every.fold(f64::INFINITY, f64::min);
        let goal = serde_json::json!({"atLeast": goal});
        let rest =
            serde_json::json!({"what": what, "unit": "", "goal": goal, "measured": [lowest], "details": details});
        println!("{{\"id\":\"{id}\",{}", &rest.to_string()[1..]);
    };
    let what = "simulated engines, lowest share of the best fixed concurrency, with the queue's metric";
    figure("engine-with-queue-metric", what, 0.98, |shares| {
        shares.share(&shares.with_metrics)
    });
    let what = "simulated engines, lowest share of the best fixed concurrency, without it";
    figure("engine-without-queue-metric", what, 0.95, |shares| {
        shares.share(&shares.without)
    });
}
