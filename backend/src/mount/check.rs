//! temp
use crate::{error::Result, inode::Core};
#[derive(Clone, Debug)]
pub struct Problem {
    pub structure: String,
    pub place: String,
    pub message: String,
}
#[derive(Clone, Debug, Default)]
pub struct CheckReport {
    pub problems: Vec<Problem>,
    pub inodes: u64,
    pub files: u64,
    pub directories: u64,
    pub blocks_used: u64,
    pub blocks_shared: u64,
    pub leaked_blocks: u64,
}
impl CheckReport {
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }
}
pub(crate) fn check(_core: &Core) -> Result<CheckReport> {
    Ok(CheckReport::default())
}
