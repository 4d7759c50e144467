//! Who reads and writes files, and how.

use std::fs::File as HostFile;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result};
use daxcow::{File, FlushMode, Pool};

use crate::host;
use crate::ours::{self, BLOCK};
use crate::run::{Budget, Run, Spots};
use crate::stores::Mapping;

/// Microseconds of one operation with so many bytes.
type Measure = fn(&mut Sides, usize, Budget) -> Result<f64>;

/// Operations that are compared.
pub(super) struct Topic {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) sides: &'static [(&'static str, Measure)],
}

/// The topic that a program of somebody else's may take part in.
pub(super) const DURABLE: &str = "overwrite-durable";

pub(super) const TOPICS: [Topic; 7] = [
    Topic {
        name: "read",
        title: "Reads",
        sides: &[("daxcow", Sides::read), ("tmpfs pread", Sides::pread), ("floor: memcpy", Sides::load)],
    },
    Topic {
        name: DURABLE,
        title: "Durable overwrites in place",
        sides: &[
            ("daxcow", Sides::write),
            ("tmpfs pwrite + fdatasync", Sides::pwrite_and_sync),
            ("mmap + msync", Sides::store_and_sync),
            ("floor: non-temporal + fence", Sides::store_durably),
        ],
    },
    Topic {
        name: "overwrite",
        title: "Overwrites in place, not durable",
        sides: &[
            ("daxcow", Sides::write_unflushed),
            ("tmpfs pwrite", Sides::pwrite),
            ("floor: memcpy", Sides::store),
        ],
    },
    Topic {
        name: "copy-on-write",
        title: "Durable copy-on-write overwrites",
        sides: &[
            ("daxcow", Sides::write_shared),
            ("tmpfs pwrite + fdatasync, in place", Sides::pwrite_and_sync),
            ("mmap + msync, in place", Sides::store_and_sync),
            ("floor: non-temporal + fence", Sides::store_durably),
        ],
    },
    Topic {
        name: "copy-on-write-not-durable",
        title: "Copy-on-write overwrites, not durable",
        sides: &[
            ("daxcow", Sides::write_shared_unflushed),
            ("tmpfs pwrite, in place", Sides::pwrite),
            ("floor: memcpy", Sides::store),
        ],
    },
    Topic {
        name: "append-durable",
        title: "Durable appends",
        sides: &[
            ("daxcow", Sides::append_and_sync),
            ("tmpfs write + fdatasync", Sides::host_append_and_sync),
            ("mmap + msync, long enough before", Sides::store_and_sync_in_order),
            ("floor: non-temporal + fence", Sides::store_durably_in_order),
        ],
    },
    Topic {
        name: "append",
        title: "Appends, not durable",
        sides: &[
            ("daxcow", Sides::append_unflushed),
            ("tmpfs write", Sides::host_append),
            ("floor: memcpy", Sides::store_in_order),
        ],
    },
];

/// A file whose blocks a snapshot shares, in its pool.
struct Shared {
    pool: Pool,
    file: File,
}

/// The same file on every side.
pub(super) struct Sides {
    len: u64,
    file: File,
    /// What copy-on-write leaves is scattered: a file that is overwritten in place stays as it was written, as on the other sides.
    shared: Shared,
    growing: File,
    unflushed: File,
    shared_unflushed: Shared,
    growing_unflushed: File,
    host: HostFile,
    growing_host: HostFile,
    mapping: Mapping,
    buffer: Vec<u8>,
    spots: Spots,
}

