//! Draws for decisions that a seed must repeat: which call fails, and what a power loss leaves.

/// A small generator for decisions that a seed must repeat: Steele, Lea & Flood's SplitMix64 (2014).
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number in `[0, end)`; `end` must be at least 1.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        debug_assert!(end > 0, "a number below 0 does not exist");
        self.next() % end
    }
}
