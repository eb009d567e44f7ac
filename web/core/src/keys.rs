//! Keys of servers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Keys, each of the origin that it was entered for: no other server may see it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ApiKeys(BTreeMap<String, String>);

impl ApiKeys {
    /// Reads what was kept; none where it cannot be read, such as a key that is bound to no origin.
    pub fn from_json(json: &str) -> Self {
        serde_json::from_str(json).unwrap_or_default()
    }

    /// Writes what is kept.
    pub fn to_json(&self) -> String {
        // A map of strings cannot fail to be written.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The key of an origin; empty where there is none.
    pub fn of(&self, origin: &str) -> &str {
        self.0.get(origin).map_or("", String::as_str)
    }

    /// Puts the key of an origin; an empty one is forgotten.
    pub fn set(&mut self, origin: &str, key: &str) {
        let key = key.trim();
        if key.is_empty() {
            self.0.remove(origin);
        } else {
            self.0.insert(origin.to_owned(), key.to_owned());
        }
    }
}

/// The first character of a key that a header cannot carry, or that servers would read differently.
pub fn unsendable(key: &str) -> Option<char> {
    key.chars().find(|c| !matches!(c, ' '..='~'))
}

#[cfg(test)]
mod tests {
    use super::{ApiKeys, unsendable};

    #[test]
    fn a_key_belongs_to_its_origin_alone() {
        let mut keys = ApiKeys::default();
        keys.set("http://a", " k ");
        assert_eq!(keys.of("http://a"), "k");
        assert_eq!(keys.of("http://b"), "");
        keys.set("http://b", "other");
        assert_eq!(keys.of("http://a"), "k");
        assert_eq!(ApiKeys::from_json(&keys.to_json()), keys);
        keys.set("http://a", "");
        assert_eq!(keys.of("http://a"), "");
    }

    #[test]
    fn a_key_without_an_origin_is_not_taken() {
        for json in ["", "sk-0123", "12345", "\"quoted\"", "[]"] {
            assert_eq!(ApiKeys::from_json(json), ApiKeys::default(), "{json}");
        }
    }

    #[test]
    fn characters_that_no_header_carries_are_found() {
        assert_eq!(unsendable("sk-AZaz09+/=_.~ !"), None);
        assert_eq!(unsendable("sk\u{200b}-1"), Some('\u{200b}'));
        assert_eq!(unsendable("schlüssel"), Some('ü'));
        assert_eq!(unsendable("a\nb"), Some('\n'));
        assert_eq!(unsendable("密钥"), Some('密'));
    }
}
