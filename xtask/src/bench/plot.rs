//! Curves on double logarithmic axes, as a picture that reads on light and on dark pages.

use std::fmt::Write as _;

/// One line of a panel.
pub(super) struct Curve {
    /// Its place in [`Plot::legend`].
    pub(super) kind: usize,
    /// By rising x; all above zero.
    pub(super) points: Vec<(f64, f64)>,
}

/// One pair of axes.
pub(super) struct Panel {
    pub(super) title: String,
    pub(super) curves: Vec<Curve>,
}

/// Panels with the same axes, so that they can be compared.
pub(super) struct Plot {
    pub(super) title: String,
    /// What the axes show.
    pub(super) axes: [String; 2],
    pub(super) legend: Vec<String>,
    pub(super) panels: Vec<Panel>,
}

/// Line and mark of each place of a legend: colours of middle lightness, told apart by dashes and marks, too.
const STYLES: [(&str, &str, &str); 5] = [
    ("#d1495b", "", "circle"),
    ("#d98324", "", "square"),
    ("#2f81d6", "", "circle"),
    ("#2a9d8f", "5 3", "square"),
    ("#888888", "2 3", ""),
];
const COLUMNS: usize = 3;
/// Pixels of a panel's axes.
const SIZE: (f64, f64) = (258.0, 190.0);
/// Pixels from one panel to the next.
const PITCH: (f64, f64) = (326.0, 258.0);
/// Where the axes of the first panel are.
const ORIGIN: (f64, f64) = (58.0, 98.0);

/// From the smallest to the largest power of ten around all values.
#[derive(Clone, Copy)]
struct Decades {
    first: i32,
    last: i32,
}

impl Decades {
    fn around(values: impl Iterator<Item = f64>) -> Self {
        let logs: Vec<f64> = values.map(f64::log10).collect();
        let first = logs.iter().copied().fold(f64::INFINITY, f64::min).floor();
        let last = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max).ceil();
        let (first, last) = (first.clamp(-12.0, 12.0) as i32, last.clamp(-12.0, 12.0) as i32);
        Self {
            first,
            last: last.max(first + 1),
        }
    }

    /// The place of a value from 0, the first power of ten, to 1, the last one.
    fn place(self, value: f64) -> f64 {
        (value.log10() - f64::from(self.first)) / f64::from(self.last - self.first)
    }

    fn ticks(self) -> impl Iterator<Item = (f64, i32)> {
        (self.first..=self.last).map(move |power| (self.place(10f64.powi(power)), power))
    }
}

impl Plot {
    /// The picture, as SVG.
    pub(super) fn to_svg(&self) -> String {
        let rows = self.panels.len().div_ceil(COLUMNS);
        let (width, height) = (
            ORIGIN.0 + PITCH.0 * COLUMNS as f64 - 10.0,
            ORIGIN.1 + PITCH.1 * rows as f64 - 18.0,
        );
        let points = || {
            let curves = self.panels.iter().flat_map(|panel| &panel.curves);
            curves.flat_map(|curve| &curve.points)
        };
        let x = Decades::around(points().map(|point| point.0));
        let y = Decades::around(points().map(|point| point.1));
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" font-family=\"system-ui, sans-serif\" font-size=\"11\">\n\
             <title>{}</title>\n\
             <style>text{{fill:#444}}.grid{{stroke:#888;stroke-opacity:.25}}.axis{{stroke:#888;fill:none}}\
             @media(prefers-color-scheme:dark){{text{{fill:#ccc}}}}</style>\n",
            escaped(&self.title)
        );
        text(
            &mut svg,
            (16.0, 26.0),
            "start",
            "font-size=\"16\" font-weight=\"600\"",
            &self.title,
        );
        self.draw_legend(&mut svg);
        for (at, panel) in self.panels.iter().enumerate() {
            let corner = (
                ORIGIN.0 + PITCH.0 * (at % COLUMNS) as f64,
                ORIGIN.1 + PITCH.1 * (at / COLUMNS) as f64,
            );
            self.draw_panel(&mut svg, panel, corner, x, y);
        }
        svg.push_str("</svg>\n");
        svg
    }

    fn draw_legend(&self, svg: &mut String) {
        let mut left = 16.0;
        for (kind, name) in self.legend.iter().enumerate() {
            draw_curve(svg, kind, &[(left, 46.0), (left + 28.0, 46.0)]);
            text(svg, (left + 36.0, 50.0), "start", "", name);
            left += 62.0 + 5.9 * name.chars().count() as f64;
        }
    }

    fn draw_panel(&self, svg: &mut String, panel: &Panel, (left, top): (f64, f64), x: Decades, y: Decades) {
        let (right, bottom) = (left + SIZE.0, top + SIZE.1);
        text(
            svg,
            (left, top - 9.0),
            "start",
            "font-size=\"13\" font-weight=\"600\"",
            &panel.title,
        );
        for (place, power) in x.ticks() {
            let at = left + SIZE.0 * place;
            line(svg, "grid", (at, top), (at, bottom));
            text(svg, (at, bottom + 15.0), "middle", "", &count(power));
        }
        for (place, power) in y.ticks() {
            let at = bottom - SIZE.1 * place;
            line(svg, "grid", (left, at), (right, at));
            text(svg, (left - 6.0, at + 4.0), "end", "", &count(power));
        }
        line(svg, "axis", (left, top), (left, bottom));
        line(svg, "axis", (left, bottom), (right, bottom));
        let [x_name, y_name] = &self.axes;
        text(svg, ((left + right) / 2.0, bottom + 31.0), "middle", "", x_name);
        let place = (left - 46.0, (top + bottom) / 2.0);
        let turned = format!("transform=\"rotate(-90 {} {})\"", place.0, place.1);
        text(svg, place, "middle", &turned, y_name);
        for curve in &panel.curves {
            let points = curve.points.iter();
            let points: Vec<_> = points
                .map(|point| {
                    (
                        left + SIZE.0 * x.place(point.0),
                        bottom - SIZE.1 * y.place(point.1),
                    )
                })
                .collect();
            draw_curve(svg, curve.kind, &points);
        }
    }
}

