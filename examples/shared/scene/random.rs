//! Random numbers that are the same on every machine: SplitMix64, and only operations that IEEE 754 rounds exactly (no
//! `sin`, `exp` or `pow` of the system's library).

/// SplitMix64.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// Close seeds give unrelated numbers.
    pub(crate) fn new(seed: u64) -> Self {
        Self(mix(seed ^ 0x5ce9_e5ce_9e5c_e9e5))
    }

    /// The next 64 bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// 0 ≤ n < 1.
    pub(crate) fn unit(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1u32 << 24) as f32
    }

    /// `low` ≤ n < `high`, every value alike.
    pub(crate) fn range(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// `low` ≤ n < `high`, every order of magnitude alike.
    pub(crate) fn log_range(&mut self, low: f32, high: f32) -> f32 {
        let mut bits = self.bits();
        let (mut value, mut ratio) = (low, high / low);
        for _ in 0..16 {
            ratio = ratio.sqrt();
            if bits & 1 == 1 {
                value *= ratio;
            }
            bits >>= 1;
        }
        value
    }

    /// Between -1 and 1, small values more often.
    pub(crate) fn signed(&mut self) -> f32 {
        self.unit() + self.unit() - 1.0
    }

    /// A whole number, 0 ≤ n < `count`.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        (self.bits() % count.max(1) as u64) as usize
    }

    /// True in a `share` of all cases.
    pub(crate) fn chance(&mut self, share: f32) -> bool {
        self.unit() < share
    }

    /// One of `choices`.
    pub(crate) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// One of `choices`, each as often as its weight says.
    pub(crate) fn weighted<T: Copy>(&mut self, choices: &[(T, f32)]) -> T {
        let mut left = self.unit() * choices.iter().map(|(_, weight)| weight).sum::<f32>();
        for (choice, weight) in choices {
            left -= weight;
            if left < 0.0 {
                return *choice;
            }
        }
        choices[choices.len() - 1].0
    }

    /// A direction of length 1.
    pub(crate) fn direction(&mut self) -> [f32; 2] {
        direction(self.unit())
    }
}

/// The finaliser of SplitMix64: every bit of `z` changes half of the result's.
pub(crate) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The sine of `turns` whole turns, to 0.001: two parabolas and a correction.
pub(crate) fn wave(turns: f32) -> f32 {
    let whole = turns as i32 - i32::from(turns < 0.0);
    let x = turns - whole as f32;
    let y = if x < 0.5 { 16.0 * x * (0.5 - x) } else { -16.0 * (x - 0.5) * (1.0 - x) };
    y + 0.225 * (y * y.abs() - y)
}

/// The direction at `turns` of a whole turn, of length 1.
pub(crate) fn direction(turns: f32) -> [f32; 2] {
    let (x, y) = (wave(turns + 0.25), wave(turns));
    let length = (x * x + y * y).sqrt();
    [x / length, y / length]
}
