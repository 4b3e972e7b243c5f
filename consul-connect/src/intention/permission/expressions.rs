//! The expressions of one set of intentions: what they may take together, and each compiled once.

use std::collections::HashMap;

use super::re2::{Invalid, Re2};

/// Bytes, of all automata of a set. Whoever may write intentions must not be able to fill the memory of those they are about.
const MOST: usize = 64 * 1024 * 1024;

/// Those that were compiled so far.
#[derive(Debug)]
pub(crate) struct Expressions {
    known: HashMap<Box<str>, Re2>,
    left: usize,
}

impl Default for Expressions {
    fn default() -> Self {
        Self::within(MOST)
    }
}

impl Expressions {
    fn within(bytes: usize) -> Self {
        Self {
            known: HashMap::new(),
            left: bytes,
        }
    }

    /// # Errors
    /// It is none, is too large, or those before it have left nothing for it. None after it is compiled then.
    pub(super) fn compile(&mut self, pattern: &str) -> Result<Re2, Invalid> {
        if let Some(known) = self.known.get(pattern) {
            return Ok(known.clone());
        }
        if self.left == 0 {
            return Err(too_many());
        }
        let compiled = Re2::compile(pattern)?;
        self.left = self.left.saturating_sub(compiled.memory());
        if self.left == 0 {
            return Err(too_many());
        }
        self.known.insert(pattern.into(), compiled.clone());
        Ok(compiled)
    }
}

fn too_many() -> Invalid {
    Invalid::TooLarge(format!(
        "the expressions of this service take more than {MOST} bytes together"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_set_has_a_limit_and_an_expression_counts_once() {
        let one = Re2::compile("/a[0-9]+").expect("valid").memory();
        let mut expressions = Expressions::within(3 * one);
        for _ in 0..10 {
            expressions.compile("/a[0-9]+").expect("known");
        }
        expressions.compile("/b[0-9]+").expect("room for two");
        for pattern in ["/c[0-9]+", "/d"] {
            let refused = expressions.compile(pattern).expect_err("no room");
            assert!(refused.to_string().contains("together"), "{refused}");
        }
        expressions.compile("/b[0-9]+").expect("known");
    }
}
