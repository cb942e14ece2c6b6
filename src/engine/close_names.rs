//! The short names that look most like what was written.

/// How many names are given at most.
const MOST: usize = 3;
/// With fewer characters, that a name begins so says little.
const LEAST_BEGINNING: usize = 3;

/// The names that look most like what was written: first those of which one begins with the other, then those of nearly the same letters;
/// closest first, and none when nothing is close.
pub(super) fn close_names<'a>(written: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let written = normal(written);
    let limit = (written.chars().count() / 3).max(1);
    let mut close: Vec<(bool, usize, &str)> = names
        .map(|name| {
            let normal = normal(name);
            let differs = !is_beginning(&written, &normal);
            (differs, edit_distance(&written, &normal), name)
        })
        .filter(|(differs, distance, _)| !differs || *distance <= limit)
        .collect();
    close.sort_unstable();
    close
        .into_iter()
        .take(MOST)
        .map(|(_, _, name)| name.to_owned())
        .collect()
}

/// `Qwen2.5 7B` and `qwen2_5-7b` are the same.
fn normal(name: &str) -> String {
    name.to_lowercase().replace(['.', '_', ' '], "-")
}

/// Whether one begins with the other, wherever their words are parted.
fn is_beginning(written: &str, name: &str) -> bool {
    let [written, name] = [written, name].map(|name| name.replace('-', ""));
    let shorter = written.len().min(name.len());
    shorter >= LEAST_BEGINNING && (name.starts_with(&written) || written.starts_with(&name))
}

/// How many characters must be added, removed or replaced to make one text the other (Levenshtein's distance).
fn edit_distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for (row, from) in left.chars().enumerate() {
        let mut diagonal = above[0];
        above[0] = row + 1;
        for (column, to) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = above[column + 1];
            above[column + 1] = replaced.min(diagonal + 1).min(above[column] + 1);
        }
    }
    above[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hardly_says_anything_is_close_to_nothing() {
        for written in ["", "-", "q", "qw"] {
            assert_eq!(close_names(written, ["qwen3-8b"].into_iter()), Vec::<String>::new());
        }
    }

    #[test]
    fn the_distance_counts_added_removed_and_replaced_characters() {
        for (left, right, distance) in [
            ("", "abc", 3),
            ("abc", "abc", 0),
            ("abc", "axc", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(edit_distance(left, right), distance, "{left} and {right}");
        }
    }
}
