//! Write the results as JSON, without a library: the trainer must build in a second.

use std::fmt::Write as _;

use crate::Training;
use crate::data::Table;

/// The model: names, weights and the scale that new samples need before they are weighed.
pub fn weights(table: &Table, training: &Training) -> String {
    let mut out = String::from("{\n  \"model\": \"logistic regression\",\n  \"label\": ");
    text(&mut out, &table.label);
    let _ = write!(out, ",\n  \"bias\": {},\n  \"features\": [", training.model.bias);
    for (index, name) in table.features.iter().enumerate() {
        out.push_str(if index == 0 { "\n    {\"name\": " } else { ",\n    {\"name\": " });
        text(&mut out, name);
        let _ = write!(
            out,
            ", \"weight\": {}, \"mean\": {}, \"deviation\": {}}}",
            training.model.weights[index], training.scale.mean[index], training.scale.deviation[index]
        );
    }
    out.push_str("\n  ]\n}\n");
    out
}

/// How the training went: sizes, choices, scores.
pub fn report(table: &Table, training: &Training, epochs: u32, seed: u64) -> String {
    let Training { trained, held_out, samples, .. } = training;
    format!(
        "{{\n  \"accuracy\": {},\n  \"loss\": {},\n  \"missed_ones\": {},\n  \"missed_zeros\": {},\n  \
         \"samples\": {},\n  \"samples_trained\": {},\n  \"samples_held_back\": {},\n  \"features\": {},\n  \
         \"accuracy_trained\": {},\n  \"loss_trained\": {},\n  \"accuracy_cross_validated\": {},\n  \
         \"penalty\": {},\n  \"epochs\": {epochs},\n  \"seed\": {seed}\n}}\n",
        held_out.accuracy,
        held_out.loss,
        held_out.misses[0],
        held_out.misses[1],
        samples[0] + samples[1],
        samples[0],
        samples[1],
        table.features.len(),
        trained.accuracy,
        trained.loss,
        training.fold_accuracy,
        training.penalty,
    )
}

/// A JSON string: quotes, backslashes and control characters escaped.
fn text(out: &mut String, value: &str) {
    out.push('"');
    for character in value.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            control if (control as u32) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", control as u32);
            }
            other => out.push(other),
        }
    }
    out.push('"');
}
