//! What is mapped where in a window, as the kernel sees it: neighbours that continue each other are one.
//!
//! Each piece is one mapping of the kernel's, of which a process has a limited number; so is each stretch between two.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::units::PoolOffset;

/// What stands behind a piece.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Content {
    /// The pool, from this offset on.
    Pool(PoolOffset),
    /// Zeros that can be loaded.
    Zeros,
    /// Memory of this process's own, which was put where the number says.
    Copy(usize),
    /// No memory: every access raises SIGBUS.
    Beyond,
}

/// One piece.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Piece {
    pub(crate) content: Content,
    pub(crate) writable: bool,
}

impl Piece {
    /// The same piece `skip` bytes further on.
    pub(super) fn after(self, skip: usize) -> Piece {
        match self.content {
            Content::Pool(place) => Piece { content: Content::Pool(place.add(skip as u64)), ..self },
            _ => self,
        }
    }
}

/// The pieces of one window, by their first byte. They do not overlap, and no two could be one.
#[derive(Default)]
pub(super) struct Pieces {
    by_start: BTreeMap<usize, (usize, Piece)>,
    /// Where the last eviction ended.
    hand: usize,
}

impl Pieces {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.by_start.len()
    }

    /// What `at` lies in.
    pub(super) fn get(&self, at: usize) -> Option<Piece> {
        self.covering(at).map(|(_, piece)| piece)
    }

    /// The part of a range in which nothing, or something else than `piece`, is mapped; empty if there is none.
    pub(super) fn missing(&self, range: Range<usize>, piece: Piece) -> Range<usize> {
        let Range { mut start, mut end } = range;
        if let Some((covered, found)) = self.covering(start)
            && found == piece
        {
            start = covered.end.min(end);
        }
        if start < end
            && let Some((covered, found)) = self.covering(end - 1)
            && covered.start > start
            && found == piece.after(end - 1 - range.start)
        {
            end = covered.start;
        }
        start..end
    }

    /// Whether a range shows just what `piece` does, with other rights.
    pub(super) fn shows(&self, range: Range<usize>, piece: Piece) -> bool {
        self.covering(range.start)
            .is_some_and(|(covered, found)| covered.end >= range.end && found.content == piece.content)
    }

    fn covering(&self, at: usize) -> Option<(Range<usize>, Piece)> {
        let (&start, &(len, piece)) = self.by_start.range(..=at).next_back()?;
        (at - start < len).then(|| (start..start + len, piece.after(at - start)))
    }

    /// Notes that nothing is mapped in a range.
    pub(super) fn remove(&mut self, range: Range<usize>) {
        let first = self.by_start.range(..range.start).next_back().map(|(&start, _)| start);
        let touched: Vec<usize> =
            first.into_iter().chain(self.by_start.range(range.clone()).map(|(&start, _)| start)).collect();
        for start in touched {
            let Some(&(len, piece)) = self.by_start.get(&start) else { continue };
            let end = start + len;
            if end <= range.start {
                continue;
            }
            self.by_start.remove(&start);
            if start < range.start {
                self.by_start.insert(start, (range.start - start, piece));
            }
            if end > range.end {
                self.by_start.insert(range.end, (end - range.end, piece.after(range.end - start)));
            }
        }
    }

    /// Notes what is mapped in a range from now on.
    pub(super) fn set(&mut self, range: Range<usize>, piece: Piece) {
        self.remove(range.clone());
        let (mut start, mut end, mut piece) = (range.start, range.end, piece);
        if let Some((&before, &(len, other))) = self.by_start.range(..start).next_back()
            && before + len == start
            && other.after(len) == piece
        {
            self.by_start.remove(&before);
            (start, piece) = (before, other);
        }
        if let Some(&(len, other)) = self.by_start.get(&end)
            && piece.after(end - start) == other
        {
            self.by_start.remove(&end);
            end += len;
        }
        self.by_start.insert(start, (end - start, piece));
    }

    /// The parts of a range that can be stored to, in order.
    pub(super) fn writable(&self, range: Range<usize>) -> Vec<(Range<usize>, Piece)> {
        let first = self.by_start.range(..range.start).next_back().map_or(range.start, |(&start, _)| start);
        self.by_start
            .range(first..range.end)
            .filter(|(_, (_, piece))| piece.writable)
            .map(|(&start, &(len, piece))| {
                let (from, to) = (start.max(range.start), (start + len).min(range.end));
                (from..to, piece.after(from - start))
            })
            .filter(|(part, _)| !part.is_empty())
            .collect()
    }

    /// Whether any of a range is mapped.
    pub(super) fn any(&self, range: Range<usize>) -> bool {
        self.by_start
            .range(..range.end)
            .next_back()
            .is_some_and(|(&start, &(len, _))| start + len > range.start)
    }

    /// A range that holds `count` pieces, the next in turn.
    pub(super) fn victims(&mut self, count: usize) -> Option<Range<usize>> {
        let next = if self.by_start.range(self.hand..).next().is_some() { self.hand } else { 0 };
        let mut chosen =
            self.by_start.range(next..).take(count).map(|(&start, &(len, _))| start..start + len);
        let first = chosen.next()?;
        let end = chosen.last().map_or(first.end, |last| last.end);
        self.hand = end;
        Some(first.start..end)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LEN: usize = 24;

    fn piece() -> impl Strategy<Value = Option<Piece>> {
        prop_oneof![
            Just(None),
            Just(Some(Piece { content: Content::Zeros, writable: false })),
            Just(Some(Piece { content: Content::Beyond, writable: false })),
            (0..4u64, any::<bool>()).prop_map(|(from, writable)| Some(Piece {
                content: Content::Pool(PoolOffset(from * 8)),
                writable
            })),
        ]
    }

    proptest! {
        /// Against one entry a byte: contents agree, and there are as many pieces as runs that continue each other.
        #[test]
        fn pieces_are_what_was_last_set(steps in prop::collection::vec((0..LEN, 1..LEN, piece()), 1..40)) {
            let mut pieces = Pieces::default();
            let mut model: Vec<Option<Piece>> = vec![None; LEN];
            for (start, len, what) in steps {
                let end = (start + len).min(LEN);
                match what {
                    Some(piece) => pieces.set(start..end, piece),
                    None => pieces.remove(start..end),
                }
                for (at, slot) in model.iter_mut().enumerate().take(end).skip(start) {
                    *slot = what.map(|piece| piece.after(at - start));
                }
                for (at, expected) in model.iter().enumerate() {
                    prop_assert_eq!(&pieces.get(at), expected, "at {}", at);
                }
                let runs = (0..LEN).filter(|&at| {
                    model[at].is_some() && (at == 0 || model[at - 1].map(|piece| piece.after(1)) != model[at])
                });
                prop_assert_eq!(pieces.len(), runs.count());
                let part = start / 2..end;
                let writable: Vec<usize> = pieces.writable(part.clone()).into_iter().flat_map(|(range, _)| range).collect();
                let expected: Vec<usize> =
                    part.clone().filter(|&at| model[at].is_some_and(|piece| piece.writable)).collect();
                prop_assert_eq!(writable, expected);
                let probe = Piece { content: Content::Pool(PoolOffset(8)), writable: true };
                let missing = pieces.missing(part.clone(), probe);
                for at in part.clone() {
                    let there = model[at] == Some(probe.after(at - part.start));
                    prop_assert!(missing.contains(&at) || there, "{} is missing", at);
                    prop_assert!(!there || at != missing.start && at + 1 != missing.end || missing.is_empty());
                }
                prop_assert_eq!(pieces.any(part.clone()), part.clone().any(|at| model[at].is_some()));
            }
        }
    }

    #[test]
    fn victims_come_round() {
        let mut pieces = Pieces::default();
        for at in 0..10 {
            pieces.set(at * 10..at * 10 + 5, Piece { content: Content::Zeros, writable: false });
        }
        assert_eq!(pieces.victims(4), Some(0..35));
        assert_eq!(pieces.victims(4), Some(40..75));
        assert_eq!(pieces.victims(4), Some(80..95));
        assert_eq!(pieces.victims(4), Some(0..35));
    }
}
