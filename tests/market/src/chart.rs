//! Charts as SVG text.

use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;
use std::error::Error;

/// Width and height of a chart.
const SIZE: (u32, u32) = (860, 420);

/// Colours that people with any sight can tell apart (Okabe and Ito).
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(213, 94, 0),
    RGBColor(90, 90, 90),
];

/// What a chart says beside its data.
pub struct Labels<'a> {
    /// Above it.
    pub title: &'a str,
    /// Below it.
    pub across: &'a str,
    /// Left of it.
    pub upwards: &'a str,
}

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// One line per series over its points.
///
/// # Errors
/// What the drawing library says.
pub fn lines(labels: &Labels<'_>, series: &[(String, Vec<(f64, f64)>)]) -> Result<String> {
    let points = || series.iter().flat_map(|(_, points)| points.iter().copied());
    let right = points().map(|point| point.0).fold(1.0, f64::max);
    let top = points().map(|point| point.1).fold(0.0, f64::max) * 1.08;
    draw(
        labels,
        // Room for the legend, where the data end.
        0.0..right * 1.5,
        0.0..top,
        |value| format!("{value:.2}"),
        |value| if *value > right { String::new() } else { format!("{value:.0}") },
        series,
        false,
    )
}

/// The same with both axes logarithmic and the points marked.
///
/// # Errors
/// What the drawing library says.
pub fn log_lines(labels: &Labels<'_>, series: &[(String, Vec<(f64, f64)>)]) -> Result<String> {
    let points = || series.iter().flat_map(|(_, points)| points.iter().copied());
    let range = |of: fn((f64, f64)) -> f64| {
        let low = points().map(of).fold(f64::INFINITY, f64::min);
        (low * 0.8..points().map(of).fold(0.0, f64::max) * 1.3).log_scale()
    };
    let number = |value: &f64| if *value < 1.0 { format!("{value}") } else { format!("{value:.0}") };
    draw(labels, range(|point| point.0), range(|point| point.1), number, number, series, true)
}

fn draw<X, Y>(
    labels: &Labels<'_>,
    across: X,
    upwards: Y,
    upwards_text: impl Fn(&f64) -> String,
    across_text: impl Fn(&f64) -> String,
    series: &[(String, Vec<(f64, f64)>)],
    marked: bool,
) -> Result<String>
where
    X: AsRangedCoord<Value = f64>,
    Y: AsRangedCoord<Value = f64>,
    X::CoordDescType: ValueFormatter<f64>,
    Y::CoordDescType: ValueFormatter<f64>,
{
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(labels.title, ("sans-serif", 20))
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(64)
            .build_cartesian_2d(across, upwards)?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .bold_line_style(RGBColor(225, 225, 225))
            .x_desc(labels.across)
            .y_desc(labels.upwards)
            .x_label_formatter(&across_text)
            .y_label_formatter(&upwards_text)
            .label_style(("sans-serif", 13))
            .draw()?;
        for ((name, points), colour) in series.iter().zip(COLOURS.iter().cycle()) {
            let style = colour.stroke_width(2);
            let size = if marked { 4 } else { 0 };
            chart
                .draw_series(LineSeries::new(points.iter().copied(), style).point_size(size))?
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
        }
        // Marked points rise to the right.
        legend(
            &mut chart,
            if marked { SeriesLabelPosition::UpperLeft } else { SeriesLabelPosition::UpperRight },
        )?;
        area.present()?;
    }
    Ok(text)
}

/// Groups of bars side by side, in percent: one group per name, one bar per series.
///
/// # Errors
/// What the drawing library says.
pub fn bars(labels: &Labels<'_>, groups: &[&str], series: &[(String, Vec<f64>)]) -> Result<String> {
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(labels.title, ("sans-serif", 20))
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..groups.len() as f64, 0.0..118.0)?;
        // A tick in the middle of each group, and one between groups which says nothing.
        let name = |at: &f64| {
            let middle = (at.fract() - 0.5).abs() < 1e-9;
            if middle { groups.get(*at as usize).copied().unwrap_or("").to_owned() } else { String::new() }
        };
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(WHITE)
            .bold_line_style(RGBColor(225, 225, 225))
            .x_labels(groups.len() * 2 + 1)
            .x_label_formatter(&name)
            .y_label_formatter(&|percent| {
                if *percent > 100.0 { String::new() } else { format!("{percent:.0} %") }
            })
            .x_desc(labels.across)
            .y_desc(labels.upwards)
            .label_style(("sans-serif", 13))
            .draw()?;
        let width = 0.8 / series.len().max(1) as f64;
        for (place, ((name, values), colour)) in series.iter().zip(COLOURS).enumerate() {
            let left = |group: usize| group as f64 + 0.1 + place as f64 * width;
            let bars = values.iter().enumerate().map(|(group, value)| {
                let corners = [(left(group), 0.0), (left(group) + width * 0.94, value * 100.0)];
                Rectangle::new(corners, colour.filled())
            });
            chart
                .draw_series(bars)?
                .label(name)
                .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 14, y + 5)], colour.filled()));
        }
        legend(&mut chart, SeriesLabelPosition::UpperRight)?;
        area.present()?;
    }
    Ok(text)
}

fn legend<'a, X, Y>(
    chart: &mut ChartContext<'a, SVGBackend<'a>, Cartesian2d<X, Y>>,
    position: SeriesLabelPosition,
) -> Result<()>
where
    X: Ranged<ValueType = f64>,
    Y: Ranged<ValueType = f64>,
{
    chart
        .configure_series_labels()
        .position(position)
        .background_style(WHITE.mix(0.85))
        .border_style(RGBColor(200, 200, 200))
        .label_font(("sans-serif", 13))
        .draw()?;
    Ok(())
}
