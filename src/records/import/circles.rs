//! Circles of supersession and of dependence. Nothing here calls itself: a chain may be as long as the import.

use std::collections::HashMap;

use super::{
    index::{Flaw, Index, Over, Place},
    names::Id,
};

/// Names that a circle is told with.
const NAMED: usize = 8;
const UNSEEN: u32 = u32::MAX;

/// Where a circle of dependence goes on from a number that is in one.
pub(super) type Circles = HashMap<Id, Id>;

impl Index {
    /// Rows that supersede each other in a circle. Through the register there is none: what is there supersedes
    /// what was there before.
    pub(super) fn check_supersession(&mut self) {
        // From which row a row was first come to.
        let mut seen = vec![UNSEEN; self.entries.len()];
        let mut circle: Vec<Place> = Vec::new();
        for start in 0..self.entries.len() as Place {
            let mut at = start;
            while seen[at as usize] == UNSEEN && self.is_new(at) {
                seen[at as usize] = start;
                let Over::Row(next) = self.entry(at).supersedes else {
                    break;
                };
                at = next;
                // Come to again on the same way: what lies between is a circle.
                if seen[at as usize] == start {
                    let first = at;
                    loop {
                        circle.push(at);
                        let Over::Row(next) = self.entry(at).supersedes else {
                            break;
                        };
                        at = next;
                        if at == first {
                            break;
                        }
                    }
                    break;
                }
            }
        }
        for place in circle {
            self.refuse(place, Flaw::SupersedesInCircle);
        }
    }

    /// Numbers that depend on each other in a circle, by rows or through `registered`, the register's (number,
    /// depends on). What is final depends on nothing any more.
    pub(super) fn check_dependence(&mut self, registered: &[(Id, Id)]) -> Circles {
        let mut edges: Vec<(Id, Id)> = registered.to_vec();
        for (_, entry) in self.new_rows().filter(|(_, entry)| !entry.is_final) {
            let on = self.depends_on(&entry).iter();
            edges.extend(on.map(|on| (entry.number, *on)));
        }
        edges.sort_unstable();
        edges.dedup();
        let knots = knots(&edges, self.names.len());
        let in_circle = |edge: &&(Id, Id)| knots[edge.0 as usize] == knots[edge.1 as usize];
        let circles: Circles = edges.iter().rev().filter(in_circle).copied().collect();
        if circles.is_empty() {
            return circles;
        }
        let rows = self.new_rows().filter(|(_, entry)| !entry.is_final);
        let knotted = rows.filter(|(_, entry)| {
            let on = self.depends_on(entry).iter();
            let mut knots_of = on.map(|on| knots[*on as usize]);
            knots_of.any(|knot| knot == knots[entry.number as usize])
        });
        let knotted: Vec<Place> = knotted.map(|(place, _)| place).collect();
        for place in knotted {
            self.refuse(place, Flaw::DependsInCircle);
        }
        circles
    }

    /// `A@1.0 → B@1.0 → A@1.0`.
    pub(super) fn supersession_circle(&self, place: Place) -> String {
        walk(
            place,
            |at| self.key_of(at),
            |at| match self.entry(at).supersedes {
                Over::Row(next) => Some(next),
                _ => None,
            },
        )
    }

    /// `A → B → A`.
    pub(super) fn dependence_circle(&self, number: Id, circles: &Circles) -> String {
        walk(
            number,
            |at| self.names.get(at).to_owned(),
            |at| circles.get(&at).copied(),
        )
    }
}

/// The way from a place until it comes to one again.
fn walk(start: u32, name: impl Fn(u32) -> String, next: impl Fn(u32) -> Option<u32>) -> String {
    let mut way = vec![start];
    let mut told = name(start);
    while let Some(at) = way.last().copied().and_then(&next) {
        told.push_str(" → ");
        if way.len() == NAMED {
            told.push('…');
            break;
        }
        told.push_str(&name(at));
        if way.contains(&at) {
            break;
        }
        way.push(at);
    }
    told
}

/// For each number, the knot that it is part of: numbers from each of which each other is reached. Tarjan's way,
/// with a stack of its own.
fn knots(edges: &[(Id, Id)], count: usize) -> Vec<u32> {
    let from = |number: Id| edges.partition_point(|edge| edge.0 < number);
    // When a number was come to, and the earliest one still open that is reached from it.
    let mut order = vec![UNSEEN; count];
    let mut low = vec![0; count];
    let mut knot = vec![UNSEEN; count];
    let mut open: Vec<Id> = Vec::new();
    let mut next = 0;
    // Where the search stands: a number, and the next of its edges.
    let mut way: Vec<(Id, usize)> = Vec::new();
    for start in 0..count as Id {
        if order[start as usize] != UNSEEN {
            continue;
        }
        way.push((start, from(start)));
        while let Some((number, edge)) = way.last_mut() {
            let at = *number as usize;
            if order[at] == UNSEEN {
                order[at] = next;
                low[at] = next;
                next += 1;
                open.push(*number);
            }
            if let Some((_, to)) = edges.get(*edge).filter(|edge| edge.0 == *number) {
                *edge += 1;
                let to_at = *to as usize;
                if order[to_at] == UNSEEN {
                    way.push((*to, from(*to)));
                } else if knot[to_at] == UNSEEN {
                    low[at] = low[at].min(order[to_at]);
                }
                continue;
            }
            let number = *number;
            way.pop();
            if let Some((before, _)) = way.last() {
                let before = *before as usize;
                low[before] = low[before].min(low[at]);
            }
            if low[at] == order[at] {
                while let Some(member) = open.pop() {
                    knot[member as usize] = number;
                    if member == number {
                        break;
                    }
                }
            }
        }
    }
    knot
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_reach_each_other_are_in_one_knot() {
        let edges = [(0, 1), (1, 2), (2, 0), (2, 3), (3, 4), (4, 3), (5, 0)];
        let knots = knots(&edges, 6);
        assert_eq!(knots[0], knots[1]);
        assert_eq!(knots[0], knots[2]);
        assert_eq!(knots[3], knots[4]);
        assert_ne!(knots[0], knots[3]);
        assert_ne!(knots[5], knots[0]);
    }

    #[test]
    fn a_long_chain_takes_no_deep_stack() {
        let count = 300_000;
        let mut edges: Vec<(Id, Id)> = (0..count - 1).map(|number| (number, number + 1)).collect();
        edges.push((count - 1, 0));
        let knots = knots(&edges, count as usize);
        assert!(knots.iter().all(|knot| *knot == knots[0]));
    }

    #[test]
    fn a_circle_is_told_briefly() {
        let name = |at: u32| at.to_string();
        assert_eq!(walk(0, name, |at| Some((at + 1) % 3)), "0 → 1 → 2 → 0");
        let long = walk(0, name, |at| Some(at + 1));
        assert_eq!(long, "0 → 1 → 2 → 3 → 4 → 5 → 6 → 7 → …");
    }
}
