//! temp
use super::{
    open::{Opening, RecoveryInfo},
    usage::SpaceUsage,
};
use crate::{
    error::{Error, ErrorKind, Result},
    inode::Core,
    pmem::medium::Durability,
};
use std::path::PathBuf;
#[derive(Clone, Debug)]
pub struct MemberInfo {
    pub slot: u32,
    pub pid: u32,
    pub name: String,
    pub since_seconds: u64,
    pub this: bool,
    pub alive: bool,
    pub stopped: bool,
    pub holds: Vec<String>,
}
#[derive(Clone, Debug)]
pub struct PoolInfo {
    pub uuid: String,
    pub path: PathBuf,
    pub size_bytes: u64,
    pub format_version: u32,
    pub features_compat: u64,
    pub features_ro_compat: u64,
    pub features_incompat: u64,
    pub durability: Durability,
    pub usage: SpaceUsage,
    pub clean_at_open: bool,
    pub recovered: Option<RecoveryInfo>,
    pub members: Vec<MemberInfo>,
    pub snapshots: u64,
}
pub(crate) fn info(_core: &Core, _opening: &Opening) -> Result<PoolInfo> {
    Err(Error::new(ErrorKind::Io, "soon"))
}
