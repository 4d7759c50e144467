//! A [`Process`] as the memory and the byte locks of its runtime: each access is a step, and a mistake of the code is made here.

use super::*;

impl Memory for Process {
    const SPINS: u32 = 0;
    const LOOKS: u32 = 2;

    fn load_u32(&self, at: PoolOffset) -> Result<u32> {
        self.step()?;
        let remembered = self.own.remembered.swap(u64::MAX, R);
        if at == at::GATE && remembered != u64::MAX {
            return Ok(u32::try_from(remembered).unwrap_or(0));
        }
        Ok(self.machine.locks[&at].get().load(Acquire))
    }

    fn swap_u32(&self, at: PoolOffset, value: u32) -> Result<u32> {
        self.step()?;
        let old = self.machine.locks[&at].get().swap(value, AcqRel);
        fence(SeqCst);
        Ok(old)
    }

    fn cas_u32(&self, at: PoolOffset, old: u32, new: u32) -> Result<Result<u32, u32>> {
        self.step()?;
        let new = if self.has(Fault::WaitersUnsaid) { new & !WAITERS } else { new };
        let answer = self.machine.locks[&at].get().compare_exchange(old, new, AcqRel, Acquire);
        fence(SeqCst);
        Ok(answer)
    }

    fn load(&self, at: PoolOffset) -> Result<u64> {
        self.step()?;
        let Some(word) = self.machine.words.get(&at) else {
            let used = self.machine.full && (0..SLOT_COUNT).any(|slot| at == state(slot));
            return Ok(if used { 1 << 32 | USED } else { 0 });
        };
        if self.has(Fault::ValidatedFirst) && at == field(INODE, inode_at::SEQUENCE) {
            let remembered = self.own.remembered.swap(u64::MAX, R);
            if remembered != u64::MAX {
                return Ok(remembered);
            }
            let value = word.get().load(Acquire);
            self.own.remembered.store(value, R);
            return Ok(value);
        }
        let value = word.get().load(Acquire);
        let is_state = (0..SLOT_COUNT).any(|slot| at == state(slot));
        Ok(if self.has(Fault::GenerationIgnored) && is_state { 1 << 32 | value & 0xffff_ffff } else { value })
    }

    fn store_u64(&self, at: PoolOffset, value: u64) -> Result<()> {
        self.step()?;
        let Some(word) = self.machine.words.get(&at) else { return Ok(()) };
        word.get().swap(value, AcqRel);
        fence(SeqCst);
        Ok(())
    }

    fn store_release(&self, at: PoolOffset, value: u64) -> Result<()> {
        self.step()?;
        let Some(word) = self.machine.words.get(&at) else { return Ok(()) };
        let odd = at == field(INODE, inode_at::SEQUENCE) && value & 1 == 1;
        if odd && self.has(Fault::NeverOdd) || self.mistakes_mark(at, value) {
            return Ok(());
        }
        let order = if self.has(Fault::EvenTooSoon) { Relaxed } else { Release };
        word.get().store(value, order);
        Ok(())
    }

    fn add_u64(&self, at: PoolOffset, value: u64) -> Result<u64> {
        self.step()?;
        let word = &self.machine.words[&at];
        if self.mistakes_mark(at, value) {
            return Ok(0);
        }
        let old = word.get().fetch_add(value, AcqRel);
        fence(SeqCst);
        Ok(old)
    }

    fn sub_u64(&self, at: PoolOffset, value: u64) -> Result<u64> {
        self.add_u64(at, value.wrapping_neg())
    }

    fn fence_acquire(&self) {
        if !self.has(Fault::Unordered) {
            fence(AcqRel);
        }
    }

    fn fence_stores(&self) {
        if !self.has(Fault::Unordered) && !self.has(Fault::EvenTooSoon) {
            fence(AcqRel);
        }
    }

    fn fence_after_change(&self) {
        // Every change is followed by one.
    }

    fn futex_wait(&self, at: PoolOffset, expected: u32, _: Duration) -> Result<()> {
        self.step()?;
        let expected = if self.has(Fault::WaitersUnsaid) { expected & !WAITERS } else { expected };
        let asleep = self.machine.futex.lock().expect("no process panics with it");
        if self.machine.locks[&at].get().load(Acquire) != expected {
            return Ok(());
        }
        if self.machine.timeouts {
            drop(asleep);
            self.pass(100);
        } else {
            drop(self.machine.woken.wait(asleep));
        }
        Ok(())
    }

    fn futex_wake(&self, _: PoolOffset, _: u32) -> Result<u32> {
        self.step()?;
        let asleep = self.machine.futex.lock().expect("no process panics with it");
        if !self.has(Fault::NobodyWoken) {
            self.machine.woken.notify_one();
        }
        drop(asleep);
        Ok(1)
    }

    fn spin(&self) {
        self.pass(1);
    }

    fn sleep(&self, _: Duration) {
        self.pass(10);
    }

    fn now(&self) -> Duration {
        Duration::from_millis(self.own.clock_ms.load(R))
    }
}

impl Process {
    /// Whether `at` is a mark that the mistaken code does not set; looks at the gate first where that is the mistake.
    fn mistakes_mark(&self, at: PoolOffset, value: u64) -> bool {
        let is_mark = (0..SLOT_COUNT).any(|slot| at == mark(slot, stripe()));
        if is_mark && value == 1 && self.has(Fault::GateBeforeMark) {
            self.own.remembered.store(self.machine.locks[&at::GATE].get().load(Acquire).into(), R);
            loom::thread::yield_now();
        }
        is_mark && self.has(Fault::Unmarked)
    }
}

impl ByteLocks for Process {
    fn try_exclusive(&self, byte: u64) -> Result<bool> {
        self.step()?;
        let mut bytes = self.machine.bytes.lock().expect("no process panics with it");
        match bytes.get(&byte) {
            Some(&holder) if holder != self.number => {
                // A living member's own byte is never free, not even for this mistake.
                let recovered_now = u64::from(holder) + slot_byte(0) != byte;
                return Ok(recovered_now && self.has(Fault::ClaimedByTwo));
            }
            None if self.machine.full && !self.machine.words.contains_key(&state(slot_of(byte))) => {
                return Ok(false);
            }
            _ => {}
        }
        bytes.insert(byte, self.number);
        Ok(true)
    }

    fn unlock(&self, byte: u64) -> Result<()> {
        self.step()?;
        self.machine.bytes.lock().expect("no process panics with it").remove(&byte);
        Ok(())
    }

    fn is_locked(&self, byte: u64) -> Result<bool> {
        self.step()?;
        Ok(self.machine.bytes.lock().expect("no process panics with it").contains_key(&byte))
    }
}

fn slot_of(byte: u64) -> u32 {
    u32::try_from(byte - slot_byte(0)).unwrap_or(0)
}
