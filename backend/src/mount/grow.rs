//! temp
use crate::{
    error::{Error, ErrorKind, Result},
    inode::Core,
};
pub(crate) fn grow(_core: &Core, _n: u64) -> Result<()> {
    Err(Error::new(ErrorKind::Io, "soon"))
}
