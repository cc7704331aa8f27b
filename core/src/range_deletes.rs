//! `RangeDeletes`: many range deletes, and which entries they cover. Pure: knows no file and no memtable.
//!
//! A node has some range deletes with neighbouring numbers. Its fragments are the pieces into which their bounds cut
//! the keys, each with the smallest and the largest number that covers it. That answers most questions; for others
//! its children, which have the same range deletes in smaller groups, are asked. So n range deletes take memory in
//! proportion to n log n, however they overlap, and one can be added without copying the others.
//!
//! * COVER-1  An entry `(key, n)` is deleted for a reader at `v` if and only if a range delete `r` has the key and
//!            `n < r <= v`, in whatever memtables and tables of the reader the two are.
//! * COVER-2  The fragments of a node are in order and disjoint, and the same range deletes of the node cover all
//!            keys of a fragment.
//!
//! Memory is allocated without an error if there is none: who adds range deletes asks [`room_for`] first.

use crate::error::Result;
use crate::key::SequenceNumber;
use crate::memory;
use crate::range_delete::RangeDelete;
use crate::sync::Arc;

/// As many nodes of one size become one.
const CHILDREN: usize = 16;
/// A run of covered keys is followed over this many pieces.
const MOST_PIECES: usize = 32;
/// A range of keys is looked through as far as it has this many pieces.
const MOST_PIECES_OF_A_TABLE: usize = 256;
/// About the bytes that a range delete takes, in all nodes together, without its keys.
const BYTES_EACH: usize = 1024;

/// Keys that the same range deletes of a node cover.
#[derive(Debug)]
struct Fragment {
    start: Arc<[u8]>,
    end: Option<Arc<[u8]>>,
    oldest: SequenceNumber,
    newest: SequenceNumber,
}

impl Fragment {
    fn ends_after(&self, key: &[u8]) -> bool {
        self.end.as_deref().is_none_or(|end| key < end)
    }
}

/// Some range deletes.
#[derive(Debug)]
struct Node {
    /// COVER-2.
    fragments: Vec<Fragment>,
    /// None if it has one range delete.
    children: Vec<Arc<Node>>,
    oldest: SequenceNumber,
    newest: SequenceNumber,
    count: usize,
}

/// See the head of the file. Clones share their nodes.
#[derive(Debug, Clone, Default)]
pub(crate) struct RangeDeletes {
    /// From large to small.
    nodes: Vec<Arc<Node>>,
}

/// Keys, all with the same answer to one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    /// The number of the newest range delete that covers them; 0: there is none.
    pub(crate) newest: SequenceNumber,
    /// Its first key; `None`: it begins before every key.
    pub(crate) start: Option<Arc<[u8]>>,
    /// The first key after it; `None`: it has no end.
    pub(crate) end: Option<Arc<[u8]>>,
}

