//! What `glyph serve` is told: by flag, by environment variable, or by a file, in this order.

use std::fs;
use std::path::{Path, PathBuf};

use bytesize::ByteSize;
use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum, ValueHint};
use glyph_device::{DeviceChoice, DtypeChoice};
use glyph_model::quantize::Quantization;
use glyph_model::text::KvPrecision;
use serde::Deserialize;

use crate::error::CliError;
use crate::plan_values;

/// `glyph serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// TOML file with any of these options, named as here without the dashes in front
    #[arg(
        long,
        value_name = "FILE",
        env = "GLYPH_CONFIG",
        hide_env_values = true
    )]
    #[arg(value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub options: ServeOptions,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Everything that can be chosen. What is missing has a default.
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ServeOptions {
    /// Model directory as published: config.json, tokenizer.json, model.safetensors…
    /// [default: the built-in glyph-mini]
    #[arg(verbatim_doc_comment)]
    #[arg(long, value_name = "DIR", env = "GLYPH_MODEL", hide_env_values = true)]
    #[arg(value_hint = ValueHint::DirPath)]
    pub model: Option<PathBuf>,
    /// Where the model runs, as glyph devices lists it: cpu, cuda, cuda:N, wgpu, wgpu:N,
    /// or auto for the best there is [default: auto]
    #[arg(verbatim_doc_comment)]
    #[arg(
        long,
        value_name = "DEVICE",
        env = "GLYPH_DEVICE",
        hide_env_values = true
    )]
    pub device: Option<DeviceChoice>,
    /// Type of weights and activations: f32, f16, bf16, or auto for what suits device and
    /// checkpoint [default: auto]
    #[arg(verbatim_doc_comment)]
    #[arg(long, value_name = "TYPE", env = "GLYPH_DTYPE", hide_env_values = true)]
    pub dtype: Option<DtypeChoice>,
    /// Make the decoder's weights smaller while they are loaded: q8 or q4 [default: as the files are]
    #[arg(
        long,
        value_name = "BITS",
        env = "GLYPH_QUANTIZE",
        hide_env_values = true
    )]
    pub quantize: Option<Quantization>,
    /// Keys and values: full, f16, which on a CPU is half of the memory and elsewhere what full is, or q8, which saves
    /// more and costs time on a GPU [default: f16]
    #[arg(
        long,
        value_name = "BITS",
        env = "GLYPH_KV_CACHE",
        hide_env_values = true
    )]
    pub kv_cache: Option<KvPrecision>,
    /// Name that clients ask for; may be given several times, or once with commas [default: the directory's name]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    #[arg(env = "GLYPH_SERVED_MODEL_NAME", hide_env_values = true)]
    pub served_model_name: Vec<String>,
    /// Address to listen on [default: 0.0.0.0, which is all of this machine's]
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "GLYPH_HOST",
        hide_env_values = true
    )]
    pub host: Option<String>,
    /// Port to listen on; 0 takes one that is free [default: 8080]
    #[arg(long, value_name = "PORT", env = "GLYPH_PORT", hide_env_values = true)]
    pub port: Option<u16>,
    /// Requests that run together, at most [default: 16]
    #[arg(
        long,
        value_name = "N",
        env = "GLYPH_MAX_BATCH",
        hide_env_values = true
    )]
    pub max_batch: Option<usize>,
    /// Pages of one request, at most [default: 64]
    #[arg(
        long,
        value_name = "N",
        env = "GLYPH_MAX_PAGES",
        hide_env_values = true
    )]
    pub max_pages: Option<usize>,
    /// Tokens of prompt and answer, at most [default: what model and memory hold]
    #[arg(
        long,
        value_name = "N",
        env = "GLYPH_MAX_CONTEXT",
        hide_env_values = true
    )]
    pub max_context: Option<usize>,
    /// Requests that may wait for the model, and as many and --max-batch more for a core that prepares them; further ones
    /// are told to come again [default: 256]
    #[arg(long, value_name = "N", env = "GLYPH_QUEUE", hide_env_values = true)]
    pub queue: Option<usize>,
    /// Connections that are open at once; the one that is idle the longest makes room, or else one whose request has not
    /// come whole [default: 960]
    #[arg(
        long,
        value_name = "N",
        env = "GLYPH_MAX_CONNECTIONS",
        hide_env_values = true
    )]
    pub max_connections: Option<usize>,
    /// Memory that is left untouched, as in glyph plan
    /// [default: 4GiB on a GPU; on a CPU a quarter of what is free, at most 4GiB]
    #[arg(verbatim_doc_comment)]
    #[arg(
        long,
        value_name = "SIZE",
        env = "GLYPH_MEMORY_HEADROOM",
        hide_env_values = true
    )]
    #[arg(value_parser = plan_values::size, allow_hyphen_values = true)]
    #[serde(deserialize_with = "plan_values::size_in_file")]
    pub memory_headroom: Option<ByteSize>,
    /// Memory of the device to plan with, headroom included [default: what is free]
    #[arg(
        long,
        value_name = "SIZE",
        env = "GLYPH_DEVICE_MEMORY",
        hide_env_values = true
    )]
    #[arg(value_parser = plan_values::size, allow_hyphen_values = true)]
    #[serde(deserialize_with = "plan_values::size_in_file")]
    pub device_memory: Option<ByteSize>,
    /// Key that requests must carry; may be given several times, or once with commas, so that a key with a
    /// comma in it has to come by --api-key-file [default: everybody may ask]
    #[arg(long, value_name = "KEY", value_delimiter = ',')]
    #[arg(env = "GLYPH_API_KEY", hide_env_values = true)]
    pub api_key: Vec<String>,
    /// File with one key per line
    #[arg(
        long,
        value_name = "FILE",
        env = "GLYPH_API_KEY_FILE",
        hide_env_values = true
    )]
    #[arg(value_hint = ValueHint::FilePath)]
    pub api_key_file: Option<PathBuf>,
    /// Origin whose pages may call from a browser, or *; may be given several times, or once with commas
    #[arg(long, value_name = "ORIGIN", value_delimiter = ',')]
    #[arg(env = "GLYPH_CORS_ORIGIN", hide_env_values = true)]
    pub cors_origin: Vec<String>,
    /// Fetch images by http(s) URL, from public addresses
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    #[arg(env = "GLYPH_ALLOW_REMOTE_IMAGES", hide_env_values = true)]
    #[arg(value_parser = BoolishValueParser::new())]
    pub allow_remote_images: Option<bool>,
    /// Largest request [default: 64MiB]
    #[arg(
        long,
        value_name = "SIZE",
        env = "GLYPH_BODY_LIMIT",
        hide_env_values = true
    )]
    #[arg(value_parser = plan_values::size, allow_hyphen_values = true)]
    #[serde(deserialize_with = "plan_values::size_in_file")]
    pub body_limit: Option<ByteSize>,
    /// Load the vision tower when the first page comes, and answer no request of its own before the first caller's
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    #[arg(env = "GLYPH_LAZY", hide_env_values = true)]
    #[arg(value_parser = BoolishValueParser::new())]
    pub lazy: Option<bool>,
    /// Seconds that requests may go on after the signal to stop [default: 30]
    #[arg(
        long,
        value_name = "S",
        env = "GLYPH_DRAIN_TIMEOUT",
        hide_env_values = true
    )]
    pub drain_timeout: Option<u64>,
    /// How log lines are written [default: text]
    #[arg(
        long,
        value_name = "FORMAT",
        env = "GLYPH_LOG_FORMAT",
        hide_env_values = true
    )]
    pub log_format: Option<LogFormat>,
    /// Directory for log files: a new one every day and every 64 MiB, the last 15 are kept
    /// [default: standard error]
    #[arg(verbatim_doc_comment)]
    #[arg(
        long,
        value_name = "DIR",
        env = "GLYPH_LOG_FILE",
        hide_env_values = true
    )]
    #[arg(value_hint = ValueHint::DirPath)]
    pub log_file: Option<PathBuf>,
    /// error, warn, info, debug, trace, or such as glyph_server=debug [default: info]
    #[arg(
        long,
        value_name = "LEVEL",
        env = "GLYPH_LOG_LEVEL",
        hide_env_values = true
    )]
    pub log_level: Option<String>,
    /// Built files of the web page, served at /
    #[arg(long, value_name = "DIR", env = "GLYPH_WEB", hide_env_values = true)]
    #[arg(value_hint = ValueHint::DirPath)]
    pub web: Option<PathBuf>,
}

