//! Drawing endpoints by weight.

/// Draws indexes with probabilities proportional to weights, in constant time.
#[derive(Clone, Debug)]
pub(crate) enum Sampler {
    /// All weights are the same.
    Even(u32),
    Weighted(Box<[Slot]>),
}

/// One column of Vose's alias table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    /// How much of the column is its own, out of 2^32.
    keep: u64,
    /// Whose the rest is.
    alias: u32,
}

const WHOLE: u64 = 1 << 32;

impl Sampler {
    /// Every weight must be at least 1.
    pub(crate) fn new(weights: &[u32]) -> Self {
        let count = u32::try_from(weights.len()).unwrap_or(u32::MAX);
        if weights.windows(2).all(|pair| pair[0] == pair[1]) {
            return Self::Even(count);
        }
        Self::Weighted(alias_table(weights))
    }

    /// One index, from 32 random bits.
    fn draw(&self, bits: u32) -> Option<usize> {
        match self {
            Self::Even(0) => None,
            Self::Even(count) => Some(scale(bits, *count).0),
            Self::Weighted(slots) => {
                let (index, rest) = scale(bits, slots.len() as u32);
                let slot = slots.get(index)?;
                Some(if u64::from(rest) < slot.keep {
                    index
                } else {
                    slot.alias as usize
                })
            }
        }
    }

    /// Two indexes from 64 random bits. They differ if the weights are even and there are two; by
    /// weight they are drawn independently, so that a heavy endpoint can be both.
    pub(super) fn draw_two(&self, bits: u64) -> Option<(usize, usize)> {
        let (low, high) = (bits as u32, (bits >> 32) as u32);
        let one = self.draw(low)?;
        let other = match self {
            Self::Even(1) => one,
            Self::Even(count) => {
                let other = scale(high, count - 1).0;
                if other >= one { other + 1 } else { other }
            }
            Self::Weighted(_) => self.draw(high)?,
        };
        Some((one, other))
    }
}

/// Maps 32 bits to an index below `count` without a division, and what is left of them.
fn scale(bits: u32, count: u32) -> (usize, u32) {
    let product = u64::from(bits) * u64::from(count);
    ((product >> 32) as usize, product as u32)
}

/// Vose's method in integers: each index keeps or receives exactly its share, to 2^-32.
fn alias_table(weights: &[u32]) -> Box<[Slot]> {
    let total: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
    let count = weights.len() as u128;
    // Shares are scaled so that a column holds `total`.
    let mut share: Vec<u128> = weights
        .iter()
        .map(|weight| u128::from(*weight) * count)
        .collect();
    let (mut small, mut large): (Vec<usize>, Vec<usize>) =
        (0..weights.len()).partition(|index| share[*index] < total);
    let mut slots: Vec<Slot> = (0..weights.len())
        .map(|index| Slot {
            keep: WHOLE,
            alias: index as u32,
        })
        .collect();
    while let (Some(short), Some(tall)) = (small.pop(), large.last().copied()) {
        let keep = (share[short] * u128::from(WHOLE) + total / 2) / total;
        slots[short] = Slot {
            keep: keep as u64,
            alias: tall as u32,
        };
        share[tall] -= total - share[short];
        if share[tall] < total {
            large.pop();
            small.push(tall);
        }
    }
    slots.into_boxed_slice()
}

#[cfg(test)]
impl Sampler {
    /// The probability of each index, read from the table.
    pub(super) fn probabilities(&self) -> Vec<f64> {
        match self {
            Self::Even(count) => vec![1.0 / f64::from(*count); *count as usize],
            Self::Weighted(slots) => {
                let mut mass = vec![0.0; slots.len()];
                for (index, slot) in slots.iter().enumerate() {
                    let keep = slot.keep as f64 / WHOLE as f64;
                    mass[index] += keep / slots.len() as f64;
                    mass[slot.alias as usize] += (1.0 - keep) / slots.len() as f64;
                }
                mass
            }
        }
    }
}
