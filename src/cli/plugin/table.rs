//! Rows as aligned text.

/// Between two columns, as kubectl has it.
const GAP: usize = 3;

/// A table: the header, then the rows, each cell filled up to the widest of its column but for the last.
#[must_use]
pub fn table(header: &[String], rows: &[Vec<String>]) -> String {
    let widths: Vec<usize> = (0..header.len()).map(|column| width_of(column, header, rows)).collect();
    let mut text = String::new();
    for row in std::iter::once(header).chain(rows.iter().map(Vec::as_slice)) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            let fill = width + GAP - cell.chars().count();
            line.extend(std::iter::repeat_n(' ', fill));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn width_of(column: usize, header: &[String], rows: &[Vec<String>]) -> usize {
    let cells = rows.iter().filter_map(|row| row.get(column));
    let widths = cells.chain(header.get(column)).map(|cell| cell.chars().count());
    widths.max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [cells(&["a", "", "1"]), cells(&["größer", "Running", ""])];
        let text = table(&cells(&["NAME", "STATUS", "AGE"]), &rows);
        assert_eq!(
            text,
            "NAME     STATUS    AGE\n\
             a                  1\n\
             größer   Running\n"
        );
    }
}
