//! RE2's dialect with RE2's answers.
//!
//! Consul hands expressions to Envoy unread, and Envoy gives them to RE2. An expression that means another thing here, be it only
//! for a few bytes, is a rule that denies too little, so the dialect is read by its own grammar and not as the like one of the
//! `regex` crate: there `\d` is all of Unicode, `[a&&b]` an intersection and `\<` the start of a word.
//!
//! What comes out is a complete automaton: matching looks at each byte once, takes no memory and no lock. What needs more than
//! [`MAX_AUTOMATON`] is refused, whatever RE2 would do; Envoy's own limit is far lower.

mod class;
mod cursor;
mod encoding;
mod invalid;
mod named;
mod parse;

use std::{fmt, sync::Arc};

use regex_automata::{
    Anchored, MatchKind,
    dfa::{Automaton as _, StartKind, dense},
    nfa::thompson::{self, WhichCaptures},
    util::{primitives::StateID, start},
};

pub(crate) use invalid::Invalid;

/// Bytes. What an Envoy takes is far shorter.
const MAX_PATTERN: usize = 4096;

/// Bytes: of one finished automaton, and apart from it of what is needed to build one.
const MAX_AUTOMATON: usize = 4 << 20;

/// An expression that was compiled.
#[derive(Clone)]
pub(crate) struct Re2 {
    pattern: Box<str>,
    automaton: Arc<Automaton>,
}

struct Automaton {
    dfa: dense::DFA<Vec<u32>>,
    start: StateID,
}

impl Re2 {
    /// # Errors
    /// RE2 refuses it, it is one of the few RE2 takes and this reader does not, or it is too large.
    pub(crate) fn compile(pattern: &str) -> Result<Self, Invalid> {
        if pattern.len() > MAX_PATTERN {
            let text = format!("it is longer than {MAX_PATTERN} bytes");
            return Err(Invalid::TooLarge(text));
        }
        Ok(Self {
            pattern: pattern.into(),
            automaton: Arc::new(Automaton::build(pattern)?),
        })
    }

    /// Bytes that it takes.
    pub(crate) fn memory(&self) -> usize {
        self.automaton.dfa.memory_usage()
    }

    pub(crate) fn pattern(&self) -> &str {
        &self.pattern
    }

    /// Whether it matches all of the text, from its first byte to its last.
    pub(crate) fn matches_all(&self, text: &[u8]) -> bool {
        let Automaton { dfa, start } = &*self.automaton;
        let mut state = *start;
        for &byte in text {
            state = dfa.next_state(state, byte);
            if dfa.is_dead_state(state) {
                return false;
            }
        }
        // A match shows one step late, so that what looks ahead can be decided.
        dfa.is_match_state(dfa.next_eoi_state(state))
    }
}

impl Automaton {
    fn build(pattern: &str) -> Result<Self, Invalid> {
        let hir = parse::parse(pattern)?;
        let nfa = thompson::Compiler::new()
            .configure(
                thompson::Config::new()
                    // A header need not be UTF-8.
                    .utf8(false)
                    .which_captures(WhichCaptures::None)
                    .nfa_size_limit(Some(MAX_AUTOMATON)),
            )
            .build_from_hir(&hir)
            .map_err(|error| Invalid::TooLarge(error.to_string()))?;
        let dfa = dense::Builder::new()
            .configure(
                dense::Config::new()
                    .start_kind(StartKind::Anchored)
                    // All ends of a match, not the preferred one: only the end of the text is asked about.
                    .match_kind(MatchKind::All)
                    .accelerate(false)
                    .dfa_size_limit(Some(MAX_AUTOMATON))
                    .determinize_size_limit(Some(MAX_AUTOMATON)),
            )
            .build_from_nfa(&nfa)
            .map_err(|error| Invalid::TooLarge(error.to_string()))?;
        let start = dfa
            .start_state(&start::Config::new().anchored(Anchored::Yes))
            .map_err(|error| Invalid::TooLarge(error.to_string()))?;
        Ok(Self { dfa, start })
    }
}

/// Equal patterns match the same.
impl PartialEq for Re2 {
    fn eq(&self, other: &Self) -> bool {
        self.pattern == other.pattern
    }
}

impl Eq for Re2 {}

/// Without the automaton, which is thousands of numbers.
impl fmt::Debug for Re2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Re2").field(&self.pattern).finish()
    }
}

#[cfg(test)]
mod tests;
