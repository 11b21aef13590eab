//! Rules by which names of tensors are translated.

/// What tensors whose names start alike are called in the official releases.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rename {
    /// How the names start, and how they start then.
    pub(super) start: (&'static str, &'static str),
    /// What is replaced in the whole name afterwards, in this order, each at most once.
    pub(super) within: &'static [&'static [(&'static str, &'static str)]],
}

impl Rename {
    /// A rule for the start of names alone.
    pub(super) const fn start(theirs: &'static str, official: &'static str) -> Self {
        Self { start: (theirs, official), within: &[] }
    }
}

/// The name by the first rule that fits its start, or the name as it is.
pub(super) fn rename(name: &str, rules: &[Rename]) -> String {
    let found = rules.iter().find_map(|rule| Some((rule, name.strip_prefix(rule.start.0)?)));
    let Some((rule, rest)) = found else { return name.to_string() };
    let renamed = format!("{}{rest}", rule.start.1);
    rule.within.iter().copied().flatten().fold(renamed, |name, (theirs, official)| name.replacen(theirs, official, 1))
}
