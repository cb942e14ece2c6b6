//! A figure as `benches/figures` reads it.

use serde_json::{Value, json};

/// Prints one; details are said behind it.
pub fn print(id: &str, what: &str, unit: &str, goal: &Value, measured: f64, details: &[(&str, f64)]) {
    let details: Vec<_> = details
        .iter()
        .map(|(what, measured)| json!({"what": what, "measured": [measured]}))
        .collect();
    let figure =
        json!({"id": id, "what": what, "unit": unit, "goal": goal, "measured": [measured], "details": details});
    println!("{figure}");
}

pub fn at_most(goal: f64) -> Value {
    json!({"atMost": goal})
}
