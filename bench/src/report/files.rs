//! A report as files: NAME.json, NAME.md, and for each table NAME-TABLE.svg and NAME-TABLE.png.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::report::{Report, plot};

impl Report {
    /// Writes the report into `directory`; answers with what was written.
    pub(crate) fn write(&self, directory: &Path) -> Result<Vec<PathBuf>> {
        let mut written = Vec::new();
        let mut put = |name: String, bytes: &[u8]| -> Result<()> {
            let path = directory.join(name);
            fs::write(&path, bytes).with_context(|| format!("write {}", path.display()))?;
            written.push(path);
            Ok(())
        };
        put(format!("{}.json", self.name), &serde_json::to_vec_pretty(self)?)?;
        put(format!("{}.md", self.name), self.to_text().as_bytes())?;
        let pictures = plot::Rasterizer::new();
        for table in &self.tables {
            let svg = plot::draw(table, &format!("{}. {}", self.title, self.machine.caption()));
            put(format!("{}-{}.svg", self.name, table.name), svg.as_bytes())?;
            let png = pictures.png(&svg).with_context(|| format!("draw {}", table.title))?;
            put(format!("{}-{}.png", self.name, table.name), &png)?;
        }
        Ok(written)
    }
}
