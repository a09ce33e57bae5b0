//! Read a table of numbers and split it, the same way for the same seed.

use std::fmt;

/// Rows a data file may have; more is refused rather than read into memory.
pub const ROWS_MAX: usize = 1_000_000;

/// A table: one row per sample, all features numbers, the label 0 or 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// Names of the features, in the order of the columns.
    pub features: Vec<String>,
    /// Name of the label, the last column.
    pub label: String,
    /// `rows[i][j]`: feature `j` of sample `i`.
    pub rows: Vec<Vec<f64>>,
    /// One label per row: 0.0 or 1.0.
    pub labels: Vec<f64>,
}

/// What is wrong with a data file, and where. Lines and columns count from 1.
#[derive(Clone, Debug, PartialEq)]
pub struct DataError {
    /// The line of the file.
    pub line: usize,
    /// The column (field) in that line.
    pub column: usize,
    /// What is wrong there.
    pub reason: String,
}

impl fmt::Display for DataError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {}, column {}: {}", self.line, self.column, self.reason)
    }
}

fn error(line: usize, column: usize, reason: impl Into<String>) -> DataError {
    DataError { line, column, reason: reason.into() }
}

/// Parse comma-separated values: a header of names, then rows of numbers whose last field is the label, 0 or 1.
/// Empty lines are skipped. Both labels must occur at least ten times, or no fold could hold both.
pub fn parse(text: &str) -> Result<Table, DataError> {
    let mut lines = text
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line.trim()))
        .filter(|(_, line)| !line.is_empty());
    let Some((header_line, header)) = lines.next() else {
        return Err(error(1, 1, "the file is empty; the first line should name the columns"));
    };
    let mut features: Vec<String> = header.split(',').map(|name| name.trim().to_owned()).collect();
    if let Some(column) = features.iter().position(String::is_empty) {
        return Err(error(header_line, column + 1, "a column has no name"));
    }
    let label = features.pop().unwrap_or_default();
    if features.is_empty() {
        return Err(error(header_line, 1, "one column only; at least one feature and the label are needed"));
    }
    let mut table = Table { features, label, rows: Vec::new(), labels: Vec::new() };
    for (line, text) in lines {
        if table.rows.len() == ROWS_MAX {
            return Err(error(line, 1, format!("more than {ROWS_MAX} rows")));
        }
        let (row, label) = parse_row(line, text, table.features.len())?;
        table.rows.push(row);
        table.labels.push(label);
    }
    let ones = table.labels.iter().filter(|label| **label == 1.0).count();
    let least = ones.min(table.labels.len() - ones);
    if least < 10 {
        let column = table.features.len() + 1;
        return Err(error(
            header_line,
            column,
            format!("only {least} rows of one label; at least 10 of each are needed to hold some back"),
        ));
    }
    Ok(table)
}

fn parse_row(line: usize, text: &str, features: usize) -> Result<(Vec<f64>, f64), DataError> {
    let mut values = Vec::with_capacity(features + 1);
    for (index, field) in text.split(',').enumerate() {
        let field = field.trim();
        let value: f64 =
            field.parse().map_err(|_| error(line, index + 1, format!("`{field}` is not a number")))?;
        if !value.is_finite() {
            return Err(error(line, index + 1, format!("`{field}` is not a finite number")));
        }
        values.push(value);
    }
    if values.len() != features + 1 {
        let reason = format!("{} fields where the header names {}", values.len(), features + 1);
        return Err(error(line, values.len().min(features + 1), reason));
    }
    let label = values.pop().unwrap_or_default();
    if label != 0.0 && label != 1.0 {
        return Err(error(line, features + 1, format!("the label is {label}; it should be 0 or 1")));
    }
    Ok((values, label))
}

/// SplitMix64: a small, well-studied generator; here it only shuffles.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn shuffle(&mut self, items: &mut [usize]) {
        for last in (1..items.len()).rev() {
            let other = (self.next() % (last as u64 + 1)) as usize;
            items.swap(last, other);
        }
    }
}

/// Split the samples into `parts` of equal size, each with the labels in the proportion of the whole, by `seed`.
pub fn split(labels: &[f64], parts: usize, seed: u64) -> Vec<Vec<usize>> {
    let mut random = Random(seed);
    let mut split = vec![Vec::new(); parts];
    let mut dealt = 0;
    for wanted in [0.0, 1.0] {
        let mut group: Vec<usize> = (0..labels.len()).filter(|index| labels[*index] == wanted).collect();
        random.shuffle(&mut group);
        for index in group {
            split[dealt % parts].push(index);
            dealt += 1;
        }
    }
    split
}
