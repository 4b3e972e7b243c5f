use super::{Invalid, Re2};

fn matches(pattern: &str, text: impl AsRef<[u8]>) -> bool {
    Re2::compile(pattern)
        .unwrap_or_else(|invalid| panic!("{pattern}: {invalid}"))
        .matches_all(text.as_ref())
}

#[test]
fn matches_all_of_the_text() {
    for (pattern, text, expected) in [
        ("a", "a", true),
        ("a", "ab", false),
        ("a", "ba", false),
        ("a|ab", "ab", true),
        ("ab|a", "a", true),
        ("^a$", "a", true),
        ("a$|ab", "ab", true),
        ("", "", true),
        ("", "a", false),
        ("a*?", "aaa", true),
        ("(?U)a+", "aaa", true),
        ("(a|b)*c", "ababc", true),
        ("(?:ab){2,3}", "abab", true),
        ("(?:ab){2,3}", "ababab", true),
        ("(?:ab){2,3}", "ab", false),
        ("(?:ab){2}", "ababab", false),
        ("(?:ab){2,}", "abababab", true),
        ("/v[0-9]+/.*", "/v12/", true),
        ("a.c", "a\nc", false),
        ("(?s)a.c", "a\nc", true),
        ("(?s:a.)(?:.)", "a\n\n", false),
        ("a[^b]c", "a\nc", true),
        ("^a^", "a", false),
        ("^*a", "a", true),
        ("(?m)a$\\n^b", "a\nb", true),
        ("a$\\nb", "a\nb", false),
        ("a$", "a\n", false),
        (r"\Aa\z", "a", true),
        (r"\bab\b.*", "ab c", true),
        (r"a\Bb", "ab", true),
        (r"a\bb", "ab", false),
        // A word is of ASCII letters.
        (r"é\bé", "éé", false),
        (r"a\bé", "aé", true),
    ] {
        assert_eq!(matches(pattern, text), expected, "{pattern:?} on {text:?}");
    }
}

#[test]
fn reads_the_dialect_of_re2() {
    for (pattern, text, expected) in [
        // What looks like a repetition and is none.
        ("a{", "a{", true),
        ("{", "{", true),
        ("a{,2}", "a{,2}", true),
        ("a{01}", "a{01}", true),
        ("/users/{id}", "/users/{id}", true),
        ("a{1,2", "a{1,2", true),
        // Brackets have no operations.
        ("[a&&b]", "&", true),
        ("[a&&b]", "a", true),
        ("[[a]b]", "[b]", true),
        ("[]a]", "]", true),
        ("[^]a]", "b", true),
        ("[^]a]", "]", false),
        ("[a-]", "-", true),
        ("[-a]", "-", true),
        (r"[\]]", "]", true),
        ("[[:alpha:]]+", "aZ", true),
        ("[[:^alpha:]]", "a", false),
        ("[[:^alpha:]]", "é", true),
        ("[[:word:]]", "_", true),
        ("[[:alpha]]", "a]", true),
        // Classes are ASCII, and `\s` lacks one.
        (r"\d", "٣", false),
        (r"\w", "é", false),
        (r"\D", "٣", true),
        (r"\s", "\u{a0}", false),
        (r"\s", "\x0b", false),
        ("[[:space:]]", "\x0b", true),
        (r"[\d\-x]+", "1-x", true),
        (r"[^\W]", "a", true),
        // Case is Unicode's, for classes too.
        ("(?i)straSSe", "STRAssE", true),
        ("(?i)k", "\u{212a}", true),
        ("(?i)[j-l]", "\u{212a}", true),
        ("(?i)[^k]", "\u{212a}", false),
        ("(?i)é", "É", true),
        ("(?i:a)b", "AB", false),
        ("a(?i)b", "aB", true),
        ("(a(?i)b)c", "aBC", false),
        ("(?i)a(?-i)b", "Ab", true),
        ("(?i)a(?-i)b", "AB", false),
        // Escapes.
        (r"\<a\>", "<a>", true),
        (r"\_\/\-\@", "_/-@", true),
        (r"\x41\x{42}\103\07", "ABC\x07", true),
        (r"\a\f\t\n\r\v", "\x07\x0c\t\n\r\x0b", true),
        (r"\Qa.b*\E+", "a.b***", true),
        (r"\Qa.b", "a.b", true),
        (r"a\Q\E*", "aaa", true),
        (r"\pL+", "é", true),
        (r"\p{Lu}", "É", true),
        (r"\p{Lu}", "é", false),
        (r"(?i)\p{Lu}", "é", true),
        (r"\PL", "1", true),
        (r"\p{^L}", "a", false),
        (r"[\pN_]", "٣", true),
        (r"\p{Zl}", "\u{2028}", true),
        (r"\p{Any}", "x", true),
        // Groups.
        ("(?P<n>a)(?<m>b)(?P<n>c)(?:d)", "abcd", true),
        ("(?)a", "a", true),
        ("a*(?i)*", "aa", true),
        ("[^\\x00-\\x{10FFFF}]", "a", false),
    ] {
        assert_eq!(matches(pattern, text), expected, "{pattern:?} on {text:?}");
    }
}