/// Where in the order of keys a question is about.
#[derive(Clone, Copy)]
enum Place<'a> {
    At(&'a [u8]),
    /// The keys just before this one.
    Before(&'a [u8]),
}

/// Checks that there is memory for `count` more range deletes, with so many bytes of keys, beside `present` ones.
///
/// Errors: `OutOfMemory`.
pub(crate) fn room_for(present: usize, count: usize, key_bytes: usize) -> Result<()> {
    let bytes = (present + count).saturating_mul(BYTES_EACH) + key_bytes;
    // Freed at once, for what follows to take.
    memory::room_for::<u8>(bytes, "range deletes").map(drop)
}

impl RangeDeletes {
    /// These range deletes, in any order.
    pub(crate) fn of(mut ranges: Vec<RangeDelete>) -> RangeDeletes {
        ranges.sort_unstable_by_key(|range| range.number);
        let mut deletes = RangeDeletes::default();
        ranges.iter().for_each(|range| deletes.add(range));
        deletes
    }

    /// Adds one. Its number is mostly the largest; it may be any.
    pub(crate) fn add(&mut self, range: &RangeDelete) {
        self.nodes.push(Arc::new(Node::of_one(range)));
        while let Some(first) = self.nodes.len().checked_sub(CHILDREN)
            && self.nodes[first].count == self.nodes[self.nodes.len() - 1].count
        {
            let children = self.nodes.split_off(first);
            self.nodes.push(Arc::new(Node::over(children)));
        }
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The largest number.
    pub(crate) fn newest_number(&self) -> SequenceNumber {
        let numbers = self.nodes.iter().map(|node| node.newest);
        numbers.max().unwrap_or_default()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.nodes.iter().map(|node| node.count).sum()
    }

    /// The largest number of one that covers `key` and is at most `at_most`; 0 if there is none.
    pub(crate) fn newest(&self, key: &[u8], at_most: SequenceNumber) -> SequenceNumber {
        let newest = self.nodes.iter().rev();
        let found = newest.map(|node| node.newest(key, at_most));
        found.max().unwrap_or_default()
    }

    /// The smallest number above `number` of one that covers `key`.
    pub(crate) fn oldest_above(
        &self,
        key: &[u8],
        number: SequenceNumber,
    ) -> Option<SequenceNumber> {
        let nodes = self.nodes.iter();
        nodes
            .filter_map(|node| node.oldest_above(key, number))
            .min()
    }

    /// Narrows `piece` to the keys around `place` with the same answer, and adds this answer.
    fn narrow(&self, piece: &mut Piece, place: Place<'_>, at_most: SequenceNumber) {
        for node in self.nodes.iter().filter(|node| node.oldest <= at_most) {
            node.narrow(piece, place, at_most);
        }
    }
}

impl Node {
    fn of_one(range: &RangeDelete) -> Node {
        Node {
            fragments: vec![Fragment {
                start: Arc::clone(&range.start),
                end: range.end.clone(),
                oldest: range.number,
                newest: range.number,
            }],
            children: Vec::new(),
            oldest: range.number,
            newest: range.number,
            count: 1,
        }
    }

    /// A node with the range deletes of `children`.
    fn over(children: Vec<Arc<Node>>) -> Node {
        let all = || children.iter().flat_map(|child| &child.fragments);
        let mut bounds: Vec<&Arc<[u8]>> = all().map(|fragment| &fragment.start).collect();
        bounds.extend(all().filter_map(|fragment| fragment.end.as_ref()));
        bounds.sort_unstable();
        bounds.dedup();
        let mut fragments = Vec::new();
        // In each child, the first fragment that ends after the bound.
        let mut places = [0; CHILDREN];
        for (index, start) in bounds.iter().enumerate() {
            let mut numbers: Option<(SequenceNumber, SequenceNumber)> = None;
            for (child, place) in children.iter().zip(&mut places) {
                while let Some(fragment) = child.fragments.get(*place)
                    && !fragment.ends_after(start)
                {
                    *place += 1;
                }
                if let Some(fragment) = child.fragments.get(*place)
                    && fragment.start <= **start
                {
                    let (oldest, newest) = numbers.unwrap_or((fragment.oldest, fragment.newest));
                    numbers = Some((oldest.min(fragment.oldest), newest.max(fragment.newest)));
                }
            }
            if let Some((oldest, newest)) = numbers {
                fragments.push(Fragment {
                    start: Arc::clone(start),
                    end: bounds.get(index + 1).map(|end| Arc::clone(end)),
                    oldest,
                    newest,
                });
            }
        }
        debug_assert!(
            fragments.is_sorted_by(|one, next| {
                one.end.as_ref().is_some_and(|end| *end <= next.start)
            }),
            "COVER-2: disjoint, and in order"
        );
        Node {
            fragments,
            oldest: children
                .iter()
                .map(|child| child.oldest)
                .min()
                .unwrap_or_default(),
            newest: children
                .iter()
                .map(|child| child.newest)
                .max()
                .unwrap_or_default(),
            count: children.iter().map(|child| child.count).sum(),
            children,
        }
    }

    /// How many fragments begin before `place`, or there.
    fn begun(&self, place: Place<'_>) -> usize {
        match place {
            Place::At(key) => self.fragments.partition_point(|other| *other.start <= *key),
            Place::Before(key) => self.fragments.partition_point(|other| *other.start < *key),
        }
    }

    fn fragment_at(&self, key: &[u8]) -> Option<&Fragment> {
        let begun = self.begun(Place::At(key));
        let last = self.fragments[..begun].last();
        last.filter(|fragment| fragment.ends_after(key))
    }

    fn newest(&self, key: &[u8], at_most: SequenceNumber) -> SequenceNumber {
        if self.oldest > at_most {
            return SequenceNumber(0);
        }
        match self.fragment_at(key) {
            Some(fragment) => self.newest_in(fragment, key, at_most),
            None => SequenceNumber(0),
        }
    }

    /// [`Node::newest`] for a key of `fragment`.
    fn newest_in(
        &self,
        fragment: &Fragment,
        key: &[u8],
        at_most: SequenceNumber,
    ) -> SequenceNumber {
        if fragment.newest <= at_most {
            return fragment.newest;
        }
        if fragment.oldest > at_most {
            return SequenceNumber(0);
        }
        let children = self.children.iter();
        let found = children.map(|child| child.newest(key, at_most));
        found.max().unwrap_or_default()
    }

    fn oldest_above(&self, key: &[u8], number: SequenceNumber) -> Option<SequenceNumber> {
        if self.newest <= number {
            return None;
        }
        let fragment = self.fragment_at(key)?;
        if fragment.oldest > number {
            return Some(fragment.oldest);
        }
        if fragment.newest <= number {
            return None;
        }
        let children = self.children.iter();
        let found = children.filter_map(|child| child.oldest_above(key, number));
        found.min()
    }

    fn narrow(&self, piece: &mut Piece, place: Place<'_>, at_most: SequenceNumber) {
        let begun = self.begun(place);
        let before = self.fragments[..begun].last();
        let reaches = |fragment: &&Fragment| match place {
            Place::At(key) => fragment.ends_after(key),
            Place::Before(key) => fragment.end.as_deref().is_none_or(|end| key <= end),
        };
        let (start, end) = match before.filter(reaches) {
            Some(fragment) => {
                let newest = self.newest_in(fragment, &fragment.start, at_most);
                piece.newest = piece.newest.max(newest);
                (Some(&fragment.start), fragment.end.as_ref())
            }
            // Between two fragments, or beside all.
            None => {
                let next = self.fragments.get(begun);
                let start = before.and_then(|fragment| fragment.end.as_ref());
                (start, next.map(|fragment| &fragment.start))
            }
        };
        if start > piece.start.as_ref() {
            piece.start = start.cloned();
        }
        if let Some(end) = end
            && piece.end.as_ref().is_none_or(|other| end < other)
        {
            piece.end = Some(Arc::clone(end));
        }
    }
}

/// What one reader's range deletes cover: those of its memtables and of its version, up to its number.
#[derive(Debug)]
pub(crate) struct Coverage {
    parts: Vec<Arc<RangeDeletes>>,
    at_most: SequenceNumber,
    /// The last answer.
    at: Option<Piece>,
}

impl Coverage {
    /// The coverage of these `parts` for a reader at `at_most`; `None` if they have no range delete.
    pub(crate) fn of(
        parts: impl Iterator<Item = Arc<RangeDeletes>>,
        at_most: SequenceNumber,
    ) -> Option<Coverage> {
        let parts: Vec<_> = parts.filter(|part| !part.is_empty()).collect();
        (!parts.is_empty()).then_some(Coverage {
            parts,
            at_most,
            at: None,
        })
    }

    fn piece_of(&self, place: Place<'_>) -> Piece {
        let mut piece = Piece {
            newest: SequenceNumber(0),
            start: None,
            end: None,
        };
        for part in &self.parts {
            part.narrow(&mut piece, place, self.at_most);
        }
        piece
    }

    /// The piece with `key`. Neighbouring keys get it without a search.
    pub(crate) fn at(&mut self, key: &[u8]) -> &Piece {
        let is_in = |piece: &Piece| {
            piece.start.as_deref().is_none_or(|start| start <= key)
                && piece.end.as_deref().is_none_or(|end| key < end)
        };
        if !self.at.as_ref().is_some_and(is_in) {
            self.at = None;
        }
        let at = self
            .at
            .take()
            .unwrap_or_else(|| self.piece_of(Place::At(key)));
        debug_assert!(
            at.newest <= self.at_most && is_in(&at),
            "COVER-1: the reader sees the range delete, and it has the key"
        );
        self.at.insert(at)
    }

    /// Whether the entry `(key, number)` is deleted.
    pub(crate) fn deletes(&mut self, key: &[u8], number: SequenceNumber) -> bool {
        number < self.at(key).newest
    }

    /// The smallest number above `number` of one that covers `key`.
    pub(crate) fn oldest_above(
        &mut self,
        key: &[u8],
        number: SequenceNumber,
    ) -> Option<SequenceNumber> {
        if !self.deletes(key, number) {
            return None;
        }
        let parts = self.parts.iter();
        let found = parts.filter_map(|part| part.oldest_above(key, number));
        found.min()
    }

    /// Whether `is_sought` holds for a key of one of the pieces with keys of `[first, last]`; `None` if there are too
    /// many pieces to tell.
    pub(crate) fn find_piece(
        &mut self,
        first: &[u8],
        last: &[u8],
        mut is_sought: impl FnMut(&mut Coverage, &[u8]) -> bool,
    ) -> Option<bool> {
        debug_assert!(first <= last, "COVER-2: a range has its ends in order");
        let mut key = Arc::from(first);
        for _ in 0..MOST_PIECES_OF_A_TABLE {
            if is_sought(self, &key) {
                return Some(true);
            }
            match self.at(&key).end.clone() {
                Some(end) if *end <= *last => key = end,
                _ => return Some(false),
            }
        }
        None
    }

    /// A key up to which range delete `newest` or newer ones cover every key from `key` on; `None`: all keys to the
    /// end. Requires that they cover `key`.
    pub(crate) fn run_end(&mut self, key: &[u8], newest: SequenceNumber) -> Option<Arc<[u8]>> {
        let mut end = self.at(key).end.clone()?;
        for _ in 0..MOST_PIECES {
            let next = self.piece_of(Place::At(&end));
            if next.newest < newest {
                break;
            }
            end = next.end?;
        }
        debug_assert!(*end > *key, "COVER-2: a piece ends after its keys");
        Some(end)
    }

    /// A key from which range delete `newest` or newer ones cover every key up to `key`; `None`: all keys from the
    /// beginning. Requires that they cover `key`.
    pub(crate) fn run_start(&mut self, key: &[u8], newest: SequenceNumber) -> Option<Arc<[u8]>> {
        let mut start = self.at(key).start.clone()?;
        for _ in 0..MOST_PIECES {
            let before = self.piece_of(Place::Before(&start));
            // No key is before the empty one.
            if before.newest < newest || start.is_empty() {
                break;
            }
            start = before.start?;
        }
        debug_assert!(
            *start <= *key,
            "COVER-2: a piece begins at or before its keys"
        );
        Some(start)
    }
}

#[cfg(test)]
mod tests;
