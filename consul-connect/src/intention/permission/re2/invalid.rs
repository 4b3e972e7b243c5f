/// Why an expression is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Invalid {
    #[error("a parenthesis is not closed")]
    MissingParenthesis,
    #[error("a parenthesis is closed that was not opened")]
    UnexpectedParenthesis,
    #[error("a bracket is not closed")]
    MissingBracket,
    #[error("there is nothing for {0:?} to repeat")]
    NothingToRepeat(char),
    #[error("a repetition is repeated by {0:?}")]
    RepeatedRepetition(char),
    #[error("something is repeated more than 1000 times")]
    TooManyRepetitions,
    #[error("the escape \\{0} is unknown")]
    Escape(String),
    #[error("it ends in a backslash")]
    TrailingBackslash,
    #[error("the range {0}-{1} has its ends the wrong way round")]
    Range(char, char),
    #[error("the class {0} is unknown")]
    Class(String),
    #[error(
        "the group (?{0} is unknown: there are no look-arounds, and the flags are i, m, s and U"
    )]
    Group(String),
    #[error("the group name {0:?} cannot be one")]
    GroupName(String),
    #[error("it is nested more than 200 deep")]
    TooDeep,
    #[error("it is too large: {0}")]
    TooLarge(String),
}
