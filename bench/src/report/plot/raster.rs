//! SVG to PNG.

use std::sync::Arc;

use anyhow::{Context, Result};
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::fontdb::Database;
use resvg::usvg::{Options, Tree};

/// Pixels for a unit of the SVG: sharp on today's screens.
const SCALE: f32 = 1.5;

/// What draws, with the fonts of the system, which take a moment to be found.
pub(crate) struct Rasterizer {
    options: Options<'static>,
}

impl Rasterizer {
    pub(crate) fn new() -> Rasterizer {
        let mut fonts = Database::new();
        fonts.load_system_fonts();
        // Whatever fonts there are, some of them stands for those that are asked for.
        let family =
            fonts.faces().next().and_then(|face| face.families.first()).map(|(name, _)| name.clone());
        match family {
            Some(family) => fonts.set_sans_serif_family(family),
            None => eprintln!(
                "no font was found (Debian: fonts-dejavu-core): the PNG files have no text, the SVG files do"
            ),
        }
        Rasterizer { options: Options { fontdb: Arc::new(fonts), ..Options::default() } }
    }

    /// The picture as a PNG.
    pub(crate) fn png(&self, svg: &str) -> Result<Vec<u8>> {
        let tree = Tree::from_str(svg, &self.options).context("parse the SVG")?;
        let size = tree.size().to_int_size().scale_by(SCALE).context("a picture without a size")?;
        let mut pixels = Pixmap::new(size.width(), size.height()).context("a picture without a size")?;
        resvg::render(&tree, Transform::from_scale(SCALE, SCALE), &mut pixels.as_mut());
        pixels.encode_png().context("encode the PNG")
    }
}
