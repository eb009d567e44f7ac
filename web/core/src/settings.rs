//! What the person has chosen, kept over a reload.

use serde::{Deserialize, Serialize};

use crate::address::Address;
use crate::messages::DeviceChoice;
use crate::style::StyleChanges;

/// The page's languages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// English.
    En,
    /// Chinese.
    Zh,
}

impl Language {
    /// By the browser's preferred language, such as `zh-CN`.
    pub fn of_browser(tag: &str) -> Self {
        if tag.to_ascii_lowercase().starts_with("zh") {
            Self::Zh
        } else {
            Self::En
        }
    }

    /// As the document names it.
    pub fn tag(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Zh => "zh-CN",
        }
    }
}

/// Light or dark.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Theme {
    /// As the system is set.
    #[default]
    System,
    /// Light.
    Light,
    /// Dark.
    Dark,
}

/// Where answers come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Runner {
    /// A server with the API of OpenAI.
    Server,
    /// A model in this tab.
    Tab,
}

/// Everything that survives a reload. Unknown and missing fields are no error: another version of
/// the page may have written them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// The browser's where missing.
    pub language: Option<Language>,
    /// Light or dark.
    pub theme: Theme,
    /// Where answers come from; by what is there where missing.
    pub runner: Option<Runner>,
    /// Address of the server; empty is where the page comes from.
    pub server: String,
    /// The server's model; its first where missing.
    pub server_model: Option<String>,
    /// Where a model in this tab runs.
    pub device: DeviceChoice,
    /// A checkpoint in place of the built-in one.
    pub model_url: String,
    /// Changes to the style.
    pub style: StyleChanges,
    /// Longest answer.
    pub max_tokens: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            language: None,
            theme: Theme::System,
            runner: None,
            server: String::new(),
            server_model: None,
            device: DeviceChoice::Auto,
            model_url: String::new(),
            style: StyleChanges::default(),
            max_tokens: 1024,
        }
    }
}

/// Most tokens of an answer that can be asked for.
pub const MOST_TOKENS: usize = 131_072;

/// The longest answer as it was entered: within its limits, the default where it is no number.
pub fn max_tokens(entered: &str) -> usize {
    let tokens = entered.trim().parse::<f64>().ok();
    let tokens = tokens.filter(|tokens| !tokens.is_nan());
    tokens.map_or_else(
        || Settings::default().max_tokens,
        |tokens| tokens.clamp(1.0, MOST_TOKENS as f64) as usize,
    )
}

impl Settings {
    /// Reads what was kept; the defaults where it cannot be read.
    pub fn from_json(json: &str) -> Self {
        let mut settings: Self = serde_json::from_str(json).unwrap_or_default();
        settings.max_tokens = settings.max_tokens.clamp(1, MOST_TOKENS);
        settings
    }

    /// Writes what is kept.
    pub fn to_json(&self) -> String {
        // Fields of plain types cannot fail to be written.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Address of the server, behind which a `/` and its routes stand; empty is where the page comes from.
    /// What was entered stays as it is where it is no address.
    pub fn server_base(&self) -> String {
        let entered = self.server.trim();
        let Some(server) = Address::parse(entered).map(|address| address.url()) else {
            return entered.to_owned();
        };
        let server = server.trim_end_matches('/');
        server.strip_suffix("/v1").unwrap_or(server).to_owned()
    }
}

/// Address of a route, such as `v1/models`, of the server at a base. Where the page comes from, it stays
/// relative to the page: a proxy may have both in a folder.
pub fn route_of(base: &str, route: &str) -> String {
    if base.is_empty() {
        return route.to_owned();
    }
    format!("{base}/{route}")
}

#[cfg(test)]
mod tests {
    use super::{Language, MOST_TOKENS, Settings, max_tokens, route_of};

    #[test]
    fn settings_survive_being_written() {
        let settings = Settings {
            language: Some(Language::Zh),
            server: "http://localhost:9000".to_owned(),
            ..Settings::default()
        };
        assert_eq!(Settings::from_json(&settings.to_json()), settings);
    }

    #[test]
    fn what_cannot_be_read_is_the_default() {
        for json in ["", "{", "[]", "{\"theme\":\"pink\"}"] {
            assert_eq!(Settings::from_json(json), Settings::default(), "{json}");
        }
        let json = "{\"max_tokens\":0,\"of_tomorrow\":1}";
        assert_eq!(Settings::from_json(json).max_tokens, 1);
    }

    #[test]
    fn addresses_are_taken_with_and_without_their_end() {
        let mut settings = Settings::default();
        assert_eq!(route_of(&settings.server_base(), "v1/models"), "v1/models");
        for server in [
            "http://h:1",
            "http://h:1/",
            "http://h:1/v1",
            " http://h:1/v1/ ",
            "HTTP://H:1/v1",
        ] {
            settings.server = server.to_owned();
            let route = route_of(&settings.server_base(), "v1/models");
            assert_eq!(route, "http://h:1/v1/models");
        }
        settings.server = "localhost:9999/".to_owned();
        assert_eq!(settings.server_base(), "http://localhost:9999");
        settings.server = "http://h/glyph/v1".to_owned();
        assert_eq!(settings.server_base(), "http://h/glyph");
        settings.server = "http://".to_owned();
        assert_eq!(settings.server_base(), "http://");
    }

    #[test]
    fn the_longest_answer_is_kept_within_its_limits() {
        for (entered, tokens) in [
            ("200", 200),
            (" 7 ", 7),
            ("-5", 1),
            ("0", 1),
            ("0.5", 1),
            ("1e9", MOST_TOKENS),
            ("", 1024),
            ("many", 1024),
            ("nan", 1024),
        ] {
            assert_eq!(max_tokens(entered), tokens, "{entered}");
        }
    }
}
