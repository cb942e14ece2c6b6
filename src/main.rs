//! Parses the arguments and starts what they name.
fn main() {}
