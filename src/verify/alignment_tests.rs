use proptest::prelude::*;

use super::*;
use crate::openai::{CustomId, RowNumber};
use crate::verify::row::Name;

/// What differs between rows of these names and lines of those.
fn differences(due: &[u64], found: &[u64], window: usize) -> Differences {
    let mut differences = Differences::default();
    let mut alignment = Alignment::new(Kind::Result, window);
    let mut lines = found.iter().zip(1..);
    let mut all_lines_told = false;
    let mut go_on = |alignment: &mut Alignment, rows: bool| {
        loop {
            let ended = Ended {
                rows,
                lines: all_lines_told,
            };
            alignment.settle(ended, &mut differences);
            if all_lines_told || !alignment.wants_line(rows) {
                return;
            }
            match lines.next() {
                Some((name, line)) => alignment.find(FoundLine {
                    line: LineNumber(line),
                    name: Ok(name_of(*name)),
                }),
                None => all_lines_told = true,
            }
        }
    };
    for (row, number) in due.iter().zip(0..) {
        let (number, line) = (RowNumber(number), LineNumber(number + 1));
        alignment.expect(Row {
            number,
            line,
            name: Ok(name_of(*row)),
        });
        assert!(alignment.due.len() <= window && alignment.found.len() <= window);
        go_on(&mut alignment, false);
    }
    go_on(&mut alignment, true);
    assert!(alignment.due.is_empty() && alignment.found.is_empty() && lines.next().is_none());
    differences
}

fn name_of(number: u64) -> Name {
    Name::of_id(&CustomId::try_from(number.to_string()).unwrap())
}

#[test]
fn rows_that_are_lost_together_are_found_by_the_window() {
    let due: Vec<_> = (0..300).collect();
    let found: Vec<_> = (0..100).chain(150..300).collect();
    assert_eq!(differences(&due, &found, 60).total(), 50);
    assert_eq!(differences(&found, &due, 60).total(), 50);
}

#[test]
fn another_file_altogether_is_told_and_ends() {
    let due: Vec<_> = (0..1000).collect();
    let found: Vec<_> = (5000..5900).collect();
    assert_eq!(differences(&due, &found, 16).total(), 1000);
}

proptest! {
    #[test]
    fn equal_sequences_and_only_those_have_no_difference(
        rows in 0_u64..40,
        edits in prop::collection::vec((0_usize..40, 0_usize..40, 0_u8..4), 0..4),
        window in 1_usize..12,
    ) {
        let due: Vec<_> = (0..rows).collect();
        let mut found = due.clone();
        for (at, to, edit) in edits {
            if found.is_empty() {
                break;
            }
            let (at, to) = (at % found.len(), to % found.len());
            match edit {
                0 => drop(found.remove(at)),
                1 => found.swap(at, to),
                2 => found.insert(to, found[at]),
                _ => found[at] = 1000,
            }
        }
        prop_assert_eq!(differences(&due, &found, window).is_empty(), due == found);
    }
}
