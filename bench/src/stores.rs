//! The machine's own floor: copies into shared memory, by ordinary stores and by stores around the cache with a fence.
//!
//! What a file layer costs is what it takes above these. The memory is a mapping of a file on the medium that is measured,
//! all of whose pages are there, so that pages and their translations are the same for everybody.
#![expect(unsafe_code, reason = "mapping a file; stores around the cache have no safe form")]

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use memmap2::{MmapMut, MmapOptions};

/// Bytes of a cache line; what is stored around the cache is whole lines.
const LINE: usize = 64;

/// A file of the host, mapped shared, every page of it there.
pub(crate) struct Mapping {
    memory: MmapMut,
    stream: Stream,
}

/// Copies whole lines to an aligned place, around the cache.
type Stream = fn(to: &mut [u8], from: &[u8]);

impl Mapping {
    /// A new file of `len` bytes, written once from front to back.
    pub(crate) fn create(path: &Path, len: usize) -> Result<Mapping> {
        let file = File::options().read(true).write(true).create_new(true).open(path);
        let file = file.with_context(|| format!("make {}", path.display()))?;
        file.set_len(len as u64).with_context(|| format!("make {len} bytes of {}", path.display()))?;
        let mut mapping = Mapping::of(&file, path, MmapOptions::new().populate())?;
        mapping.memory.fill(0xa5);
        Ok(mapping)
    }

    /// A file that has been made before, mapped anew: none of its pages are in this mapping.
    pub(crate) fn again(path: &Path) -> Result<Mapping> {
        let file = File::options().read(true).write(true).open(path);
        let file = file.with_context(|| format!("open {}", path.display()))?;
        Mapping::of(&file, path, &MmapOptions::new())
    }

    fn of(file: &File, path: &Path, options: &MmapOptions) -> Result<Mapping> {
        // SAFETY: the file lies in a directory of this run's own; nobody else opens or cuts it.
        let memory = unsafe { options.map_mut(file) };
        let memory = memory.with_context(|| format!("map {}", path.display()))?;
        Ok(Mapping { memory, stream: widest() })
    }

    /// Bytes of it.
    pub(crate) fn len(&self) -> usize {
        self.memory.len()
    }

    /// Copies from the mapping.
    pub(crate) fn load(&self, into: &mut [u8], offset: usize) {
        if let Some(from) = self.memory.get(offset..offset + into.len()) {
            into.copy_from_slice(from);
        }
        std::hint::black_box(into);
    }

    /// Copies into the mapping by ordinary stores.
    pub(crate) fn store(&mut self, from: &[u8], offset: usize) {
        if let Some(to) = self.memory.get_mut(offset..offset + from.len()) {
            to.copy_from_slice(from);
            std::hint::black_box(to);
        }
    }

    /// Copies whole lines into the mapping around the cache, and waits until they have left the processor: the least that a
    /// durable store on pmem costs.
    pub(crate) fn store_durably(&mut self, from: &[u8], offset: usize) -> Result<()> {
        ensure!(from.len().is_multiple_of(LINE) && offset.is_multiple_of(LINE), "whole lines are stored");
        let to = self.memory.get_mut(offset..offset + from.len()).context("a place in the mapping")?;
        (self.stream)(to, from);
        fence();
        Ok(())
    }

    /// `msync` of what was stored.
    pub(crate) fn sync(&self, offset: usize, len: usize) -> Result<()> {
        self.memory.flush_range(offset, len).context("msync")
    }
}

#[cfg(target_arch = "x86_64")]
fn widest() -> Stream {
    if is_x86_feature_detected!("avx512f") {
        // SAFETY: the processor has what the function is compiled for.
        |to, from| unsafe { x86::stream_512(to, from) }
    } else if is_x86_feature_detected!("avx") {
        // SAFETY: the processor has what the function is compiled for.
        |to, from| unsafe { x86::stream_256(to, from) }
    } else {
        x86::stream_128
    }
}