#[test]
fn reads_utf_8_as_loosely_as_re2() {
    for (pattern, text, expected) in [
        (".", &b"\xc3\xa9"[..], true),
        ("..", b"\xc3\xa9", false),
        (r"\C\C", b"\xc3\xa9", true),
        (".", b"\xff", false),
        (".", b"\xc3", false),
        (r"\C", b"\xff", true),
        // Overlong, a surrogate, beyond Unicode.
        (".", b"\xe0\x80\x80", true),
        (".", b"\xed\xa0\x80", true),
        (".", b"\xf4\xbf\xbf\xbf", true),
        (".", b"\xc0\x80", false),
        (".", b"\xf5\x80\x80\x80", false),
        ("[^a]", b"\xe0\x80\x80", true),
        (r"\W", b"\xe0\x80\x80", true),
        ("[^é]", b"\xe0\x80\x80", false),
        ("[^é]", b"\xed\xa0\x80", true),
        (r"\xff", b"\xff", false),
        (r"\xff", b"\xc3\xbf", true),
    ] {
        assert_eq!(matches(pattern, text), expected, "{pattern:?} on {text:?}");
    }
}

#[test]
fn refuses_what_re2_refuses() {
    for pattern in [
        "(",
        ")",
        "a)",
        "(a",
        "[",
        "[a",
        "[]",
        "[^",
        "[^]",
        "[a-",
        "*",
        "+a",
        "?",
        "a|*",
        "(*)",
        "{1}",
        "a**",
        "a*+",
        "a+?*",
        "a??+",
        "a{2}{3}",
        "a{2}*",
        "a*{2}",
        "a{1001}",
        "a{2,1}",
        "(a{40}){40}",
        "(?i)*",
        r"\",
        r"\1",
        r"\8",
        r"\Z",
        r"\q",
        r"\é",
        r"\x4",
        r"\x{}",
        r"\x{110000}",
        r"\x{d800}",
        r"\x{4",
        r"\u0041",
        r"\b{",
        r"[\b]",
        r"[\A]",
        "[b-a]",
        "[a--b]",
        r"[a-\d]",
        r"\p",
        r"\p{Foo}",
        r"\p{L",
        r"\p{l}",
        r"\p{Letter}",
        r"\p{Alphabetic}",
        "[[:foo:]]",
        "(?=a)",
        "(?!a)",
        "(?<=a)",
        "(?<!a)",
        "(?>a)",
        "(?#a)",
        "(?x)a",
        "(?u)a",
        "(?R)a",
        "(?i",
        "(?-)",
        "(?i-)",
        "(?--i)",
        "(?P<n>a",
        "(?P<>a)",
        "(?P<n.m>a)",
        "(?P=n)",
        "(?P>n)",
        "(?'n'a)",
    ] {
        // One of them is a word boundary before text.
        if pattern == r"\b{" {
            assert!(Re2::compile(pattern).is_ok());
            continue;
        }
        assert!(Re2::compile(pattern).is_err(), "{pattern:?}");
    }
}