fn draw_curve(svg: &mut String, kind: usize, points: &[(f64, f64)]) {
    let (colour, dashes, mark) = STYLES.get(kind).copied().unwrap_or(("#888888", "", ""));
    let path: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let _ = writeln!(
        svg,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.8\" stroke-dasharray=\"{dashes}\"/>",
        path.join(" ")
    );
    for (x, y) in points {
        let _ = match mark {
            "circle" => writeln!(
                svg,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>"
            ),
            "square" => writeln!(
                svg,
                "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"5\" height=\"5\" fill=\"{colour}\"/>",
                x - 2.5,
                y - 2.5
            ),
            _ => Ok(()),
        };
    }
}

fn line(svg: &mut String, class: &str, from: (f64, f64), to: (f64, f64)) {
    let _ = writeln!(
        svg,
        "<line class=\"{class}\" x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\"/>",
        from.0, from.1, to.0, to.1
    );
}

fn text(svg: &mut String, at: (f64, f64), anchor: &str, more: &str, words: &str) {
    let (x, y, words) = (at.0, at.1, escaped(words));
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" {more}>{words}</text>"
    );
}

/// A power of ten in few characters.
fn count(power: i32) -> String {
    let value = 10f64.powi(power);
    match power {
        ..0 => format!("{value}"),
        0..3 => format!("{value:.0}"),
        3..6 => format!("{:.0}k", value / 1e3),
        _ => format!("{:.0}M", value / 1e6),
    }
}

fn escaped(words: &str) -> String {
    words
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_lie_between_the_powers_of_ten_around_them() {
        let decades = Decades::around([20.0, 5000.0].into_iter());
        assert_eq!((decades.first, decades.last), (1, 4));
        assert!((decades.place(1e4) - 1.0).abs() < 1e-9 && decades.place(10.0).abs() < 1e-9);
        let one = Decades::around([10.0].into_iter());
        assert_eq!((one.first, one.last), (1, 2));
    }

    #[test]
    fn a_picture_has_each_panel_and_curve_and_no_bare_brackets() {
        let panel = Panel {
            title: "a < b".into(),
            curves: vec![Curve {
                kind: 0,
                points: vec![(10.0, 2.0), (100.0, 30.0)],
            }],
        };
        let plot = Plot {
            title: "t".into(),
            axes: ["LVs".into(), "cost".into()],
            legend: vec!["tools".into()],
            panels: vec![panel],
        };
        let svg = plot.to_svg();
        assert_eq!(
            svg.matches("<polyline").count(),
            2,
            "the legend's and the panel's"
        );
        assert!(svg.contains("a &lt; b") && !svg.contains("NaN"));
        assert_eq!([0, 2, 4, 6].map(count), ["1", "100", "10k", "1M"]);
    }
}
