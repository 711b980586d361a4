//! The seed of everything that happens at random moments.

/// Repeats what happened under the seed in it.
pub const VARIABLE: &str = "EVENKEEL_FAULT_SEED";

/// The seed that was asked for, or a new one.
pub fn chosen() -> anyhow::Result<u64> {
    match std::env::var(VARIABLE) {
        Ok(text) if !text.is_empty() => {
            text.parse().map_err(|_| anyhow::anyhow!("{VARIABLE} is '{text}', which is not a number"))
        }
        _ => Ok(u64::from(rand::random::<u32>())),
    }
}