#[cfg(target_arch = "x86_64")]
fn fence() {
    // SAFETY: every x86-64 processor has SSE, which is all that the instruction needs.
    unsafe { std::arch::x86_64::_mm_sfence() };
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m128i, __m256i, __m512i, _mm_loadu_si128, _mm_stream_si128, _mm256_loadu_si256,
        _mm256_stream_si256, _mm512_loadu_si512, _mm512_stream_si512,
    };

    /// By 64 bytes. The places are what `widest`'s caller has checked: whole lines, aligned, equally long.
    #[target_feature(enable = "avx512f")]
    pub(super) fn stream_512(to: &mut [u8], from: &[u8]) {
        for (to, from) in to.chunks_exact_mut(64).zip(from.chunks_exact(64)) {
            // SAFETY: the chunk has 64 bytes to be read; the load asks for no alignment.
            let bytes = unsafe { _mm512_loadu_si512(from.as_ptr().cast::<__m512i>()) };
            // SAFETY: the chunk has 64 bytes to be written and is aligned to them: a mapping begins at a page, and both the
            // offset into it and the chunks are whole lines.
            unsafe { _mm512_stream_si512(to.as_mut_ptr().cast::<__m512i>(), bytes) };
        }
    }

    /// By 32 bytes.
    #[target_feature(enable = "avx")]
    pub(super) fn stream_256(to: &mut [u8], from: &[u8]) {
        for (to, from) in to.chunks_exact_mut(32).zip(from.chunks_exact(32)) {
            // SAFETY: the chunk has 32 bytes to be read; the load asks for no alignment.
            let bytes = unsafe { _mm256_loadu_si256(from.as_ptr().cast::<__m256i>()) };
            // SAFETY: the chunk has 32 bytes to be written and is aligned to them, as above.
            unsafe { _mm256_stream_si256(to.as_mut_ptr().cast::<__m256i>(), bytes) };
        }
    }

    /// By 16 bytes, which every x86-64 processor can do.
    pub(super) fn stream_128(to: &mut [u8], from: &[u8]) {
        for (to, from) in to.chunks_exact_mut(16).zip(from.chunks_exact(16)) {
            // SAFETY: the chunk has 16 bytes to be read; the load asks for no alignment.
            let bytes = unsafe { _mm_loadu_si128(from.as_ptr().cast::<__m128i>()) };
            // SAFETY: the chunk has 16 bytes to be written and is aligned to them, as above.
            unsafe { _mm_stream_si128(to.as_mut_ptr().cast::<__m128i>(), bytes) };
        }
    }
}

/// Elsewhere the floor is an ordinary copy and a fence between processors.
#[cfg(not(target_arch = "x86_64"))]
fn widest() -> Stream {
    |to, from| to.copy_from_slice(from)
}

#[cfg(not(target_arch = "x86_64"))]
fn fence() {
    std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_of_storing_stores_the_bytes() {
        let directory = tempfile::tempdir().unwrap();
        let mut mapping = Mapping::create(&directory.path().join("memory"), 1 << 16).unwrap();
        let bytes: Vec<u8> =
            (0..4096_u32).map(|number| number.to_le_bytes()[0] ^ number.to_le_bytes()[1]).collect();
        let mut found = vec![0; bytes.len()];
        mapping.store_durably(&bytes, 4096).unwrap();
        mapping.load(&mut found, 4096);
        assert_eq!(found, bytes);
        mapping.store(&bytes[..100], 8192);
        mapping.load(&mut found[..100], 8192);
        assert_eq!(found[..100], bytes[..100]);
        assert!(mapping.store_durably(&bytes, 4097).is_err());
        assert!(mapping.store_durably(&bytes, 1 << 16).is_err());
        #[cfg(target_arch = "x86_64")]
        {
            let mut to = vec![0; 4096 + 16];
            let start = to.as_ptr().align_offset(16);
            x86::stream_128(&mut to[start..start + 4096], &bytes);
            fence();
            assert_eq!(to[start..start + 4096], bytes);
        }
    }
}
