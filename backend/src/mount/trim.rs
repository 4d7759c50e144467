//! temp
use crate::{
    error::{Error, ErrorKind, Result},
    inode::Core,
};
pub(crate) fn trim(_core: &Core) -> Result<u64> {
    Err(Error::new(ErrorKind::Io, "soon"))
}
