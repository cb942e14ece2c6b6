//! Durations for people, in the form that kubectl gives ages.

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;

/// A duration in seconds with one unit, or two where the second still says something: `95s`, `4m30s`, `6h`, `3d4h`, `2y40d`. The
/// steps are kubectl's (k8s.io/apimachinery, `duration.HumanDuration`). What is negative is `0s`.
#[must_use]
pub fn human(seconds: i64) -> String {
    match seconds.max(0) {
        short if short < 2 * MINUTE => format!("{short}s"),
        few if few < 10 * MINUTE => two(few, MINUTE, "m", 1, "s"),
        minutes if minutes < 3 * HOUR => format!("{}m", minutes / MINUTE),
        few if few < 8 * HOUR => two(few, HOUR, "h", MINUTE, "m"),
        hours if hours < 2 * DAY => format!("{}h", hours / HOUR),
        few if few < 8 * DAY => two(few, DAY, "d", HOUR, "h"),
        days if days < 2 * YEAR => format!("{}d", days / DAY),
        few if few < 8 * YEAR => two(few, YEAR, "y", DAY, "d"),
        years => format!("{}y", years / YEAR),
    }
}

fn two(seconds: i64, large: i64, large_name: &str, small: i64, small_name: &str) -> String {
    let whole = seconds / large;
    match seconds % large / small {
        0 => format!("{whole}{large_name}"),
        rest => format!("{whole}{large_name}{rest}{small_name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_the_units_that_kubectl_gives() {
        for (seconds, expected) in [
            (-5, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (599, "9m59s"),
            (600, "10m"),
            (3 * HOUR - 1, "179m"),
            (3 * HOUR, "3h"),
            (3 * HOUR + 61, "3h1m"),
            (8 * HOUR, "8h"),
            (2 * DAY - 1, "47h"),
            (2 * DAY, "2d"),
            (2 * DAY + 3 * HOUR, "2d3h"),
            (8 * DAY + HOUR, "8d"),
            (2 * YEAR + 40 * DAY, "2y40d"),
            (8 * YEAR + DAY, "8y"),
        ] {
            assert_eq!(human(seconds), expected, "{seconds}");
        }
    }
}