impl ServeArgs {
    /// The options of command line and environment over those of the file.
    pub fn options(&self) -> Result<ServeOptions, CliError> {
        let file = match &self.config {
            None => ServeOptions::default(),
            Some(path) => from_file(path)?,
        };
        Ok(self.options.clone().or(file))
    }
}

fn from_file(path: &Path) -> Result<ServeOptions, CliError> {
    let text = fs::read_to_string(path).map_err(|source| CliError::InputFile {
        what: "configuration",
        name: path.display().to_string(),
        source,
    })?;
    toml::from_str(&text).map_err(|error| {
        CliError::Usage(format!(
            "the configuration {} cannot be used: {error}",
            path.display()
        ))
    })
}

impl ServeOptions {
    fn or(self, other: Self) -> Self {
        let list = |given: Vec<String>, other: Vec<String>| -> Vec<String> {
            let list = if given.is_empty() { other } else { given };
            // Spaces beside the commas of a list belong to none of its items.
            list.iter().map(|item| item.trim().to_owned()).collect()
        };
        Self {
            model: self.model.or(other.model),
            device: self.device.or(other.device),
            dtype: self.dtype.or(other.dtype),
            quantize: self.quantize.or(other.quantize),
            kv_cache: self.kv_cache.or(other.kv_cache),
            served_model_name: list(self.served_model_name, other.served_model_name),
            host: self.host.or(other.host),
            port: self.port.or(other.port),
            max_batch: self.max_batch.or(other.max_batch),
            max_pages: self.max_pages.or(other.max_pages),
            max_context: self.max_context.or(other.max_context),
            queue: self.queue.or(other.queue),
            max_connections: self.max_connections.or(other.max_connections),
            memory_headroom: self.memory_headroom.or(other.memory_headroom),
            device_memory: self.device_memory.or(other.device_memory),
            api_key: list(self.api_key, other.api_key),
            api_key_file: self.api_key_file.or(other.api_key_file),
            cors_origin: list(self.cors_origin, other.cors_origin),
            allow_remote_images: self.allow_remote_images.or(other.allow_remote_images),
            body_limit: self.body_limit.or(other.body_limit),
            lazy: self.lazy.or(other.lazy),
            drain_timeout: self.drain_timeout.or(other.drain_timeout),
            log_format: self.log_format.or(other.log_format),
            log_file: self.log_file.or(other.log_file),
            log_level: self.log_level.or(other.log_level),
            web: self.web.or(other.web),
        }
    }