impl Sides {
    pub(super) fn new(run: &Run, len: u32) -> Result<Sides> {
        let bytes = u64::from(len);
        let pool = ours::pool(&run.path("flushed.pool"), 5 * bytes + (64 << 20), run.flush())?;
        let careless = ours::pool(&run.path("unflushed.pool"), 5 * bytes + (64 << 20), FlushMode::Off)?;
        Ok(Sides {
            len: bytes,
            file: ours::written(&pool, "/file", bytes)?,
            growing: ours::written(&pool, "/growing", 0)?,
            unflushed: ours::written(&careless, "/file", bytes)?,
            growing_unflushed: ours::written(&careless, "/growing", 0)?,
            shared: Shared::new(pool, bytes)?,
            shared_unflushed: Shared::new(careless, bytes)?,
            host: host::written(&run.path("host"), bytes)?,
            growing_host: host::open(&run.path("growing"))?,
            mapping: Mapping::create(&run.path("mapping"), usize::try_from(len)?)?,
            buffer: vec![0x5a; 2 << 20],
            spots: Spots::new(),
        })
    }

    /// Runs `operation` with random places that are multiples of `size`.
    fn anywhere(
        &mut self,
        size: usize,
        budget: Budget,
        operation: impl Fn(&mut Sides, u64) -> Result<()>,
    ) -> Result<f64> {
        let places = self.len / size as u64;
        budget.spend(|_| {
            let place = self.spots.below(places) * size as u64;
            operation(self, place)
        })
    }

    fn read(&mut self, size: usize, budget: Budget) -> Result<f64> {
        self.anywhere(size, budget, |sides, place| {
            Ok(sides.file.read_exact_at(&mut sides.buffer[..size], place)?)
        })
    }

    fn pread(&mut self, size: usize, budget: Budget) -> Result<f64> {
        self.anywhere(size, budget, |sides, place| {
            sides.host.read_exact_at(&mut sides.buffer[..size], place).context("pread")
        })
    }

    fn load(&mut self, size: usize, budget: Budget) -> Result<f64> {
        self.anywhere(size, budget, |sides, place| {
            sides.mapping.load(&mut sides.buffer[..size], usize::try_from(place)?);
            Ok(())
        })
    }

    fn write(&mut self, size: usize, budget: Budget) -> Result<f64> {
        self.anywhere(size, budget, |sides, place| Ok(sides.file.write_at(&sides.buffer[..size], place)?))
    }

    fn write_unflushed(&mut self, size: usize, budget: Budget) -> Result<f64> {
        self.anywhere(size, budget, |sides, place| {
            Ok(sides.unflushed.write_at(&sides.buffer[..size], place)?)
        })
    }

    fn pwrite(&mut self, size: usize, budget: Budget) -> Result<f64> {
        self.anywhere(size, budget, |sides, place| {
            sides.host.write_all_at(&sides.buffer[..size], place).context("pwrite")
        })
    }

    fn pwrite_and_sync(&mut self, size: usize, budget: Budget) -> Result<f64> {
        self.anywhere(size, budget, |sides, place| {
            sides.host.write_all_at(&sides.buffer[..size], place).context("pwrite")?;
            sides.host.sync_data().context("fdatasync")
        })
    }

    fn store(&mut self, size: usize, budget: Budget) -> Result<f64> {
        self.anywhere(size, budget, |sides, place| {
            sides.mapping.store(&sides.buffer[..size], usize::try_from(place)?);
            Ok(())
        })
    }

    fn store_and_sync(&mut self, size: usize, budget: Budget) -> Result<f64> {
        self.anywhere(size, budget, |sides, place| {
            let place = usize::try_from(place)?;
            sides.mapping.store(&sides.buffer[..size], place);
            sides.mapping.sync(place, size)
        })
    }

    fn store_durably(&mut self, size: usize, budget: Budget) -> Result<f64> {
        self.anywhere(size, budget, |sides, place| {
            sides.mapping.store_durably(&sides.buffer[..size], usize::try_from(place)?)
        })
    }

    fn write_shared(&mut self, size: usize, budget: Budget) -> Result<f64> {
        self.shared.write(self.len, &self.buffer[..size], &mut self.spots, budget)
    }

    fn write_shared_unflushed(&mut self, size: usize, budget: Budget) -> Result<f64> {
        self.shared_unflushed.write(self.len, &self.buffer[..size], &mut self.spots, budget)
    }

    fn append_and_sync(&mut self, size: usize, budget: Budget) -> Result<f64> {
        append(&self.growing, self.len, &self.buffer[..size], budget, |file| Ok(file.sync()?))
    }

