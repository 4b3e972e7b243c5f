use std::fmt::Write as _;

use tower_mesh::serve::xfcc::{Element, parse};

/// What a mesh gateway says of its caller.
///
/// # Panics
/// When what was read is not what it says once written down again, or depends on what stands before it.
pub fn xfcc(data: &[u8]) {
    let Ok(header) = std::str::from_utf8(data) else {
        return;
    };
    match parse(header) {
        Ok(elements) => {
            assert!(!elements.is_empty());
            let written = write(&elements);
            assert_eq!(parse(&written).as_ref(), Ok(&elements), "{written}");
            let longer = format!("By=\"spiffe://a,b;c=\\\"d\",{header}");
            let longer = parse(&longer).expect("one element more");
            assert_eq!(longer[1..], elements);
        }
        Err(malformed) => assert!(!malformed.to_string().is_empty()),
    }
}

/// With every value in quotes.
fn write(elements: &[Element<'_>]) -> String {
    let mut header = String::new();
    for (at, element) in elements.iter().enumerate() {
        header.push_str(if at == 0 { "" } else { "," });
        for (at, (key, value)) in element.pairs().enumerate() {
            header.push_str(if at == 0 { "" } else { ";" });
            let value = value.replace('\\', "\\\\").replace('"', "\\\"");
            write!(header, "{key}=\"{value}\"").expect("a string takes any text");
        }
    }
    header
}
