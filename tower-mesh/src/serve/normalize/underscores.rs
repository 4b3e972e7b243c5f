//! Headers whose names have an underscore: many an application reads `x_user` as `x-user`.

use http::{HeaderMap, HeaderName};

pub(super) fn is_any(headers: &HeaderMap) -> bool {
    headers.keys().any(is_underscored)
}

pub(super) fn remove(headers: &mut HeaderMap) {
    if !is_any(headers) {
        return;
    }
    let names = headers.keys().filter(|name| is_underscored(name));
    for name in names.cloned().collect::<Vec<_>>() {
        headers.remove(name);
    }
}

fn is_underscored(name: &HeaderName) -> bool {
    name.as_str().contains('_')
}