#[test]
fn says_what_is_wrong() {
    assert_eq!(Re2::compile(r"a\qb"), Err(Invalid::Escape("q".to_owned())));
    assert_eq!(
        Re2::compile(r"\x{zz}"),
        Err(Invalid::Escape("x{zz}".to_owned()))
    );
    assert_eq!(Re2::compile("(?x)"), Err(Invalid::Group("x".to_owned())));
    assert_eq!(
        Re2::compile(r"\p{Foo}"),
        Err(Invalid::Class(r"\p{Foo}".to_owned()))
    );
    assert_eq!(Re2::compile("a**"), Err(Invalid::RepeatedRepetition('*')));
}

#[test]
fn what_grows_without_bound_is_refused_and_not_tried() {
    for pattern in [
        "(?:.*a.{20}){2}".to_owned(),
        r"(?:\pL{100}){10}".to_owned(),
        "(".repeat(100_000),
        format!("{}a{}", "(".repeat(300), ")".repeat(300)),
        format!("a{}", r"*\Q\E".repeat(300)),
    ] {
        let refused = Re2::compile(&pattern).expect_err("too large");
        assert!(
            matches!(refused, Invalid::TooLarge(_) | Invalid::TooDeep),
            "{refused}"
        );
    }
}

#[test]
fn a_long_text_takes_one_look_at_each_byte() {
    let hostile = Re2::compile("(?:a*)*b|(?:a|aa)+c").expect("an expression");
    let text = vec![b'a'; 1 << 20];
    assert!(!hostile.matches_all(&text));
}

/// What this reader refuses although RE2 takes it: scripts, a category with surrogates, a group named in another script.
const ONLY_RE2: [&str; 3] = [r"\p{Greek}", r"\p{C}", "(?P<é>"];

/// A thousand expressions, and what RE2 itself (release 2025-11-05, from Python) answered: those it refuses, and for the others texts
/// that they match and texts that they do not, in hexadecimal because not all are UTF-8.
#[test]
fn answers_as_re2_does() {
    let bytes = |hex: &serde_json::Value| -> Vec<u8> {
        let hex = hex.as_str().expect("hexadecimal");
        (0..hex.len() / 2)
            .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).expect("hexadecimal"))
            .collect()
    };
    let (mut refused, mut answers) = (0, 0);
    for line in include_str!("tests/vectors.jsonl").lines() {
        let vector: Vec<serde_json::Value> = serde_json::from_str(line).expect(line);
        let pattern = vector[0].as_str().expect("an expression");
        let compiled = Re2::compile(pattern);
        let [_, hits, misses] = &vector[..] else {
            assert!(compiled.is_err(), "{pattern:?} is none");
            refused += 1;
            continue;
        };
        let compiled = match compiled {
            Ok(compiled) => compiled,
            Err(_) if ONLY_RE2.iter().any(|only| pattern.contains(only)) => continue,
            // Envoy would not take these either.
            Err(Invalid::TooLarge(_)) => continue,
            Err(invalid) => panic!("{pattern:?}: {invalid}"),
        };
        for (texts, expected) in [(hits, true), (misses, false)] {
            for text in texts.as_array().expect("a list").iter().map(bytes) {
                let shown = text.escape_ascii();
                assert_eq!(
                    compiled.matches_all(&text),
                    expected,
                    "{pattern:?} on {shown}"
                );
                answers += 1;
            }
        }
    }
    assert!(
        refused > 300 && answers > 3000,
        "{refused} refused, {answers} answers"
    );
}
