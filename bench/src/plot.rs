//! One picture per group: every engine beside AiDb, whose median is 1, with the range of the rounds.

use std::path::Path;

use plotters::prelude::*;

use crate::engines::{Failure, Kind};
use crate::statistics::Line;
use crate::workloads::Group;

const BAR: i32 = 12;
const GAP: i32 = 10;
const WIDTH: u32 = 900;
/// Parts of the picture beside the bars.
const MARGINS: u32 = 110;
const LABELS: u32 = 210;

fn colour(kind: Kind) -> RGBColor {
    match kind {
        Kind::Aidb => RGBColor(0x1b, 0x5e, 0x9e),
        Kind::Rocksdb => RGBColor(0xe0, 0x8e, 0x2b),
        Kind::Fjall => RGBColor(0x6a, 0x9a, 0x3d),
        Kind::Leveldb => RGBColor(0xb0, 0x4a, 0x4a),
        Kind::Lmdb => RGBColor(0x7d, 0x62, 0xa8),
        Kind::Redb => RGBColor(0x8a, 0x8a, 0x8a),
    }
}

/// A bar: its place, its engine, its length and the ends of its range.
struct Bar {
    top: i32,
    kind: Kind,
    length: f64,
    range: (f64, f64),
}

/// Bars from the top down, in pixels, and the height of a row.
fn bars(engines: &[Kind], lines: &[Line]) -> (Vec<Bar>, i32) {
    let row = engines.len() as i32 * BAR + GAP;
    let mut bars = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let Some(unit) = line.spreads.get(&Kind::Aidb).map(|spread| spread.median) else {
            continue;
        };
        for (place, &kind) in engines.iter().enumerate() {
            if let Some(spread) = line.spreads.get(&kind) {
                bars.push(Bar {
                    top: index as i32 * row + GAP / 2 + place as i32 * BAR,
                    kind,
                    length: spread.median / unit,
                    range: (spread.low / unit, spread.high / unit),
                });
            }
        }
    }
    (bars, row)
}

pub fn draw(path: &Path, group: Group, engines: &[Kind], lines: &[Line]) -> Result<(), Failure> {
    let (bars, row) = bars(engines, lines);
    let height = row * lines.len() as i32;
    // A rival ten times as good would leave the others invisible: its bar ends at the border.
    let farthest = bars.iter().map(|bar| bar.range.1).fold(1.2, f64::max);
    let farthest = farthest.min(4.0) * 1.05;

    let area = SVGBackend::new(path, (WIDTH, height as u32 + MARGINS)).into_drawing_area();
    area.fill(&WHITE)?;
    let title = match group {
        Group::Resources => format!("{}: AiDb = 1, less is better", group.title()),
        _ => format!("{}: AiDb = 1, more is better", group.title()),
    };
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 18))
        .margin(10)
        .x_label_area_size(30)
        .y_label_area_size(LABELS)
        .build_cartesian_2d(0.0..farthest, height..0)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .x_labels(9)
        .light_line_style(WHITE)
        .draw()?;
    for kind in engines {
        let colour = colour(*kind);
        chart
            .draw_series(bars.iter().filter(|bar| bar.kind == *kind).map(|bar| {
                let ends = [
                    (0.0, bar.top + 1),
                    (bar.length.min(farthest), bar.top + BAR - 1),
                ];
                Rectangle::new(ends, colour.filled())
            }))?
            .label(kind.title())
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 12, y + 5)], colour.filled()));
    }
    chart.draw_series(bars.iter().map(|bar| {
        let middle = bar.top + BAR / 2;
        let ends = [bar.range.0, bar.range.1].map(|end| (end.min(farthest), middle));
        PathElement::new(ends.to_vec(), BLACK)
    }))?;
    chart.draw_series(std::iter::once(PathElement::new(
        vec![(1.0, 0), (1.0, height)],
        BLACK.mix(0.4),
    )))?;
    for (index, line) in lines.iter().enumerate() {
        let (_, top) = chart.backend_coord(&(0.0, index as i32 * row + row / 2));
        let style = ("sans-serif", 13).into_text_style(&area);
        area.draw_text(line.row.label, &style, (10, top - 6))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE.mix(0.8))
        .draw()?;
    area.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::lines;
    use crate::statistics::tests::sample;

    #[test]
    fn a_picture_names_every_engine_and_row() {
        let samples = [
            sample(Kind::Aidb, "fillseq", 1.0),
            sample(Kind::Fjall, "fillseq", 100.0),
            sample(Kind::Redb, "fillseq", 0.01),
            sample(Kind::Redb, "overwrite", 1.0),
        ];
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("writes.svg");
        let engines = [Kind::Aidb, Kind::Fjall, Kind::Redb];
        let lines = lines(&samples, Group::Writes);
        draw(&path, Group::Writes, &engines, &lines).unwrap();
        let picture = std::fs::read_to_string(&path).unwrap();
        for word in ["AiDb", "fjall", "redb", "fillseq", "overwrite"] {
            assert!(picture.contains(word), "{word} is not in the picture");
        }
        let (bars, _) = bars(&engines, &lines);
        assert_eq!(bars.len(), 3, "a row without AiDb has no bars");
        assert_eq!(bars[1].length, 0.01);
    }
}
