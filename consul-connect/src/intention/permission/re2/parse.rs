//! The grammar.

use regex_syntax::hir::{ClassUnicode, Hir, Look, Repetition};

use super::{
    Invalid,
    class::{bracketed, escaped, finish},
    cursor::Cursor,
    encoding::encode,
    named::range,
};

/// What RE2 allows one thing to be repeated in all, repetitions of repetitions multiplied.
const MAX_REPETITIONS: u32 = 1000;
/// RE2 takes more; what walks the tree after us does so on the stack.
const MAX_DEPTH: u32 = 200;

pub(super) fn parse(pattern: &str) -> Result<Hir, Invalid> {
    let mut parser = Parser {
        cursor: Cursor { rest: pattern },
        flags: Flags::default(),
        group: Group::default(),
        outer: Vec::new(),
    };
    let mut repeated = false;
    while let Some(next) = parser.cursor.peek() {
        repeated = parser.step(next, repeated)?;
    }
    if !parser.outer.is_empty() {
        return Err(Invalid::MissingParenthesis);
    }
    Ok(parser.group.close()?.hir)
}

struct Parser<'p> {
    cursor: Cursor<'p>,
    flags: Flags,
    group: Group,
    /// The groups around this one, with the flags to return to.
    outer: Vec<(Flags, Group)>,
}

#[derive(Clone, Copy, Default)]
struct Flags {
    /// `i`
    fold: bool,
    /// `m`
    lines: bool,
    /// `s`
    dot_is_all: bool,
}

#[derive(Default)]
struct Group {
    alternatives: Vec<Item>,
    items: Vec<Item>,
}

struct Item {
    hir: Hir,
    /// How often what is most repeated in it is, by numbers that were given.
    repetitions: u32,
    depth: u32,
}

