//! Which endpoint of a snapshot gets the next request.
//!
//! Pickers are pure: they take a snapshot's weights, random bits and a cost per endpoint, and return
//! an index. Nothing here knows what an endpoint is.
//!
//! The picker is the power of two choices over peak-EWMA latency: two endpoints are drawn by weight
//! and the one with the lower cost wins. Drawing two instead of looking at all is flat in the number
//! of endpoints, and does not send every caller to the one endpoint that looks best at the moment.

mod load;
mod random;
mod sample;

#[cfg(test)]
mod tests;

pub(crate) use load::Load;
pub(crate) use random::random;
pub(crate) use sample::Sampler;

/// The cheaper of two endpoints drawn with `bits`; the first of them when they cost the same, so
/// that shares follow weights while there is nothing to tell endpoints apart.
pub(crate) fn least_cost(
    sampler: &Sampler,
    bits: u64,
    cost: impl Fn(usize) -> f64,
) -> Option<usize> {
    let (one, other) = sampler.draw_two(bits)?;
    Some(if one != other && cost(other) < cost(one) {
        other
    } else {
        one
    })
}
