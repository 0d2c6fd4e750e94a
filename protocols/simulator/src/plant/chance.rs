//! Chance that repeats: a number from a seed, a stream and an index, in any order and as often as wanted.

/// 64 well mixed bits of the three numbers (the finalizer of `SplitMix64`, applied to each in turn).
pub(super) const fn draw(seed: u64, stream: u64, index: i64) -> u64 {
    mix(mix(mix(seed).wrapping_add(stream)).wrapping_add(index.cast_unsigned()))
}

/// A number from 0 to `below - 1`; `below` is positive.
pub(super) fn below(seed: u64, stream: u64, index: i64, below: i64) -> i64 {
    // 31 bits are plenty for what a plant needs, and keep the product within range.
    let bits = i64::try_from(draw(seed, stream, index) >> 33).unwrap_or(0);
    (bits * below) >> 31
}

const fn mix(value: u64) -> u64 {
    let z = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_and_spreads() {
        assert_eq!(draw(1, 2, 3), draw(1, 2, 3));
        assert_ne!(draw(1, 2, 3), draw(1, 3, 2));
        assert_ne!(draw(1, 2, 3), draw(2, 2, 3));
        let mut counts = [0_u32; 10];
        for index in -5_000..5_000 {
            counts[usize::try_from(below(7, 1, index, 10)).unwrap()] += 1;
        }
        assert!(counts.iter().all(|count| (850..1_150).contains(count)), "{counts:?}");
    }
}
