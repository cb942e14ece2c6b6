//! The operator's image, as far as its programs are started without it.

/// The variables that the Dockerfile sets.
pub fn environment() -> impl Iterator<Item = (&'static str, &'static str)> {
    let set = include_str!("../../Dockerfile")
        .lines()
        .filter_map(|line| line.strip_prefix("ENV "));
    set.filter_map(|variable| variable.split_once('='))
}
