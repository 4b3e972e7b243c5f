use http::{HeaderMap, HeaderName};

pub(super) fn has_underscore(headers: &HeaderMap) -> bool {
    headers.keys().any(is_underscored)
}

pub(super) fn drop_underscores(headers: &mut HeaderMap) {
    if !has_underscore(headers) {
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