    fn append_unflushed(&mut self, size: usize, budget: Budget) -> Result<f64> {
        append(&self.growing_unflushed, self.len, &self.buffer[..size], budget, |_| Ok(()))
    }

    fn host_append(&mut self, size: usize, budget: Budget) -> Result<f64> {
        self.host_append_then(size, budget, |_| Ok(()))
    }

    fn host_append_and_sync(&mut self, size: usize, budget: Budget) -> Result<f64> {
        self.host_append_then(size, budget, |file| file.sync_data().context("fdatasync"))
    }

    fn host_append_then(
        &mut self,
        size: usize,
        budget: Budget,
        then: impl Fn(&HostFile) -> Result<()>,
    ) -> Result<f64> {
        use std::io::{Seek, Write};
        let piece = self.len / size as u64;
        let (mut file, bytes) = (&self.growing_host, &self.buffer[..size]);
        let empty = || {
            file.set_len(0).context("ftruncate")?;
            (&self.growing_host).rewind().context("lseek")
        };
        budget.spend_after(piece, empty, |_| {
            file.write_all(bytes).context("write")?;
            then(file)
        })
    }

    /// Runs `operation` with places one after the other, round and round.
    fn in_order(
        &mut self,
        size: usize,
        budget: Budget,
        operation: impl Fn(&mut Mapping, &[u8], usize) -> Result<()>,
    ) -> Result<f64> {
        let places = self.len / size as u64;
        let (mapping, bytes) = (&mut self.mapping, &self.buffer[..size]);
        budget.spend(|number| operation(mapping, bytes, usize::try_from(number % places)? * size))
    }

    fn store_in_order(&mut self, size: usize, budget: Budget) -> Result<f64> {
        self.in_order(size, budget, |mapping, bytes, place| {
            mapping.store(bytes, place);
            Ok(())
        })
    }

    fn store_and_sync_in_order(&mut self, size: usize, budget: Budget) -> Result<f64> {
        self.in_order(size, budget, |mapping, bytes, place| {
            mapping.store(bytes, place);
            mapping.sync(place, bytes.len())
        })
    }

    fn store_durably_in_order(&mut self, size: usize, budget: Budget) -> Result<f64> {
        self.in_order(size, budget, Mapping::store_durably)
    }
}

impl Shared {
    /// A file of `len` bytes.
    fn new(pool: Pool, len: u64) -> Result<Shared> {
        let file = ours::written(&pool, "/shared", len)?;
        ours::touch(&pool)?;
        Ok(Shared { pool, file })
    }

    /// Each write goes to other blocks, until half of them have been written; then a new snapshot shares them all again.
    fn write(&self, len: u64, bytes: &[u8], spots: &mut Spots, budget: Budget) -> Result<f64> {
        let unit = (bytes.len() as u64).max(BLOCK);
        let places = len / unit;
        let piece = (places / 2).max(1);
        // An odd step visits all of a power of two of places before it comes back.
        let step = spots.below(places) | 1;
        let mut place = 0;
        let renew = || {
            if self.pool.snapshots()?.iter().any(|snapshot| snapshot.name == "shared") {
                self.pool.delete_snapshot("shared")?;
            }
            self.pool.create_snapshot("shared", &["/shared"])?;
            Ok(())
        };
        let micros = budget.spend_after(piece, renew, |_| {
            place = (place + step) % places;
            Ok(self.file.write_at(bytes, place * unit)?)
        });
        self.pool.delete_snapshot("shared")?;
        micros
    }
}

/// Appends until the file has `len` bytes, empties it, and so on.
fn append(
    file: &File,
    len: u64,
    bytes: &[u8],
    budget: Budget,
    then: impl Fn(&File) -> Result<()>,
) -> Result<f64> {
    let piece = len / bytes.len() as u64;
    budget.spend_after(
        piece,
        || Ok(file.set_len(0)?),
        |_| {
            file.append(bytes)?;
            then(file)
        },
    )
}