impl Parser<'_> {
    /// Reads one thing; whether it was a repetition. `repeated`: the one before was.
    fn step(&mut self, next: char, repeated: bool) -> Result<bool, Invalid> {
        match next {
            '(' => self.open()?,
            ')' => {
                self.cursor.take();
                let (flags, outer) = self.outer.pop().ok_or(Invalid::UnexpectedParenthesis)?;
                self.flags = flags;
                let closed = std::mem::replace(&mut self.group, outer).close()?;
                self.group.items.push(closed);
            }
            '|' => {
                self.cursor.take();
                self.group.end_alternative();
            }
            '*' | '+' | '?' => {
                self.cursor.take();
                let (min, max) = match next {
                    '*' => (0, None),
                    '+' => (1, None),
                    _ => (0, Some(1)),
                };
                return self.repeat(next, min, max, repeated);
            }
            '{' => match self.cursor.counts() {
                Some((min, max)) => return self.repeat(next, min, max, repeated),
                None => self.literal_next()?,
            },
            '[' => {
                self.cursor.take();
                let class = bracketed(&mut self.cursor, self.flags.fold)?;
                self.group.push(encode(class));
            }
            '.' => {
                self.cursor.take();
                let newline = ClassUnicode::new([range('\n', '\n')]);
                let mut class = ClassUnicode::empty();
                class.negate();
                if !self.flags.dot_is_all {
                    class.difference(&newline);
                }
                self.group.push(encode(class));
            }
            '^' => self.look(if self.flags.lines {
                Look::StartLF
            } else {
                Look::Start
            }),
            '$' => self.look(if self.flags.lines {
                Look::EndLF
            } else {
                Look::End
            }),
            '\\' => self.escape()?,
            _ => self.literal_next()?,
        }
        Ok(false)
    }

    fn escape(&mut self) -> Result<(), Invalid> {
        for (token, look) in [
            ("\\A", Look::Start),
            ("\\z", Look::End),
            ("\\b", Look::WordAscii),
            ("\\B", Look::WordAsciiNegate),
        ] {
            if self.cursor.eat(token) {
                self.group.push(Hir::look(look));
                return Ok(());
            }
        }
        if self.cursor.eat("\\C") {
            self.group.push(Hir::dot(regex_syntax::hir::Dot::AnyByte));
        } else if self.cursor.eat("\\Q") {
            // Without its end it goes to the end.
            while !self.cursor.rest.is_empty() && !self.cursor.eat("\\E") {
                self.literal_next()?;
            }
        } else if let Some(class) = escaped(&mut self.cursor, self.flags.fold)? {
            self.group.push(encode(class));
        } else {
            self.cursor.take();
            let literal = self.cursor.escaped()?;
            self.literal(literal)?;
        }
        Ok(())
    }

    fn look(&mut self, look: Look) {
        self.cursor.take();
        self.group.push(Hir::look(look));
    }

    fn literal_next(&mut self) -> Result<(), Invalid> {
        self.cursor.take().map_or(Ok(()), |next| self.literal(next))
    }

    fn literal(&mut self, literal: char) -> Result<(), Invalid> {
        let hir = if self.flags.fold {
            encode(finish(
                ClassUnicode::new([range(literal, literal)]),
                true,
                false,
            )?)
        } else {
            Hir::literal(literal.encode_utf8(&mut [0; 4]).as_bytes())
        };
        self.group.push(hir);
        Ok(())
    }

    fn repeat(
        &mut self,
        operator: char,
        min: u32,
        max: Option<u32>,
        repeated: bool,
    ) -> Result<bool, Invalid> {
        // Which match is preferred does not matter where all of the text must match.
        self.cursor.eat("?");
        if repeated {
            return Err(Invalid::RepeatedRepetition(operator));
        }
        let Some(item) = self.group.items.pop() else {
            return Err(Invalid::NothingToRepeat(operator));
        };
        if max.is_some_and(|max| max < min) {
            return Err(Invalid::TooManyRepetitions);
        }
        let counted = if operator == '{' {
            max.unwrap_or(min)
        } else {
            1
        };
        let repetitions = item.repetitions.saturating_mul(counted.max(1));
        if min > MAX_REPETITIONS || repetitions > MAX_REPETITIONS {
            return Err(Invalid::TooManyRepetitions);
        }
        self.group.items.push(Item {
            repetitions,
            depth: deeper(item.depth)?,
            hir: Hir::repetition(Repetition {
                min,
                max,
                greedy: true,
                sub: Box::new(item.hir),
            }),
        });
        Ok(true)
    }

    /// A group, or flags for the rest of the one this is in.
    fn open(&mut self) -> Result<(), Invalid> {
        self.cursor.take();
        if !self.cursor.eat("?") {
            return self.enter(self.flags);
        }
        let start = self.cursor.rest;
        let unknown = |rest: &str| {
            let length = start.len() - rest.len();
            Invalid::Group(start[..length].to_owned())
        };
        if ["=", "!", "<=", "<!"]
            .iter()
            .any(|look| start.starts_with(look))
        {
            return Err(Invalid::Group(start.chars().take(2).collect()));
        }
        if self.cursor.eat("P<") || self.cursor.eat("<") {
            let name = self.cursor.until(">").unwrap_or_default();
            let valid = !name.is_empty()
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            if !valid {
                return Err(Invalid::GroupName(name.to_owned()));
            }
            return self.enter(self.flags);
        }
        let before = self.flags;
        let (mut on, mut any) = (true, true);
        let mut preference = false;
        loop {
            let flag = match self.cursor.take() {
                Some('-') if on => {
                    (on, any) = (false, false);
                    continue;
                }
                Some(':') if any => return self.enter(before),
                Some(')') if any => return Ok(()),
                Some('i') => &mut self.flags.fold,
                Some('m') => &mut self.flags.lines,
                Some('s') => &mut self.flags.dot_is_all,
                Some('U') => &mut preference,
                _ => return Err(unknown(self.cursor.rest)),
            };
            *flag = on;
            any = true;
        }
    }

    fn enter(&mut self, flags_to_return_to: Flags) -> Result<(), Invalid> {
        if self.outer.len() >= MAX_DEPTH as usize {
            return Err(Invalid::TooDeep);
        }
        let outer = std::mem::take(&mut self.group);
        self.outer.push((flags_to_return_to, outer));
        Ok(())
    }
}

impl Group {
    fn push(&mut self, hir: Hir) {
        self.items.push(Item {
            hir,
            repetitions: 1,
            depth: 0,
        });
    }

    fn end_alternative(&mut self) {
        let items = std::mem::take(&mut self.items);
        self.alternatives.push(join(items, Hir::concat));
    }

    fn close(mut self) -> Result<Item, Invalid> {
        self.end_alternative();
        let mut item = join(self.alternatives, Hir::alternation);
        item.depth = deeper(item.depth)?;
        Ok(item)
    }
}

fn join(items: Vec<Item>, how: fn(Vec<Hir>) -> Hir) -> Item {
    Item {
        repetitions: items.iter().map(|item| item.repetitions).max().unwrap_or(1),
        depth: items.iter().map(|item| item.depth).max().unwrap_or(0),
        hir: how(items.into_iter().map(|item| item.hir).collect()),
    }
}

fn deeper(depth: u32) -> Result<u32, Invalid> {
    let depth = depth + 1;
    if depth > MAX_DEPTH {
        return Err(Invalid::TooDeep);
    }
    Ok(depth)
}
