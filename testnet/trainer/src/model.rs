//! Logistic regression by gradient descent with momentum on standardised features.

/// Mean and standard deviation per feature, taken from the training samples only.
#[derive(Clone, Debug, PartialEq)]
pub struct Scale {
    /// Mean per feature.
    pub mean: Vec<f64>,
    /// Standard deviation per feature; 1 where a feature is constant.
    pub deviation: Vec<f64>,
}

impl Scale {
    /// Measure the samples.
    pub fn of(rows: &[Vec<f64>]) -> Scale {
        let features = rows.first().map_or(0, Vec::len);
        let count = rows.len().max(1) as f64;
        let mut mean = vec![0.0; features];
        for row in rows {
            for (sum, value) in mean.iter_mut().zip(row) {
                *sum += value / count;
            }
        }
        let mut deviation = vec![0.0; features];
        for row in rows {
            for ((sum, value), mean) in deviation.iter_mut().zip(row).zip(&mean) {
                *sum += (value - mean) * (value - mean) / count;
            }
        }
        for value in &mut deviation {
            *value = value.sqrt();
            // A constant feature tells nothing; dividing by one leaves it at zero.
            if *value < 1e-12 {
                *value = 1.0;
            }
        }
        Scale { mean, deviation }
    }

    /// The samples, standardised.
    pub fn apply(&self, rows: &[Vec<f64>]) -> Vec<Vec<f64>> {
        rows.iter()
            .map(|row| {
                row.iter()
                    .zip(&self.mean)
                    .zip(&self.deviation)
                    .map(|((value, mean), deviation)| (value - mean) / deviation)
                    .collect()
            })
            .collect()
    }
}

/// Weights for standardised features, and the bias.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// One weight per feature.
    pub weights: Vec<f64>,
    /// The constant term.
    pub bias: f64,
}

/// How to train.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// Passes over all samples.
    pub epochs: u32,
    /// Step size of the descent.
    pub rate: f64,
    /// How much of the last step is kept.
    pub momentum: f64,
    /// Strength of the quadratic penalty on the weights.
    pub penalty: f64,
}

/// How well a model does on samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// Mean cross-entropy, in nats.
    pub loss: f64,
    /// Share of samples whose label is the likelier one.
    pub accuracy: f64,
    /// Samples with label 1 taken for 0, then with label 0 taken for 1.
    pub misses: [usize; 2],
}

impl Model {
    /// Train from zero weights; `watch` is called after each epoch with its number and the model so far.
    pub fn train(
        rows: &[Vec<f64>],
        labels: &[f64],
        schedule: Schedule,
        mut watch: impl FnMut(u32, &Model),
    ) -> Model {
        let features = rows.first().map_or(0, Vec::len);
        let count = rows.len().max(1) as f64;
        let mut model = Model { weights: vec![0.0; features], bias: 0.0 };
        let mut step = vec![0.0; features + 1];
        let mut gradient = vec![0.0; features + 1];
        for epoch in 1..=schedule.epochs {
            gradient.fill(0.0);
            for (row, label) in rows.iter().zip(labels) {
                let miss = (model.probability(row) - label) / count;
                for (sum, value) in gradient.iter_mut().zip(row) {
                    *sum += miss * value;
                }
                gradient[features] += miss;
            }
            for (slope, weight) in gradient.iter_mut().zip(&model.weights) {
                *slope += schedule.penalty * weight;
            }
            for (step, slope) in step.iter_mut().zip(&gradient) {
                *step = schedule.momentum * *step - schedule.rate * slope;
            }
            for (weight, step) in model.weights.iter_mut().zip(&step) {
                *weight += step;
            }
            model.bias += step[features];
            watch(epoch, &model);
        }
        model
    }

    /// The probability that the label of this standardised sample is 1.
    pub fn probability(&self, row: &[f64]) -> f64 {
        1.0 / (1.0 + (-self.logit(row)).exp())
    }

    fn logit(&self, row: &[f64]) -> f64 {
        self.weights.iter().zip(row).map(|(weight, value)| weight * value).sum::<f64>() + self.bias
    }

    /// Score standardised samples.
    pub fn score(&self, rows: &[Vec<f64>], labels: &[f64]) -> Score {
        let count = rows.len().max(1) as f64;
        let (mut loss, mut misses) = (0.0, [0, 0]);
        for (row, label) in rows.iter().zip(labels) {
            let logit = self.logit(row);
            // ln(1 + e^z) - y z, written so that a large |z| cannot overflow.
            loss += logit.max(0.0) + (-logit.abs()).exp().ln_1p() - label * logit;
            match (logit >= 0.0, *label == 1.0) {
                (false, true) => misses[0] += 1,
                (true, false) => misses[1] += 1,
                _ => {}
            }
        }
        Score { loss: loss / count, accuracy: 1.0 - (misses[0] + misses[1]) as f64 / count, misses }
    }
}
