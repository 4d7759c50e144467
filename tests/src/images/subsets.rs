//! Where a recording is crashed, and what has arrived then.
//!
//! A crash can come between any two events. Most of them give no image that a neighbour does not give: after a flush
//! nothing is decided, and whatever may be missing or there before a store may be so after it. Only a fence takes
//! images away. So right before each fence, and at the end, every image of the run can be taken; and where a mistake keeps
//! a fence from being there, the end of each operation shows what is missing.
//!
//! Of the units that are undecided those that are volatile arrive or not by chance, anew in each image: nothing may depend
//! on them. The others are gone through.

use daxcow::sim::{Arrival, Event, Recording, Replay, Unit};

use super::Effort;
use crate::rng::Rng;

/// What has arrived of each undecided unit, in their order.
pub(super) type Choice = Vec<Arrival>;

const NOTHING: Arrival = Arrival::First(0);

/// Right before each fence, where most is undecided, and at the end.
#[must_use]
pub fn crash_points(recording: &Recording) -> Vec<usize> {
    let events = recording.entries().iter().enumerate();
    let fences = events.filter(|(_, entry)| entry.event == Event::Fence).map(|(index, _)| index);
    fences.chain([recording.entries().len()]).collect()
}

/// The subsets that are tried where `replay` stands.
pub(super) fn choices(replay: &Replay<'_>, effort: Effort, rng: &mut Rng) -> Vec<Choice> {
    let units: Vec<_> = replay.undecided_units().collect();
    let durable: Vec<usize> = (0..units.len()).filter(|&index| !units[index].volatile).collect();
    let mut chosen = Vec::new();
    let mut take = |rng: &mut Rng, arrives: &dyn Fn(usize) -> Arrival| {
        let mut choice = vec![NOTHING; units.len()];
        for (nth, &index) in durable.iter().enumerate() {
            choice[index] = arrives(nth);
        }
        for (index, unit) in units.iter().enumerate().filter(|(_, unit)| unit.volatile) {
            choice[index] = any(effort.unit, unit.words, rng);
        }
        chosen.push(choice);
    };
    let whole_if = |whole: bool| if whole { Arrival::Whole } else { NOTHING };
    let count = durable.len();
    if count <= effort.exhaustive_units_max {
        (0..1_usize << count).for_each(|bits| take(rng, &|nth| whole_if(bits >> nth & 1 == 1)));
    } else {
        take(rng, &|_| NOTHING);
        take(rng, &|_| Arrival::Whole);
        for single in picked(count, effort.singles, rng) {
            take(rng, &|nth| whole_if(nth == single));
            take(rng, &|nth| whole_if(nth != single));
        }
    }
    if count > 0 {
        for _ in 0..effort.subsets {
            let arrivals: Choice =
                durable.iter().map(|&index| any(effort.unit, units[index].words, rng)).collect();
            take(rng, &|nth| arrivals[nth]);
        }
    }
    chosen
}

/// All numbers below `count`, or `most` different ones of them by chance.
fn picked(count: usize, most: usize, rng: &mut Rng) -> Vec<usize> {
    let mut numbers: Vec<usize> = (0..count).collect();
    if most >= count {
        return numbers;
    }
    for index in 0..most {
        let other = index + rng.index(count - index);
        numbers.swap(index, other);
    }
    numbers.truncate(most);
    numbers
}

/// Anything that can have arrived of a unit with so many words on their way.
fn any(unit: Unit, words: usize, rng: &mut Rng) -> Arrival {
    match rng.below(6) {
        0 | 1 => NOTHING,
        2 | 3 => Arrival::Whole,
        4 if unit == Unit::Page => Arrival::Torn(rng.word()),
        _ => Arrival::First(rng.index(words + 1)),
    }
}

/// A choice, for people.
pub(super) fn describe(replay: &Replay<'_>, choice: &Choice) -> String {
    let units: Vec<_> = replay.undecided_units().zip(choice).filter(|(unit, _)| !unit.volatile).collect();
    let places = |wanted: bool| {
        let mut places: Vec<String> = units
            .iter()
            .filter(|(_, arrival)| (**arrival == Arrival::Whole) == wanted)
            .map(|(unit, arrival)| match **arrival {
                Arrival::Whole | NOTHING => format!("{:#x}", unit.at),
                part => format!("{:#x} {part:?}", unit.at),
            })
            .collect();
        if places.len() > 8 {
            let more = places.len() - 8;
            places.truncate(8);
            places.push(format!("{more} more"));
        }
        places.join(", ")
    };
    format!("arrived: [{}], not or in part: [{}]", places(true), places(false))
}
