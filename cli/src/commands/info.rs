//! `daxcow info` and `daxcow df`: what a pool is, what it survives, who uses it, how full it is.

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use daxcow::{Durability, FlushMode, Granularity, Medium, MemberInfo, PoolInfo, SnapshotInfo, SpaceUsage};
use serde_json::{Value, json};

use crate::commands::snapshot;
use crate::output::{Format, Status, columns, shown};
use crate::place::Pools;
use crate::time;

/// Show a pool's medium, what survives what, its space, the processes using it, and its snapshots
#[derive(Args, Debug)]
pub(crate) struct Info {
    /// The pool, or a path in it
    pool: PathBuf,
    #[command(flatten)]
    format: Format,
}

impl Info {
    pub(crate) fn run(self, pools: &Pools) -> Result<Status> {
        let named = || self.pool.display().to_string();
        let pool = pools.pool(&self.pool)?;
        let info = pool.info().with_context(named)?;
        // Where they cannot be counted they cannot be listed either, and whoever asks wants to know whom to blame.
        let snapshots = info.snapshots.map(|_| pool.snapshots().with_context(named)).transpose()?;
        let mut value = json(&info);
        value["snapshots"] =
            snapshots.as_ref().map(|all| all.iter().map(snapshot::json).collect::<Value>()).into();
        self.format.print(&value, || text(&info, snapshots.as_deref(), self.format))?;
        Ok(Status::Success)
    }
}

/// A pool's description for scripts.
pub(crate) fn json(info: &PoolInfo) -> Value {
    let durability = &info.durability;
    json!({
        "path": info.path.to_string_lossy(),
        "uuid": info.uuid,
        "size_bytes": info.size_bytes,
        "format_version": info.format_version,
        "features": {
            "compat": info.features_compat,
            "ro_compat": info.features_ro_compat,
            "incompat": info.features_incompat,
        },
        "durability": {
            "medium": medium(durability.medium),
            "granularity": granularity(durability.granularity),
            "map_sync": durability.map_sync,
            "flush": durability.flush == FlushMode::On,
            "survives_process_death": durability.survives_process_death,
            "survives_power_loss": durability.survives_power_loss,
            "description": durability.description,
        },
        "usage": usage_json(&info.usage),
        "clean_at_open": info.clean_at_open,
        "recovered": info.recovered.as_ref().map(|recovered| json!({
            "transactions_replayed": recovered.transactions_replayed,
            "orphans_removed": recovered.orphans_removed,
            "blocks_counted": recovered.blocks_counted,
            "failed_sync": recovered.failed_sync.map(|failed| failed.to_string()),
            "problems": recovered.problems,
            "microseconds": recovered.microseconds,
        })),
        "read_only_since": info.read_only_since,
        "members": info.members.iter().map(member_json).collect::<Value>(),
        "snapshot_count": info.snapshots,
    })
}

fn member_json(member: &MemberInfo) -> Value {
    json!({
        "slot": member.slot,
        "pid": member.pid,
        "name": member.name,
        "since_seconds": member.since_seconds,
        "this": member.this,
        "alive": member.alive,
        "stopped": member.stopped,
        "holds": member.holds,
    })
}

fn usage_json(usage: &SpaceUsage) -> Value {
    json!({
        "total_bytes": usage.total_bytes,
        "used_bytes": usage.used_bytes,
        "free_bytes": usage.free_bytes,
        "reserve_bytes": usage.reserve_bytes,
        "inodes_used": usage.inodes_used,
        "inodes_free": usage.inodes_free,
    })
}

const fn medium(medium: Medium) -> &'static str {
    match medium {
        Medium::FsDax => "fs-dax",
        Medium::DevDax => "dev-dax",
        Medium::PageCache => "page cache",
        Medium::Volatile => "volatile",
    }
}

const fn granularity(granularity: Granularity) -> &'static str {
    match granularity {
        Granularity::Byte => "byte",
        Granularity::CacheLine => "cache line",
        Granularity::Page => "page",
    }
}

