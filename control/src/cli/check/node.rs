//! Looking into YAML that knows its lines.

use saphyr::{MarkedYaml, Scalar, YamlData};
use serde_json::Value;

/// What is asked of a node of any kind; a wrong kind has nothing.
pub(super) trait Node {
    fn at(&self, path: &str) -> Option<&Self>;
    fn text(&self, path: &str) -> Option<&str>;
    fn is_true(&self, path: &str) -> bool;
    fn items(&self, path: &str) -> &[Self]
    where
        Self: Sized;
    fn is_of(&self, kind: &str) -> bool;
    fn line(&self) -> usize;
    fn each(&self, visit: &mut dyn FnMut(&Self));
}

impl Node for MarkedYaml<'_> {
    /// What lies at `a/b/c`.
    fn at(&self, path: &str) -> Option<&Self> {
        path.split('/').try_fold(self, |node, member| node.data.as_mapping_get(member))
    }

    fn text(&self, path: &str) -> Option<&str> {
        self.at(path)?.data.as_str()
    }

    fn is_true(&self, path: &str) -> bool {
        self.at(path).and_then(|node| node.data.as_bool()).unwrap_or(false)
    }

    fn items(&self, path: &str) -> &[Self] {
        self.at(path).and_then(|node| node.data.as_vec()).map_or(&[], Vec::as_slice)
    }

    /// Whether its `@type` ends so.
    fn is_of(&self, kind: &str) -> bool {
        self.text("@type").is_some_and(|name| name.ends_with(kind))
    }

    fn line(&self) -> usize {
        self.span.start.line()
    }

    /// The node and everything in it, from the top.
    fn each(&self, visit: &mut dyn FnMut(&Self)) {
        visit(self);
        if let Some(members) = self.data.as_mapping() {
            for value in members.values() {
                value.each(visit);
            }
        }
        if let Some(items) = self.data.as_vec() {
            for item in items {
                item.each(visit);
            }
        }
    }
}

/// The same as JSON; what JSON has no word for is null.
pub(super) fn to_json(node: &MarkedYaml<'_>) -> Value {
    match &node.data {
        YamlData::Value(Scalar::Boolean(value)) => (*value).into(),
        YamlData::Value(Scalar::Integer(value)) => (*value).into(),
        YamlData::Value(Scalar::FloatingPoint(value)) => value.into_inner().into(),
        YamlData::Value(Scalar::String(value)) => value.as_ref().into(),
        YamlData::Sequence(items) => items.iter().map(to_json).collect(),
        YamlData::Mapping(members) => {
            let named = |(name, value): (&MarkedYaml<'_>, _)| {
                Some((name.data.as_str()?.to_owned(), to_json(value)))
            };
            members.iter().filter_map(named).collect()
        }
        _ => Value::Null,
    }
}
