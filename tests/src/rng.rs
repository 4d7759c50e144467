//! A small random generator that never changes, so that a seed found today replays the same run in years.

/// SplitMix64: every 64-bit seed is a good one. Or a tape, which somebody else has filled: a fuzzer.
#[derive(Clone, Debug)]
pub struct Rng {
    state: u64,
    tape: Option<Tape>,
}

/// Bytes from which numbers are drawn, until there are none left.
#[derive(Clone, Debug)]
struct Tape {
    bytes: Vec<u8>,
    at: usize,
}

impl Tape {
    /// As many bytes as a number below `limit` needs; zeros when they are used up.
    fn draw(&mut self, limit: u64) -> u64 {
        let width = match limit {
            0..=0x100 => 1,
            0x101..=0x1_0000 => 2,
            _ => 4,
        };
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let number = rest.iter().take(width).fold(0, |number, &byte| number << 8 | u64::from(byte));
        self.at += width;
        number
    }
}

impl Rng {
    /// The generator of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Rng {
        Rng { state: seed, tape: None }
    }

    /// A generator that draws from `bytes`.
    #[must_use]
    pub fn of_tape(bytes: &[u8]) -> Rng {
        Rng { state: 0, tape: Some(Tape { bytes: bytes.to_vec(), at: 0 }) }
    }

    /// Whether there is a tape and all of it has been drawn.
    #[must_use]
    pub fn is_used_up(&self) -> bool {
        self.tape.as_ref().is_some_and(|tape| tape.at >= tape.bytes.len())
    }

    /// The next 64 random bits.
    pub fn word(&mut self) -> u64 {
        if let Some(tape) = &mut self.tape {
            return tape.draw(u64::MAX);
        }
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number below `limit`, which is at least 1.
    pub fn below(&mut self, limit: u64) -> u64 {
        match &mut self.tape {
            Some(tape) => tape.draw(limit) % limit.max(1),
            None => self.word() % limit.max(1),
        }
    }

    /// An index into something of `count` members, at least 1.
    pub fn index(&mut self, count: usize) -> usize {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        usize::try_from(self.below(count)).unwrap_or(0)
    }

    /// True once in `times`.
    pub fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// A member of `choices`, which is not empty.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.index(choices.len())]
    }

    /// The index of one of `weights`, each as probable as it is heavy; their sum is above 0.
    pub fn weighted(&mut self, weights: &[u32]) -> usize {
        let total: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
        let mut left = self.below(total);
        for (index, &weight) in weights.iter().enumerate() {
            if left < u64::from(weight) {
                return index;
            }
            left -= u64::from(weight);
        }
        0
    }
}

/// `len` bytes that follow from `seed`; seed 0 gives zeros.
#[must_use]
pub fn pattern(seed: u64, len: usize) -> Vec<u8> {
    if seed == 0 {
        return vec![0; len];
    }
    let mut rng = Rng::new(seed);
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        bytes.extend_from_slice(&rng.word().to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// The seed of this run: `DAXCOW_SEED` (decimal or 0x hexadecimal) where it is set, `default` otherwise.
///
/// # Panics
/// If the variable holds no number: a replay under another seed would mislead.
#[must_use]
pub fn seed_from_env(default: u64) -> u64 {
    number_from_env("DAXCOW_SEED", default)
}

/// The number in the environment variable `name`, `default` where it is not set.
///
/// # Panics
/// If the variable holds no number.
#[must_use]
pub fn number_from_env(name: &str, default: u64) -> u64 {
    let Ok(text) = std::env::var(name) else { return default };
    parse_number(&text).unwrap_or_else(|| panic!("{name} is to be a number, and is {text:?}"))
}

/// A decimal or 0x hexadecimal number.
#[must_use]
pub fn parse_number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_of_a_seed_never_changes() {
        let mut rng = Rng::new(1);
        assert_eq!(rng.word(), 0x910a_2dec_8902_5cc1);
        assert_eq!(pattern(7, 11), pattern(7, 100)[..11]);
        assert_eq!(pattern(0, 3), [0, 0, 0]);
    }

    #[test]
    fn weights_of_zero_are_never_chosen() {
        let mut rng = Rng::new(3);
        assert!((0..1000).all(|_| rng.weighted(&[0, 3, 0, 1]) % 2 == 1));
    }
}