fn text(info: &PoolInfo, snapshots: Option<&[SnapshotInfo]>, format: Format) -> Result<String> {
    let mut text = String::new();
    let mut line = |name: &str, value: String| writeln!(text, "{name:<12}{value}");
    let Durability { survives_process_death, survives_power_loss, .. } = info.durability;
    line("pool", shown(&info.path))?;
    line("uuid", info.uuid.clone())?;
    line("format", format!("{}{}", info.format_version, features(info)))?;
    line("medium", medium_line(&info.durability))?;
    line("survives", format!("death of a process: {}", yes_or_no(survives_process_death)))?;
    line("", format!("power loss or reboot: {}", yes_or_no(survives_power_loss)))?;
    line("", info.durability.description.clone())?;
    line("opened", opened_line(info))?;
    if let Some(failed) = info.recovered.and_then(|recovered| recovered.failed_sync) {
        line("", format!("{failed} came before: what was not durable then may be lost at a power loss"))?;
    }
    if let Some(why) = &info.read_only_since {
        line("read-only", why.clone())?;
    }
    let (usage, size) = (&info.usage, |bytes| format.size(bytes));
    let reserve = size(usage.reserve_bytes);
    line("size", size(info.size_bytes))?;
    line("used", size(usage.used_bytes))?;
    line("free", format!("{}, and a reserve of {reserve} for deleting", size(usage.free_bytes)))?;
    line("inodes", format!("{} used, {} free", usage.inodes_used, usage.inodes_free))?;
    text.push_str("\nmembers\n");
    text.push_str(&members_table(&info.members));
    match snapshots {
        Some([]) => {}
        Some(snapshots) => {
            text.push_str("\nsnapshots\n");
            text.push_str(&snapshot::table(snapshots));
        }
        None => text.push_str(
            "\nsnapshots: cannot be listed while a member stands in the middle of changing names\n",
        ),
    }
    Ok(text)
}

/// The feature words that are not zero.
fn features(info: &PoolInfo) -> String {
    let words = [
        ("compat", info.features_compat),
        ("ro-compat", info.features_ro_compat),
        ("incompat", info.features_incompat),
    ];
    words.iter().filter(|(_, word)| *word != 0).map(|(name, word)| format!(", {name} {word:#x}")).collect()
}

fn medium_line(durability: &Durability) -> String {
    let mut line = medium(durability.medium).to_owned();
    if durability.medium != Medium::Volatile {
        line.push_str(&format!(", persists by {}", granularity(durability.granularity)));
    }
    if durability.map_sync {
        line.push_str(", MAP_SYNC");
    }
    if durability.flush == FlushMode::Off {
        line.push_str(", flushing off");
    }
    line
}

const fn yes_or_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

fn opened_line(info: &PoolInfo) -> String {
    match &info.recovered {
        Some(recovered) => format!(
            "after a crash: replayed {} transactions, removed {} orphans, counted {} blocks, in {} ms{}",
            recovered.transactions_replayed,
            recovered.orphans_removed,
            recovered.blocks_counted,
            recovered.microseconds.div_ceil(1000),
            if recovered.problems > 0 { "; there is damage: see `daxcow check`" } else { "" },
        ),
        None if info.clean_at_open => "clean".to_owned(),
        None => "joined other processes".to_owned(),
    }
}

fn members_table(members: &[MemberInfo]) -> String {
    let rows = members.iter().map(|member| {
        let state = match (member.alive, member.stopped, member.this) {
            (false, ..) => "dead, to be recovered",
            (true, true, _) => "stopped",
            (true, false, true) => "this command",
            (true, false, false) => "running",
        };
        [
            member.slot.to_string(),
            member.pid.to_string(),
            shown(&member.name),
            time::duration(member.since_seconds),
            state.to_owned(),
            member.holds.join("; "),
        ]
    });
    columns(["SLOT", "PID", "NAME", "FOR", "STATE", "HOLDS"], &[0, 1], rows.collect())
}

/// Show how full pools are
#[derive(Args, Debug)]
pub(crate) struct Df {
    /// The pools, or paths in them
    #[arg(required = true)]
    pools: Vec<PathBuf>,
    #[command(flatten)]
    format: Format,
}

impl Df {
    pub(crate) fn run(self, pools: &Pools) -> Result<Status> {
        let mut usages = Vec::new();
        for path in &self.pools {
            let usage = pools.pool(path)?.usage().with_context(|| path.display().to_string())?;
            usages.push((path, usage));
        }
        let value: Value = usages
            .iter()
            .map(|(path, usage)| {
                let mut value = usage_json(usage);
                value["pool"] = path.to_string_lossy().into();
                value
            })
            .collect();
        self.format.print(&value, || {
            let rows = usages.iter().map(|(path, usage)| self.row(shown(path), usage)).collect();
            let heading = ["POOL", "SIZE", "USED", "FREE", "USED%", "INODES", "INODES FREE"];
            Ok(columns(heading, &[1, 2, 3, 4, 5, 6], rows))
        })?;
        Ok(Status::Success)
    }

    fn row(&self, pool: String, usage: &SpaceUsage) -> [String; 7] {
        let used_per_mille = u128::from(usage.used_bytes) * 1000 / u128::from(usage.total_bytes.max(1));
        [
            pool,
            self.format.size(usage.total_bytes),
            self.format.size(usage.used_bytes),
            self.format.size(usage.free_bytes),
            format!("{}.{}%", used_per_mille / 10, used_per_mille % 10),
            usage.inodes_used.to_string(),
            usage.inodes_free.to_string(),
        ]
    }
}
