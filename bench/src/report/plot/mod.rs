//! Tables as pictures: lines where the cases lie on an axis, bars where they do not.
//!
//! | module | what it does |
//! |---|---|
//! | `svg` | an SVG in the making |
//! | `scale` | from figures to places, and the ticks of an axis |
//! | `bars`, `lines` | the two kinds of picture |
//! | `raster` | SVG to PNG |

mod bars;
mod lines;
mod raster;
mod scale;
mod svg;

pub(super) use raster::Rasterizer;

use crate::report::{Better, Table};

/// Wide enough for a page.
const WIDTH: f64 = 960.0;
/// Blues, for the sides of daxcow.
const OURS: [&str; 4] = ["#0072b2", "#56b4e9", "#004c77", "#9ecae9"];
/// The rest of Okabe and Ito's colours, which people who see fewer colours can tell apart, and some more.
const OTHERS: [&str; 9] =
    ["#d55e00", "#e69f00", "#009e73", "#cc79a7", "#8b5a2b", "#999999", "#b8a800", "#7b3294", "#444444"];

/// A colour for each side.
fn colours(sides: &[&str]) -> Vec<&'static str> {
    let (mut ours, mut others) = (OURS.iter().cycle(), OTHERS.iter().cycle());
    let pick = |side: &&str| if side.contains("daxcow") { ours.next() } else { others.next() };
    sides.iter().map(pick).map(|colour| colour.copied().unwrap_or("#000000")).collect()
}

/// The picture of a table; `caption` says on what machine its figures were measured.
pub(super) fn draw(table: &Table, caption: &str) -> String {
    let on_axis = table.rows.iter().filter(|row| row.at.is_some()).count();
    if on_axis > 1 && on_axis == table.rows.len() {
        lines::draw(table, caption)
    } else {
        bars::draw(table, caption)
    }
}

/// What the figures mean: their unit and which are good.
fn meaning(table: &Table) -> String {
    let good = match table.better {
        Better::Lower => "less is better",
        Better::Higher => "more is better",
    };
    format!("{}: median, whiskers from minimum to maximum; {good}", table.unit)
}
