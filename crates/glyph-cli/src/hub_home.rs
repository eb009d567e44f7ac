//! Where the hub's tools keep what they fetched, and the token that they signed in with: the variables of
//! `huggingface_hub`, in its order.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{self, Path, PathBuf};

use crate::hub_error::HubError;

/// What the environment says.
pub struct HubHome {
    /// Directory of the cache.
    pub cache: PathBuf,
    /// File of the token.
    token: Option<PathBuf>,
}

impl HubHome {
    /// Reads the environment of this process.
    ///
    /// # Errors
    /// When it names no place for the cache.
    pub fn from_env() -> Result<Self, HubError> {
        let home = env::home_dir().filter(|home| !home.as_os_str().is_empty());
        Self::resolve(home.as_deref(), |name| env::var_os(name))
    }

    /// An empty variable counts as unset, as all that `glyph` reads.
    fn resolve(
        home: Option<&Path>,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, HubError> {
        let first = |names: &[&str]| {
            let mut values = names.iter().filter_map(|name| variable(name));
            let value = values.find(|value| !value.is_empty());
            value
                .map(|value| expand(&value, home, &variable))
                .transpose()
        };
        let hub_home = match first(&["HF_HOME"])? {
            Some(given) => Some(given),
            None => first(&["XDG_CACHE_HOME"])?
                .or_else(|| home.map(|home| home.join(".cache")))
                .map(|caches| caches.join("huggingface")),
        };
        let cache = first(&["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"])?
            .or_else(|| hub_home.as_ref().map(|home| home.join("hub")))
            .ok_or(HubError::NoCache)?;
        let token = first(&["HF_TOKEN_PATH"])?.or_else(|| hub_home.map(|home| home.join("token")));
        Ok(Self { cache, token })
    }

    /// The token that the hub's tools signed in with. Without one, what is open to all is still there.
    pub fn token(&self) -> Option<String> {
        let token = fs::read_to_string(self.token.as_ref()?).ok()?;
        let token = token.trim();
        (!token.is_empty()).then(|| token.to_owned())
    }
}

/// A path with the home directory in place of its `~`, and the values of variables in place of their names; a variable
/// that is not set stays as it stands, and so does the home of another user.
fn expand(
    given: &OsStr,
    home: Option<&Path>,
    variable: &impl Fn(&str) -> Option<OsString>,
) -> Result<PathBuf, HubError> {
    let Some(text) = given.to_str() else {
        return Ok(given.into());
    };
    let mut expanded = OsString::new();
    let mut rest = text;
    if let Some(after) = text.strip_prefix('~')
        && (after.is_empty() || after.starts_with(path::is_separator))
    {
        expanded.push(home.ok_or(HubError::NoCache)?);
        rest = after;
    }
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push(before);
        let found = split_name(after).and_then(|(name, after)| Some((variable(name)?, after)));
        if let Some((value, after)) = found {
            expanded.push(value);
            rest = after;
        } else {
            expanded.push("$");
            rest = after;
        }
    }
    expanded.push(rest);
    Ok(expanded.into())
}

/// The name of a variable, which may stand in braces, and what follows it.
fn split_name(text: &str) -> Option<(&str, &str)> {
    if let Some(inner) = text.strip_prefix('{') {
        return inner.split_once('}');
    }
    let is_outside = |c: char| !c.is_ascii_alphanumeric() && c != '_';
    Some(text.split_at(text.find(is_outside).unwrap_or(text.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names and values.
    type Variables = &'static [(&'static str, &'static str)];

    fn resolve(home: Option<&str>, variables: &[(&str, &str)]) -> Result<HubHome, HubError> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(given, _)| *given == name)?;
            Some(OsString::from(found.1))
        };
        HubHome::resolve(home.map(Path::new), variable)
    }

    #[test]
    fn cache_and_token_lie_where_huggingface_hub_has_them() {
        let default_token = "/home/me/.cache/huggingface/token";
        let cases: [(Variables, &str, &str); 7] = [
            (&[], "/home/me/.cache/huggingface/hub", default_token),
            (
                &[("XDG_CACHE_HOME", "/x")],
                "/x/huggingface/hub",
                "/x/huggingface/token",
            ),
            (
                &[("HF_HOME", "/h"), ("XDG_CACHE_HOME", "/x")],
                "/h/hub",
                "/h/token",
            ),
            (
                &[("HUGGINGFACE_HUB_CACHE", "/old"), ("HF_HOME", "/h")],
                "/old",
                "/h/token",
            ),
            (
                &[("HF_HUB_CACHE", "/c"), ("HUGGINGFACE_HUB_CACHE", "/old")],
                "/c",
                default_token,
            ),
            (
                &[("HF_TOKEN_PATH", "~/t"), ("HF_HOME", "/h")],
                "/h/hub",
                "/home/me/t",
            ),
            (
                &[("HF_HUB_CACHE", ""), ("HF_HOME", ""), ("HF_TOKEN_PATH", "")],
                "/home/me/.cache/huggingface/hub",
                default_token,
            ),
        ];
        for (variables, cache, token) in cases {
            let resolved = resolve(Some("/home/me"), variables).unwrap();
            assert_eq!(resolved.cache, Path::new(cache), "{variables:?}");
            assert_eq!(resolved.token.unwrap(), Path::new(token), "{variables:?}");
        }
    }

    #[test]
    fn paths_are_expanded() {
        for (given, expected) in [
            ("~", "/home/me"),
            ("~/h", "/home/me/h"),
            ("$DATA/h", "/data/h"),
            ("/x/${DATA}h", "/x//datah"),
            ("$DATA$DATA", "/data/data"),
            ("/x/~/h", "/x/~/h"),
            ("~other/h", "~other/h"),
            ("/x/$NONE/h", "/x/$NONE/h"),
            ("/x/${DATA", "/x/${DATA"),
            ("/x/$", "/x/$"),
        ] {
            let variables = [("HF_HUB_CACHE", given), ("DATA", "/data")];
            let resolved = resolve(Some("/home/me"), &variables).unwrap();
            assert_eq!(resolved.cache.to_str(), Some(expected), "{given}");
        }
    }

    #[test]
    fn without_a_home_the_cache_needs_a_place_of_its_own() {
        let cases: [Variables; 3] = [&[], &[("HF_HOME", "~/h")], &[("HF_TOKEN_PATH", "/t")]];
        for variables in cases {
            let resolved = resolve(None, variables);
            assert!(matches!(resolved, Err(HubError::NoCache)), "{variables:?}");
        }
        let resolved = resolve(None, &[("HF_HUB_CACHE", "/c")]).unwrap();
        assert_eq!(resolved.cache, Path::new("/c"));
        assert_eq!(resolved.token(), None);
    }

    #[test]
    fn the_token_is_what_its_file_holds() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        let resolved = resolve(Some("/home/me"), &[("HF_TOKEN_PATH", path)]).unwrap();
        assert_eq!(resolved.token(), None);
        fs::write(file.path(), "hf_secret\n").unwrap();
        assert_eq!(resolved.token().as_deref(), Some("hf_secret"));
    }
}
