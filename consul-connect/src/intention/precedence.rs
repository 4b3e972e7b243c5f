//! Which of two intentions comes first.
//!
//! Consul documents precedence as a number from 9 to 1 made of how exact the destination is, then the source. It is
//! computed here from the names, so that the number and the order a server sends decide nothing.

use super::source_match::Pattern;

/// How many of (namespace, name) are exact. A wildcard namespace makes the name count for nothing, as in Consul.
pub(super) fn exactness(namespace: &Pattern, name: &Pattern) -> u32 {
    match (namespace, name) {
        (Pattern::Any, _) => 0,
        (Pattern::Exact(_), Pattern::Any) => 1,
        (Pattern::Exact(_), Pattern::Exact(_)) => 2,
    }
}

/// 9 for exact to exact, down to 1 for anything to anything.
pub(super) fn precedence(destination: u32, source: u32) -> u32 {
    debug_assert!(
        destination <= 2 && source <= 2,
        "exactness counts two parts"
    );
    let highest = 3 * (destination + 1);
    highest - (2 - source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_table_is_reproduced() {
        let table: Vec<Vec<u32>> = [2, 1, 0]
            .map(|destination| {
                [2, 1, 0]
                    .map(|source| precedence(destination, source))
                    .to_vec()
            })
            .to_vec();
        assert_eq!(table, [[9, 8, 7], [6, 5, 4], [3, 2, 1]]);
    }

    #[test]
    fn a_wildcard_namespace_makes_the_name_count_for_nothing() {
        let any = Pattern::Any;
        let web = Pattern::Exact("web".into());
        assert_eq!(exactness(&any, &web), 0);
        assert_eq!(exactness(&web, &any), 1);
        assert_eq!(exactness(&web, &web), 2);
    }
}
