//! What the checks find, at nodes of the tree; places and paths are looked up only for what was found.

use mlops_core::platform::tree::{Key, Node, Tree};

use super::problem::Severity;

/// More than this nobody reads of one object.
const MAX_FINDS: usize = 100;

/// What a finding is about.
#[derive(Debug, Clone, Copy)]
pub(super) enum Spot<'a> {
    Key(&'a Key),
    Node(&'a Node),
}

impl<'a> From<&'a Node> for Spot<'a> {
    fn from(node: &'a Node) -> Self {
        Self::Node(node)
    }
}

impl<'a> From<&'a Key> for Spot<'a> {
    fn from(key: &'a Key) -> Self {
        Self::Key(key)
    }
}

#[derive(Debug)]
pub(super) struct Find<'a> {
    pub(super) spot: Spot<'a>,
    pub(super) severity: Severity,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

impl Find<'_> {
    pub(super) fn hint(&mut self, hint: impl Into<String>) {
        self.hint = Some(hint.into());
    }

    /// The nearest known name, or the known ones when they are few.
    pub(super) fn nearest<'n>(&mut self, given: &str, known: impl IntoIterator<Item = &'n str>) {
        self.hint = did_you_mean(given, &known.into_iter().collect::<Vec<_>>());
    }
}

/// What was found in one object.
#[derive(Debug)]
pub(super) struct Finds<'a> {
    list: Vec<Find<'a>>,
    /// Where everything beyond the limit goes.
    rest: Option<Find<'a>>,
}

impl<'a> Finds<'a> {
    pub(super) fn new() -> Self {
        Self {
            list: Vec::new(),
            rest: None,
        }
    }

    pub(super) fn error(
        &mut self,
        spot: impl Into<Spot<'a>>,
        message: impl Into<String>,
    ) -> &mut Find<'a> {
        self.add(spot.into(), Severity::Error, message.into())
    }

    pub(super) fn warning(
        &mut self,
        spot: impl Into<Spot<'a>>,
        message: impl Into<String>,
    ) -> &mut Find<'a> {
        self.add(spot.into(), Severity::Warning, message.into())
    }

    pub(super) fn add(
        &mut self,
        spot: Spot<'a>,
        severity: Severity,
        message: String,
    ) -> &mut Find<'a> {
        let find = Find {
            spot,
            severity,
            message,
            hint: None,
        };
        if self.list.len() >= MAX_FINDS {
            return self.rest.insert(find);
        }
        self.list.push(find);
        // `last_mut` is `Some` after a push; the slot keeps this total without a panic.
        match self.list.last_mut() {
            Some(find) => find,
            None => self.rest.get_or_insert(Find {
                spot,
                severity,
                message: String::new(),
                hint: None,
            }),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// The finding that was added last.
    pub(super) fn last(&mut self) -> Option<&mut Find<'a>> {
        self.list.last_mut()
    }

    pub(super) fn into_list(self) -> Vec<Find<'a>> {
        self.list
    }
}

/// Reading a tree whose shape nobody has promised.
pub(super) trait Look {
    /// What is under a key, unless it is nothing.
    fn get(&self, key: &str) -> Option<&Node>;
    /// What is at the end of a path of keys.
    fn at(&self, path: &[&str]) -> Option<&Node>;
    fn text(&self) -> Option<&str>;
    /// The text under a key.
    fn text_of(&self, key: &str) -> Option<&str>;
    fn integer(&self) -> Option<i64>;
    fn is_true(&self, key: &str) -> bool;
    fn items(&self) -> &[Node];
    fn entries(&self) -> &[(Key, Node)];
    /// The items of the list under a key.
    fn list(&self, key: &str) -> &[Node];
    /// The entries of the map under a key.
    fn map(&self, key: &str) -> &[(Key, Node)];
}

impl Look for Node {
    fn get(&self, key: &str) -> Option<&Node> {
        let entry = self.entries().iter().find(|(known, _)| known.text == key);
        entry
            .map(|(_, node)| node)
            .filter(|node| !matches!(node.tree, Tree::Null))
    }

    fn at(&self, path: &[&str]) -> Option<&Node> {
        path.iter().try_fold(self, |node, key| node.get(key))
    }

    fn text(&self) -> Option<&str> {
        match &self.tree {
            Tree::Text(text) => Some(text),
            _ => None,
        }
    }

    fn text_of(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Self::text)
    }

    fn integer(&self) -> Option<i64> {
        match &self.tree {
            Tree::Number(number) => number.as_i64(),
            _ => None,
        }
    }

    fn is_true(&self, key: &str) -> bool {
        matches!(self.get(key).map(|node| &node.tree), Some(Tree::Bool(true)))
    }

    fn items(&self) -> &[Node] {
        match &self.tree {
            Tree::List(items) => items,
            _ => &[],
        }
    }

    fn entries(&self) -> &[(Key, Node)] {
        match &self.tree {
            Tree::Map(entries) => entries,
            _ => &[],
        }
    }

    fn list(&self, key: &str) -> &[Node] {
        self.get(key).map(Self::items).unwrap_or_default()
    }

    fn map(&self, key: &str) -> &[(Key, Node)] {
        self.get(key).map(Self::entries).unwrap_or_default()
    }
}

/// A text of the user in a message: short, and without what moves a terminal's cursor.
pub(super) fn quoted(text: &str) -> String {
    const LONGEST: usize = 80;
    let mut shown: String = text
        .chars()
        .take(LONGEST)
        .flat_map(|c| {
            let is_plain = !c.is_control() && !is_invisible(c);
            let escaped = (!is_plain).then(|| c.escape_unicode());
            is_plain
                .then_some(c)
                .into_iter()
                .chain(escaped.into_iter().flatten())
        })
        .collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}

/// Characters that turn the direction of writing or take no room: they can make a name look like another.
pub(super) fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// "did you mean" with the nearest name, or the list of a few known ones.
fn did_you_mean(given: &str, known: &[&str]) -> Option<String> {
    let same = known.iter().find(|name| name.eq_ignore_ascii_case(given));
    if let Some(near) = same
        .copied()
        .or_else(|| mlops_core::nearest(given, known.iter().copied()))
    {
        return Some(format!("did you mean {}?", quoted(near)));
    }
    let names: Vec<String> = known.iter().map(|name| quoted(name)).collect();
    (1..=12)
        .contains(&names.len())
        .then(|| format!("known: {}", names.join(", ")))
}