    /// The keys of `--api-key` and `--api-key-file`.
    pub fn api_keys(&self) -> Result<Vec<String>, CliError> {
        let mut keys = self.api_key.clone();
        if let Some(path) = &self.api_key_file {
            let text = fs::read_to_string(path).map_err(|source| CliError::InputFile {
                what: "key file",
                name: path.display().to_string(),
                source,
            })?;
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            let before = keys.len();
            keys.extend(lines.map(str::to_owned));
            if keys.len() == before {
                return Err(CliError::Parameter {
                    option: "--api-key-file".to_owned(),
                    value: path.display().to_string(),
                    reason: "it holds no key; write one per line".to_owned(),
                });
            }
        }
        if keys.iter().any(String::is_empty) {
            return Err(CliError::Usage(
                "a key of --api-key is empty. Leave the option out to let everybody in".to_owned(),
            ));
        }
        Ok(keys)
    }

    /// The origins of `--cors-origin`, each checked.
    pub fn cors_origins(&self) -> Result<Vec<String>, CliError> {
        let is_origin = |origin: &str| {
            let rest = origin
                .strip_prefix("http://")
                .or_else(|| origin.strip_prefix("https://"));
            origin == "*" || rest.is_some_and(|host| !host.is_empty() && !host.contains('/'))
        };
        match self.cors_origin.iter().find(|origin| !is_origin(origin)) {
            None => Ok(self.cors_origin.clone()),
            Some(origin) => Err(CliError::Parameter {
                option: "--cors-origin".to_owned(),
                value: origin.clone(),
                reason: "it must be like https://example.com, or *".to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ServeOptions;

    #[test]
    fn every_option_is_a_key_of_the_file_and_others_are_refused() {
        let command = <ServeOptions as clap::Args>::augment_args(clap::Command::new("serve"));
        for argument in command.get_arguments() {
            let key = argument.get_long().unwrap();
            let error = toml::from_str::<ServeOptions>(&format!("{key} = {{}}")).unwrap_err();
            assert!(
                !error.to_string().contains("unknown field"),
                "{key}: {error}"
            );
            let variable = argument.get_env().unwrap().to_str().unwrap();
            let expected = format!("GLYPH_{}", key.replace('-', "_").to_uppercase());
            assert_eq!(variable, expected);
        }
        let error = toml::from_str::<ServeOptions>("max-batsh = 3").unwrap_err();
        assert!(error.to_string().contains("max-batsh"), "{error}");
    }

    #[test]
    fn sizes_of_the_file_have_a_unit_too() {
        for key in ["memory-headroom", "device-memory", "body-limit"] {
            let of = |value: &str| toml::from_str::<ServeOptions>(&format!("{key} = {value}"));
            for value in ["\"3 MiB\"", "\"0\"", "0"] {
                assert!(of(value).is_ok(), "{key} = {value}");
            }
            for value in ["\"4\"", "4", "-4", "4.5", "\"much\"", "9223372036854775808"] {
                let error = of(value).unwrap_err().to_string();
                for part in [key, value.trim_matches('"'), "24GiB"] {
                    assert!(error.contains(part), "no {part} in {error}");
                }
            }
        }
    }

    #[test]
    fn what_is_nearer_wins() {
        let file: ServeOptions = toml::from_str(
            "port = 1\nmax-batch = 2\nmemory-headroom = \"2GiB\"\napi-key = [\"a\"]",
        )
        .unwrap();
        let flags = ServeOptions {
            port: Some(3),
            ..ServeOptions::default()
        };
        let options = flags.or(file);
        assert_eq!((options.port, options.max_batch), (Some(3), Some(2)));
        assert_eq!(options.memory_headroom, Some(bytesize::ByteSize::gib(2)));
        assert_eq!(options.api_key, ["a"]);
    }

    #[test]
    fn switches_take_the_words_that_are_used_for_yes_and_no() {
        let of = |flag: &str| {
            let command = <ServeOptions as clap::Args>::augment_args(clap::Command::new("serve"));
            let matches = command.try_get_matches_from(["serve", flag])?;
            <ServeOptions as clap::FromArgMatches>::from_arg_matches(&matches)
        };
        for (value, expected) in [
            ("", true),
            ("=1", true),
            ("=yes", true),
            ("=true", true),
            ("=0", false),
            ("=no", false),
            ("=false", false),
        ] {
            let lazy = of(&format!("--lazy{value}")).unwrap().lazy;
            assert_eq!(lazy, Some(expected), "{value}");
            let remote = of(&format!("--allow-remote-images{value}")).unwrap();
            assert_eq!(remote.allow_remote_images, Some(expected), "{value}");
        }
        assert!(of("--lazy=maybe").is_err());
    }

    #[test]
    fn spaces_beside_the_commas_of_a_list_belong_to_none_of_its_items() {
        let command = <ServeOptions as clap::Args>::augment_args(clap::Command::new("serve"));
        let words = ["serve", "--api-key", "one, two ,three", "--api-key", "four"];
        let matches = command.try_get_matches_from(words).unwrap();
        let given = <ServeOptions as clap::FromArgMatches>::from_arg_matches(&matches).unwrap();
        let options = given.or(ServeOptions::default());
        assert_eq!(options.api_keys().unwrap(), ["one", "two", "three", "four"]);
        // A list of the file has no commas to part its items.
        let file: ServeOptions = toml::from_str("api-key = [\" a,b \"]").unwrap();
        let options = ServeOptions::default().or(file);
        assert_eq!(options.api_keys().unwrap(), ["a,b"]);
        let empty: ServeOptions = toml::from_str("api-key = [\" \"]").unwrap();
        assert!(ServeOptions::default().or(empty).api_keys().is_err());
    }
}
